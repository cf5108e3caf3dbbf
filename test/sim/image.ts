// The IMAGE experiment on virtual time: one array of 1,500 equal tasks, a home of 64 slots at speed
// 1 and a second site of 36 slots at speed 3/4, each with the production core and loop. Nobody
// could be done before 17 task lengths: 17 rounds of 64 and 12 of 36 are 1,520 tasks.

import type { Ran } from './swf/central.ts'
import { runFederation } from './swf/federation.ts'
import type { TraceJob, Workload } from './swf/workload.ts'

export interface ImageOptions {
  readonly seed: number
  readonly queueAheadPermille: number
  /** How long a task takes at speed 1. */
  readonly taskMs: number
}

export interface ImageRun {
  /** From the submission to the first start. */
  readonly firstStartMs: number
  /** From the first start to the last end. */
  readonly makespanMs: number
  /** By the least that is possible. */
  readonly ratio: number
  readonly tasks: readonly number[]
  /** Slots of each site that stood empty before its last end, in task lengths of that site. */
  readonly idle: readonly number[]
  readonly messages: number
}

export const imageTasks = 1_500
/** Task lengths at speed 1. */
export const idealRounds = 17
export const imageSites = [
  { name: 'fast', processors: 64, speedPermille: 1_000 },
  { name: 'slow', processors: 36, speedPermille: 750 },
] as const

export function runImage({ seed, queueAheadPermille, taskMs }: ImageOptions): ImageRun {
  const array: TraceJob = {
    site: 0, submitMs: 0, cores: 1, runMs: taskMs, tasks: imageTasks,
    // People ask for more than they need.
    walltimeSeconds: Math.ceil((2 * taskMs) / 1_000),
  }
  const workloads = imageSites.map((one, site): Workload =>
    ({ ...one, fromSeconds: 0, jobs: site === 0 ? [array] : [] }))
  const { ran, traffic } = runFederation(workloads, { seed, queueAheadPermille })
  if (ran.length !== imageTasks) throw new Error(`${ran.length} runs of ${imageTasks} tasks`)
  const firstStartMs = least(ran.map(({ startMs }) => startMs))
  const makespanMs = most(ran.map(({ endMs }) => endMs)) - firstStartMs
  const here = imageSites.map((_, site) => ran.filter(({ at }) => at === site))
  return {
    firstStartMs,
    makespanMs,
    ratio: makespanMs / (idealRounds * taskMs),
    tasks: here.map(({ length }) => length),
    idle: here.map((one, site) => emptyRounds(one, { site, firstStartMs, taskMs })),
    messages: traffic.reduce((sum, { about }) => sum + about.messages, 0),
  }
}

function emptyRounds(
  ran: readonly Ran[],
  { site, firstStartMs, taskMs }: { site: number; firstStartMs: number; taskMs: number },
): number {
  const { processors, speedPermille } = imageSites[site]!
  if (ran.length === 0) return 0
  const spanMs = most(ran.map(({ endMs }) => endMs)) - firstStartMs
  const busyMs = ran.reduce((sum, { startMs, endMs }) => sum + endMs - startMs, 0)
  return (processors * spanMs - busyMs) / ((taskMs * 1_000) / speedPermille)
}

function least(values: readonly number[]): number {
  return values.reduce((found, value) => Math.min(found, value), Infinity)
}

function most(values: readonly number[]): number {
  return values.reduce((found, value) => Math.max(found, value), -Infinity)
}

/** One row for each depth of the queue, as docs/SIMULATOR.md has them. */
export function imageTable(
  depths: readonly number[], options: Omit<ImageOptions, 'queueAheadPermille'>,
): string[] {
  const rows = depths.map((depth) => {
    const run = runImage({ ...options, queueAheadPermille: depth })
    return `| ${depth / 1_000} | ${(run.firstStartMs / 1_000).toFixed(1)} s | ` +
      `${(run.makespanMs / options.taskMs).toFixed(3)} | ${run.ratio.toFixed(4)} | ` +
      `${run.tasks.join(' + ')} | ${run.idle.map((rounds) => rounds.toFixed(1)).join(' + ')} | ` +
      `${(run.messages / imageTasks).toFixed(2)} |`
  })
  return [
    '| queue_ahead | first start after | makespan, task lengths | of the ideal 17 | ' +
      'tasks, fast + slow | slots empty, task lengths | messages a task |',
    '|---|---|---|---|---|---|---|',
    ...rows,
  ]
}
