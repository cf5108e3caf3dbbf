// Private documents against the commitments of a log (I13). A file has one on each line:
//
//     {"kind":"job","note":"<the owner's signed job>"}             opens a contract's `job`
//     {"kind":"bid","note":"<the host's signed bid>"}              opens a contract's `bid`
//     {"kind":"tranche","salt":"<32 hex>","tasks":"1-16,20"}       opens a hold's `doc`
//     {"kind":"meter","reports":[<task report>…],"salt":"<32 hex>"} opens a usage's `meter`
//     {"count":2,"day":20254,"index":0,"kind":"digest","proof":[…],"record":{…},"root":"<64 hex>"}
//
// Invariants: a document opens what hashes to it and nothing else; what it says must also be what
// the statement says openly. Memory is that of the documents, not of the log.

import { fromHex, sha256Hex } from '../base/crypto.ts'
import { decode, encode } from '../base/encoding.ts'
import type { Malformed } from '../base/encoding.ts'
import type { Hash } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import { leafHash, verifyInclusion } from '../base/merkle.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import type { Shaped } from '../base/shape.ts'
import {
  hash as hashShape, hex, integer, list, record, shaped, text, union, unshape,
} from '../base/shape.ts'
import type { DigestRecord } from './digest.ts'
import { digestRecordShape, formatDigestRecord } from './digest.ts'
import { trancheCommitment, trancheDocumentShape, trancheTasks } from './contract.ts'
import type { JobDocument } from './job.ts'
import { jobNoteBytesMax, readJob } from './job.ts'
import type { TaskReport, UsageTotal } from './run.ts'
import { chargeable, meterCommitment, taskReportShape } from './run.ts'
import type { ContractOffer, HoldFields, Statement, UsageFields } from './statement.ts'

const bidNoteBytesMax = 64 * 1024
const count = integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
/** Of one line: a meter's record has a report for each task of a tranche. */
export const documentBytesMax = 16 * 1024 * 1024

export const privateDocumentShape = union('kind', {
  job: record({ note: text({ bytesMax: jobNoteBytesMax }) }),
  bid: record({ note: text({ bytesMax: bidNoteBytesMax }) }),
  tranche: trancheDocumentShape,
  meter: record({
    salt: hex({ bytes: 16 }),
    reports: list(taskReportShape, { max: limits.tasksPerTranche }),
  }),
  digest: record({
    day: count,
    count,
    index: count,
    record: digestRecordShape,
    proof: list(hex({ bytes: 32 }), { max: 53 }),
    root: hashShape(),
  }),
})
export type PrivateDocument = Shaped<typeof privateDocumentShape>

/** A document whose hash is known, ready to be found in a log. */
export interface ReadDocument {
  readonly kind: PrivateDocument['kind']
  readonly hash: Hash
  /** What is wrong with the statement that commits to it, if anything is. */
  readonly mismatch: (said: Statement, before: UsageTotal | undefined) => string | undefined
}

/** The line for a document, without its newline. */
export function formatDocument(document: PrivateDocument): string {
  return encode(unshape(document))
}

export function readDocument(line: string): Outcome<ReadDocument, Malformed> {
  const value = decode(line, { bytesMax: documentBytesMax })
  if (!value.ok) return value
  const document = shaped(privateDocumentShape, value.value)
  return document.ok ? readKind(document.value) : document
}

function readKind(document: PrivateDocument): Outcome<ReadDocument, Malformed> {
  switch (document.kind) {
    case 'job': {
      const job = readJob(document.note)
      if (!job.ok) return refuse({ reason: 'malformed', detail: `the job: ${job.refusal.detail}` })
      const terms = job.value.document
      return ok({
        kind: 'job', hash: job.value.sid, mismatch: (said) => isOffer(said)
          ? jobMismatch(said, terms) : undefined,
      })
    }
    case 'bid':
      return ok({ kind: 'bid', hash: sha256Hex(document.note), mismatch: () => undefined })
    case 'tranche': {
      const { salt, tasks } = document
      return ok({
        kind: 'tranche',
        hash: trancheCommitment({ salt, tasks }),
        mismatch: (said) => said.kind === 'hold' && !trancheTasks({ salt, tasks }, said)
          ? `the hold is for ${said.tasks} tasks, the document lists ${tasks.slice(0, 80)}`
          : undefined,
      })
    }
    case 'meter': {
      const { salt, reports } = document
      return ok({
        kind: 'meter',
        hash: meterCommitment(salt, reports),
        mismatch: (said, before) => said.kind === 'usage'
          ? meterMismatch(said, reports, before) : undefined,
      })
    }
    case 'digest': return readDigest(document)
  }
}

/** One record of a day's local work, with its path to the root that was said. */
function readDigest(
  { day, count: of, index, record: one, proof, root }: {
    readonly day: number
    readonly count: number
    readonly index: number
    readonly record: DigestRecord
    readonly proof: readonly string[]
    readonly root: Hash
  },
): Outcome<ReadDocument, Malformed> {
  const isIn = verifyInclusion({
    leafHash: leafHash(Buffer.from(formatDigestRecord(one))),
    index,
    size: of,
    root: fromHex(root) ?? new Uint8Array(),
    proof: proof.map((hash) => fromHex(hash) ?? new Uint8Array()),
  })
  if (!isIn) {
    const detail = `the record is not number ${index} of the ${of} under its root`
    return refuse({ reason: 'malformed', detail })
  }
  return ok({
    kind: 'digest',
    hash: root,
    mismatch: (said) => said.kind === 'digest' && (said.day !== day || said.count !== of)
      ? `it is of day ${day} with ${of} records, the digest of day ${said.day} with ${said.count}`
      : undefined,
  })
}

function isOffer(said: Statement): said is Extract<Statement, { side: 'offer', kind: 'contract' }> {
  return said.kind === 'contract' && said.side === 'offer'
}

function jobMismatch(terms: ContractOffer, job: JobDocument): string | undefined {
  const pairs = [
    ['cores', terms.cores, job.cores],
    ['memory_mib', terms.memory_mib, job.memory_mib],
    ['walltime_s', terms.walltime_s, job.walltime_seconds],
  ] as const
  const wrong = pairs.find(([, said, asked]) => said !== asked)
  return wrong && `${wrong[0]} of the contract is ${wrong[1]}, the job asks for ${wrong[2]}`
}

/** Once every task has ended, no more is claimed than the reports say or was claimed before. */
function meterMismatch(
  said: UsageFields, reports: readonly TaskReport[], before: UsageTotal | undefined,
): string | undefined {
  if (reports.some(({ state, started_ms }) => state !== 'ended' && started_ms > 0)) return undefined
  const sum = chargeable(reports)
  for (const field of ['tasks', 'core_s', 'gib_s'] as const) {
    const most = Math.max(sum[field], before?.[field] ?? 0)
    if (said[field] <= most) continue
    return `${field} claimed is ${said[field]}, the reports make ${sum[field]}`
  }
  return undefined
}

/** An opened commitment. */
export interface Opened {
  readonly hash: Hash
  readonly kind: ReadDocument['kind']
  readonly mismatch: string | undefined
}

export interface Documents {
  /** What of the statement's commitments is opened; `before`: what its hold had used so far. */
  open(said: Statement, before: UsageTotal | undefined): Opened[]
}

/** Looks documents up by what statements commit to; the last of two with one hash counts. */
export function openDocuments(all: readonly ReadDocument[]): Documents {
  const byHash = new Map<string, ReadDocument[]>()
  for (const one of all) {
    const key = `${one.kind} ${one.hash}`
    // Many records of one day stand under one root.
    const before = byHash.get(key)
    if (before && one.kind === 'digest') before.push(one)
    else byHash.set(key, [one])
  }
  return {
    open(said, before) {
      const opened: Opened[] = []
      for (const [kind, hash] of commitmentsOf(said)) {
        for (const document of byHash.get(`${kind} ${hash}`) ?? []) {
          opened.push({ hash, kind, mismatch: document.mismatch(said, before) })
        }
      }
      return opened
    },
  }
}

function commitmentsOf(said: Statement): (readonly [ReadDocument['kind'], Hash])[] {
  switch (said.kind) {
    case 'contract': return said.side === 'offer' ? [['job', said.job], ['bid', said.bid]] : []
    case 'hold': return [['tranche', (said satisfies HoldFields).doc]]
    case 'usage': return [['meter', said.meter]]
    case 'digest': return [['digest', said.root]]
    default: return []
  }
}
