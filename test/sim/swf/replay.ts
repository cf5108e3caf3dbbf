// Replays windows of logs in three ways and tells what came of each: every site alone, the
// federation, and one omniscient scheduler over all processors. The policy of each scheduler is
// the same: first come first served with EASY backfill.

import { writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import type { Ran } from './central.ts'
import { runQueue } from './central.ts'
import type { FederationRun } from './federation.ts'
import { runFederation } from './federation.ts'
import type { Figures } from './figures.ts'
import { busyCoreMs, figuresOf, spanMsOf, waitSeconds } from './figures.ts'
import type { Panel } from './plot.ts'
import { waitsPlot } from './plot.ts'
import { readSwf } from './swf.ts'
import type { Workload } from './workload.ts'
import { offeredLoad, windowAt, workload } from './workload.ts'

export interface ReplayOptions {
  readonly paths: readonly string[]
  readonly hours: number
  /** Where each log's window begins; else by its rank: 0 is its busiest, 0.5 the median. */
  readonly fromSeconds: readonly number[]
  readonly ranks: readonly number[]
  readonly queueAheadPermille: number
  readonly seed: number
  /** Where the picture goes; undefined for none. */
  readonly svg: string | undefined
}

export interface Replayed {
  readonly isolated: readonly Ran[]
  readonly federation: FederationRun
  readonly central: readonly Ran[]
}

const ways = ['isolated', 'federation', 'omniscient'] as const
export function replayLogs(options: ReplayOptions, say: (line: string) => void): void {
  const { paths, hours } = options
  const workloads = paths.map((path, site) => {
    const log = readSwf(path)
    const fromSeconds = options.fromSeconds[site] ?? windowAt(log, hours, options.ranks[site] ?? 0)
    const name = basename(path).replace(/(-cln)?\.swf(\.gz)?$/, '')
    const window = { fromSeconds, hours }
    const one = workload(log, { name, site, window })
    say(`${name}: ${one.processors} processors, ${one.jobs.length} jobs in ${hours} h from ` +
      `second ${fromSeconds}, load ${offeredLoad(log, window).toFixed(2)}` +
      [...log.skipped].map(([why, lines]) => `; ${lines} lines skipped: ${why}`).join(''))
    return one
  })
  const started = performance.now()
  let told = started
  const replayed = replayAll(workloads, options, (ended, of) => {
    if (performance.now() < told + 30_000) return
    told = performance.now()
    say(`  ${ended} of ${of} jobs have ended after ${Math.round((told - started) / 1_000)} s`)
  })
  for (const line of tableOf(workloads, replayed)) say(line)
  say(`${Math.round((performance.now() - started) / 1_000)} s`)
  if (options.svg !== undefined) {
    writeFileSync(options.svg, waitsPlot(
      `Waiting times, ${hours} h of ${workloads.map(({ name }) => name).join(', ')}`,
      panelsOf(workloads, replayed)))
    say(`waiting times: ${options.svg}`)
  }
}

export function replayAll(
  workloads: readonly Workload[],
  { seed, queueAheadPermille }: Pick<ReplayOptions, 'seed' | 'queueAheadPermille'>,
  progress?: (ended: number, of: number) => void,
): Replayed {
  const all = workloads.flatMap(({ jobs }) => jobs)
  const processors = workloads.reduce((sum, one) => sum + one.processors, 0)
  const isolated = workloads.flatMap((one, at) =>
    runQueue(one.processors, one.jobs).map((ran) => ({ ...ran, at })))
  const federation = runFederation(workloads, {
    seed, queueAheadPermille, ...(progress && { progress }),
  })
  return { isolated, federation, central: runQueue(processors, all) }
}

function runsOf({ isolated, federation, central }: Replayed): readonly (readonly Ran[])[] {
  return [isolated, federation.ran, central]
}

/** Figures of the jobs of one site, or of all; the utilisation is of what ran at the site. */
function figures(ran: readonly Ran[], workloads: readonly Workload[], site?: number): Figures {
  const own = site === undefined ? ran : ran.filter(({ job }) => job.site === site)
  const there = site === undefined ? ran : ran.filter(({ at }) => at === site)
  const processors = site === undefined
    ? workloads.reduce((sum, one) => sum + one.processors, 0) : workloads[site]!.processors
  const spanMs = spanMsOf([...own, ...there])
  return figuresOf(own, { processors, busyCoreMs: busyCoreMs(there), spanMs })
}

function tableOf(workloads: readonly Workload[], replayed: Replayed): string[] {
  const rows = [[
    '', '', 'jobs', 'wait, mean', '95 %', 'slowdown, mean', '95 %', 'utilisation', 'makespan',
  ]]
  const groups = [...workloads.map(({ name }, site) => ({ name, site })), { name: 'all' }]
  for (const { name, site } of groups as { name: string; site?: number }[]) {
    for (const [way, ran] of runsOf(replayed).entries()) {
      const one = figures(ran, workloads, site)
      const known = site === undefined || ways[way] !== 'omniscient'
      rows.push([
        way === 0 ? name : '', ways[way]!, String(one.jobs), minutes(one.waitSecondsMean),
        minutes(one.waitSeconds95), one.slowdownMean.toFixed(2), one.slowdown95.toFixed(2),
        known ? `${(one.utilisation * 100).toFixed(0)} %` : '', hours(one.makespanSeconds),
      ])
    }
  }
  return [...aligned(rows), '', ...trafficLines(workloads, replayed), '',
    aimLine(workloads, replayed)]
}

function trafficLines(workloads: readonly Workload[], { federation }: Replayed): string[] {
  const rows = [['', 'jobs', 'moved in', 'messages a job', 'KiB a job', 'messages an hour beside',
    'KiB an hour beside', 'credits earned', 'spent']]
  for (const [site, { name, jobs }] of workloads.entries()) {
    const { about, beside } = federation.traffic[site]!
    const credits = federation.credits[site]!
    const movedIn = federation.ran.filter(({ job, at }) => at === site && job.site !== site)
    rows.push([
      name, String(jobs.length), String(movedIn.length),
      (about.messages / jobs.length).toFixed(1),
      (about.bytes / 1_024 / jobs.length).toFixed(1),
      (beside.messages / federation.hours).toFixed(0),
      (beside.bytes / 1_024 / federation.hours).toFixed(0),
      credits.earned.toFixed(1), credits.spent.toFixed(1),
    ])
  }
  return aligned(rows)
}

function aimLine(workloads: readonly Workload[], replayed: Replayed): string {
  const [isolated, federation, central] = runsOf(replayed).map((ran) =>
    figures(ran, workloads).slowdownMean) as [number, number, number]
  const beside = (federation / central - 1) * 100
  return `mean bounded slowdown: ${isolated.toFixed(2)} isolated, ${federation.toFixed(2)} ` +
    `federated (${(isolated / federation).toFixed(2)} times better), ${central.toFixed(2)} ` +
    `omniscient (the federation is ${Math.abs(beside).toFixed(1)} % ` +
    `${beside > 0 ? 'worse' : 'better'})`
}

function panelsOf(workloads: readonly Workload[], replayed: Replayed): Panel[] {
  const curves = (site?: number): Panel['curves'] => runsOf(replayed).map((ran, way) => ({
    label: ways[way]!,
    waitSeconds: ran.filter(({ job }) => site === undefined || job.site === site).map(waitSeconds),
  }))
  const sites = workloads.map(({ name, processors }, site) =>
    ({ title: `${name}, ${processors} processors`, curves: curves(site) }))
  return [...sites, { title: 'all', curves: curves() }]
}

function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, at) =>
    rows.reduce((most, row) => Math.max(most, row[at]?.length ?? 0), 0))
  return rows.map((row) => row.map((cell, at) =>
    /^[0-9]/.test(cell) || (row === rows[0] && at > 0)
      ? cell.padStart(widths[at]!) : cell.padEnd(widths[at]!)).join('  ').trimEnd())
}

function minutes(seconds: number): string {
  return seconds < 60 ? `${seconds.toFixed(0)} s` : `${(seconds / 60).toFixed(1)} min`
}

function hours(seconds: number): string {
  return `${(seconds / 3_600).toFixed(1)} h`
}
