// Named counts that only grow, for metrics and tests.

export interface Counters {
  add(name: string, by?: number): void
  get(name: string): number
  all(): Record<string, number>
}

export function openCounters(): Counters {
  const counts = new Map<string, number>()
  return {
    add(name, by = 1) {
      counts.set(name, (counts.get(name) ?? 0) + by)
    },
    get: (name) => counts.get(name) ?? 0,
    all: () => Object.fromEntries(counts),
  }
}
