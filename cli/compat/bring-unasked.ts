// Brings back what has ended while nobody asks: a process of the user's own, started by the first
// submission and ended with the last job. It does what each command that asks for jobs does, too,
// so nothing depends on it but how soon the results are here.
//
// Invariant: one a user and node; a record is written before it is looked whether one runs, and it
// looks for records once more after it has given up its lock: no job is left to nobody.

import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Context } from '../command.ts'
import { CommandFailure, exitCodes } from '../failure.ts'
import { openRecords } from './records.ts'
import { bringOpen } from './rows.ts'

const program = fileURLToPath(new URL('../main.ts', import.meta.url))
const firstMs = 1_000
const lastMs = 5_000
/** So long a node that is being restarted is waited for. */
const goneMsMax = 60_000

/** $GRIDNODE_BATCH_HELPER=off: only commands that ask bring back. */
export function startHelper(context: Context): void {
  const { terminal, directory } = context
  if (terminal.env['GRIDNODE_BATCH_HELPER'] === 'off') return
  if (openRecords(terminal).helperRuns(directory)) return
  const words = [
    '--disable-warning=ExperimentalWarning', program, 'compat', '--dir', directory, '--as',
    'own/bring', '--',
  ]
  const child = spawn(process.execPath, words, {
    detached: true, stdio: 'ignore', cwd: '/', env: { ...terminal.env },
  })
  // Without it the next command brings back.
  child.once('error', () => undefined)
  child.unref()
}

export async function bring(context: Context): Promise<number> {
  const { terminal, directory } = context
  const records = openRecords(terminal)
  const isOpen = (): boolean => records.open().some(({ node }) => node === directory)
  let reachedEpochMs = terminal.nowEpochMs()
  while (isOpen()) {
    const release = await records.helperLock(directory)
    if (!release) return exitCodes.done
    try {
      for (let pauseMs = firstMs; isOpen(); pauseMs = Math.min(lastMs, pauseMs * 1.2)) {
        try {
          if (await bringOpen(context, records)) pauseMs = firstMs
          reachedEpochMs = terminal.nowEpochMs()
        } catch (error) {
          if (!(error instanceof CommandFailure)) throw error
          if (terminal.nowEpochMs() - reachedEpochMs > goneMsMax) return error.exitCode
        }
        await terminal.sleep(pauseMs)
      }
    } finally {
      release()
    }
  }
  return exitCodes.done
}
