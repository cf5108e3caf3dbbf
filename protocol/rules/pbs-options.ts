// What becomes of each letter of qsub (PBS Pro and Torque), but for -l, which pbs-resources.ts
// reads.

import { readPosixBegin } from './begin-time.ts'
import { readPbsDependency } from './dependency-words.ts'
import type { Ask, PbsFlavour, Reading } from './dialect.ts'
import { entry, faultOf, honour, ignore, take, unsupported } from './dialect.ts'
import { badValue, integerIn, readArray, readJobOption } from './job-options.ts'
import {
  readPath, readPriority, readProject, readQueue, readRun, readVariables,
} from './quantities.ts'

const ignoredLetters: Readonly<Record<string, string>> = {
  b: 'it is for the submitting command',
  C: 'a prefix is changed on the command line only',
  c: 'no checkpoints are made',
  E: 'it is for the submitting command',
  f: 'it is for the submitting command',
  k: 'output is among the results; gridnode fetch brings it',
  m: 'no mail is sent; gridnode submit --wait and gridnode status tell the state',
  M: 'no mail is sent; gridnode submit --wait and gridnode status tell the state',
  R: 'output files are what the host left',
  T: 'a label of the host\'s own',
}

const later = 'cannot be honoured'
const refusedLetters: Readonly<Record<string, string>> = {
  D: `${later}: a task cannot change its root directory`,
  G: `${later}: a job has no display`,
  i: 'standard input is empty; bring the file with #GRID --in and redirect it in the script',
  I: 'a job of a script is not interactive',
  K: `${later}: remove the line`,
  L: `${later}: say it with -l nodes=…:ppn=…`,
  n: `${later}: ask for all cores and the memory of a node`,
  u: 'the account is for the host to choose',
  X: `${later}: a job has no display`,
  x: 'a job of a script is not interactive',
}

export function treatPbsOption(reading: Reading, ask: Ask, flavour: PbsFlavour): void {
  const { name, value } = ask
  switch (name) {
    case 'a': return take(reading, ask, readPosixBegin(value))
    case 'A': return take(reading, ask, readProject(value))
    case 'd':
    case 'w':
      return take(reading, ask, readPath(value, (workDirectory) => ({ workDirectory })))
    case 'e': return take(reading, ask, readPath(pathOf(value), (stderrPath) => ({ stderrPath })))
    case 'F':
      reading.switches = { ...reading.switches, scriptArguments: value }
      return
    case 'h': return honour(reading, ask, { hold: true })
    case 'j': return takeJoin(reading, ask)
    case 'J':
      return flavour === 'pbs' ? takeRun(reading, ask)
        : unsupported(reading, ask, 'Torque knows no arrays of this form; use -t')
    case 'N': return takeName(reading, ask)
    case 'o': return take(reading, ask, readPath(pathOf(value), (stdoutPath) => ({ stdoutPath })))
    case 'p': return take(reading, ask, readPriority(value.trim()))
    case 'P':
      return flavour === 'pbs' ? take(reading, ask, readProject(value))
        : unsupported(reading, ask, 'the account is for the host to choose')
    case 'q': return takeQueue(reading, ask)
    case 'r': return takeRerun(reading, ask)
    case 'S': return takeShell(reading, ask)
    case 't': return takeTorqueArray(reading, ask)
    case 'v': return take(reading, ask, readVariables(value))
    case 'V': return honour(reading, ask, { wholeEnvironment: true })
    case 'W': return takeAttributes(reading, ask)
    case 'z':
      reading.switches = { ...reading.switches, quiet: true }
      return
    case 'C':
      if (ask.line === 0) return
      break
  }
  const why = entry(ignoredLetters, name)
  if (why !== undefined) ignore(reading, ask, why)
  else unsupported(reading, ask, entry(refusedLetters, name) ?? later)
}

/** `host:path` names the host to which the file goes. */
function pathOf(text: string): string {
  return text.replace(/^[A-Za-z0-9_.-]*:/, '')
}

function takeJoin(reading: Reading, ask: Ask): void {
  if (ask.value === 'n') honour(reading, ask, { joinStreams: false })
  else if (/^(oe|eo)$/.test(ask.value)) honour(reading, ask, { joinStreams: true })
  else faultOf(reading, ask, 'bad_value', `expected oe, eo or n, got '${ask.value}'`)
}

/** PBS Pro: `X-Y[:Z][%max]`, of more than one task. */
function takeRun(reading: Reading, ask: Ask): void {
  const [run = '', limit] = ask.value.split('%')
  const atOnce = limit === undefined ? 0 : integerIn(limit, { min: 1, max: 100_000 })
  const match = /^([0-9]+)-([0-9]+)/.exec(run)
  if (!match || Number(match[1]) >= Number(match[2]) || atOnce === undefined) {
    return faultOf(reading, ask, 'bad_value', `expected a run such as 1-100:2, got '${ask.value}'`)
  }
  take(reading, ask, readRun(run, atOnce))
}

/** Torque: a list such as 0-4,9%2. */
function takeTorqueArray(reading: Reading, ask: Ask): void {
  take(reading, ask, readArray(ask.value.replaceAll(' ', '')))
}

function takeName(reading: Reading, ask: Ask): void {
  const form = 'a name without blanks that begins with a letter, a digit or _'
  if (!/^[A-Za-z0-9_][^\s]{0,229}$/.test(ask.value)) {
    return take(reading, ask, badValue(form, ask.value))
  }
  take(reading, ask, readJobOption('name', ask.value))
}

function takeQueue(reading: Reading, ask: Ask): void {
  const [queue = '', server] = ask.value.split('@')
  if (server !== undefined && server !== '') {
    ignore(reading, ask, `the server ${server} is not asked: sites are chosen with #GRID --sites`)
  }
  if (queue !== '') take(reading, ask, readQueue(queue))
}

function takeRerun(reading: Reading, ask: Ask): void {
  if (ask.value === 'y' || ask.value === 'n') honour(reading, ask, { rerun: ask.value === 'y' })
  else faultOf(reading, ask, 'bad_value', `expected y or n, got '${ask.value}'`)
}

/** `path[@host],…`: that without a host. */
function takeShell(reading: Reading, ask: Ask): void {
  const parts = ask.value.split(',')
  const shell = parts.find((part) => !part.includes('@')) ?? parts[0]!.split('@')[0]!
  if (/^\/[^\s]*$/.test(shell)) honour(reading, ask, { shell })
  else faultOf(reading, ask, 'bad_value', `expected an absolute path, got '${ask.value}'`)
}

const ignoredAttributes: Readonly<Record<string, string>> = {
  group_list: 'the account and its groups are for the host to choose',
  job_radix: 'how processes are started is for the host to decide',
  release_nodes_on_stageout: 'nodes are free when the task ends',
  run_count: 'tries are counted by the home',
  sandbox: 'every task has a directory of its own',
  tolerate_node_failures: 'a task that loses a node is lost',
  umask: 'results have your own mask where they are fetched',
  Keep_Files: 'output is among the results',
  keep_files: 'output is among the results',
  Mail_Users: 'no mail is sent',
}

/** `-W name=value[,name=value…]`; the value of depend and of stagein holds commas. */
function takeAttributes(reading: Reading, ask: Ask): void {
  const parts = ask.value.trim().split(/,(?=[A-Za-z_]+=)/)
  for (const part of parts) {
    const match = /^\s*([A-Za-z_]+)\s*=\s*([^]*)$/.exec(part)
    if (!match) {
      faultOf(reading, ask, 'bad_value', `expected name=value, got '${part}'`)
      continue
    }
    const [, name = '', value = ''] = match
    const own = { ...ask, written: `${ask.written} ${name}`, value }
    const why = entry(ignoredAttributes, name)
    if (why !== undefined) ignore(reading, own, why)
    else takeAttribute(reading, own, name)
  }
}

function takeAttribute(reading: Reading, ask: Ask, name: string): void {
  const { value } = ask
  switch (name) {
    case 'depend': return take(reading, ask, readPbsDependency(value))
    case 'block':
      if (/^true$/i.test(value)) reading.switches = { ...reading.switches, wait: true }
      return
    case 'max_run_subjobs': {
      const atOnce = integerIn(value, { min: 1, max: 100_000 })
      if (atOnce === undefined) return faultOf(reading, ask, 'bad_value', `got '${value}'`)
      const array = reading.options.findLast((one) => one.array)?.array
      return array ? honour(reading, ask, { array: { ...array, atOnce } })
        : ignore(reading, ask, 'the job is no array')
    }
    case 'interactive':
      return /^false$/i.test(value) ? honour(reading, ask, {})
        : unsupported(reading, ask, 'a job of a script is not interactive')
    case 'stagein':
    case 'stageout':
      return unsupported(reading, ask,
        `say it with #GRID ${name === 'stagein' ? '--in' : '--out'}`)
    case 'x':
      return unsupported(reading, ask, 'it is for a scheduler of one cluster; remove it')
  }
  return unsupported(reading, ask, later)
}

