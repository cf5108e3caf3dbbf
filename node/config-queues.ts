// The queues in the config: `[queues]` for all of them, `[queue.NAME]` for each.

import * as v from 'valibot'
import type { Outcome } from '../protocol/base/outcome.ts'
import { ok, refuse } from '../protocol/base/outcome.ts'
import type { QueueRule, QueueRules, Span } from '../protocol/rules/queue.ts'
import { parseHours } from '../protocol/rules/queue.ts'
import * as fields from './config-fields.ts'

const yearSeconds = 366 * 86_400
const count = (max: number) => v.optional(fields.integer({ min: 0, max }), 0)
const points = (): fields.Field<number> => fields.integer({ min: -1_000_000, max: 1_000_000 })
const namePattern = /^[A-Za-z0-9._-]{1,63}$/
const entryPattern = /^-?(\*|project:[A-Za-z0-9._-]{1,63}|[A-Za-z0-9._-]{1,64})$/

function parseAccess(text: string): Outcome<string, { readonly detail: string }> {
  if (entryPattern.test(text)) return ok(text)
  const form = 'expected a user, project:NAME or *, with - in front for not those'
  return refuse({ detail: `${form}, got ${JSON.stringify(text)}` })
}

/** `+01:00` as minutes. */
function offset(): fields.Field<number> {
  return v.pipe(
    fields.text('an offset such as "+01:00"', /^[+-](0\d|1[0-4]):[0-5]\d$/),
    v.transform((text) => {
      const minutes = Number(text.slice(1, 3)) * 60 + Number(text.slice(4))
      return text.startsWith('-') ? -minutes : minutes
    }),
  )
}

const queueSchema = v.strictObject({
  access: v.optional(fields.lines('users', parseAccess), ['*']),
  priority: v.optional(points(), 0),
  jobs: count(1_000_000),
  jobs_per_user: count(1_000_000),
  tasks: count(10_000_000),
  tasks_per_user: count(10_000_000),
  tasks_per_job: count(10_000_000),
  cores_per_task: count(65_536),
  walltime: v.optional(fields.seconds({ min: 1, max: yearSeconds })),
  hours: v.optional(fields.lines<readonly Span[]>('hours', parseHours), []),
})

/** One queue's table; its faults are said with the key that they are about. */
function queueField(): fields.Field<v.InferOutput<typeof queueSchema>> {
  return v.pipe(
    v.unknown(),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      const read = v.safeParse(queueSchema, dataset.value)
      if (read.success) return read.output
      for (const issue of read.issues) {
        const named = issue.path?.[0]?.key
        const key = typeof named === 'string' ? named : ''
        const unknown = issue.type === 'strict_object' && key !== ''
        const keys = Object.keys(queueSchema.entries).join(', ')
        const what = unknown ? `unknown key; expected one of ${keys}` : issue.message
        addIssue({ message: key === '' ? `expected a section [queue.NAME]` : `${key}: ${what}` })
      }
      return NEVER
    }),
  )
}

export const queuesSections = {
  queues: v.object({
    default: v.optional(fields.text('the name of a queue', namePattern), 'normal'),
    age_points: v.optional(fields.integer({ min: 0, max: 1_000_000 }), 10),
    fair_points: v.optional(fields.integer({ min: 0, max: 1_000_000 }), 0),
    fair_half_life: v.optional(fields.seconds({ min: 60, max: yearSeconds }), '7d'),
    urgent: v.optional(fields.integer({ min: 0, max: 2_000_000 }), 0),
    urgent_for: v.optional(fields.seconds({ min: 1, max: yearSeconds }), '10m'),
    utc_offset: v.optional(offset(), '+00:00'),
    owners: v.optional(fields.tableOf('owners', {
      expected: 'the name of a user', ok: (key) => /^[A-Za-z0-9._-]{1,64}$/.test(key), max: 10_000,
    }, points()), {}),
  }),
  queue: fields.tableOf('queues', {
    expected: 'the name of a queue', ok: (key) => namePattern.test(key), max: 1_000,
  }, queueField()),
}

interface QueuesRead {
  readonly queues: v.InferOutput<typeof queuesSections.queues>
  readonly queue: readonly (readonly [string, v.InferOutput<typeof queueSchema>])[]
}

/** Undefined where no queue is set up: then all jobs are equal. */
export function buildQueues({ queues, queue }: QueuesRead): QueueRules | undefined {
  if (queue.length === 0) return undefined
  return {
    byDefault: queues.default,
    queues: queue.map(([name, read]): QueueRule => ({
      name,
      access: read.access,
      priority: read.priority,
      jobs: read.jobs,
      jobsPerUser: read.jobs_per_user,
      tasks: read.tasks,
      tasksPerUser: read.tasks_per_user,
      tasksPerJob: read.tasks_per_job,
      coresPerTask: read.cores_per_task,
      walltimeSeconds: read.walltime ?? 0,
      hours: read.hours.flat(),
    })),
    owners: new Map(queues.owners as readonly (readonly [string, number])[]),
    agePoints: queues.age_points,
    fairPoints: queues.fair_points,
    fairHalfLifeSeconds: queues.fair_half_life,
    urgent: queues.urgent,
    urgentSeconds: queues.urgent_for,
    offsetMinutes: queues.utc_offset,
  }
}

/** What is wrong with queues that are each right by themselves. */
export function* queueFaults(
  { queues, queue }: QueuesRead,
): Iterable<readonly [readonly string[], string]> {
  if (queue.length === 0 || queue.some(([name]) => name === queues.default)) return
  const names = queue.map(([name]) => name).join(', ')
  yield [['queues', 'default'], `expected one of the queues (${names}), got ${queues.default}`]
}
