// Why a statement is refused: in order of precedence, each with the evidence that mends it. The
// numbers are those of the rules in docs/LEDGER.md.

import { unreachable } from '../base/assert.ts'
import type { Sid } from '../base/ids.ts'
import type { Microcredits } from '../base/units.ts'
import { formatCredits } from '../base/units.ts'
import type { StatementRefusal } from './statement.ts'

export type LedgerRefusal =
  /** 1: not canonical, too long, wrong fields; or a kind that this version does not know. */
  | StatementRefusal
  /** Not between these two sites, or of a kind that does not travel this way. */
  | { readonly reason: 'misdirected', readonly detail: string }
  /** 3 */
  | { readonly reason: 'wrong_federation', readonly expected: string, readonly found: string }
  /** The author's or the addressee's genesis or admission is not in this log. */
  | { readonly reason: 'not_member', readonly site: string }
  | { readonly reason: 'wrong_epoch', readonly expected: number, readonly found: number }
  /** A key in a genesis that no verifier should accept. */
  | { readonly reason: 'bad_key', readonly detail: string }
  /** 2 */
  | { readonly reason: 'bad_signature', readonly signer: string, readonly expected: string }
  /** 4: `expected` is the number to send next. */
  | { readonly reason: 'gap', readonly expected: number, readonly found: number }
  /** 4: two statements with one number. */
  | { readonly reason: 'fork', readonly n: number, readonly known: Sid, readonly found: Sid }
  | { readonly reason: 'wrong_prev', readonly expected: string, readonly found: string }
  /** The author's own time fell within one sequence. */
  | { readonly reason: 'time_fell', readonly before: number, readonly found: number }
  /** 5 */
  | { readonly reason: 'unknown_reference', readonly to: string, readonly sid: string }
  /** 6: the state of the hold, contract or membership does not allow it. */
  | { readonly reason: 'wrong_state', readonly detail: string }
  /** 7 */
  | {
    readonly reason: 'fell'
    readonly field: string
    readonly before: string
    readonly found: string
  }
  /**
   * An amount or count beyond what the hold or the contract allows, or that sums could not carry.
   */
  | {
    readonly reason: 'too_much'
    readonly field: string
    readonly max: string
    readonly found: string
  }
  /** 8 */
  | {
    readonly reason: 'over_limit'
    readonly limit: Microcredits
    readonly exposure: Microcredits
    readonly amount: Microcredits
  }
  /** 8: there is a proof that this site lied; its credit is frozen. */
  | { readonly reason: 'frozen', readonly site: string }
  /** 11 */
  | {
    readonly reason: 'over_grant'
    readonly free: Microcredits
    readonly amount: Microcredits
  }
  /** 9 */
  | {
    readonly reason: 'wrong_amount'
    readonly expected: Microcredits
    readonly found: Microcredits
  }

/** The refusal as a sentence: what was expected and what came. */
export function describeLedgerRefusal(refusal: LedgerRefusal): string {
  switch (refusal.reason) {
    case 'malformed': return `not a statement: ${refusal.detail}`
    case 'unknown_kind': return `a statement of an unknown kind, ${refusal.kind}`
    case 'misdirected': return `misdirected: ${refusal.detail}`
    case 'wrong_federation':
      return `of federation ${brief(refusal.found)}, expected ${brief(refusal.expected)}`
    case 'not_member': return `${refusal.site} is not a member that this log knows`
    case 'wrong_epoch': return `of epoch ${refusal.found}, expected epoch ${refusal.expected}`
    case 'bad_key': return `a key that must not sign: ${refusal.detail}`
    case 'bad_signature':
      return `the signature of ${refusal.signer} does not hold, expected one of ${refusal.expected}`
    case 'gap': return `number ${refusal.found}, expected number ${refusal.expected}`
    case 'fork':
      return `a second statement with number ${refusal.n}: ${brief(refusal.known)} is known, `
        + `${brief(refusal.found)} came`
    case 'wrong_prev':
      return `follows ${brief(refusal.found)}, expected to follow ${brief(refusal.expected)}`
    case 'time_fell': return `dated ${refusal.found} after one dated ${refusal.before} (epoch ms)`
    case 'unknown_reference': return `refers to an unknown ${refusal.to}: ${brief(refusal.sid)}`
    case 'wrong_state': return refusal.detail
    case 'fell': return `${refusal.field} fell from ${refusal.before} to ${refusal.found}`
    case 'too_much':
      return `${refusal.field} is ${refusal.found}, at most ${refusal.max} is possible`
    case 'over_limit':
      return `${formatCredits(refusal.amount)} more than the ${formatCredits(refusal.exposure)} in `
        + `use exceed the limit of ${formatCredits(refusal.limit)}`
    case 'frozen': return `${refusal.site} has lied by evidence; it gets no new credit`
    case 'over_grant':
      return `${formatCredits(refusal.amount)} asked of an allocation that has `
        + `${formatCredits(refusal.free)} left`
    case 'wrong_amount':
      return `claims ${formatCredits(refusal.found)}, the tariff gives `
        + formatCredits(refusal.expected)
    default: return unreachable(refusal)
  }
}

function brief(sid: string): string {
  return sid.slice(0, 16) || 'nothing'
}
