// What is different between two texts of one config, key by key, and what of it can count while the
// node runs.

import { parse } from 'smol-toml'

/** Sections, and single keys, that a running node takes over; the rest counts from a start on. */
const liveSections = new Set([
  'tariff', 'market', 'credit', 'attributes', 'accounts', 'queues', 'queue',
])
const liveKeys = new Set([
  'scheduler.draining', 'scheduler.speed', 'limits.jobs_open', 'staging.keep_results',
])

export interface ConfigChanges {
  /** Such as `market.window`. */
  readonly live: readonly string[]
  readonly restart: readonly string[]
}

/** Both texts were read without a fault. */
export function configChanges(before: string, after: string): ConfigChanges {
  const [old, now] = [valuesOf(before), valuesOf(after)]
  const keys = [...new Set([...old.keys(), ...now.keys()])].toSorted()
  const changed = keys.filter((key) => old.get(key) !== now.get(key))
  const isLive = (key: string): boolean =>
    liveSections.has(key.split('.', 1)[0]!) || liveKeys.has(key)
  return { live: changed.filter(isLive), restart: changed.filter((key) => !isLive(key)) }
}

function valuesOf(text: string): Map<string, string> {
  const values = new Map<string, string>()
  const tree = parse(text, { integersAsBigInt: true })
  for (const [section, table] of Object.entries(tree)) {
    for (const [key, value] of Object.entries(table)) {
      values.set(`${section}.${key}`, JSON.stringify(value, (_, one: unknown) =>
        typeof one === 'bigint' ? String(one) : one))
    }
  }
  return values
}
