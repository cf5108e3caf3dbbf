// Waits until all tasks of a job have ended and what they left is back.

import type { Context } from '../command.ts'
import { endedStates, findLines } from './rows.ts'
import type { Line } from './rows.ts'

const firstMs = 250
const lastMs = 5_000

/** Gives the largest exit code of its tasks; 1 for one that has none and did not end well. */
export async function waitForJob(
  context: Context, id: string, onLines: (lines: readonly Line[]) => Promise<void> = async () => {},
): Promise<number> {
  for (let pauseMs = firstMs; ; pauseMs = Math.min(lastMs, pauseMs * 1.5)) {
    const { lines, unknown } = await findLines(context, { ids: [id], state: 'all' })
    if (unknown.length > 0) return 1
    await onLines(lines)
    if (lines.length > 0 && lines.every(({ state }) => endedStates.has(state))) {
      return Math.max(...lines.map(exitOf))
    }
    await context.terminal.sleep(pauseMs)
  }
}

function exitOf({ state, exitCode }: Line): number {
  return state === 'done' ? 0 : exitCode === 0 ? 1 : exitCode
}
