// `gridnode drain` and `gridnode undrain`: a site out of work and back into it, while it runs.

import { sitePaths } from '../../node/http/site-api.ts'
import type { Command, Context } from '../command.ts'
import { exitCodes, usageFailure } from '../failure.ts'
import { jsonText } from '../output.ts'

export const drain: Command = {
  usage: ['[options]'],
  about:
    'Takes the site out of work, before a maintenance: it bids for nothing and takes no further ' +
    'tasks, also of its own users; what is here goes on to its end. It stays so over restarts, ' +
    "until 'gridnode undrain'.",
  options: {
    reason: { kind: 'value', value: 'TEXT', help: 'why, for other operators of the site' },
  },
  examples: [['gridnode drain --reason "new disks on Monday"', 'take no new work']],
  run: (context) => say(context, 1),
}

export const undrain: Command = {
  usage: ['[options]'],
  about: 'Takes the site back into work.',
  options: {},
  examples: [['gridnode undrain', 'bid again']],
  run: (context) => say(context, 0),
}

async function say(context: Context, wanted: 0 | 1): Promise<number> {
  const { args, terminal, json } = context
  if (args.words.length > 0) throw usageFailure(`expected no words, got ${args.words.join(' ')}`)
  const reason = wanted === 1 ? args.value('reason') ?? '' : ''
  const body = { drain: wanted, reason }
  const answer = await context.client().post<{ readonly detail: string }>(sitePaths.drain, body)
  await terminal.out.write(json ? jsonText(answer) : `${answer.detail}\n`)
  return exitCodes.done
}
