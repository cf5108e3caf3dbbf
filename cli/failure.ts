// What ends a command with something else than success: the message a person reads and the exit
// code a script reads. The codes are listed by `gridnode help exit-codes`.

export const exitCodes = {
  done: 0,
  /** Refused by the node, or the job failed without an exit code of its own. */
  failed: 1,
  /** Wrong usage: nothing was done. */
  usage: 2,
  /** The node does not answer. */
  unreachable: 3,
  interrupted: 130,
} as const

export class CommandFailure extends Error {
  override name = 'CommandFailure'
  /** A closed, stable word for scripts: printed by --json. */
  readonly code: string
  readonly exitCode: number

  constructor(exitCode: number, code: string, message: string) {
    super(message)
    this.exitCode = exitCode
    this.code = code
  }
}

/** The command line is wrong; nothing was done. */
export function usageFailure(message: string): CommandFailure {
  return new CommandFailure(exitCodes.usage, 'usage', message)
}

/** The command was understood and could not be done. */
export function failure(code: string, message: string): CommandFailure {
  return new CommandFailure(exitCodes.failed, code, message)
}
