// A job as its owner signed it: the first step of the walk. The document travels unchanged from the
// user's command to the home and, after the award, to each host, so that both can check the owner's
// signature. Documents that travel keep their wire names (snake_case, unit last) in code too.
//
// Refusals in order of precedence: too_large [JOB-2], malformed [JOB-1], bad_signature [JOB-3],
// bad_tasks [JOB-4], bad_environment [JOB-5], bad_chunks [NEED-7].

import { exceedsBytes } from '../base/encoding.ts'
import { parseSealed, seal, verifySealed } from '../base/envelope.ts'
import { fromHex } from '../base/crypto.ts'
import type { JobId, Sid } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import type { Signer } from '../base/note.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import type { Ranges } from '../base/ranges.ts'
import { parseRanges, rangesSize } from '../base/ranges.ts'
import type { Shaped } from '../base/shape.ts'
import {
  amount, hex, integer, list, oneOf, optional, record, shaped, siteName, text, unshape,
} from '../base/shape.ts'
import { formatBytes } from '../base/units.ts'
import { chunkFault, chunkShape, licenceShape } from './needs.ts'
import { grantNamePattern } from './statement.ts'

const name = text({ bytesMax: 128, pattern: /^[^\u0000-\u001f\u007f]{1,128}$/ })

/** One thing that a job waits for; `job` is the id of one of the same home, '' with singleton. */
export const afterShape = record({
  kind: oneOf('after', 'afterok', 'afternotok', 'afterany', 'aftercorr', 'singleton'),
  job: text({ bytesMax: 12, pattern: /^([0-9a-f]{12})?$/ }),
  delay_seconds: integer({ min: 0, max: 366 * 86_400 }),
})

export const jobDocumentShape = record({
  name,
  user: text({ bytesMax: 64, pattern: /^[A-Za-z0-9._-]{1,64}$/ }),
  /** The owner's Ed25519 public key; control verbs must be signed by it. */
  key: hex({ bytes: 32 }),
  /** Random, so that the document's hash is a commitment that cannot be guessed. */
  nonce: hex({ bytes: 16 }),
  script: text({ bytesMax: limits.scriptBytes }),
  args: list(text({ bytesMax: 4_096 }), { max: 256 }),
  environment: list(
    record({
      name: text({ bytesMax: 256, pattern: /^[A-Za-z_][A-Za-z0-9_]*$/ }),
      value: text({ bytesMax: 32_768 }),
    }),
    { max: 512 },
  ),
  /** Task numbers of an array, as canonical ranges; a single job is `0`. */
  tasks: text({ bytesMax: 65_536 }),
  /** 1 for an array, even of one task: its results lie in a directory a task. */
  array: integer({ min: 0, max: 1 }),
  /** At most so many tasks at once over all sites; 0 = no limit. */
  tasks_at_once: integer({ min: 0, max: limits.tasksPerJob }),
  cores: integer({ min: 1, max: 65_536 }),
  memory_mib: integer({ min: 1, max: 2 ** 32 }),
  walltime_seconds: integer({ min: 1, max: 366 * 86_400 }),
  /** The tree hash of the input files, empty when there are none, and their bytes. */
  inputs: text({ bytesMax: 64, pattern: /^([0-9a-f]{64})?$/ }),
  inputs_bytes: integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  /** Paths or globs that each task must leave behind; what matches nothing fails the task. */
  outputs: list(text({ bytesMax: limits.pathBytes }), { max: 256 }),
  /** An expression over what clusters publish; empty = any. */
  requirements: text({ bytesMax: 4_096 }),
  policy: oneOf('cheapest', 'soonest', 'balanced'),
  /** Ceiling for the whole job in microcredits. */
  budget: amount(),
  /** The name of an allocation that pays at other sites; absent: the home's own credit there. */
  allocation: optional(text({ bytesMax: 63, pattern: grantNamePattern })),
  place: oneOf('anywhere', 'home', 'remote'),
  /** Only these sites; empty = any. */
  sites: list(siteName(), { max: 64 }),
  /** Give up when no task could be placed for so long. */
  start_within_seconds: integer({ min: 1, max: 366 * 86_400 }),
  /** Graphics processors of a task in all; absent: none. */
  gpus: optional(integer({ min: 1, max: 65_536 })),
  /**
   * So many nodes that each give a task so much; `cores`, `memory_mib` and `gpus` are the sums.
   * Absent: a task lies in one node.
   */
  chunks: optional(list(chunkShape, { min: 1, max: 16 })),
  licences: optional(list(licenceShape, { min: 1, max: 16 })),
  /** An expression over what clusters publish: the larger, the better; absent: by `policy`. */
  rank: optional(text({ bytesMax: 4_096 })),
  /** When the job may begin. */
  after: optional(list(afterShape, { min: 1, max: 256 })),
  /** 1: any one of `after` is enough. */
  after_any: optional(integer({ min: 0, max: 1 })),
  /** 1: waits for its owner's `release`. */
  hold: optional(integer({ min: 0, max: 1 })),
  /** Not before this moment, milliseconds since 1970. */
  begin_ms: optional(integer({ min: 0, max: Number.MAX_SAFE_INTEGER })),
  /** What its owner thinks of it among their own jobs, 1024 when absent; the larger, the sooner. */
  priority: optional(integer({ min: 0, max: 2_047 })),
  /** A queue of the home. */
  queue: optional(text({ bytesMax: 63, pattern: /^[A-Za-z0-9._-]{1,63}$/ })),
  project: optional(text({ bytesMax: 63, pattern: /^[A-Za-z0-9._-]{1,63}$/ })),
  /** 0: a task that was started is not started again elsewhere. */
  rerun: optional(integer({ min: 0, max: 1 })),
  /** Whose run-time variables a task finds beside ours; absent: none. */
  dialect: optional(oneOf('slurm', 'pbs', 'torque', 'lsf', 'grid_engine')),
  /**
   * Where the owner wants the streams, as patterns of the dialect; '' = by default. `join` 1: both
   * in `out`.
   */
  streams: optional(record({
    out: text({ bytesMax: limits.pathBytes }),
    error: text({ bytesMax: limits.pathBytes }),
    join: integer({ min: 0, max: 1 }),
  })),
  /** The absolute path under which a task sees its directory: where it was submitted from. */
  seen_at: optional(text({ bytesMax: limits.pathBytes, pattern: /^\/[^\u0000]*$/ })),
})

export type JobDocument = Shaped<typeof jobDocumentShape>
export type Policy = JobDocument['policy']

/** A job whose document and signature were checked. */
export interface SignedJob {
  readonly id: JobId
  readonly sid: Sid
  readonly note: string
  readonly document: JobDocument
  readonly tasks: Ranges
}

export interface JobRefusal {
  readonly reason:
    | 'malformed' | 'too_large' | 'bad_signature' | 'bad_tasks' | 'bad_environment'
    | 'bad_chunks'
  readonly detail: string
}

/** The note travels as one text of a message, so it may be no longer than a text can be [JOB-2]. */
export const jobNoteBytesMax = limits.jsonStringBytes

/** The name under which a user's key signs: `<user>/gridnode/user`. */
export function userSignerName(user: string): string {
  return `${user}/gridnode/user`
}

/** The owner's signature over a job; the note is what `submit` sends. */
export function signJob(document: JobDocument, signer: Signer): { note: string; sid: Sid } {
  return seal('job', unshape(document), signer)
}

export function jobIdOf(sid: Sid): JobId {
  return sid.slice(0, 12) as string as JobId
}

/** Checks a job's note from any source; everything later trusts the result's type. */
export function readJob(note: string): Outcome<SignedJob, JobRefusal> {
  if (exceedsBytes(note, jobNoteBytesMax)) {
    const detail = `a job takes at most ${formatBytes(jobNoteBytesMax)} with its script, ` +
      'arguments and environment; bring data as input files'
    return refuse({ reason: 'too_large', detail })
  }
  const sealed = parseSealed(note, { bytesMax: jobNoteBytesMax })
  if (!sealed.ok) return refuse({ reason: 'malformed', detail: sealed.refusal.detail })
  if (sealed.value.kind !== 'job') {
    return refuse({ reason: 'malformed', detail: `expected a job, got ${sealed.value.kind}` })
  }
  const decoded = shaped(jobDocumentShape, sealed.value.body)
  if (!decoded.ok) return refuse({ reason: 'malformed', detail: decoded.refusal.detail })
  const document = decoded.value
  const publicKey = fromHex(document.key)
  const verifier = { name: userSignerName(document.user), publicKey: publicKey! }
  if (!verifySealed(sealed.value, verifier)) {
    return refuse({ reason: 'bad_signature', detail: `not signed by the key of ${document.user}` })
  }
  const tasks = parseRanges(document.tasks, { last: limits.taskNumberMax })
  if (!tasks || tasks.length === 0 || rangesSize(tasks) > limits.tasksPerJob) {
    return refuse({
      reason: 'bad_tasks',
      detail: `tasks must be 1 to ${limits.tasksPerJob} numbers as sorted ranges such as 1-16,20`,
    })
  }
  if (document.array === 0 && rangesSize(tasks) !== 1) {
    return refuse({ reason: 'bad_tasks', detail: 'only an array has more than one task' })
  }
  const names = new Set(document.environment.map((variable) => variable.name))
  if (names.size !== document.environment.length) {
    return refuse({ reason: 'bad_environment', detail: 'a variable is set twice' })
  }
  const fault = chunkFault(document)
  if (fault !== undefined) return refuse({ reason: 'bad_chunks', detail: fault })
  const sid = sealed.value.sid
  return ok({ id: jobIdOf(sid), sid, note, document, tasks })
}
