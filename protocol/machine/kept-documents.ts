// What a host has claimed for, task by task: the documents that open a final claim's commitments.
// The desk is cleared when a tranche is paid; these stay for a while, for whoever asks what was
// charged. Invariant: bounded in number, and nothing is kept beyond its time.

import { formatRanges } from '../base/ranges.ts'
import { formatDocument } from '../rules/audit-documents.ts'
import { dayMs } from '../rules/digest.ts'
import type { TaskReport } from '../rules/run.ts'
import { documentsKey } from './log-records.ts'
import type { HostTranche } from './state.ts'
import type { Turn } from './turn.ts'
import { count } from './turn.ts'

export const documentDaysKept = 90
const keptMax = 100_000

/** Called with each final claim. */
export function keepDocuments(
  turn: Turn, tranche: HostTranche, reports: readonly TaskReport[],
): void {
  const { view, now } = turn
  const job = view.get('hostJobs', tranche.contract)?.job
  if (job === undefined || tranche.hold === '' || reports.length === 0) return
  const kept = view.get('documentsCount', 'own') ?? 0
  const key = documentsKey(job, tranche.id)
  if (view.get('documentsKept', key) !== undefined) return
  if (kept >= keptMax) return count(turn, 'documents_not_kept')
  view.put('documentsCount', 'own', kept + 1)
  view.put('documentsKept', key, now)
  const { salt, tasks } = tranche
  view.put('documentLines', key, [
    formatDocument({ kind: 'tranche', salt, tasks: formatRanges(tasks) }),
    formatDocument({ kind: 'meter', salt, reports }),
  ])
}

export function forgetDocuments({ view, now }: Turn): void {
  let kept = view.get('documentsCount', 'own') ?? 0
  for (const [key, epochMs] of Array.from(view.entries('documentsKept'))) {
    if (now - epochMs < documentDaysKept * dayMs) continue
    view.remove('documentsKept', key)
    view.remove('documentLines', key)
    kept -= 1
  }
  view.put('documentsCount', 'own', kept)
}
