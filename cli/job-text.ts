// The sentences about jobs that several commands share. Text only.

import type { JobDetail, JobSummary, TaskCounts, TaskRow } from '../node/http/api.ts'
import type { Context } from './command.ts'
import { wrap } from './command.ts'
import type { Style } from './output.ts'
import { credits, plural, printable } from './output.ts'

/** `3 of 16 done, 5 running, 8 queued`: what is not, is not said. */
export function tasksText(tasks: TaskCounts): string {
  const parts = [`${tasks.done} of ${plural(tasks.total, 'task')} done`]
  for (const state of ['failed', 'cancelled', 'running', 'queued', 'waiting'] as const) {
    if (tasks[state] > 0) parts.push(`${tasks[state]} ${state}`)
  }
  return parts.join(', ')
}

export function paintState(state: string, style: Style): string {
  switch (state) {
    case 'done':
    case 'up':
      return style.green(state)
    case 'failed':
    case 'expired':
    case 'down':
      return style.red(state)
    case 'cancelled':
      return style.yellow(state)
    case 'active':
    case 'running':
    case 'returning':
      return style.cyan(state)
    default:
      return state
  }
}

export function endedText(summary: JobSummary, style: Style): string {
  const sites = summary.sites.length === 0 ? '' : ` at ${summary.sites.join(', ')}`
  return `job ${summary.job} ${paintState(summary.state, style)}: ${tasksText(summary.tasks)}` +
    `${sites}, ${credits(summary.spent)} cr`
}

const failedShown = 10

/** Why tasks failed, the first few; ends with newlines. */
export function failedTasksText(context: Context, detail: JobDetail): string {
  const failed = detail.taskRows
    .filter((row) => row.state === 'failed')
    .toSorted((a, b) => a.task - b.task)
  const lines = failed.slice(0, failedShown).map((row) => `  ${failedTaskText(row)}\n`)
  if (failed.length > failedShown) lines.push(`  and ${failed.length - failedShown} more\n`)
  if (lines.length === 0) {
    const width = Math.min(context.terminal.err.columns(), 100) - 2
    return wrap(printable(detail.note), width).map((line) => `  ${line}\n`).join('')
  }
  const { task } = failed[0]!
  const which = detail.tasks.total > 1 ? ['--task', String(task)] : []
  const next = context.suggest('logs', detail.job, ...which, '--stream', 'stderr')
  return `${lines.join('')}  its words: ${next}\n`
}

function failedTaskText(row: TaskRow): string {
  const code = row.exitCode === undefined || row.exitCode < 0 ? '' : `exit code ${row.exitCode}`
  const detail = row.detail === undefined || row.detail === code ? '' : printable(row.detail)
  const why = [code, detail].filter((part) => part !== '').join(': ')
  return `task ${row.task} failed at ${row.site}${why === '' ? '' : `, ${why}`}`
}
