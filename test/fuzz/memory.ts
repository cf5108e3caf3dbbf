// What stays in memory once everything that can be let go is gone.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Bytes on the heap and outside of it, after a collection. */
export function bytesKept(): number {
  // Twice: what is outside of the heap goes with the second one.
  collect()
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** Between two targets no more than this may stay: caches have bounds. */
export const keptBytesMax = 48 * 1024 * 1024
