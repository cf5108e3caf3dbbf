// The two checks for our own mistakes. They are always on: a broken invariant stops the process and
// recovery is a restart. Input from outside is never checked here; it gets a refusal.

export class BrokenInvariant extends Error {
  override name = 'BrokenInvariant'
}

/** Stops the process when `condition` does not hold; `message` names the invariant. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new BrokenInvariant(message)
}

/** The default branch of a switch over a closed union: adding a case breaks the build here. */
export function unreachable(value: never): never {
  throw new BrokenInvariant(`unreachable case: ${JSON.stringify(value)}`)
}
