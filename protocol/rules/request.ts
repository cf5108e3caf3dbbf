// What an owner asks of a job that was handed in: a note of kind `request` under the owner's key.
// It says at which home, by which site it may be passed on, and has a nonce, so that who passes it
// on can neither use it elsewhere nor have it done twice.
//
// [ASK-1] A request is taken from the site that it names as `via` alone, at the home that it names,
//   within ten minutes of its date, from the owner of the job or an operator of the home.
// [ASK-2] The same request again is answered as before and does nothing more.
// [ASK-3] Who may not ask, and whose job is not there, are told the same.
// [ASK-4] Into a running task a host lets only the owner of the job, by the owner's own request.

import { fromHex } from '../base/crypto.ts'
import { parseSealed, seal, verifySealed } from '../base/envelope.ts'
import type { SiteName } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import type { Signer } from '../base/note.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import type { Shaped } from '../base/shape.ts'
import {
  amount, hex, integer, list, oneOf, optional, record, shaped, siteName, text, unshape,
} from '../base/shape.ts'
import { afterShape, userSignerName } from './job.ts'

/** What changes something, and what only looks. */
export const verbs = [
  'hold', 'release', 'alter', 'signal', 'suspend', 'resume', 'requeue', 'move', 'cancel',
] as const
export const looks = ['locate', 'list', 'status', 'why', 'logs', 'fetch', 'peek', 'exec'] as const

/** Names without SIG. */
export const signalNames = [
  'HUP', 'INT', 'QUIT', 'USR1', 'USR2', 'ALRM', 'TERM', 'KILL', 'CONT', 'STOP', 'TSTP', 'WINCH',
  'PWR', 'XCPU', 'XFSZ', 'PIPE', 'URG', 'ABRT',
] as const

export const changeShape = record({
  name: optional(text({ bytesMax: 128, pattern: /^[^\u0000-\u001f\u007f]{1,128}$/ })),
  priority: optional(integer({ min: 0, max: 2_047 })),
  walltime_seconds: optional(integer({ min: 1, max: 366 * 86_400 })),
  budget: optional(amount()),
  tasks_at_once: optional(integer({ min: 0, max: limits.tasksPerJob })),
  begin_ms: optional(integer({ min: 0, max: Number.MAX_SAFE_INTEGER })),
  /** Empty: it waits for no job any more. */
  after: optional(list(afterShape, { max: 256 })),
  after_any: optional(integer({ min: 0, max: 1 })),
  queue: optional(text({ bytesMax: 63, pattern: /^[A-Za-z0-9._-]{1,63}$/ })),
  requirements: optional(text({ bytesMax: 4_096 })),
  sites: optional(list(siteName(), { max: 64 })),
})
export type JobChange = Shaped<typeof changeShape>

/** A process beside a running task: begun by the first request of a session, fed by the others. */
export const execShape = record({
  session: hex({ bytes: 16 }),
  task: integer({ min: 0, max: limits.taskNumberMax }),
  /** The command and its arguments; empty in all but the first. */
  command: list(text({ bytesMax: 4_096 }), { max: 256 }),
  /** 1: on a terminal of so many rows and columns. */
  terminal: integer({ min: 0, max: 1 }),
  rows: integer({ min: 0, max: 10_000 }),
  columns: integer({ min: 0, max: 10_000 }),
  /** Bytes for its input, base64, and how many were sent before them. */
  input: text({ bytesMax: 96 * 1024, pattern: /^[A-Za-z0-9+/]*={0,2}$/ }),
  before: integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  /** 1: no more input comes. */
  end: integer({ min: 0, max: 1 }),
})
export type Exec = Shaped<typeof execShape>

const requestShape = record({
  verb: oneOf(...verbs, ...looks),
  /** An id or the beginning of one; '' to list. */
  job: text({ bytesMax: 12, pattern: /^([0-9a-f]{4,12})?$/ }),
  user: text({ bytesMax: 64, pattern: /^[A-Za-z0-9._-]{1,64}$/ }),
  /** Of who asks. */
  key: hex({ bytes: 32 }),
  /** '': wherever the job's home is; only to `locate`. */
  home: text({ bytesMax: 253 }),
  /** The site at which it was handed in. */
  via: siteName(),
  at: integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  nonce: hex({ bytes: 16 }),
  /** Which tasks, as canonical ranges; absent: all. */
  tasks: optional(text({ bytesMax: 16_384 })),
  signal: optional(oneOf(...signalNames)),
  /** With `move`: to these sites only; empty: away from where it is. */
  sites: optional(list(siteName(), { max: 64 })),
  change: optional(changeShape),
  exec: optional(execShape),
})
export type JobRequest = Shaped<typeof requestShape>
export type Verb = typeof verbs[number]

export const requestAgeMsMax = 10 * 60_000
export const requestBytesMax = 128 * 1024

export interface RequestRefusal {
  readonly reason: 'malformed' | 'bad_signature' | 'too_old' | 'not_here'
  readonly detail: string
}

export function signRequest(request: JobRequest, signer: Signer): string {
  return seal('request', unshape(request), signer).note
}

/** [ASK-4] What a host is shown, before it lets somebody into a task: the owner's own request. */
export function readExec(
  note: string, owner: { readonly key: string; readonly home: SiteName; readonly nowMs: number },
): Outcome<JobRequest & { readonly exec: Exec }, RequestRefusal> {
  const signed = readSigned(note)
  if (!signed.ok) return signed
  const { exec, verb, key, home } = signed.value
  if (verb !== 'exec' || !exec || key !== owner.key || home !== owner.home) {
    const detail = 'it is not the request of the owner of this job, by its home'
    return refuse({ reason: 'not_here', detail })
  }
  const late = tooOld(signed.value, owner.nowMs)
  return late ? refuse(late) : ok({ ...signed.value, exec })
}

/** [ASK-1] but for whose job it is: `from` is the site that has brought it. */
export function readRequest(
  note: string,
  { site, from, nowMs }: {
    readonly site: SiteName; readonly from: SiteName; readonly nowMs: number
  },
): Outcome<JobRequest, RequestRefusal> {
  const signed = readSigned(note)
  if (!signed.ok) return signed
  const request = signed.value
  const isHere = request.home === site || (request.home === '' && request.verb === 'locate')
  if (!isHere || request.via !== from) {
    const detail = `it is for ${request.home || 'any site'} by ${request.via}, and came to ` +
      `${site} from ${from}`
    return refuse({ reason: 'not_here', detail })
  }
  const late = tooOld(request, nowMs)
  return late ? refuse(late) : signed
}

/** With a signature that holds. */
function readSigned(note: string): Outcome<JobRequest, RequestRefusal> {
  const sealed = parseSealed(note, { bytesMax: requestBytesMax })
  if (!sealed.ok) return refuse({ reason: 'malformed', detail: sealed.refusal.detail })
  if (sealed.value.kind !== 'request') {
    return refuse({ reason: 'malformed', detail: `expected a request, got ${sealed.value.kind}` })
  }
  const decoded = shaped(requestShape, sealed.value.body)
  if (!decoded.ok) return refuse({ reason: 'malformed', detail: decoded.refusal.detail })
  const request = decoded.value
  const verifier = { name: userSignerName(request.user), publicKey: fromHex(request.key)! }
  if (verifySealed(sealed.value, verifier)) return ok(request)
  return refuse({ reason: 'bad_signature', detail: `not signed by the key of ${request.user}` })
}

function tooOld({ at }: JobRequest, nowMs: number): RequestRefusal | undefined {
  if (Math.abs(nowMs - at) <= requestAgeMsMax) return undefined
  const detail = `it was signed at ${at}, our clock says ${nowMs}: at most 10 minutes may lie ` +
    'between; ask again, and look at the clocks'
  return { reason: 'too_old', detail }
}

export function isVerb(word: JobRequest['verb']): word is Verb {
  return (verbs as readonly string[]).includes(word)
}
