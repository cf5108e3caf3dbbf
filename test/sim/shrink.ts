// A smaller run that breaks the same law: faults are left out, sites, jobs, tasks and minutes are
// taken away, as long as what is left still fails. Each try is a whole run of its own, because a
// seed with less in it takes another way.

import type { Overrides, Profile } from './profile.ts'
import { leavable, profileOf } from './profile.ts'
import { run } from './run.ts'

export interface Shrunk {
  readonly overrides: Overrides
  readonly law: string
  /** Lines of its transcript. */
  readonly lines: number
  readonly tries: number
}

/** The law that broke, or the first words of whatever else went wrong. */
export function lawOf(error: unknown): string {
  const { cause } = error as { readonly cause?: unknown }
  const text = cause instanceof Error ? cause.message : String(cause ?? error)
  const [line = ''] = text.split('\n', 1)
  return /^(laws? [0-9]( and [0-9])?|[A-Z]+-[0-9]+|calm|I[0-9]+)(?=[:,])/.exec(line)?.[0]
    ?? line.slice(0, 60)
}

export interface Failure {
  readonly law: string
  readonly lines: number
}

function failureOf(profile: Profile): Failure | undefined {
  let lines = 0
  try {
    run(profile, { trace: () => void lines++ })
    return undefined
  } catch (error) {
    return { law: lawOf(error), lines }
  }
}

/** Undefined when the seed does not fail at all. */
export function shrink(
  seed: number, overrides: Overrides,
  { secondsMax, say, attempt = failureOf }: {
    readonly secondsMax: number
    readonly say: (line: string) => void
    readonly attempt?: (profile: Profile) => Failure | undefined
  },
): Shrunk | undefined {
  const first = attempt(profileOf(seed, overrides))
  if (!first) return undefined
  const started = performance.now()
  let best: Shrunk = { overrides, ...first, tries: 0 }
  let tries = 0
  for (let better = true; better;) {
    better = false
    for (const smaller of smallerThan(profileOf(seed, best.overrides), best.overrides)) {
      if (performance.now() - started > secondsMax * 1_000) return { ...best, tries }
      tries++
      const failure = attempt(profileOf(seed, smaller))
      if (failure?.law !== best.law) continue
      best = { overrides: smaller, ...failure, tries }
      say(`${failure.law} still, in ${failure.lines} lines: ${said(smaller)}`)
      better = true
      break
    }
  }
  return { ...best, tries }
}

/** The largest steps first. */
function* smallerThan(profile: Profile, overrides: Overrides): Iterable<Overrides> {
  const names = leavable(profile)
  const without = overrides.without ?? []
  const half = Math.ceil(names.length / 2)
  if (half > 1) {
    yield { ...overrides, without: [...without, ...names.slice(0, half)] }
    yield { ...overrides, without: [...without, ...names.slice(half)] }
  }
  const { jobs, tasksMax: tasks, minutes: length } = profile
  for (const fewer of smaller(jobs, 1)) yield { ...overrides, jobs: fewer }
  for (const fewer of smaller(profile.sites.length, 2)) yield { ...overrides, sites: fewer }
  for (const fewer of smaller(tasks, 1)) yield { ...overrides, tasks: fewer }
  for (const fewer of smaller(length, 1)) yield { ...overrides, length: fewer }
  for (const name of names) yield { ...overrides, without: [...without, name] }
}

/** Half of it, one less. */
function smaller(count: number, least: number): number[] {
  return [...new Set([Math.floor(count / 2), count - 1])].filter((fewer) =>
    fewer >= least && fewer < count)
}

function said(overrides: Overrides): string {
  return Object.entries(overrides).map(([name, value]) => `--${name} ${String(value)}`).join(' ')
}
