// Who waits for what: callers of the API for the answer to a request, watchers for changes of a
// job. Both are told by effects, that is, after the change is durable.

import type { JobId } from '../../protocol/base/ids.ts'
import type { Answer } from '../../protocol/machine/effects.ts'
import type { JobEvent } from '../http/api.ts'

export interface Watchers {
  /** Gives a request its name and its answer. */
  ask(push: (request: string) => void): Promise<Answer>
  answered(request: string, answer: Answer): void
  changed(job: JobId): void
  /** An event that is not a change of the records, such as a transfer's progress. */
  happened(job: JobId, event: JobEvent): void
  /** Wakes at each change; returns how to stop watching. */
  watch(job: JobId, wake: (event?: JobEvent) => void): () => void
}

export function openWatchers(): Watchers {
  const asked = new Map<string, (answer: Answer) => void>()
  const watching = new Map<JobId, Set<(event?: JobEvent) => void>>()
  let next = 1
  return {
    ask(push) {
      const request = `r${next++}`
      return new Promise<Answer>((resolve) => {
        asked.set(request, resolve)
        push(request)
      })
    },
    answered(request, answer) {
      asked.get(request)?.(answer)
      asked.delete(request)
    },
    changed(job) {
      for (const wake of watching.get(job) ?? []) wake()
    },
    happened(job, event) {
      for (const wake of watching.get(job) ?? []) wake(event)
    },
    watch(job, wake) {
      const all = watching.get(job) ?? new Set()
      watching.set(job, all.add(wake))
      return () => {
        all.delete(wake)
        if (all.size === 0) watching.delete(job)
      }
    },
  }
}
