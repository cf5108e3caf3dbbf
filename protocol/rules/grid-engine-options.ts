// What becomes of each option of Grid Engine's qsub, but for resources, slots and tasks, which
// grid-engine-resources.ts reads.

import { readGridEngineBegin } from './begin-time.ts'
import { readHoldJid } from './dependency-words.ts'
import type { Ask, Reading } from './dialect.ts'
import { entry, faultOf, honour, ignore, note, noteQueues, take, unsupported } from './dialect.ts'
import { badValue, readJobOption } from './job-options.ts'
import { readPath, readPriority, readProject, readQueue, readVariables } from './quantities.ts'

const noMail = 'no mail is sent; gridnode submit --wait and gridnode status tell the state'
const command = 'it is for the submitting command'
const ignoredOptions: Readonly<Record<string, string>> = {
  A: "a label for one cluster's accounting",
  ac: 'a note for programs of one cluster',
  C: 'a prefix is changed on the command line only',
  c: 'no checkpoints are made',
  dc: 'a note for programs of one cluster',
  display: 'a job has no display',
  js: 'the order of jobs is the policy of each site',
  jsv: command,
  m: noMail,
  M: noMail,
  noshell: 'a script is run by its interpreter',
  R: 'whether cores are kept free for it is for the host to decide',
  sc: 'a note for programs of one cluster',
  shell: 'a script is run by its interpreter',
  verbose: command,
  w: 'what no site can run is said when the job is announced',
}

const later = 'cannot be honoured'
const refusedOptions: Readonly<Record<string, string>> = {
  '@': `${later}: write the options of that file here`,
  ar: 'it names a reservation of one cluster',
  ckpt: `${later}: no checkpoints are made`,
  dl: `${later}; #GRID --start-within limits the wait for the start`,
  help: command,
  inherit: command,
  masterq: 'it names queues of one cluster',
  notify: `${later}; a task gets SIGTERM at its walltime, and SIGKILL some time after`,
  pty: 'a job of a script is not interactive',
  u: 'the account is for the host to choose',
}

export function treatGridEngineOption(reading: Reading, ask: Ask): void {
  const { name, value } = ask
  switch (name) {
    case 'a': return take(reading, ask, readGridEngineBegin(value))
    case 'cwd': return honour(reading, ask, { workDirectory: '.' })
    case 'wd': return take(reading, ask, readPath(value, (workDirectory) => ({ workDirectory })))
    case 'e': return take(reading, ask, readPath(pathOf(value), (stderrPath) => ({ stderrPath })))
    case 'o': return take(reading, ask, readPath(pathOf(value), (stdoutPath) => ({ stdoutPath })))
    case 'h': return honour(reading, ask, { hold: true })
    case 'hold_jid': return take(reading, ask, readHoldJid(value, false))
    case 'hold_jid_ad': return takeByTask(reading, ask)
    case 'i':
      return value === '/dev/null' ? honour(reading, ask, {}) : unsupported(reading, ask,
        'standard input is empty; bring the file with #GRID --in and redirect it in the script')
    case 'j': return yesNo(reading, ask, (joinStreams) => honour(reading, ask, { joinStreams }))
    case 'N': return takeName(reading, ask)
    case 'p': return take(reading, ask, readPriority(value))
    case 'P': return take(reading, ask, readProject(value))
    case 'q': return takeQueue(reading, ask)
    case 'r': return yesNo(reading, ask, (rerun) => honour(reading, ask, { rerun }))
    case 'S': return takeShell(reading, ask)
    case 'v': return take(reading, ask, readVariables(value))
    case 'V': return honour(reading, ask, { wholeEnvironment: true })
  }
  if (takeSwitch(reading, ask)) return
  const why = entry(ignoredOptions, name)
  if (why !== undefined) ignore(reading, ask, why)
  else unsupported(reading, ask, entry(refusedOptions, name) ?? later)
}

function takeSwitch(reading: Reading, ask: Ask): boolean {
  const set = (made: Partial<Reading['switches']>): boolean => {
    reading.switches = { ...reading.switches, ...made }
    return true
  }
  switch (ask.name) {
    case 'terse': return set({ parsable: true })
    case 'verify': return set({ testOnly: true })
    case 'b':
      yesNo(reading, ask, (isCommand) => set({ command: isCommand }))
      return true
    case 'sync':
      yesNo(reading, ask, (wait) => set({ wait }))
      return true
    case 'now':
      yesNo(reading, ask, (now) => {
        if (now) unsupported(reading, ask, 'no site can promise to start at once')
      })
      return true
    case 'clear': case 'hard': case 'soft': case 'nostdin': return true
  }
  return false
}

function yesNo(reading: Reading, ask: Ask, make: (yes: boolean) => void): void {
  if (/^(y|yes)$/i.test(ask.value)) make(true)
  else if (/^(n|no)$/i.test(ask.value)) make(false)
  else faultOf(reading, ask, 'bad_value', `expected y or n, got '${ask.value}'`)
}

/** `[host]:path`, several separated by commas: the first. */
function pathOf(text: string): string {
  return text.split(',')[0]!.replace(/^[A-Za-z0-9_.-]*:/, '')
}

function takeByTask(reading: Reading, ask: Ask): void {
  const read = readHoldJid(ask.value, true)
  take(reading, ask, read)
  if (read.ok) {
    const why = 'a task begins only if the same task of the other job was done'
    note(reading, ask.line, why)
  }
}

function takeName(reading: Reading, ask: Ask): void {
  if (/^[0-9]|[\s/\\@:*?]/.test(ask.value) || ask.value === '') {
    const form = 'a name that begins with no digit and has no blank and none of / \\ @ : * ?'
    return take(reading, ask, badValue(form, ask.value))
  }
  take(reading, ask, readJobOption('name', ask.value))
}

/** Any of them would do: the first that is a queue's own name. */
function takeQueue(reading: Reading, ask: Ask): void {
  const [first = ''] = ask.value.split(',')
  if (/^\*(@\*)?$/.test(first)) return honour(reading, ask, {})
  if (/[@*?[|&!]/.test(first)) {
    const why = 'it names hosts or patterns of one cluster; name a queue, or say what is needed ' +
      'with #GRID --require'
    return unsupported(reading, ask, why)
  }
  noteQueues(reading, ask)
  take(reading, ask, readQueue(first))
}

function takeShell(reading: Reading, ask: Ask): void {
  const shell = ask.value.split(',').find((part) => !/^[^/]*:/.test(part)) ?? ask.value
  if (/^\/\S*$/.test(shell)) honour(reading, ask, { shell })
  else if (/^[A-Za-z0-9._-]+$/.test(shell)) honour(reading, ask, { shell: `/usr/bin/env ${shell}` })
  else faultOf(reading, ask, 'bad_value', `expected an absolute path, got '${ask.value}'`)
}
