// What can fail while files are staged, each with a code that the caller can act on.

import { formatBytes } from '../../protocol/base/units.ts'

export type StagingCode =
  /** No room in the spool: quota or disk. */
  | 'SPOOL_FULL'
  /** The spool holds something that we never wrote. */
  | 'SPOOL_BROKEN'
  /**
   * A chunk that must be here is not (or was corrupt and has been removed): fetch the tree again.
   */
  | 'CHUNK_MISSING'
  /** A peer sent other bytes than were asked for, again and again. */
  | 'CHUNK_MISMATCH'
  /** The peer does not have a chunk of its own tree. */
  | 'CHUNK_ABSENT'
  /** The peer does not let us have a chunk. */
  | 'CHUNK_REFUSED'
  /** What a peer calls a tree breaks a rule of staging. */
  | 'TREE_REFUSED'
  /** A peer broke the framing. */
  | 'FRAME_BROKEN'
  /** A peer's request for chunks cannot be read. */
  | 'REQUEST_REFUSED'
  /** The stream ended early; what came is kept, fetching again goes on from there. */
  | 'TRANSFER_INTERRUPTED'
  /** A file changed while it was read. */
  | 'FILE_CHANGED'
  /** Too many files or bytes. */
  | 'TREE_TOO_LARGE'
  /** A file or directory that cannot be staged: outside link, special file, unusable name. */
  | 'PATH_REFUSED'
  /** Something in the way in a job's directory, such as a symbolic link. */
  | 'PLACE_REFUSED'

export class StagingError extends Error {
  override readonly name = 'StagingError'
  readonly code: StagingCode
  constructor(code: StagingCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause })
    this.code = code
  }
}

export function spoolFull(where: string, need: { sizeBytes: number; limit: string }): StagingError {
  return new StagingError(
    'SPOOL_FULL',
    `the spool ${where} is full: ${formatBytes(need.sizeBytes)} more do not fit in ` +
      `${need.limit}; ` +
      'fetch or cancel finished jobs, or raise the limit in the configuration',
  )
}

/** The system's code of an error (ENOENT …), or ''. */
export function systemCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

/** A failed write as the caller should see it: a full disk is a full spool. */
export function writeError(error: unknown, where: string, sizeBytes: number): unknown {
  const code = systemCode(error)
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error
  const full = spoolFull(where, { sizeBytes, limit: `what the disk has left (${code})` })
  full.cause = error
  return full
}

export function quoted(path: string): string {
  return JSON.stringify(path.length > 200 ? `${path.slice(0, 200)}…` : path)
}
