// `gridnode cancel`: a request signed by the job's owner.

import type { JobDetail, SignedRequest } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { unshape } from '../../protocol/base/shape.ts'
import { seal } from '../../protocol/base/envelope.ts'
import type { Command, Context } from '../command.ts'
import { CommandFailure, exitCodes } from '../failure.ts'
import { askVerb, homeOf } from '../job-home.ts'
import { jobName } from '../job-word.ts'
import { paintState, tasksText } from '../job-text.ts'
import { jsonText, printable } from '../output.ts'
import { freshNonce, openUser } from '../user-key.ts'
import { filterOptions, jobsMeant, verbOptions } from '../verb-command.ts'

export const cancel: Command = {
  usage: ['[options] JOB...', '[options] --name NAME'],
  about:
    'Ends jobs: what waits is not started, what runs is ended, results that are there stay. ' +
    'Only who submitted a job can cancel it. Cancelling a job that has ended changes nothing.',
  options: { ...filterOptions, operator: verbOptions['operator']! },
  examples: [
    ['gridnode cancel 3f2a', 'end one job'],
    ['gridnode cancel 3f2a[3-5]', 'end some tasks of an array'],
    ['gridnode cancel --name test', 'end every open job of mine by that name'],
  ],
  run: runCancel,
}

const endedStates: readonly string[] = ['done', 'failed', 'cancelled', 'expired']

async function runCancel(context: Context): Promise<number> {
  const { args, terminal, json, style } = context
  const words = await jobsMeant(context, args.words)
  for (const word of words) jobName(word)
  if (words.length === 0) {
    await terminal.out.write(json ? jsonText([]) : 'no open job is like that\n')
    return exitCodes.done
  }
  const details: JobDetail[] = []
  let firstRefusal: CommandFailure | undefined
  for (const word of words) {
    try {
      details.push(await cancelOne(context, word))
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
  context: Context, word: string,
): Promise<JobDetail> {
  const { signer } = openUser(context.terminal)
  const home = await homeOf(context, word)
  const { job, name: { tasks } } = home
  const isOperator = context.args.flag('operator')
  if (home.site !== '' || tasks !== undefined || isOperator) {
    const wish = { nonce: freshNonce(), isOperator, ...(tasks !== undefined && { tasks }) }
    return (await askVerb(context, home, { verb: 'cancel', ...wish })).job
  }
  const request: SignedRequest = { verb: 'cancel', job, at: context.terminal.nowEpochMs() }
  const { note } = seal('request', unshape(request), signer)
  return context.client().post<JobDetail>(apiPaths.cancel(job), note)
}
