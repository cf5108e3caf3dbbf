// What an operator has this site say about money, by hand: a word that its ledger would refuse, or
// that makes no sense now, is refused with what to do instead. The same word again says nothing
// new.

import { unreachable } from '../base/assert.ts'
import type { EventOf } from './events.ts'
import * as holds from './operator-holds.ts'
import * as pairs from './operator-pairs.ts'
import type { OperatorWord, Spoke } from './operator-word.ts'
import type { Turn } from './turn.ts'
import { answer, count } from './turn.ts'

export function onWord(turn: Turn, { request, word }: EventOf<'wordRequested'>): void {
  const spoke = speak(turn, word)
  count(turn, spoke.ok ? `operator_${word.verb}` : 'operator_refused')
  if (spoke.ok) answer(turn, request, { kind: 'spoken', ...spoke.value })
  else answer(turn, request, { kind: 'refused', ...spoke.refusal })
}

function speak(turn: Turn, word: OperatorWord): Spoke {
  switch (word.verb) {
    case 'accept': return holds.accept(turn, word)
    case 'dispute': return holds.dispute(turn, word)
    case 'offer': return holds.offer(turn, word)
    case 'agree': return holds.agree(turn, word)
    case 'clause': return holds.clause(turn, word)
    case 'ruling': return holds.ruling(turn, word)
    case 'forgive_claim': return holds.forgive(turn, word)
    case 'forgive_balance': return pairs.forgive(turn, word)
    case 'rule': return pairs.rule(turn, word)
    case 'settle': return pairs.settle(turn, word)
    case 'settle_agree': return pairs.agree(turn, word)
    case 'close': return pairs.close(turn, word)
    default: return unreachable(word)
  }
}
