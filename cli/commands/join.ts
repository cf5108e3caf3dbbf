// `gridnode join`: a site that was made by `init` becomes a member of a federation.

import { readFileSync } from 'node:fs'
import type { Command, Context } from '../command.ts'
import { exitCodes, usageFailure } from '../failure.ts'
import { jsonText, plural } from '../output.ts'

export const join: Command = {
  usage: ['[options] TOKEN', '[options] -'],
  about:
    "Joins the federation of a token that a member made with 'gridnode invite'. That member's " +
    'node must be running, this one not yet. What it answers is checked from the first statement ' +
    "of the federation on. '-' reads the token from stdin, where other users of the machine " +
    'cannot see it.',
  options: {},
  examples: [
    ['gridnode join - < token', 'the token is in a file'],
    ['gridnode join --dir /srv/grid gridnode-join-v1.AbC...', 'the token as a word'],
  ],
  run: runJoin,
}

async function runJoin(context: Context): Promise<number> {
  const { args, directory, json, terminal } = context
  const [word, ...more] = args.words
  if (word === undefined || more.length > 0) {
    throw usageFailure("expected one token; a member makes it with 'gridnode invite'")
  }
  const token = word === '-' ? readFileSync(0, 'utf8') : word
  const enrol = await import('../../node/enrol.ts')
  const joined = await enrol.join({ directory, token: token.trim() })
  await terminal.out.write(json
    ? jsonText(joined)
    : `${joined.site} is a member of ${joined.federationName}, admitted by ${joined.sponsor}: ` +
      `${plural(joined.members.length, 'site')}\n  ${joined.members.join(', ')}\n` +
      `next: ${context.suggest('start')}\n`)
  return exitCodes.done
}
