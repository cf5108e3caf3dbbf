// When a job may begin: names of other jobs and times of day turned into what a document carries.

import type { JobSummary } from '../node/http/api.ts'
import { apiPaths } from '../node/http/api.ts'
import { jobOfDecimal } from '../protocol/base/decimal-id.ts'
import { nextTime } from '../protocol/rules/begin-time.ts'
import type { BeginOption, DependenciesOption } from '../protocol/rules/job-options.ts'
import type { Context } from './command.ts'
import { CommandFailure, failure, usageFailure } from './failure.ts'
import type { ResolvedDependencies } from './job-request.ts'

/** In the time zone of who submits. */
export function beginEpochMs(
  begin: BeginOption | undefined, nowEpochMs: number,
): number | undefined {
  if (begin === undefined) return undefined
  if (begin.kind === 'in') return nowEpochMs + begin.seconds * 1_000
  const now = new Date(nowEpochMs)
  const { year, month, day, hour, minute, second } = nextTime(begin, {
    year: now.getFullYear(), month: now.getMonth() + 1, day: now.getDate(),
    hour: now.getHours(), minute: now.getMinutes(), second: now.getSeconds(),
  })
  return new Date(year, month - 1, day, hour, minute, second).getTime()
}

/** Each job is one of the home; throws when there is none of that name. */
export async function resolveDependencies(
  context: Context, dependencies: DependenciesOption | undefined,
): Promise<ResolvedDependencies> {
  const found: ResolvedDependencies[number][] = []
  for (const { kind, job, delaySeconds } of dependencies?.list ?? []) {
    const whole = kind === 'singleton' ? '' : await jobIdOf(context, job)
    found.push({ kind, job: whole, delay_seconds: delaySeconds })
  }
  return found
}

/** By id, by the first digits of one, by the decimal id of the batch commands, by name. */
async function jobIdOf(context: Context, word: string): Promise<string> {
  const decimal = jobOfDecimal(/^[0-9]+/.exec(word)?.[0] ?? '')
  const ids = [...(/^[0-9]+(\[\])?$/.test(word) && decimal ? [decimal] : []),
    ...(/^[0-9a-f]{4,12}$/.test(word) ? [word] : [])]
  for (const id of ids) {
    try {
      return (await context.client().get<JobSummary>(apiPaths.job(id))).job
    } catch (error) {
      if (!(error instanceof CommandFailure) || error.code === 'unreachable') throw error
    }
  }
  if (/^[0-9]+[_[]/.test(word)) {
    throw usageFailure(`${word} is a task: a job waits for whole jobs, or with aftercorr by task`)
  }
  const all = await context.client().get<readonly JobSummary[]>(apiPaths.jobs)
  const named = all.filter(({ name }) => name === word)
    .toSorted((a, b) => b.submittedEpochMs - a.submittedEpochMs)
  if (named[0]) return named[0].job
  throw failure('unknown_job', `there is no job ${word} at this node to wait for; 'gridnode ` +
    "status' lists the jobs")
}
