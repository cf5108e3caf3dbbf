// Who owes whom, and the proof: the ledgers of all sites settle, agree, and are checked offline;
// a forged copy of one is caught.

import { join } from 'node:path'
import type {
  ExportAnswer, JobDetail, LedgerSummary, PeerRow,
} from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import type { Column, Style } from '../output.ts'
import { credits, plural, table } from '../output.ts'
import type { Parts } from './federation.ts'
import { home, siteNames } from './federation.ts'
import { copyLedgers, forge } from './tamper.ts'
import { until } from './waiting.ts'

const settleSeconds = 60

export async function showAccounts(parts: Parts, jobs: readonly string[]): Promise<void> {
  const { screen, visitor, signal } = parts
  await screen.section('The accounts')
  await screen.say(
    'A host signs what was used, the home accepts it, and both write it down. Each site keeps a ' +
      'ledger of its own; a positive balance is owed to it.',
  )
  const ledgers = await until({ what: 'the accounts to settle', seconds: settleSeconds, signal },
    () => settled(parts))
  await screen.line()
  await visitor.type(home, ['ledger', '--dir', home])
  await screen.line()
  await screen.say('And what the ledger of each of the three says, a line a site:')
  await screen.line()
  await screen.line(balancesText(ledgers, screen.style).trimEnd())
  await screen.line()
  const own = ledgers.find(({ site }) => site === home)
  const owed = (own?.pairs ?? []).reduce((sum, { balance }) => sum - BigInt(balance), 0n)
  let spent = 0n
  for (const job of jobs) {
    spent += BigInt((await visitor.ask<JobDetail>(home, ['status', job])).spent)
  }
  if (owed !== spent) {
    const [owes, cost] = [owed, spent].map((amount) => credits(String(amount)))
    throw new Error(`${home} owes ${owes} cr, its jobs have cost ${cost} cr`)
  }
  await screen.check(
    `What each site says of another, the other says too, and all balances together are zero. ` +
      `${home} owes ${credits(String(owed))} cr, which is what its jobs have cost.`,
  )
}

function balancesText(ledgers: readonly LedgerSummary[], style: Style): string {
  const columns: Column[] = [
    { title: 'LEDGER OF' },
    ...siteNames.map((site) => ({ title: `WITH ${site}`, align: 'right' as const })),
    { title: 'IN ALL', align: 'right' },
  ]
  const rows = ledgers.map(({ site, pairs }) => {
    const all = pairs.reduce((sum, { balance }) => sum + BigInt(balance), 0n)
    const cells = siteNames.map((other) => {
      const pair = pairs.find((one) => one.site === other)
      return other === site ? '' : credits(pair?.balance ?? '0')
    })
    return [site, ...cells, credits(String(all))]
  })
  return table(columns, rows, { width: 80, style })
}

/** All ledgers, once nothing is held, claimed or on its way any more and they agree. */
async function settled({ visitor }: Parts): Promise<LedgerSummary[] | undefined> {
  const ledgers: LedgerSummary[] = []
  for (const site of siteNames) {
    const client = visitor.client(site)
    ledgers.push(await client.get<LedgerSummary>(apiPaths.ledger))
    const peers = await client.get<readonly PeerRow[]>(apiPaths.peers)
    if (peers.some(({ undelivered }) => undelivered > 0)) return undefined
  }
  const balances = new Map<string, bigint>()
  for (const { site, pairs } of ledgers) {
    for (const pair of pairs) {
      const open = [pair.heldByUs, pair.heldByThem, pair.claimedByUs, pair.claimedByThem]
      if (open.some((amount) => amount !== '0')) return undefined
      balances.set(`${site} ${pair.site}`, BigInt(pair.balance))
    }
  }
  const agree = [...balances].every(([pair, balance]) => {
    const [site, other] = pair.split(' ')
    return balance === -(balances.get(`${other} ${site}`) ?? 0n)
  })
  return agree ? ledgers : undefined
}

export async function showVerification(parts: Parts, keep: boolean): Promise<void> {
  const { screen, visitor, directory, processes } = parts
  await screen.section('The proof')
  await screen.say(
    'Anybody who gets the ledgers as files can check them: every signature, number and sum, each ' +
      'ledger by itself and all against one another.',
  )
  await screen.line()
  let entries = 0
  for (const site of siteNames) {
    const args = ['ledger', 'export', '--dir', site, `ledgers/${site}`]
    await screen.command(args)
    entries += (await visitor.ask<ExportAnswer>(site, args)).entries
  }
  if (!keep) {
    await processes.stopNodes()
    await screen.line(screen.style.dim('(all three nodes are stopped now)'))
  }
  await screen.line()
  await visitor.type(home, ['verify', 'ledgers'])
  await screen.line()
  copyLedgers(join(directory, 'ledgers'), join(directory, 'forged'))
  const { entry, before, after } = forge(join(directory, 'forged', home), 'accept')
  await screen.say(
    `Now somebody changes one byte in a copy: in entry ${entry} of ${home}'s ledger, where it ` +
      `accepts a bill, ${credits(before)} credits become ${credits(after)}.`,
  )
  await screen.line()
  const said = await visitor.type(home, ['verify', 'forged'], 1)
  await screen.line()
  if (!said.includes(`${home} entry ${entry} `)) {
    throw new Error(`verify did not name entry ${entry} of ${home}`)
  }
  await screen.check(
    `${plural(entries, 'entry', 'entries')} verified; the forged one was found and named: ` +
      `entry ${entry} of ${home}.`,
  )
}
