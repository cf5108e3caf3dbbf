// `gridnode ledger recover` and `gridnode ledger rotate`: what is done to the ledger of a site that
// does not run, with its root key.

import { resolve } from 'node:path'
import type { Context } from '../command.ts'
import { wrap } from '../command.ts'
import { exitCodes } from '../failure.ts'
import { jsonText, plural } from '../output.ts'

export async function recoverLedger(context: Context): Promise<number> {
  const { args, directory, json, terminal } = context
  const from = args.value('from')
  const { recover } = await import('../../node/recover.ts')
  const done = await recover({
    directory, ...(from === undefined ? {} : { from: resolve(terminal.cwd, from) }),
  })
  if (json) {
    await terminal.out.write(jsonText(done))
    return exitCodes.done
  }
  const { from: source } = done
  const lines = [
    `${done.site} is in epoch ${done.epoch} now: new statement, log and witness keys in `
      + done.keys,
    source === undefined
      ? `its ledger had ${plural(done.entries, 'entry', 'entries')}, which stay`
      : `${plural(source.taken, 'entry', 'entries')} of ${source.entries} were taken from the `
        + `ledger of ${source.site}`,
    `ended: ${plural(done.jobsEnded, 'open job')} (their owners submit again), `
      + `${plural(done.tranchesEnded, 'piece')} of work for others`,
    ...wrap(`what the ledger has lost comes back from the peers once the site runs (${
      done.peers.join(', ') || 'there are none'}). Until a peer has agreed, nothing is begun with `
      + "it; 'gridnode peers' shows who has not. One that never comes back stays so.", 80),
    `back up ${done.keys} now; keys/root.key may go back to its safe place`,
    `next: ${context.suggest('start')}`,
  ]
  await terminal.out.write(`${lines.join('\n')}\n`)
  return exitCodes.done
}

export async function rotateKeys(context: Context): Promise<number> {
  const { directory, json, terminal } = context
  const { rotate } = await import('../../node/recover.ts')
  const done = await rotate({ directory })
  await terminal.out.write(json
    ? jsonText(done)
    : `${done.site} has new statement and witness keys in ${done.keys}. What the old ones signed `
      + 'stays true;\nwhat they sign from now on counts nowhere, as soon as a peer has been told\n'
      + `back up ${done.keys} now; keys/root.key may go back to its safe place\n`
      + `next: ${context.suggest('start')}\n`)
  return exitCodes.done
}
