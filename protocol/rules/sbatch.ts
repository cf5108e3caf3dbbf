// `#SBATCH` options as Slurm's own sbatch knows them (22.05): which take a value, which may be
// abbreviated, and what becomes of each here. Nothing is dropped in silence: an option is
// honoured, or ignored with a reason because it is advice, or refused.

import type { Outcome } from '../base/outcome.ts'
import { ok } from '../base/outcome.ts'
import { divUp } from '../base/units.ts'
import type { BadValue, EnvironmentOption, JobOptions } from './job-options.ts'
import { badValue, readArray, readJobOption } from './job-options.ts'

export type SbatchTreatment =
  | { readonly kind: 'honoured'; readonly options: JobOptions }
  | { readonly kind: 'ignored'; readonly why: string }
  | { readonly kind: 'refused'; readonly why: string }

/** Takes a value always (`=`), never (` `) or only when joined by `=` (`?`). */
type Takes = '=' | ' ' | '?'

const longOptions: ReadonlyMap<string, Takes> = new Map(
  (
    'account= acctg-freq= array= batch= bb= bbf= begin= chdir= cluster-constraint= clusters= ' +
    'comment= constraint= container= contiguous core-spec= cores-per-socket= cpu-freq= ' +
    'cpus-per-gpu= cpus-per-task= deadline= delay-boot= dependency= distribution= error= ' +
    'exclude= exclusive? export= export-file= extra-node-info= get-user-env? gid= gpu-bind= ' +
    'gpu-freq= gpus= gpus-per-node= gpus-per-socket= gpus-per-task= gres= gres-flags= help ' +
    'hint= hold ignore-pbs input= job-name= kill-on-invalid-dep= licenses= mail-type= ' +
    'mail-user= mcs-label= mem= mem-bind= mem-per-cpu= mem-per-gpu= mincores= mincpus= ' +
    'minsockets= minthreads= network= nice? no-kill? no-requeue nodefile= nodelist= nodes= ' +
    'ntasks= ntasks-per-core= ntasks-per-gpu= ntasks-per-node= ntasks-per-socket= open-mode= ' +
    'output= overcommit oversubscribe parsable partition= power= prefer= priority= profile= ' +
    'propagate? qos= quiet reboot requeue reservation= share signal= sockets-per-node= ' +
    'spread-job switches= tasks-per-node= test-only thread-spec= threads-per-core= time= ' +
    'time-min= tmp= uid= usage use-min-nodes verbose version wait wait-all-nodes= wckey= ' +
    'workdir= wrap='
  )
    .split(' ')
    .map((word) => {
      const takes = word.endsWith('=') ? '=' : word.endsWith('?') ? '?' : ' '
      return [takes === ' ' ? word : word.slice(0, -1), takes] as const
    }),
)

const shortOptions: Readonly<Record<string, string>> = {
  a: 'array', A: 'account', b: 'begin', B: 'extra-node-info', c: 'cpus-per-task',
  C: 'constraint', d: 'dependency', D: 'chdir', e: 'error', F: 'nodefile', G: 'gpus', h: 'help',
  H: 'hold', i: 'input', J: 'job-name', k: 'no-kill', L: 'licenses', m: 'distribution',
  M: 'clusters', n: 'ntasks', N: 'nodes', o: 'output', O: 'overcommit', p: 'partition',
  q: 'qos', Q: 'quiet', s: 'oversubscribe', S: 'core-spec', t: 'time', v: 'verbose',
  V: 'version', w: 'nodelist', W: 'wait', x: 'exclude',
}

export const sbatchOptionNames: readonly string[] = [...longOptions.keys()]

export interface SbatchOption {
  readonly name: string
  readonly takes: Takes
}

/** A long option by its name or an abbreviation that means one option only, as getopt reads it. */
export function findLongOption(word: string): SbatchOption | 'unknown' | readonly string[] {
  const exact = longOptions.get(word)
  if (exact !== undefined) return { name: word, takes: exact }
  const meant = sbatchOptionNames.filter((name) => name.startsWith(word))
  if (word === '' || meant.length === 0) return 'unknown'
  const [name = '', ...others] = meant
  return others.length === 0 ? { name, takes: longOptions.get(name)! } : meant
}

export function findShortOption(letter: string): SbatchOption | undefined {
  const name = Object.hasOwn(shortOptions, letter) ? shortOptions[letter]! : undefined
  if (name === undefined) return undefined
  const takes = longOptions.get(name)!
  return { name, takes }
}

const ownFile = 'the results hold it under their own name (gridnode logs, gridnode fetch)'
const oneNode = 'a task runs on one node'
const ignoredOptions: Readonly<Record<string, string>> = {
  'acctg-freq': 'the host decides how often it measures',
  comment: 'a note for people',
  contiguous: oneNode,
  error: `standard error goes to the file stderr: ${ownFile}`,
  'ignore-pbs': '#PBS lines are not read anyway',
  'kill-on-invalid-dep': 'it has no dependency',
  'mail-type': 'no mail is sent; gridnode submit --wait and gridnode status tell the state',
  'mail-user': 'no mail is sent; gridnode submit --wait and gridnode status tell the state',
  nice: 'the order of jobs is the policy of each site',
  'no-kill': oneNode,
  'open-mode': 'each task has output files of its own',
  output: `standard output goes to the file stdout: ${ownFile}`,
  parsable: 'it is for the submitting command; see gridnode submit --quiet and --json',
  profile: 'the host decides what it measures',
  quiet: 'it is for the submitting command',
  requeue: 'a task whose host is lost is announced again as it is',
  'spread-job': oneNode,
  switches: oneNode,
  'time-min': 'the walltime is the one of --time',
  'use-min-nodes': oneNode,
  verbose: 'it is for the submitting command',
  wckey: 'a label for one cluster\'s accounting',
}

const oneCluster = 'it names something of one cluster, and the job may run at another'
const later = 'is not honoured yet'
const refusedOptions: Readonly<Record<string, string>> = {
  account: `${oneCluster}; remove the line (the site's contract says who pays)`,
  begin: `${later}; submit the job when it may start`,
  chdir: 'every task starts in a directory of its own; bring files with #GRID --in',
  clusters: `${oneCluster}; choose sites with #GRID --sites`,
  constraint: `${oneCluster}; say what is needed with #GRID --require`,
  container: later,
  deadline: `${later}; #GRID --start-within limits the wait for the start`,
  dependency: `${later}; submit the job when the other has ended (gridnode submit --wait)`,
  exclude: `${oneCluster}; choose sites with #GRID --sites or --require`,
  exclusive: `${later}; ask for all cores and the memory of a node with --cpus-per-task and --mem`,
  'get-user-env': 'the user\'s login environment does not exist at other sites; use #GRID --env',
  gpus: 'GPUs cannot be asked for yet',
  'gpus-per-node': 'GPUs cannot be asked for yet',
  'gpus-per-task': 'GPUs cannot be asked for yet',
  gres: 'generic resources such as GPUs cannot be asked for yet',
  hold: `${later}; submit the job when it may start`,
  input: 'standard input is empty; bring the file with #GRID --in and redirect it in the script',
  licenses: `${oneCluster}; say what is needed with #GRID --require`,
  'no-requeue': 'a task whose host is lost is announced again; make the script safe to repeat',
  nodelist: `${oneCluster}; choose sites with #GRID --sites`,
  partition: `${oneCluster}; choose sites with #GRID --sites or --require`,
  qos: oneCluster,
  reservation: oneCluster,
  signal: `${later}; a task gets SIGTERM at its walltime, and SIGKILL some time after`,
  'test-only': 'gridnode submit --dry-run shows what would be submitted',
  wait: 'it is for the submitting command: gridnode submit --wait',
  workdir: 'every task starts in a directory of its own; bring files with #GRID --in',
  wrap: 'it is for the command line: gridnode submit -- COMMAND',
}

const readers: Readonly<Record<string, (text: string) => Outcome<JobOptions, BadValue>>> = {
  array: readArray,
  'cpus-per-task': (text) => readJobOption('cores', text),
  export: readExport,
  'job-name': (text) => readJobOption('name', text),
  mem: (text) => readMib(text, (memoryMib) => ({ memoryMib })),
  'mem-per-cpu': (text) => readMib(text, (memoryMibPerCore) => ({ memoryMibPerCore })),
  nodes: (text) => readOne(text, /^1(-1)?$/, 'nodes'),
  ntasks: (text) => readOne(text, /^1$/, 'tasks'),
  'ntasks-per-node': (text) => readOne(text, /^1$/, 'tasks'),
  'tasks-per-node': (text) => readOne(text, /^1$/, 'tasks'),
  time: readTime,
}

/** What becomes of one option; `text` is its value, empty for an option without. */
export function treatSbatchOption(name: string, text: string): Outcome<SbatchTreatment, BadValue> {
  const reader = Object.hasOwn(readers, name) ? readers[name] : undefined
  if (reader) {
    const read = reader(text)
    return read.ok ? ok({ kind: 'honoured', options: read.value }) : read
  }
  const ignored = Object.hasOwn(ignoredOptions, name) ? ignoredOptions[name] : undefined
  if (ignored !== undefined) return ok({ kind: 'ignored', why: ignored })
  const why = Object.hasOwn(refusedOptions, name) ? refusedOptions[name]! : later
  return ok({ kind: 'refused', why })
}

function readOne(text: string, one: RegExp, what: string): Outcome<JobOptions, BadValue> {
  if (one.test(text)) return ok({})
  return badValue(
    `1: a job of several ${what} cannot be spread over nodes yet ` +
      '(for several cores use --cpus-per-task, for many runs --array)',
    text,
  )
}

const mibPer: Readonly<Record<string, number>> = { M: 1, G: 2 ** 10, T: 2 ** 20 }

/** Integers, MiB without a unit; K is rounded up. 0 would mean all the memory of a node. */
function readMib(text: string, make: (mib: number) => JobOptions): Outcome<JobOptions, BadValue> {
  const match = /^([0-9]{1,12})([KMGT]?)B?$/i.exec(text)
  const unit = (match?.[2] || 'M').toUpperCase()
  const count = Number(match?.[1] ?? '0')
  const mib = unit === 'K' ? divUp(count, 1024) : count * mibPer[unit]!
  if (match && mib >= 1 && mib <= 2 ** 32) return ok(make(mib))
  if (match && count === 0) {
    return badValue('a size: all the memory of a node cannot be asked for, as nodes differ', text)
  }
  return badValue('an integer with K, M, G or T (M without one) such as 4G', text)
}

/** M, M:S, H:M:S, D-H, D-H:M, D-H:M:S; fields may pass 59; rounded up to a minute as Slurm does. */
function readTime(text: string): Outcome<JobOptions, BadValue> {
  const form = 'a time such as 30 (minutes), 1:30:00 or 2-12:00 (days-hours:minutes)'
  if (/^(infinite|unlimited|-1)$/i.test(text)) return unlimited(text)
  const match = /^(?:([0-9]{1,6})-)?([0-9]{1,9})(?::([0-9]{1,9}))?(?::([0-9]{1,9}))?$/.exec(text)
  if (!match) return badValue(form, text)
  const [, days, a = '0', b, c] = match
  const [x, y, z] = [Number(a), Number(b ?? '0'), Number(c ?? '0')]
  let seconds: number
  if (days !== undefined) seconds = Number(days) * 86_400 + x * 3_600 + y * 60 + z
  else if (c !== undefined) seconds = x * 3_600 + y * 60 + z
  else seconds = x * 60 + y
  const rounded = divUp(seconds, 60) * 60
  if (rounded === 0) return unlimited(text)
  if (rounded > 366 * 86_400) return badValue('at most 366 days', text)
  return ok({ walltimeSeconds: rounded })
}

function unlimited(text: string): Outcome<never, BadValue> {
  return badValue('a limit: without one no site can say when it is free again', text)
}

/** ALL is refused: another site has another environment. Names are taken from the submitter's. */
function readExport(text: string): Outcome<JobOptions, BadValue> {
  if (/^(none|nil)$/i.test(text)) return ok({})
  const environment: EnvironmentOption[] = []
  for (const part of text.split(',')) {
    if (/^(all|none|nil)$/i.test(part)) {
      return badValue('NONE or names such as A,B=2: a whole environment cannot travel', text)
    }
    const read = readJobOption('env', part)
    if (!read.ok) return read
    for (const variable of read.value.environment!) environment.push(variable)
  }
  return ok({ environment })
}
