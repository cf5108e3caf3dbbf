// `gridnode reload`: the running node reads its config again.

import type { ReloadAnswer } from '../../node/http/site-api.ts'
import { sitePaths } from '../../node/http/site-api.ts'
import type { Command, Context } from '../command.ts'
import { exitCodes, usageFailure } from '../failure.ts'
import { jsonText } from '../output.ts'

export const reload: Command = {
  usage: ['[options]'],
  about:
    'Has the running node read gridnode.toml again. A config with a fault changes nothing. ' +
    'Prices, the market, credit, attributes, accounts, queues and ' +
    'draining count at once; for the rest ' +
    'the keys are named, and count from the next start on.',
  options: {},
  examples: [['gridnode reload', 'after an edit of the config']],
  run: runReload,
}

async function runReload(context: Context): Promise<number> {
  const { args, terminal, json } = context
  if (args.words.length > 0) throw usageFailure(`expected no words, got ${args.words.join(' ')}`)
  const { live, restart } = await context.client().post<ReloadAnswer>(sitePaths.reload, {})
  if (json) {
    await terminal.out.write(jsonText({ live, restart }))
    return exitCodes.done
  }
  if (live.length > 0) await terminal.out.write(`counts now: ${live.join(', ')}\n`)
  if (restart.length > 0) {
    await terminal.out.write(`counts when the node is started again: ${restart.join(', ')}\n`)
  }
  if (live.length + restart.length === 0) await terminal.out.write('nothing has changed\n')
  return exitCodes.done
}
