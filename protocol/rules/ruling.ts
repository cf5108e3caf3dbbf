// An arbiter's ruling: a signed text by which the site that a contract names decides what a hold is
// worth. It belongs to no sequence: either party puts it into its own log, and it counts once.
// Invariant: who names its hold, its federation and its amount has read all of it.

import type { Malformed } from '../base/encoding.ts'
import { malformed } from '../base/encoding.ts'
import type { Sealed } from '../base/envelope.ts'
import { parseSealed, seal } from '../base/envelope.ts'
import type { FederationId, Sid } from '../base/ids.ts'
import type { Signer } from '../base/note.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok } from '../base/outcome.ts'
import { amount, hash, integer, record, shaped, unshape } from '../base/shape.ts'
import type { Microcredits } from '../base/units.ts'
import { rulingBytesMax } from './statement.ts'

const kind = 'ruling'

const rulingShape = record({
  fed: hash(), hold: hash(), amount: amount(), at: integer({ min: 0, max: 8_640_000_000_000_000 }),
})

export interface Ruling {
  readonly fed: FederationId
  readonly hold: Sid
  /** What the hold comes to. */
  readonly amount: Microcredits
  readonly at: number
}

/** The arbiter's own signed text; `arbiter` is its statement key. */
export function sealRuling(ruling: Ruling, arbiter: Signer): string {
  return seal(kind, unshape(ruling), arbiter).note
}

/** Syntax only: whose signature it is, is for the ledger to say. */
export function readRuling(
  note: string,
): Outcome<{ readonly ruling: Ruling, readonly sealed: Sealed }, Malformed> {
  const parsed = parseSealed(note, { bytesMax: rulingBytesMax })
  if (!parsed.ok) return parsed
  if (parsed.value.kind !== kind) return malformed(`expected a ruling, got ${parsed.value.kind}`)
  const body = shaped(rulingShape, parsed.value.body)
  return body.ok ? ok({ ruling: body.value, sealed: parsed.value }) : body
}
