// Bounded parallel work and the buffers it shares. All staging in a process draws its chunk-sized
// buffers from one pool, so its memory does not grow with the number of transfers.
//
// Invariant: whoever holds a buffer never waits for a second one.

/**
 * Runs `work` on every item, at most `parallel` at once. After the first error nothing new begins;
 * the error is thrown when all that had begun has ended.
 */
export async function inParallel<Item>(
  items: Iterable<Item> | AsyncIterable<Item>,
  parallel: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const iterator =
    Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]()
  const errors: unknown[] = []
  const worker = async (): Promise<void> => {
    try {
      while (errors.length === 0) {
        const next = await iterator.next()
        if (next.done) return
        await work(next.value)
      }
    } catch (error) {
      errors.push(error)
    }
  }
  await Promise.all(Array.from({ length: parallel }, worker))
  if (errors.length === 0) return
  await iterator.return?.()
  throw errors[0]
}

export interface BufferPool {
  /** Lends a buffer for the time of `work`; waits while all are lent. */
  lend<T>(work: (buffer: Buffer) => Promise<T>): Promise<T>
}

export function openBufferPool(size: {
  readonly count: number
  readonly bytes: number
}): BufferPool {
  const free: Buffer[] = []
  const waiting: ((buffer: Buffer) => void)[] = []
  let made = 0
  const take = (): Buffer | Promise<Buffer> => {
    const buffer = free.pop()
    if (buffer) return buffer
    if (made === size.count) return new Promise((resolve) => waiting.push(resolve))
    made++
    return Buffer.allocUnsafeSlow(size.bytes)
  }
  return {
    async lend(work) {
      const buffer = await take()
      try {
        return await work(buffer)
      } finally {
        const next = waiting.shift()
        if (next) next(buffer)
        else free.push(buffer)
      }
    },
  }
}
