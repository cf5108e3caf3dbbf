// Which fault follows from which: an entry that was not let in is missed by those that build on it,
// and an auditor wants the first cause, not its echoes.
// Invariants: only what a refusal names is put down to an earlier fault; memory is bounded, and
// what was forgotten stands as a fault of its own.

import { compareBytes } from '../base/ids.ts'
import { directionKey, pairKey } from './ledger-book.ts'
import type { LedgerRefusal } from './ledger-refusal.ts'
import type { Statement } from './statement.ts'
import { everybody } from './statement.ts'

export interface Causes {
  /** The entry whose fault this one follows from; undefined when it is one of its own. */
  causeOf(statement: Statement | undefined, refusal: LedgerRefusal): number | undefined
  /**
   * Entry `index` was not let in, for a fault of its own or of `cause`. `isItself`: these are the
   * bytes that its author signed.
   */
  missed(
    entry: { readonly sid: string, readonly statement: Statement } | undefined,
    at: { readonly index: number, readonly cause: number | undefined, readonly isItself: boolean },
  ): void
}

/** Names of what was missed; beyond them the oldest are forgotten. */
const namesMax = 20_000

export function openCauses(): Causes {
  const byName = new Map<string, number>()
  let unread: number | undefined
  const remember = (name: string, cause: number): void => {
    if (byName.has(name)) return
    byName.set(name, cause)
    for (const oldest of byName.keys()) {
      if (byName.size <= namesMax) break
      byName.delete(oldest)
    }
  }
  return {
    causeOf(statement, refusal) {
      if (!statement || statement.kind === 'federation') return undefined
      const names = suspects(statement, refusal)
      for (const name of names) {
        const cause = byName.get(name)
        if (cause !== undefined) return cause
      }
      // What could not be read may have been any of them.
      const isAbsence = refusal.reason === 'gap' || refusal.reason === 'unknown_reference'
      return isAbsence ? unread : undefined
    },
    missed(entry, { index, cause, isItself }) {
      const first = cause ?? index
      if (!isItself) unread = first
      if (!entry) return
      remember(entry.sid, first)
      for (const name of touched(entry.statement)) remember(name, first)
    },
  }
}

/** What a refused entry would have changed. */
function touched(statement: Statement): string[] {
  if (statement.kind === 'federation') return []
  const { from, to } = statement
  const names = [directionKey(from, to)]
  if (to !== everybody) names.push(pairKey(from, to))
  if (statement.kind === 'contract' && statement.side === 'agree') names.push(statement.contract)
  return [...names, ...holdOf(statement)]
}

/** What must have gone wrong before for `refusal` to be an echo. */
function suspects(statement: Exclude<Statement, { kind: 'federation' }>, refusal: LedgerRefusal) {
  const { from, to } = statement
  switch (refusal.reason) {
    case 'gap':
    case 'wrong_prev':
    case 'wrong_epoch': return [directionKey(from, to)]
    case 'unknown_reference': return [refusal.sid, ...holdOf(statement)]
    case 'wrong_state':
    case 'fell':
    case 'too_much':
    case 'wrong_amount': {
      const about = statement.kind === 'hold' ? [statement.contract] : holdOf(statement)
      const pairs = statement.kind === 'reconcile' || statement.kind === 'settle'
      return pairs && to !== everybody ? [pairKey(from, to), ...about] : about
    }
    case 'over_limit':
    case 'over_grant': return to === everybody ? [] : [pairKey(from, to)]
    case 'not_member': return [directionKey(compareBytes(refusal.site, from) === 0
      ? from : to === everybody ? from : to, everybody)]
    default: return []
  }
}

function holdOf(statement: Statement): string[] {
  return 'hold' in statement ? [statement.hold] : []
}
