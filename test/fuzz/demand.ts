// What every target demands, said in few words.

/** A promise that an input has broken. */
export class Breach extends Error {
  override readonly name = 'Breach'
}

export function demand(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Breach(what)
}

export function same(again: string | Uint8Array | undefined, input: string | Uint8Array): void {
  const left = typeof again === 'string' ? again : again && Buffer.from(again).toString('latin1')
  const right = typeof input === 'string' ? input : Buffer.from(input).toString('latin1')
  if (left === right) return
  const both = `${left?.slice(0, 300)}\n${right.slice(0, 300)}`
  throw new Breach(`accepted, but its own text is another:\n${both}`)
}

/** Errors of this kind, and no others, may leave `work`. */
export function onlyThrows<T>(
  work: () => T, isExpected: (error: unknown) => boolean,
): T | undefined {
  try {
    return work()
  } catch (error) {
    if (isExpected(error)) return undefined
    throw error
  }
}

export function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
