// What becomes of each option of bsub, but for slots, memory and resources, which
// bsub-resources.ts reads.

import { ok } from '../base/outcome.ts'
import { readLsfBegin } from './begin-time.ts'
import { readLsfDependency } from './dependency-words.ts'
import type { Ask, Reading } from './dialect.ts'
import {
  cameFrom, entry, faultOf, honour, ignore, noteQueues, take, unsupported,
} from './dialect.ts'
import { badValue, integerIn, readArray, readJobOption } from './job-options.ts'
import { readFirstQueue, readLsfTime, readPath, readProject, readVariables } from './quantities.ts'

const noMail = 'no mail is sent; gridnode submit --wait and gridnode status tell the state'
const hostLimit = "the limits are the host's"
const placement = 'which of its nodes and processors it takes is for the host to decide'
const ignoredOptions: Readonly<Record<string, string>> = {
  B: noMail, N: noMail, Ne: noMail, u: noMail, notify: noMail,
  C: hostLimit, c: 'the walltime limits the job', D: hostLimit, F: hostLimit, S: hostLimit,
  T: hostLimit, p: hostLimit, v: hostLimit, ul: hostLimit,
  eptl: 'a pending job is announced until --start-within', freq: placement, G: 'accounts are the ' +
    "federation's: see --allocation",
  g: 'jobs are grouped by their names', Jd: 'a note for people', json: 'it is for the submitting ' +
    'command',
  L: 'a script is run by its interpreter', mig: 'a running task is not moved', network: placement,
  pack: 'it is for the submitting command', ptl: 'a pending job is announced until --start-within',
  jobaff: placement, step_cgroup: placement, smt: placement, We: 'the walltime is the one of -W',
  wt: 'no warning is sent before the walltime ends', ti: 'the queue is the policy of each site',
  wa: 'no warning is sent before the walltime ends', core_isolation: placement,
  rnc: 'tries are counted by the home', V: 'it is for the submitting command',
}

const later = 'cannot be honoured'
const oneCluster = 'it names something of one cluster'
const interactive = 'a job of a script is not interactive'
const refusedOptions: Readonly<Record<string, string>> = {
  a: `${oneCluster}: a program of its own that changes submissions`,
  app: `${oneCluster}; say what is needed as options`,
  clusters: `${oneCluster}; choose sites with #GRID --sites`,
  data: 'bring files with #GRID --in',
  E: `${later}: begin the script with that command`,
  Ep: `${later}: end the script with that command`,
  f: 'bring files with #GRID --in, and results with #GRID --out',
  hostfile: `${oneCluster}; choose sites with #GRID --sites`,
  I: interactive, IS: interactive, ISp: interactive, ISs: interactive, IX: interactive,
  Ip: interactive, Is: interactive, XF: interactive, tty: interactive,
  i: 'standard input is empty; bring the file with #GRID --in and redirect it in the script',
  is: 'standard input is empty; bring the file with #GRID --in and redirect it in the script',
  k: `${later}: no checkpoints are made`,
  Lp: `${oneCluster}; say licences with -R rusage[name=count]`,
  m: `${oneCluster}; choose sites with #GRID --sites or --require`,
  Q: `${later}: a task that fails is not started again`,
  s: `${later}; a task gets SIGTERM at its walltime, and SIGKILL some time after`,
  sla: oneCluster,
  t: `${later}; #GRID --start-within limits the wait for the start`,
  U: oneCluster,
}

export function treatLsfOption(reading: Reading, ask: Ask): void {
  const { name, value } = ask
  switch (name) {
    case 'b': return take(reading, ask, readLsfBegin(value))
    case 'cwd': return take(reading, ask, readPath(value, (workDirectory) => ({ workDirectory })))
    case 'e':
    case 'eo': return take(reading, ask, readPath(value, (stderrPath) => ({ stderrPath })))
    case 'o':
    case 'oo': return take(reading, ask, readPath(value, (stdoutPath) => ({ stdoutPath })))
    case 'env': return takeEnvironment(reading, ask)
    case 'H': return honour(reading, ask, { hold: true })
    case 'J': return takeName(reading, ask)
    case 'K':
      reading.switches = { ...reading.switches, wait: true }
      return
    case 'outdir':
      return ignore(reading, ask, 'results are put where gridnode fetch is told to')
    case 'P': return take(reading, ask, readProject(value))
    case 'q':
      noteQueues(reading, ask)
      return take(reading, ask, readFirstQueue(value))
    case 'r': return honour(reading, ask, { rerun: true })
    case 'rn': return honour(reading, ask, { rerun: false })
    case 'sp': return takePriority(reading, ask)
    case 'W': return take(reading, ask, readLsfTime(value))
    case 'w': return take(reading, ask, readLsfDependency(value))
    case 'Zs': return honour(reading, ask, {})
  }
  const why = entry(ignoredOptions, name)
  if (why !== undefined) ignore(reading, ask, why)
  else unsupported(reading, ask, entry(refusedOptions, name) ?? later)
}

/** `name`, `name[1-10:2,20]%5`, `[1-10]`. */
function takeName(reading: Reading, ask: Ask): void {
  const match = /^([^[\]]*)(?:\[([0-9,:\s-]+)\]\s*(?:%\s*([0-9]+))?)?$/.exec(ask.value.trim())
  if (!match) {
    return take(reading, ask, badValue('a name, or name[1-10:2]%5 for an array', ask.value))
  }
  const [, before = '', list, limit] = match
  const name = before.trim()
  if (name !== '') take(reading, ask, readJobOption('name', name))
  if (list === undefined) return
  const text = `${list.replaceAll(/\s/g, '')}${limit === undefined ? '' : `%${limit}`}`
  if (/^0|,0/.test(text)) {
    return take(reading, ask, badValue('task numbers from 1', ask.value))
  }
  const array = readArray(text)
  if (!array.ok) return take(reading, ask, array)
  reading.options.push(array.value)
  cameFrom(reading, 'array', ask)
  if (name === '') reading.settings.push({ line: ask.line, option: ask.written, value: ask.value })
}

/** `all`, `none`, or names with or without values; `~NAME` leaves one out. */
function takeEnvironment(reading: Reading, ask: Ask): void {
  const parts = ask.value.split(',').map((part) => part.trim())
  const isWhole = parts.some((part) => part === 'all')
  const named = parts.filter((part) => part !== 'all' && part !== 'none' && !part.startsWith('~'))
  const read = readVariables(named.join(','))
  if (!read.ok) return take(reading, ask, read)
  take(reading, ask, ok({ ...read.value, ...(isWhole && { wholeEnvironment: true }) }))
}

/** The larger, the sooner; of those that say nothing none is before one that does. */
function takePriority(reading: Reading, ask: Ask): void {
  const value = integerIn(ask.value, { min: 1, max: 2 ** 31 })
  if (value === undefined) {
    faultOf(reading, ask, 'bad_value', `expected a number from 1, got '${ask.value}'`)
  } else {
    honour(reading, ask, { priority: Math.min(2_047, 1_024 + value) })
  }
}
