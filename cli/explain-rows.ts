// What was understood of a script, a row each: what it asks for, from which line, or by default.
// Text only.

import { formatRanges, rangesSize } from '../protocol/base/ranges.ts'
import { formatCredits, formatDuration } from '../protocol/base/units.ts'
import type { Directives } from '../protocol/rules/directives.ts'
import type { BeginOption, JobOptions } from '../protocol/rules/job-options.ts'
import { jobDefaults, sizeOf } from './job-request.ts'
import type { WholeOptions } from './job-script.ts'
import { plural } from './output.ts'

export interface ExplainRow {
  readonly what: string
  readonly value: string
  /** `line`: of the script. */
  readonly from: 'line' | 'command line' | 'site' | 'default'
  /** Counted from 1; 0 when it is from no line. */
  readonly line: number
  /** As written there; '' by default. */
  readonly option: string
}

export interface Explained {
  readonly directives: Directives
  readonly options: WholeOptions
  readonly fallbackName: string
  readonly interpreter: string
}

export function explainRows(explained: Explained): ExplainRow[] {
  const { directives, options: { merged }, fallbackName, interpreter } = explained
  const rows: ExplainRow[] = []
  const add = (what: string, value: string, ...keys: readonly (keyof JobOptions)[]): void => {
    rows.push({ what, value, ...sourceOf(explained, keys) })
  }
  add('name', merged.name ?? fallbackName, 'name')
  if (directives.dialect !== undefined) {
    add('interpreter', interpreter, 'shell')
  }
  if (merged.array) add('tasks', arrayText(merged.array), 'array')
  addSize(merged, add)
  add('walltime', formatDuration(merged.walltimeSeconds ?? jobDefaults.walltimeSeconds),
    'walltimeSeconds')
  if (merged.gpuModel !== undefined) add('GPU model', merged.gpuModel, 'gpuModel')
  if (merged.licences) {
    const words = merged.licences.map(({ name, count }) => `${name}:${count}`)
    add('licences', words.join(', '), 'licences')
  }
  if (merged.queue !== undefined) add('queue', merged.queue, 'queue')
  if (merged.project !== undefined) add('project', merged.project, 'project')
  addWhen(merged, add)
  addFiles(merged, add)
  addMarket(merged, add)
  return rows
}

type Add = (what: string, value: string, ...keys: readonly (keyof JobOptions)[]) => void

function arrayText({ tasks, atOnce }: NonNullable<JobOptions['array']>): string {
  const list = formatRanges(tasks)
  const shown = list.length > 60 ? `${list.slice(0, 57)}...` : list
  const limit = atOnce > 0 ? `, at most ${atOnce} at once` : ''
  return `${shown} (${plural(rangesSize(tasks), 'task')}${limit})`
}

function addSize(merged: JobOptions, add: Add): void {
  const size = sizeOf(merged)
  if (size.chunks) {
    const nodes = size.chunks.reduce((sum, chunk) => sum + chunk.nodes, 0)
    const words = size.chunks.map((chunk) => {
      const gpus = chunk.gpus > 0 ? `, ${plural(chunk.gpus, 'GPU')}` : ''
      return `${chunk.nodes} x (${plural(chunk.cores, 'core')}, ${mib(chunk.memory_mib)}${gpus})`
    })
    add('nodes', `${nodes}: ${words.join(' + ')}`, 'chunks')
  }
  add('cores', String(size.cores), 'cores', 'chunks')
  const memoryKeys = ['memoryMib', 'memoryMibPerCore'] as const
  add('memory', mib(size.memory_mib), ...memoryKeys)
  if (size.gpus > 0) add('GPUs', String(size.gpus), 'gpus', 'chunks')
}

export function mib(count: number): string {
  return count % 1_024 === 0 ? `${count / 1_024} GiB` : `${count} MiB`
}

function addWhen(merged: JobOptions, add: Add): void {
  const { dependencies, begin, hold, priority, rerun } = merged
  if (dependencies) {
    const words = dependencies.list.map(({ kind, job, delaySeconds }) => {
      const delay = delaySeconds > 0 ? ` + ${formatDuration(delaySeconds)}` : ''
      return job === '' ? kind : `${kind} ${job}${delay}`
    })
    add('after', words.join(dependencies.any ? ' or ' : ' and '), 'dependencies')
  }
  if (begin) add('begin', beginText(begin), 'begin')
  if (hold === true) add('hold', 'until gridnode release', 'hold')
  if (priority !== undefined) add('priority', String(priority), 'priority')
  if (rerun !== undefined) add('rerun', rerun ? 'yes' : 'no', 'rerun')
}

export function beginText(begin: BeginOption): string {
  if (begin.kind === 'in') return `${formatDuration(begin.seconds)} after it is submitted`
  const two = (value: number): string => String(value).padStart(2, '0')
  const clock = `${two(begin.hour)}:${two(begin.minute)}:${two(begin.second)}`
  if (begin.day === undefined) return `the next ${clock}`
  const month = begin.month === undefined ? 'the next' : two(begin.month)
  const year = begin.year === undefined ? '' : `${begin.year}-`
  return begin.month === undefined ? `${month} ${begin.day}. at ${clock}`
    : `${year}${month}-${two(begin.day)} ${clock}`
}

function addFiles(merged: JobOptions, add: Add): void {
  const { inputs, outputs, environment, wholeEnvironment } = merged
  if (inputs) {
    const words = inputs.map(({ path, name }) => name === undefined ? path : `${path}=${name}`)
    add('in', words.join(', '), 'inputs')
  }
  if (outputs) add('out', outputs.join(', '), 'outputs')
  const variables = (environment ?? []).map(({ name, value }) =>
    value === undefined ? name : `${name}=${value}`)
  if (wholeEnvironment === true) {
    add('variables', ['all of yours', ...variables].join(', '), 'wholeEnvironment', 'environment')
  } else if (variables.length > 0) add('variables', variables.join(', '), 'environment')
  if (merged.stdoutPath !== undefined) add('stdout', merged.stdoutPath, 'stdoutPath')
  if (merged.joinStreams === true) add('stderr', 'with stdout', 'joinStreams')
  else if (merged.stderrPath !== undefined) add('stderr', merged.stderrPath, 'stderrPath')
  if (merged.workDirectory !== undefined) {
    const own = merged.workDirectory === '.' ? "where it is submitted (the task's own)"
      : merged.workDirectory
    add('directory', own, 'workDirectory')
  }
}

function addMarket(merged: JobOptions, add: Add): void {
  if (merged.requirements !== undefined) add('require', merged.requirements, 'requirements')
  if (merged.rank !== undefined) add('rank', merged.rank, 'rank')
  add('policy', merged.policy ?? jobDefaults.policy, 'policy')
  add('budget', formatCredits(merged.budget ?? jobDefaults.budget), 'budget')
  if (merged.allocation !== undefined) add('allocation', merged.allocation, 'allocation')
  add('place', merged.place ?? jobDefaults.place, 'place')
  if (merged.sites) add('sites', merged.sites.join(', '), 'sites')
  add('start within',
    formatDuration(merged.startWithinSeconds ?? jobDefaults.startWithinSeconds),
    'startWithinSeconds')
}

function sourceOf(
  { directives, options: { commandLine, site } }: Explained, keys: readonly (keyof JobOptions)[],
): Pick<ExplainRow, 'from' | 'line' | 'option'> {
  for (const key of keys) {
    if (commandLine[key] !== undefined) return { from: 'command line', line: 0, option: '' }
  }
  for (const key of keys) {
    const line = directives.lines[key]
    const option = directives.written[key] ?? ''
    if (line !== undefined) return { from: line > 0 ? 'line' : 'command line', line, option }
  }
  const isSite = keys.some((key) => site[key] !== undefined)
  return { from: isSite ? 'site' : 'default', line: 0, option: '' }
}
