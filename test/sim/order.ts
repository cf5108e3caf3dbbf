// Whether any job began before its time, said a second time from what its parents came to.

import type { View } from '../../protocol/base/tables.ts'
import type { CoreTables, HomeTask, Job } from '../../protocol/machine/state.ts'

/**
 * [JOB-8] Whatever has a place anywhere, or had one, has waited for its parents: said a second time
 * from what they came to.
 */
export function orderFaults(view: View<CoreTables>): string[] {
  const faults: string[] = []
  const placed = new Map<string, HomeTask[]>()
  for (const [, task] of view.entries('homeTasks')) {
    const list = placed.get(task.job) ?? []
    list.push(task)
    placed.set(task.job, list)
  }
  for (const [id, job] of view.entries('jobs')) {
    const document = view.get('jobNotes', id)?.document
    const tasks = placed.get(id) ?? []
    for (const { kind, job: of } of document?.after ?? []) {
      for (const task of tasks) {
        if (mayHaveBegun(view, job, { kind, of, task: task.task })) continue
        faults.push(`job ${id}: task ${task.task} was placed in spite of ${kind} ${of}`)
      }
    }
  }
  return faults
}

function mayHaveBegun(
  view: View<CoreTables>, job: Job,
  { kind, of, task }: { readonly kind: string; readonly of: string; readonly task: number },
): boolean {
  if (kind === 'singleton') {
    return [...view.entries('jobs')].every(([, other]) => other.id === job.id
      || other.name !== job.name || other.state.kind === 'ended' || job.state.kind === 'ended'
      || other.submittedEpochMs > job.submittedEpochMs)
  }
  const parent = view.get('jobs', of)
  // It may be forgotten once nobody waits for it.
  if (!parent) return true
  const how = parent.state.kind === 'ended' ? parent.state.how : undefined
  switch (kind) {
    case 'afterany': return how !== undefined
    case 'afterok': return how === 'done'
    case 'afternotok': return how !== undefined && how !== 'done'
    case 'aftercorr':
      return view.get('homeTasks', `${of}/${String(task).padStart(9, '0')}`)?.state === 'done'
    default: return true
  }
}
