// `gridnode peers`: the members of the federation as this node sees them.

import type { PeerRow } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { compareBytes } from '../../protocol/base/ids.ts'
import { formatDuration } from '../../protocol/base/units.ts'
import type { Command, Context } from '../command.ts'
import { exitCodes } from '../failure.ts'
import { paintState } from '../job-text.ts'
import { credits, jsonText, printable, table } from '../output.ts'
import { warnOfQuarantine } from '../quarantine.ts'

export const peers: Command = {
  usage: ['[options]'],
  about:
    'Lists the other sites of the federation: whether they are connected, and what each side ' +
    'may owe the other. A positive balance is owed to this site.',
  options: {
    addresses: { kind: 'flag', short: 'a', help: 'their addresses and who admitted them, too' },
  },
  examples: [['gridnode peers', 'who is there'], ['gridnode peers --addresses', 'and where']],
  run: runPeers,
}

async function runPeers(context: Context): Promise<number> {
  const { args, terminal, json } = context
  const rows = await context.client().get<readonly PeerRow[]>(apiPaths.peers)
  await warnOfQuarantine(context)
  const sorted = rows.toSorted((a, b) => compareBytes(a.site, b.site))
  if (json) await terminal.out.write(jsonText(sorted))
  else await terminal.out.write(peersText(context, sorted, args.flag('addresses')))
  return exitCodes.done
}

function peersText(context: Context, rows: readonly PeerRow[], addresses: boolean): string {
  const { style, terminal } = context
  if (rows.length === 0) {
    return "no other sites yet. 'gridnode invite' makes a token by which one joins.\n"
  }
  let text = table(
    [
      { title: 'SITE', shrinkTo: 10 },
      { title: 'STATE', paint: (word) => paintState(word, style) },
      { title: 'OFFER AGE', align: 'right' },
      { title: 'BALANCE', align: 'right' },
      { title: 'MAY OWE US', align: 'right' },
      { title: 'WE MAY OWE', align: 'right' },
      { title: 'UNSENT', align: 'right' },
    ],
    rows.map((row) => [
      row.site,
      row.state,
      row.offerAgeSeconds === undefined ? 'none' : formatDuration(row.offerAgeSeconds),
      credits(row.balance),
      credits(row.creditGiven),
      credits(row.creditReceived),
      String(row.undelivered),
    ]),
    { width: terminal.out.columns(), style },
  )
  for (const row of rows) {
    if (row.frozen) text += `${row.site}: ${frozenText(row.site)}\n`
    if (row.trouble !== undefined) text += `${row.site}: ${printable(row.trouble)}\n`
    if (addresses) {
      text += `${row.site}: admitted by ${row.admittedBy}\n`
      for (const address of row.addresses) text += `  ${printable(address)}\n`
    }
  }
  return text
}

function frozenText(site: string): string {
  return `there is proof that it lied ('gridnode evidence ${site}'); it gets no new credit`
}
