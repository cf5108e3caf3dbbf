// The log for the other members, over the network between the nodes: one file a request, as
// tlog-tiles names them. What both sides of it share: the header and the answer.
//
//     header   {"kind":"gridnode/v1/log","path":"tile/0/000"}
//     answer   a byte 1, then the file; or a byte 0 alone: no such file
//
// Invariants: a member gets no more than its rate; memory is that of a bounded number of files,
// however many members read.

import { decode, encode } from '../../protocol/base/encoding.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import { limits } from '../../protocol/base/limits.ts'
import { literal, record, shaped, text } from '../../protocol/base/shape.ts'
import { openRate } from '../net/rate.ts'
import { StoreError } from '../store/store-error.ts'
import type { LiveLog } from './live-log.ts'

const kind = 'gridnode/v1/log'
const headerStart = `{"kind":"${kind}",`
const headerBytesMax = 256
const headerShape = record({ kind: literal(kind), path: text({ bytesMax: 128 }) })

export const filePresent = 1
export const fileAbsent = 0

export interface PeerLogBounds {
  readonly filesPerMinute: number
  readonly bytesPerMinute: number
  /** Files that are read or sent at once, to all members together. */
  readonly inWorkMax: number
}

/** Enough for an audit of a million entries in some two minutes. */
export const peerLogBounds: PeerLogBounds = {
  filesPerMinute: 6_000,
  bytesPerMinute: 1024 * 1024 * 1024,
  inWorkMax: 32,
}

export interface PeerLog {
  /** Whether a bulk stream with this header asks for a file of the log. */
  isAsked(header: string): boolean
  /** Throws an error whose code travels: `malformed`, `busy`, `quarantined`, `internal`. */
  serve(from: SiteName, header: string): AsyncGenerator<Uint8Array, void, undefined>
}

export function logHeader(path: string): string {
  return encode({ kind, path })
}

export function openPeerLog(
  log: Pick<LiveLog, 'file'>, bounds: Partial<PeerLogBounds> = {},
): PeerLog {
  const { filesPerMinute, bytesPerMinute, inWorkMax } = { ...peerLogBounds, ...bounds }
  const files = openRate(filesPerMinute, limits.sitesMax)
  const bytes = openRate(bytesPerMinute, limits.sitesMax)
  let inWork = 0
  return {
    isAsked: (header) => header.startsWith(headerStart),
    async *serve(from, header) {
      const decoded = decode(header, { bytesMax: headerBytesMax })
      const asked = decoded.ok ? shaped(headerShape, decoded.value) : decoded
      if (!asked.ok) throw told('malformed', asked.refusal.detail)
      if (!files.allow(from)) throw told('busy', 'too many files of the log; go on more slowly')
      if (inWork >= inWorkMax) throw told('busy', 'too many read the log at once; come again')
      inWork += 1
      try {
        const file = await fileOf(log, asked.value.path)
        if (file && !bytes.allow(from, file.length)) {
          throw told('busy', 'too many bytes of the log; go on more slowly')
        }
        yield Uint8Array.of(file ? filePresent : fileAbsent)
        if (file) yield file
      } finally {
        inWork -= 1
      }
    },
  }
}

async function fileOf(log: Pick<LiveLog, 'file'>, path: string): Promise<Uint8Array | undefined> {
  try {
    return (await log.file(path))?.bytes
  } catch (error) {
    if (error instanceof StoreError && error.code === 'QUARANTINE') {
      throw told('quarantined', 'this site shows no head of its log at present')
    }
    throw error
  }
}

/** An error that the other side is told of. */
function told(code: string, message: string): Error {
  return Object.assign(new Error(message), { code })
}
