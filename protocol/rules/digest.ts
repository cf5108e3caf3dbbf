// The digest of a day's local work: what a site's own users ran on its own cluster costs nobody
// anything and stands in no statement, so each day the site commits to it, by a tree over one
// salted record for each task. A record can be shown with its path, and says nothing about the
// others.
//
// Invariants: a record has one text; its salt follows from the tranche's and the task's number, so
// nobody can choose it afterwards; the day is that of the node's clock when it saw the end.

import { sha256Hex } from '../base/crypto.ts'
import type { Malformed } from '../base/encoding.ts'
import { decode, encode } from '../base/encoding.ts'
import type { Outcome } from '../base/outcome.ts'
import type { Shaped } from '../base/shape.ts'
import { hex, integer, jobId, record, shaped, text, unshape } from '../base/shape.ts'

const count = integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const recordBytesMax = 4_096
export const dayMs = 86_400_000

export const digestRecordShape = record({
  job: jobId(),
  user: text({ bytesMax: 256 }),
  task: count,
  cores: count,
  core_s: count,
  gib_s: count,
  started_ms: count,
  ended_ms: count,
  /** As in a task's report. */
  how: text({ bytesMax: 16 }),
  exit_code: integer({ min: -1, max: 255 }),
  salt: hex({ bytes: 16 }),
})
export type DigestRecord = Shaped<typeof digestRecordShape>

/** 16 bytes in hexadecimal. */
export function digestSalt(trancheSalt: string, task: number): string {
  return sha256Hex('gridnode/v1/digest-salt\n', encode([trancheSalt, task])).slice(0, 32)
}

/** The leaf of the day's tree. */
export function formatDigestRecord(one: DigestRecord): string {
  return encode(unshape(one))
}

export function readDigestRecord(line: string): Outcome<DigestRecord, Malformed> {
  const value = decode(line, { bytesMax: recordBytesMax })
  return value.ok ? shaped(digestRecordShape, value.value) : value
}

/** Days since 1970 in UTC. */
export function dayOf(epochMs: number): number {
  return (epochMs - (epochMs % dayMs)) / dayMs
}
