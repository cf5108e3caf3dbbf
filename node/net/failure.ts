// What went wrong outside: an Error with a code that callers can tell apart and, where there is
// one, a cause.

export type FailureCode =
  | 'down' // no connection to the peer, and none could be made
  | 'broken' // the connection ended in the middle
  | 'timeout' // no answer in time
  | 'aborted' // the caller gave up
  | 'busy' // a bound on streams is reached; later may do
  | 'malformed' // the peer does not speak the protocol, or too much of it
  | 'refused' // the peer answered that it will not
  | 'unknown-site' // no such member

export type Failure = Error & { readonly code: string }

export function failure(code: FailureCode, message: string, cause?: unknown): Failure {
  return Object.assign(new Error(message, cause === undefined ? {} : { cause }), { code })
}

/** What the peer said when it refused: its code, told from our own by `refused:`, and its text. */
export function remoteFailure(code: string, message: string): Failure {
  return Object.assign(new Error(message), { code: code === '' ? 'refused' : `refused:${code}` })
}

export function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : ''
}

/**
 * True for an error with a code of this project, which is meant for the peer. The system's codes
 * are in capitals, and their texts name our files.
 */
export function mayTravel(error: unknown): boolean {
  return /^[a-z][a-z0-9:-]{0,63}$/.test(codeOf(error))
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** An error of our own in a callback stops the process: it must not look like a broken peer. */
export function crash(error: unknown): void {
  queueMicrotask(() => {
    throw error
  })
}
