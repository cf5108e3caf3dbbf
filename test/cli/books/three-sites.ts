// Three sites with real, signed ledgers, exported: debts in a circle, a settlement, and ways to say
// more.

import { join } from 'node:path'
import { exportLedger } from '../../../node/store/ledger-export.ts'
import type { Sid } from '../../../protocol/base/ids.ts'
import type { StatementInput } from '../../../protocol/rules/statement.ts'
import { readingStore } from '../../rules/ledger-exports.ts'
import type { Deal, TestSite } from '../../rules/ledger-sites.ts'
import {
  acceptInput, agreedDeal, credits, federation, heldInput, holdInput, start, tell, usageInput,
} from '../../rules/ledger-sites.ts'

export const hourMs = 3_600_000
export const dayMs = 24 * hourMs

export interface World {
  readonly a: TestSite
  readonly b: TestSite
  readonly c: TestSite
  /** a's jobs at b. */
  readonly deal: Deal
}

/** The same said later; nobody's time falls, so later and later. */
export function later(input: StatementInput, ms: number): StatementInput {
  return { ...input, at: start + ms } as StatementInput
}

/** A hold that is claimed for so many microcredits (of 3.6 core milliseconds) at so many ms. */
export function ran(deal: Deal, amount: number, ms: number): { hold: Sid, usage: Sid } {
  const { home, host } = deal
  const hold = tell(home, host, later(holdInput(deal, amount * 2), ms)).sid
  tell(host, home, later(heldInput(deal, hold), ms))
  const said = { amount, core_s: Math.ceil(amount * 36 / 10_000), final: 1, tasks: 3 } as const
  return { hold, usage: tell(host, home, later(usageInput(deal, hold, said), ms + hourMs)).sid }
}

export function paid(deal: Deal, amount: number, ms: number): void {
  const { hold, usage } = ran(deal, amount, ms)
  tell(deal.home, deal.host,
    later(acceptInput(deal, hold, { usage, amount, final: 1 }), ms + 2 * hourMs))
}

/** a owes b 0.35 cr after a settlement, b owes c 0.4 cr, c owes a 0.2 cr. */
export function threeSites(): World {
  const [a, b, c] = federation('a.example', 'b.example', 'c.example') as [
    TestSite, TestSite, TestSite,
  ]
  const deal = agreedDeal(a, b)
  paid(deal, 500_000, 0)
  paid(agreedDeal(b, c), 400_000, 0)
  paid(agreedDeal(c, a), 200_000, 0)
  const settle = tell(a, b, later({
    kind: 'settle', to: b.name, at: start, side: 'offer', amount: credits(150_000),
    payer: 'author', reference: 'bank <7> & "co"',
  }, 3 * hourMs)).sid
  tell(b, a, later({ kind: 'settle', to: a.name, at: start, side: 'agree', settle }, 4 * hourMs))
  return { a, b, c, deal }
}

/** Exports each site into `folder`; gives the directories. */
export async function exported(folder: string, ...sites: readonly TestSite[]): Promise<string[]> {
  const directories: string[] = []
  for (const site of sites) {
    const directory = join(folder, site.name)
    await exportLedger(readingStore(site), site.log, directory)
    directories.push(directory)
  }
  return directories
}
