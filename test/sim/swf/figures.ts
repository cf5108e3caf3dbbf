// What a run of a workload comes to, in the terms of the field: waits, bounded slowdowns (Feitelson
// et al., "Theory and practice in parallel job scheduling", 1997), utilisation, makespan.

import type { Ran } from './central.ts'

export interface Figures {
  readonly jobs: number
  readonly waitSecondsMean: number
  readonly waitSeconds95: number
  readonly slowdownMean: number
  readonly slowdown95: number
  /** Busy core seconds by all core seconds of that span; of 1. */
  readonly utilisation: number
  /** From the first submission to the last end. */
  readonly makespanSeconds: number
}

/** Runs shorter than this would make the slowdown a figure of short jobs alone. */
const boundSeconds = 10

export function waitSeconds({ job, startMs }: Ran): number {
  return (startMs - job.submitMs) / 1_000
}

export function boundedSlowdown(ran: Ran): number {
  const run = ran.job.runMs / 1_000
  return Math.max(1, (waitSeconds(ran) + run) / Math.max(run, boundSeconds))
}

/** What the jobs ran on, or the site that they came from, which may have run others too. */
export interface Busy {
  readonly processors: number
  readonly busyCoreMs: number
  readonly spanMs: number
}

export function figuresOf(
  ran: readonly Ran[], { processors, busyCoreMs: busy, spanMs }: Busy,
): Figures {
  const waits = ran.map(waitSeconds)
  const slowdowns = ran.map(boundedSlowdown)
  return {
    jobs: ran.length,
    waitSecondsMean: mean(waits),
    waitSeconds95: quantile(waits, 0.95),
    slowdownMean: mean(slowdowns),
    slowdown95: quantile(slowdowns, 0.95),
    utilisation: busy / (processors * spanMs),
    makespanSeconds: spanMsOf(ran) / 1_000,
  }
}

/** From the first submission to the last end; at least 1. */
export function spanMsOf(ran: readonly Ran[]): number {
  const first = ran.reduce((least, { job }) => Math.min(least, job.submitMs), Infinity)
  const last = ran.reduce((most, { endMs }) => Math.max(most, endMs), 0)
  return Math.max(1, last - first)
}

export function busyCoreMs(ran: readonly Ran[]): number {
  return ran.reduce((sum, { job, startMs, endMs }) => sum + job.cores * (endMs - startMs), 0)
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length
}

/** The smallest value that so large a part of them does not exceed. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? 0
}
