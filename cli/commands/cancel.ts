// `gridnode cancel`: a request signed by the job's owner.

import type { JobDetail, SignedRequest } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { unshape } from '../../protocol/base/shape.ts'
import { seal } from '../../protocol/base/envelope.ts'
import type { Command, Context } from '../command.ts'
import { CommandFailure, exitCodes, usageFailure } from '../failure.ts'
import { jobWord } from '../job-word.ts'
import { paintState, tasksText } from '../job-text.ts'
import { jsonText, printable } from '../output.ts'
import { openUser } from '../user-key.ts'

export const cancel: Command = {
  usage: ['[options] JOB...'],
  about:
    'Ends jobs: what waits is not started, what runs is ended, results that are there stay. ' +
    'Only who submitted a job can cancel it. Cancelling a job that has ended changes nothing.',
  options: {},
  examples: [
    ['gridnode cancel 3f2a', 'end one job'],
    ["gridnode cancel $(gridnode status --open --json | jq -r '.[].job')", 'end all of them'],
  ],
  run: runCancel,
}

const endedStates: readonly string[] = ['done', 'failed', 'cancelled', 'expired']

async function runCancel(context: Context): Promise<number> {
  const { args, terminal, json, style } = context
  if (args.words.length === 0) {
    throw usageFailure("expected a job's id; 'gridnode status' lists them")
  }
  const words = args.words.map(jobWord)
  const user = openUser(terminal)
  const details: JobDetail[] = []
  let firstRefusal: CommandFailure | undefined
  for (const word of words) {
    try {
      details.push(await cancelOne(context, word, user.signer))
    } catch (error) {
      // One that cannot be cancelled must not keep the others alive.
      if (!(error instanceof CommandFailure) || error.exitCode !== exitCodes.failed) throw error
      firstRefusal ??= error
      if (words.length > 1) await terminal.err.write(`job ${word}: ${printable(error.message)}\n`)
    }
  }
  if (json && details.length > 0) {
    await terminal.out.write(jsonText(words.length === 1 ? details[0] : details))
  }
  if (!json) {
    for (const { job, state, tasks } of details) {
      const shown = endedStates.includes(state) ? paintState(state, style) : 'is being cancelled'
      await terminal.out.write(`job ${job} ${shown}: ${tasksText(tasks)}\n`)
    }
  }
  if (!firstRefusal) return exitCodes.done
  if (words.length === 1) throw firstRefusal
  return exitCodes.failed
}

async function cancelOne(
  context: Context,
  word: string,
  signer: Parameters<typeof seal>[2],
): Promise<JobDetail> {
  const client = context.client()
  const { job } = await client.get<JobDetail>(apiPaths.job(word))
  const request: SignedRequest = { verb: 'cancel', job, at: context.terminal.nowEpochMs() }
  const { note } = seal('request', unshape(request), signer)
  return client.post<JobDetail>(apiPaths.cancel(job), note)
}
