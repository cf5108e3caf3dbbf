// Something that a person can mend before the node runs: a config, a key file, a lock, a token. The
// message says what was expected, what came and what to do next; `code` is for programs.

export type ProblemCode =
  | 'config' // the config file is wrong
  | 'key' // a key file is missing, unsafe or not a key
  | 'locked' // another process runs on this data directory
  | 'exists' // what was to be made is there already
  | 'socket' // the API's socket cannot be made
  | 'token' // a token to join is malformed, expired or for somebody else
  | 'refused' // the other site said no
  | 'unreachable' // the other site gave no answer
  | 'untrue' // the other site's answer does not verify
  | 'prune' // entries of the ledger must stay
  | 'account' // a local account is not there, or cannot be used
  | 'scheduler' // the local scheduler does not answer
  | 'system' // the operating system said no

export class Problem extends Error {
  override readonly name = 'Problem'
  readonly code: ProblemCode

  constructor(code: ProblemCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}

/** The system's word for what went wrong, such as `ENOENT`; empty when it is something else. */
export function systemCode(error: unknown): string {
  const code = (error as { code?: unknown } | null | undefined)?.code
  return typeof code === 'string' ? code : ''
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
