// Which task of a job a command is about: the one that is named, or the only one.

import { usageFailure } from './failure.ts'
import type { JobHome } from './job-home.ts'

export function taskMeant({ name, detail }: JobHome, option: string | undefined): number {
  const text = option ?? name.tasks
  if (text !== undefined) {
    if (/^[0-9]{1,9}$/.test(text)) return Number(text)
    throw usageFailure(`--task: expected a task's number, got '${text}'`)
  }
  const running = detail.taskRows.filter(({ state }) => state === 'running')
  if (detail.tasks.total === 1 || running.length === 1) return running[0]?.task ?? 0
  const some = running.slice(0, 5).map(({ task }) => task).join(', ')
  throw usageFailure(`job ${detail.job} has ${detail.tasks.total} tasks; say which with --task N` +
    (running.length > 0 ? `; ${some} run now` : '; none runs now'))
}
