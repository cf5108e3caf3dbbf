// `#SBATCH` options as Slurm's own sbatch knows them (22.05): which take a value, which may be
// abbreviated, and what becomes of each here. How many cores, nodes and how much memory they ask
// for together is decided by sbatch-layout.ts.

import type { Outcome } from '../base/outcome.ts'
import { ok } from '../base/outcome.ts'
import { readSlurmBegin } from './begin-time.ts'
import { readLicences, readSlurmDependency } from './dependency-words.ts'
import { entry } from './dialect.ts'
import type { BadValue, JobOptions } from './job-options.ts'
import { badValue, readArray, readJobOption } from './job-options.ts'
import {
  readFirstQueue, readPath, readProject, readSlurmTime, readVariables,
} from './quantities.ts'

export type SbatchTreatment =
  | { readonly kind: 'honoured'; readonly options: JobOptions }
  /** Counts together with others. */
  | { readonly kind: 'layout' }
  /** For the submitting command. */
  | { readonly kind: 'switch' }
  | { readonly kind: 'ignored'; readonly why: string }
  | { readonly kind: 'refused'; readonly why: string }

/** Takes a value always (`=`), never (` `) or only when joined by `=` (`?`). */
type Takes = '=' | ' ' | '?'

const longOptions: ReadonlyMap<string, Takes> = new Map(
  (
    'account= acctg-freq= array= batch= bb= bbf= begin= chdir= cluster= cluster-constraint= ' +
    'clusters= comment= constraint= container= context= contiguous core-spec= ' +
    'cores-per-socket= cpu-freq= cpus-per-gpu= cpus-per-task= deadline= delay-boot= ' +
    'dependency= distribution= error= exclude= exclusive? export= export-file= ' +
    'extra-node-info= get-user-env? gid= gpu-bind= gpu-freq= gpus= gpus-per-node= ' +
    'gpus-per-socket= gpus-per-task= gres= gres-flags= help hint= hold ignore-pbs input= ' +
    'job-name= kill-on-invalid-dep= licenses= mail-type= mail-user= mcs-label= mem= ' +
    'mem-bind= mem-per-cpu= mem-per-gpu= mincpus= network= nice? no-kill? no-requeue ' +
    'nodefile= nodelist= nodes= ntasks= ntasks-per-core= ntasks-per-gpu= ntasks-per-node= ' +
    'ntasks-per-socket= ntasks-per-tres= open-mode= output= overcommit oversubscribe ' +
    'parsable partition= power= prefer= priority= profile= propagate? qos= quiet reboot ' +
    'requeue reservation= signal= sockets-per-node= spread-job switches= tasks-per-node= ' +
    'test-only thread-spec= threads-per-core= time= time-min= tmp= uid= usage use-min-nodes ' +
    'verbose version wait wait-all-nodes= wckey= wrap='
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

/** Two names of one option. */
const synonyms: Readonly<Record<string, string>> = {
  'tasks-per-node': 'ntasks-per-node', 'ntasks-per-tres': 'ntasks-per-gpu', cluster: 'clusters',
}

export const sbatchOptionNames: readonly string[] = [...longOptions.keys()]

export interface SbatchOption {
  readonly name: string
  readonly takes: Takes
}

function optionOf(name: string): SbatchOption {
  return { name: entry(synonyms, name) ?? name, takes: longOptions.get(name)! }
}

/** A long option by its name or an abbreviation that means one option only, as getopt reads it. */
export function findLongOption(word: string): SbatchOption | 'unknown' | readonly string[] {
  if (longOptions.has(word)) return optionOf(word)
  const meant = sbatchOptionNames.filter((name) => name.startsWith(word))
  if (word === '' || meant.length === 0) return 'unknown'
  const [first, ...others] = new Set(meant.map((name) => optionOf(name).name))
  return others.length === 0 ? { ...optionOf(meant[0]!), name: first! } : meant
}

export function findShortOption(letter: string): SbatchOption | undefined {
  const name = entry(shortOptions, letter)
  return name === undefined ? undefined : optionOf(name)
}

const placement = 'which of its nodes and processors it takes is for the host to decide'
const noMail = 'no mail is sent; gridnode submit --wait and gridnode status tell the state'
const command = 'it is for the submitting command'
const ignoredOptions: Readonly<Record<string, string>> = {
  'acctg-freq': 'the host decides how often it measures',
  comment: 'a note for people',
  contiguous: placement,
  'cpu-freq': 'the host decides how fast its processors run',
  distribution: placement,
  'get-user-env': "a task has the host's environment and what #GRID --env or --export names",
  'gpu-bind': placement,
  'gpu-freq': 'the host decides how fast its processors run',
  'gres-flags': placement,
  hint: placement,
  'ignore-pbs': '#PBS lines are not read anyway',
  'kill-on-invalid-dep': 'a task that waits for what can never be is ended',
  'mail-type': noMail,
  'mail-user': noMail,
  'mem-bind': placement,
  nice: 'the order of jobs is the policy of each site',
  'no-kill': 'a task that loses a node is lost',
  'ntasks-per-core': placement,
  'ntasks-per-socket': placement,
  'open-mode': 'each task has output files of its own',
  oversubscribe: 'a task has its cores to itself',
  prefer: 'it is a wish; say what is needed with #GRID --require',
  priority: 'only an operator may set it',
  profile: 'the host decides what it measures',
  propagate: "the limits are the host's",
  quiet: command,
  'spread-job': placement,
  switches: placement,
  'threads-per-core': placement,
  'time-min': 'the walltime is the one of --time',
  'use-min-nodes': placement,
  verbose: command,
  'wait-all-nodes': placement,
  wckey: "a label for one cluster's accounting",
}

const oneCluster = 'it names something of one cluster, and the job may run at another'
const later = 'cannot be honoured'
const refusedOptions: Readonly<Record<string, string>> = {
  clusters: `${oneCluster}; choose sites with #GRID --sites`,
  constraint: `${oneCluster}; say what is needed with #GRID --require`,
  deadline: `${later}; #GRID --start-within limits the wait for the start`,
  exclude: `${oneCluster}; choose sites with #GRID --sites or --require`,
  exclusive: `${later}; ask for all cores and the memory of a node with --cpus-per-task and --mem`,
  nodelist: `${oneCluster}; choose sites with #GRID --sites`,
  overcommit: `${later}: a task has as many cores as it asks for`,
  qos: `${oneCluster}; remove the line, or choose a queue with --partition`,
  reservation: oneCluster,
  signal: `${later}; a task gets SIGTERM at its walltime, and SIGKILL some time after`,
  tmp: `${later}; say what is needed with #GRID --require`,
}

const layoutOptions = new Set([
  'cores-per-socket', 'cpus-per-gpu', 'cpus-per-task', 'extra-node-info', 'gpus', 'gpus-per-node',
  'gpus-per-socket', 'gpus-per-task', 'gres', 'mem', 'mem-per-cpu', 'mem-per-gpu', 'mincpus',
  'nodes', 'ntasks', 'ntasks-per-gpu', 'ntasks-per-node', 'sockets-per-node', 'threads-per-core',
])

const switchOptions = new Set(['parsable', 'quiet', 'test-only', 'wait', 'wrap'])

const readers: Readonly<Record<string, (text: string) => Outcome<JobOptions, BadValue>>> = {
  account: readProject,
  array: readArray,
  begin: readSlurmBegin,
  chdir: (text) => readPath(text, (workDirectory) => ({ workDirectory })),
  dependency: readSlurmDependency,
  error: (text) => readPath(text, (stderrPath) => ({ stderrPath })),
  export: readExport,
  hold: () => ok({ hold: true }),
  input: (text) => text === '/dev/null' ? ok({}) : badValue('/dev/null: standard input is ' +
    'empty; bring the file with #GRID --in and redirect it in the script', text),
  'job-name': (text) => readJobOption('name', text),
  licenses: readLicences,
  'no-requeue': () => ok({ rerun: false }),
  output: (text) => readPath(text, (stdoutPath) => ({ stdoutPath })),
  partition: readFirstQueue,
  requeue: () => ok({ rerun: true }),
  time: readSlurmTime,
}

/** What becomes of one option; `text` is its value, empty for an option without. */
export function treatSbatchOption(name: string, text: string): Outcome<SbatchTreatment, BadValue> {
  if (layoutOptions.has(name)) return ok({ kind: 'layout' })
  if (switchOptions.has(name)) return ok({ kind: 'switch' })
  const reader = entry(readers, name)
  if (reader) {
    const read = reader(text)
    return read.ok ? ok({ kind: 'honoured', options: read.value }) : read
  }
  const ignored = entry(ignoredOptions, name)
  if (ignored !== undefined) return ok({ kind: 'ignored', why: ignored })
  return ok({ kind: 'refused', why: entry(refusedOptions, name) ?? later })
}

/** ALL (the whole environment), NONE, or names with or without values. */
function readExport(text: string): Outcome<JobOptions, BadValue> {
  if (/^(none|nil)$/i.test(text)) return ok({})
  const parts = text.split(',')
  const named = parts.filter((part) => !/^(all|none|nil)$/i.test(part)).join(',')
  const read = readVariables(named)
  if (!read.ok) return read
  const whole = parts.some((part) => /^all$/i.test(part))
  return ok({ ...read.value, ...(whole && { wholeEnvironment: true }) })
}
