// A log for tests of what reads logs: statements by hand, numbered and named, without keys.

import type { Sid, SiteName } from '../../protocol/base/ids.ts'
import type { HistoryEvent } from '../../protocol/rules/ledger-history.ts'
import { openHistory } from '../../protocol/rules/ledger-history.ts'
import type { ContractOffer, Statement } from '../../protocol/rules/statement.ts'
import { credits, hashOf, offerInput, start } from './ledger-sites.ts'

export interface Walk {
  readonly history: ReturnType<typeof openHistory>
  readonly events: HistoryEvent[]
  /** Logs a statement; gives its sid. */
  say(from: SiteName, to: SiteName | '*', fields: object, at?: number): Sid
  /** A contract offer and an unheld hold under it. */
  hold(
    home: SiteName, host: SiteName, amount: number,
    more?: { readonly terms?: Partial<ContractOffer>, readonly grant?: Sid, readonly at?: number },
  ): Sid
  held(hold: Sid, at?: number): void
  usage(hold: Sid, amount: number, more?: { final?: 0 | 1, at?: number, tasks?: number }): Sid
  accept(hold: Sid, usage: Sid, amount: number, more?: { final?: 0 | 1, at?: number }): Sid
}

/** The log of `log`, from its beginning. */
export function walkOf(log: SiteName): Walk {
  const history = openHistory(log)
  const events: HistoryEvent[] = []
  const sites = new Map<Sid, { readonly home: SiteName, readonly host: SiteName }>()
  let index = 0
  const say: Walk['say'] = (from, to, fields, at = start) => {
    const sid = hashOf(`${log} ${index}`)
    const statement = {
      e: 1, fed: hashOf('federation'), from, to, n: index + 1, prev: '', at, ...fields,
    } as unknown as Statement
    events.push(...history.take({ index, sid, statement }))
    index += 1
    return sid
  }
  const between = (hold: Sid) => sites.get(hold) as { home: SiteName, host: SiteName }
  return {
    history,
    events,
    say,
    hold(home, host, amount, { terms = {}, grant, at } = {}) {
      const offer = offerInput({ name: host } as Parameters<typeof offerInput>[0], hashOf('t'), {
        interim_s: 60, exposure_permille: 500, auto_permille: 0, arbiter: '', ...terms,
      } as Partial<ContractOffer>)
      const contract = say(home, host, offer, at)
      const hold = say(home, host, {
        kind: 'hold', contract, amount: credits(amount), tasks: 10, valid_until: start + 60_000,
        doc: hashOf('doc'), grant: grant ?? '',
      }, at)
      sites.set(hold, { home, host })
      return hold
    },
    held(hold, at) {
      say(between(hold).host, between(hold).home, { kind: 'held', hold }, at)
    },
    usage(hold, amount, { final = 0, at, tasks = 1 } = {}) {
      const { home, host } = between(hold)
      return say(host, home, {
        kind: 'usage', hold, amount: credits(amount), final, tasks, core_s: amount * 2,
        gib_s: amount * 3, meter: hashOf('meter'),
      }, at)
    },
    accept(hold, usage, amount, { final = 0, at } = {}) {
      const { home, host } = between(hold)
      return say(home, host, { kind: 'accept', hold, usage, amount: credits(amount), final }, at)
    },
  }
}
