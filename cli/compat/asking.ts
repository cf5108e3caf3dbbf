// What the batch commands ask of a job after it was handed in, signed by its owner.

import { formatRanges } from '../../protocol/base/ranges.ts'
import type { JobRequest } from '../../protocol/rules/request.ts'
import type { Context } from '../command.ts'
import { CommandFailure } from '../failure.ts'
import { askVerb } from '../job-home.ts'
import { freshNonce } from '../user-key.ts'
import type { NamedJob } from './rows.ts'
import { readId } from './rows.ts'

export type Wish = Partial<Pick<JobRequest, 'signal' | 'sites' | 'change'>>

export async function askJob(
  context: Context, named: NamedJob, verb: JobRequest['verb'], wish: Wish = {},
): Promise<void> {
  const { job, task } = named
  await askVerb(context, { job, site: '' }, {
    verb, nonce: freshNonce(), isOperator: false, ...wish,
    ...(task !== undefined && { tasks: formatRanges([[task, task]]) }),
  })
}

export interface Asks {
  readonly verb: JobRequest['verb']
  readonly wish?: Wish
  /** What the command says of an id that no job has, and its exit code then. */
  unknown(text: string): string
  readonly unknownCode: number
  /** A line for each that was done; nothing when left out. */
  done?(text: string): string
  readonly quiet?: boolean
  /** Before what the node says. */
  readonly command: string
}

/** Each id in its turn: one that refuses does not keep the others from being asked. */
export async function askEach(
  context: Context, ids: readonly string[], asks: Asks,
): Promise<number> {
  const { out, err } = context.terminal
  let worst = 0
  for (const text of ids) {
    const named = readId(text)
    try {
      if (!named) throw new CommandFailure(1, 'not_found', '')
      await askJob(context, named, asks.verb, asks.wish)
      if (asks.done) await out.write(`${asks.done(text)}\n`)
    } catch (error) {
      if (!(error instanceof CommandFailure) || error.code === 'unreachable') throw error
      const isUnknown = error.code === 'not_found'
      const words = isUnknown ? asks.unknown(text) : `${asks.command}: ${text}: ${error.message}`
      if (!asks.quiet) await err.write(`${words}\n`)
      worst = Math.max(worst, isUnknown ? asks.unknownCode : 1)
    }
  }
  return worst
}
