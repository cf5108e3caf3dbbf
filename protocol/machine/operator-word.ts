// The words that an operator may have this site say, and what comes of one.

import type { Hash, Sid, SiteName } from '../base/ids.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import type { Microcredits } from '../base/units.ts'
import { describeLedgerRefusal } from '../rules/ledger-refusal.ts'
import type { LedgerRefusal } from '../rules/ledger.ts'
import type { Silence } from './speech.ts'

/** `hold` is the beginning of its sid; a tranche's id is one. */
export type OperatorWord =
  /** All of the claim when there is no amount. */
  | { readonly verb: 'accept'; readonly hold: string; readonly amount?: Microcredits }
  | {
      readonly verb: 'dispute'
      readonly hold: string
      readonly contested: Microcredits
      readonly reason: string
      readonly doc: Hash | ''
    }
  | { readonly verb: 'offer'; readonly hold: string; readonly amount: Microcredits }
  /** To what the other side has proposed last; with an amount only if it is that. */
  | { readonly verb: 'agree'; readonly hold: string; readonly amount?: Microcredits }
  | { readonly verb: 'clause'; readonly hold: string }
  | { readonly verb: 'ruling'; readonly hold: string; readonly note: string }
  /** Of the claim as it was made. */
  | { readonly verb: 'forgive_claim'; readonly hold: string; readonly amount: Microcredits }
  | {
      readonly verb: 'forgive_balance'
      readonly site: SiteName
      readonly amount: Microcredits
      readonly reference: string
    }
  /** As the arbiter of other sites' contract: `hold` is the whole sid. */
  | { readonly verb: 'rule'; readonly hold: Sid; readonly amount: Microcredits }
  | {
      readonly verb: 'settle'
      readonly site: SiteName
      readonly amount: Microcredits
      readonly payer: 'us' | 'them'
      readonly reference: string
    }
  | { readonly verb: 'settle_agree'; readonly settle: string }
  | { readonly verb: 'close'; readonly site: SiteName; readonly forgive: boolean }

/** What came of it, for people. */
export interface Spoken {
  readonly sids: readonly Sid[]
  readonly detail: string
  /** A signed text that goes elsewhere by hand; '' when there is none. */
  readonly note: string
  /** What is still open, and why. */
  readonly left: readonly string[]
}

export type Spoke = Outcome<Spoken, { readonly code: string; readonly detail: string }>

export function spoken(detail: string, ...sids: readonly Sid[]): Spoke {
  return ok({ sids, detail, note: '', left: [] })
}

export function conflict(detail: string): Spoke {
  return refuse({ code: 'conflict', detail })
}

export function notFound(detail: string): Spoke {
  return refuse({ code: 'not_found', detail })
}

/** What the ledger makes of it, or why nothing can be said now. */
export function ledgerWord(
  said: Outcome<{ readonly sid: Sid }, LedgerRefusal | Silence>, to: SiteName, detail: string,
): Spoke {
  if (said.ok) return spoken(detail, said.value.sid)
  const { refusal } = said
  switch (refusal.reason) {
    case 'not_heard':
      return conflict(`${to} was not heard since this node started; say it when it is connected`)
    case 'quarantine': return conflict('this site is in quarantine: gridnode ledger recover')
    case 'wrong_epoch':
      return conflict(`the ledger of this site or of ${to} begins anew; try later`)
    default: return conflict(`the ledger does not allow it: ${describeLedgerRefusal(refusal)}`)
  }
}
