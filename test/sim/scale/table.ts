// The table of docs/SIMULATOR.md: federations of several sizes, a column each.

import type { Group, Measured, ScaleOptions } from './measure.ts'
import { measureScale } from './measure.ts'

type Row = readonly [string, (of: Measured) => string]

const whole = (value: number): string => Math.round(value).toLocaleString('en-US')
const fine = (value: number): string => value < 10 ? value.toFixed(2) : whole(value)
const kib = (bytes: number): string => `${fine(bytes / 1_024)} KiB`
const pair = ({ mean, high }: { readonly mean: number; readonly high: number }, unit: number) =>
  `${fine(mean / unit)} s, ${fine(high / unit)} s`

const perJob = (name: string, group: Group): Row =>
  [name, ({ perJob: of }) => `${fine(of[group].messages)}, ${kib(of[group].bytes)}`]
const always = (name: string, group: Group): Row => [name, ({ idle, busy }) =>
  `${kib(idle[group].bytes)}, ${kib(busy[group].bytes)}`]

const rows: readonly Row[] = [
  ['jobs, rounds of auctions', ({ jobs, auctions }) => `${whole(jobs)}, ${whole(auctions)}`],
  perJob('calls, answers, closings for a job', 'auction'),
  perJob('statements and documents', 'award'),
  perJob('reports and acks of 2 minutes', 'run'),
  perJob('receipts', 'receipts'),
  ['submission to award: mean, 95 %', ({ awardMs }) => pair(awardMs, 1_000)],
  ['submission to the scheduler', ({ hostMs }) => pair(hostMs, 1_000)],
  always('gossip of a site in a second: idle, busy', 'gossip'),
  always('summaries, members, offers', 'directory'),
  always('heads of logs', 'heads'),
  ['offers that a site knows', ({ known }) => fine(known)],
  ['their age: mean, 95 %', ({ ageSeconds }) => pair(ageSeconds, 1)],
  ['of these outdated', ({ outdatedPermille }) => `${(outdatedPermille / 10).toFixed(1)} %`],
  ['batches on the disk in a second, idle', ({ commitsPerIdleSecond: commits }) => fine(commits)],
  ['processor time: for a job', ({ cpuMsPerJob }) => `${fine(cpuMsPerJob)} ms`],
  ['for a site and second, idle', ({ cpuMsPerIdleSecond }) => `${fine(cpuMsPerIdleSecond)} ms`],
  ['memory of the simulator for a site', ({ heapBytesPerSite }) => kib(heapBytesPerSite)],
]

/** Measures each size and prints the table when all are done. */
export function scaleTable(
  sizes: readonly number[], options: ScaleOptions, say: (line: string) => void,
): void {
  const columns: Measured[] = []
  for (const sites of sizes) {
    const started = performance.now()
    columns.push(measureScale(sites, options))
    say(`${sites} sites: ${Math.round((performance.now() - started) / 1_000)} s`)
  }
  for (const line of tableOf(columns)) say(line)
}

export function tableOf(columns: readonly Measured[]): string[] {
  return [
    `| sites | ${columns.map(({ sites }) => whole(sites)).join(' | ')} |`,
    `|---|${columns.map(() => '---|').join('')}`,
    ...rows.map(([name, of]) => `| ${name} | ${columns.map(of).join(' | ')} |`),
  ]
}
