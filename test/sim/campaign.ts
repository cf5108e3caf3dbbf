// Many seeds, one after the other, each said with what it came to; at the end the counts. The
// seeds of a random campaign are said first, so that all of it can be run again.

import type { Overrides } from './profile.ts'
import { commandFor, profileOf } from './profile.ts'
import { run } from './run.ts'

export interface Campaign {
  readonly first: number
  readonly last: number
  /** No new seed is begun after so long. */
  readonly secondsMax?: number
  readonly overrides: Overrides
  readonly trace?: (line: string) => void
}

export interface Counts {
  seeds: number
  failed: number[]
  jobs: number
  crashes: number
  commits: number
  messages: number
  virtualHours: number
  seconds: number
}

/** Says a line for each seed, and what is wrong with those that fail. */
export function campaign(
  { first, last, secondsMax, overrides, trace }: Campaign, say: (line: string) => void,
): Counts {
  const started = performance.now()
  const seconds = (): number => (performance.now() - started) / 1_000
  const counts: Counts = {
    seeds: 0, failed: [], jobs: 0, crashes: 0, commits: 0, messages: 0, virtualHours: 0,
    seconds: 0,
  }
  for (let seed = first; seed <= last; seed++) {
    if (secondsMax !== undefined && seconds() >= secondsMax) break
    const before = performance.now()
    counts.seeds++
    try {
      const profile = profileOf(seed, overrides)
      const { world, hash, virtualMs } = run(profile, trace ? { trace } : {})
      const { commits, crashes, messages } = world.counts()
      counts.jobs += world.jobs.size
      counts.crashes += crashes
      counts.commits += commits
      counts.messages += messages
      counts.virtualHours += virtualMs / 3_600_000
      say(`seed ${seed} ${profile.name}: ` +
        `${profile.sites.length} sites, ${world.jobs.size} jobs, ` +
        `${crashes} crashes, ${commits} commits, ${Math.round(virtualMs / 1_000)} s virtual, ` +
        `${Math.round(performance.now() - before)} ms, ${hash}`)
    } catch (error) {
      counts.failed.push(seed)
      say(error instanceof Error ? error.message : String(error))
    }
  }
  return { ...counts, seconds: seconds() }
}

/** The counts in a sentence, and how to run again what failed. */
export function summed(counts: Counts, { overrides }: Campaign): string[] {
  const { seeds, failed, jobs, crashes, commits, messages, virtualHours, seconds } = counts
  return [
    ...failed.map((seed) => `failed: ${commandFor(seed, overrides)}`),
    `${seeds} seeds: ${jobs} jobs, ${crashes} crashes, ${commits} commits, ` +
      `${messages} messages, ${virtualHours.toFixed(1)} h virtual`,
    `${failed.length} failed, ${seconds.toFixed(1)} s`,
  ]
}
