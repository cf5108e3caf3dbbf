// `gridnode invite`: a token by which one more site joins the federation.

import type { InviteAnswer } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { formatDuration, parseDurationSeconds } from '../../protocol/base/units.ts'
import type { Command, Context } from '../command.ts'
import { exitCodes, usageFailure } from '../failure.ts'
import { instant, jsonText } from '../output.ts'

export const invite: Command = {
  usage: ['[options]'],
  about:
    'Makes a token that admits one site, once. Send it on a way that others cannot read; the ' +
    "site uses it with 'gridnode join'. The token is printed alone on stdout.",
  options: {
    valid: {
      kind: 'value', value: 'TIME', help: 'how long it can be used: 1m to 90d (default 1d)',
    },
  },
  examples: [
    ['gridnode invite', 'a token for one day'],
    ['gridnode invite --valid 1h > token', 'into a file'],
  ],
  run: runInvite,
}

async function runInvite(context: Context): Promise<number> {
  const { args, terminal, json } = context
  if (args.words.length > 0) throw usageFailure(`expected no words, got ${args.words.join(' ')}`)
  const text = args.value('valid') ?? '1d'
  const validSeconds = parseDurationSeconds(text)
  if (validSeconds === undefined || validSeconds < 1) {
    throw usageFailure(`--valid: expected a duration with its unit such as 1h or 2d, got '${text}'`)
  }
  const body = { valid_seconds: validSeconds }
  const answer = await context.client().post<InviteAnswer>(apiPaths.invites, body)
  if (json) {
    await terminal.out.write(jsonText(answer))
    return exitCodes.done
  }
  await terminal.out.write(`${answer.token}\n`)
  await terminal.err.write(
    `valid for ${formatDuration(validSeconds)}, until ${instant(answer.expiresEpochMs)}; ` +
      'good for one site. There: gridnode join TOKEN\n',
  )
  return exitCodes.done
}
