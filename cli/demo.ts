// `gridnode demo`, which is what `npm start` runs: a federation of three sites on this machine and
// a job that walks through it. Whatever happens, Ctrl-C included, nothing is left of it: no
// process, no directory; unless it was asked to stay.

import { mkdtempSync, realpathSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { OptionTable } from './arguments.ts'
import { parseArguments } from './arguments.ts'
import { home, lastLogLines } from './demo/federation.ts'
import { showWaysOn, writeEnvironment } from './demo/keep.ts'
import { isAlive } from './demo/process-identity.ts'
import type { Processes } from './demo/processes.ts'
import { endEverything, killEverything, openProcesses } from './demo/processes.ts'
import { abandonedDemos, directoryPrefix, readRecord } from './demo/record.ts'
import type { Screen } from './demo/screen.ts'
import { openScreen, shellWord } from './demo/screen.ts'
import { runTour } from './demo/tour.ts'
import type { CommandLine } from './demo/visitor.ts'
import { visitorOf } from './demo/visitor.ts'
import { exitCodes, failure, usageFailure } from './failure.ts'
import type { Terminal } from './terminal.ts'

export const demoHelp = `Usage: npm start [-- OPTION]
       gridnode demo [OPTION]

Brings up three sites on this machine, runs jobs among them, settles, verifies the
ledgers, and removes everything again. Takes less than a minute.

Options:
  --keep       leave the three sites running, and say how to use them
  --stop DIR   end what --keep has left in DIR, and remove it
  --help       this help

Exit codes: 0 all went well, 1 something did not, 130 Ctrl-C.
`

const options: OptionTable = {
  keep: { kind: 'flag', help: 'leave the sites running' },
  stop: { kind: 'value', value: 'DIR', help: 'end what --keep has left' },
  help: { kind: 'flag', short: 'h', help: 'this help' },
}

/** Of a unix socket's path, which is in a site's directory (unix(7)). */
const socketPathBytesMax = 100
const endSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

export async function runDemo(
  args: readonly string[], terminal: Terminal, commandLine: CommandLine,
): Promise<number> {
  const parsed = parseArguments(args, { options, stopAtWord: false, command: 'demo' })
  if (parsed.flag('help')) {
    await terminal.out.write(demoHelp)
    return exitCodes.done
  }
  if (parsed.words.length > 0 || parsed.rest !== undefined) {
    throw usageFailure("the demo takes no words; 'npm start -- --help' shows its options")
  }
  const stop = parsed.value('stop')
  if (stop !== undefined) {
    if (parsed.flag('keep')) throw usageFailure('choose one of --keep and --stop')
    return stopKept(resolve(terminal.cwd, stop), terminal)
  }
  return tour(terminal, commandLine, parsed.flag('keep'))
}

async function tour(
  terminal: Terminal, commandLine: CommandLine, keep: boolean,
): Promise<number> {
  const screen = openScreen(terminal)
  const over = new AbortController()
  const { signal } = over
  const interrupted = new Error('interrupted')
  const onSignal = (): void => over.abort(interrupted)
  for (const name of endSignals) process.on(name, onSignal)
  const parent = temporaryDirectory()
  await nameAbandoned(screen, parent)
  const directory = mkdtempSync(join(parent, directoryPrefix))
  let processes: Processes | undefined
  const emergency = (): void => killEverything(directory, processes?.started() ?? [])
  process.on('exit', emergency)
  let kept = false
  try {
    const visitor = visitorOf({ commandLine, terminal, screen, directory, signal })
    processes = openProcesses({
      directory, env: visitor.env, onLost: (error) => over.abort(error),
    })
    await runTour({ screen, processes, visitor, directory, signal }, keep)
    await sayGoodbye(screen, directory, keep)
    signal.throwIfAborted()
    if (keep) processes.leaveRunning()
    kept = keep
    return exitCodes.done
  } catch (error) {
    if (signal.reason === interrupted) {
      await screen.line('\ninterrupted; ending the sites')
      return exitCodes.interrupted
    }
    await reportFailure(terminal, screen, processes, signal.aborted ? signal.reason : error)
    return exitCodes.failed
  } finally {
    if (!kept) await endEverything(directory, processes?.started() ?? [])
    process.off('exit', emergency)
    for (const name of endSignals) process.off(name, onSignal)
    if (!kept) await screen.line('Nothing is left running; the temporary directory is removed.')
  }
}

/** Where demos are made: sockets in there must have short paths. */
function temporaryDirectory(): string {
  const own = realpathSync(tmpdir())
  const example = join(own, `${directoryPrefix}XXXXXX`, home, 'node.sock')
  return Buffer.byteLength(example) <= socketPathBytesMax ? own : realpathSync('/tmp')
}

async function nameAbandoned(screen: Screen, parent: string): Promise<void> {
  for (const directory of abandonedDemos(parent)) {
    await screen.say(
      'note: an earlier demo was killed before it could clean up. This ends what it has left:')
    await screen.line(`  npm start -- --stop ${shellWord(directory)}`)
  }
}

async function sayGoodbye(screen: Screen, directory: string, keep: boolean): Promise<void> {
  await screen.section('Look further')
  if (!keep) {
    await showWaysOn(screen, [
      ['npm start -- --keep', 'the same, and the three sites stay for you to try commands on'],
      ['cli/gridnode help', 'all commands; cli/gridnode help submit for one of them'],
      ['cli/gridnode help directives', 'what a job script can ask for'],
      ['cli/gridnode init --help', 'how to make a site of your own'],
    ])
    return screen.line()
  }
  const env = writeEnvironment(directory)
  await screen.say(
    'The three sites go on. This makes your shell a user of alder, with gridnode in its PATH; ' +
      'the other commands then work as they stand here:',
  )
  await screen.line()
  await showWaysOn(screen, [
    [`. ${shellWord(env)}`, 'first; for each new shell'],
    ['gridnode status', 'the jobs; gridnode status JOB for one of them'],
    ['gridnode submit --fetch hello -- echo hello', 'a job of your own; see hello/stdout'],
    ['gridnode submit --wait --place remote -- date', 'one that leaves home'],
    ['gridnode offers --where \'speed_permille > 1000\'', 'who is fast'],
    ['gridnode ledger entries', 'what alder has signed and was told'],
    [`gridnode peers --dir ${shellWord(join(directory, 'birch'))}`, 'as another site sees it'],
    [`tail -f ${shellWord(join(directory, 'alder.log'))}`, 'what the node says meanwhile'],
  ])
  await screen.line()
  await screen.line('To end them and remove everything, in this checkout:')
  await screen.line(`  ${screen.style.cyan(`npm start -- --stop ${shellWord(directory)}`)}`)
}

async function reportFailure(
  { err }: Terminal, screen: Screen, processes: Processes | undefined, error: unknown,
): Promise<void> {
  const message = error instanceof Error ? error.message : String(error)
  await err.write(`\n${screen.style.red('the demo failed')} in '${screen.current()}':\n  ` +
    `${message}\n`)
  for (const node of processes?.nodes ?? []) {
    const end = node.exit()
    await err.write(`\nlast lines of the log of ${node.site}` +
      `${end === undefined ? '' : `, which has ended (${end})`}:\n`)
    for (const line of lastLogLines(node)) {
      await err.write(`  ${line}\n`)
    }
  }
  await err.write('\n')
}

async function stopKept(named: string, terminal: Terminal): Promise<number> {
  const { owner, processes } = readRecord(named)
  const directory = realpathSync(named)
  if (isAlive(owner)) {
    throw failure('running', `the demo of ${directory} is still running; press Ctrl-C there`)
  }
  await endEverything(directory, processes)
  await terminal.out.write(`ended, and ${directory} is removed\n`)
  return exitCodes.done
}
