// How much a source may send: a bucket that fills evenly and holds one minute's worth.

import { clock } from '../clock.ts'

export interface Rate {
  /** True when `amount` is within the rate of `source`; then it is spent. */
  allow(source: string, amount?: number): boolean
}

/** Sources beyond `sourcesMax` replace the one that was silent longest. */
export function openRate(perMinute: number, sourcesMax: number): Rate {
  const buckets = new Map<string, { level: number; atMs: number }>()
  return {
    allow(source, amount = 1) {
      const nowMs = clock.monotonicMs()
      const bucket = buckets.get(source) ?? { level: perMinute, atMs: nowMs }
      const filled = bucket.level + ((nowMs - bucket.atMs) * perMinute) / 60_000
      bucket.level = Math.min(perMinute, filled)
      bucket.atMs = nowMs
      buckets.delete(source)
      buckets.set(source, bucket)
      if (buckets.size > sourcesMax) {
        for (const oldest of buckets.keys()) {
          buckets.delete(oldest)
          break
        }
      }
      if (bucket.level < amount) return false
      bucket.level -= amount
      return true
    },
  }
}
