// The private documents of a job at this site, as far as they are still here: lines of a file that
// opens the commitments on the ledger (protocol/rules/audit-documents.ts).

import type { Outcome } from '../../protocol/base/outcome.ts'
import { ok, refuse } from '../../protocol/base/outcome.ts'
import type { Tables } from '../../protocol/base/tables.ts'
import { formatDocument } from '../../protocol/rules/audit-documents.ts'
import type { PrivateDocument } from '../../protocol/rules/audit-documents.ts'
import { formatRanges } from '../../protocol/base/ranges.ts'
import type { DocumentsAnswer } from '../http/api.ts'
import type { ApiRefusal } from '../http/local-node.ts'
import type { Store } from '../store/level.ts'
import { get, sorted } from './tables.ts'

interface Found {
  readonly lines: Set<string>
  readonly missing: string[]
}

/** `name` is a job's id or the beginning of one. */
export async function jobDocuments(
  tables: Tables, store: Pick<Store, 'get'>, name: string,
): Promise<Outcome<DocumentsAnswer, ApiRefusal>> {
  const kept = sorted(tables, 'documentsKept').map(([key]) => key)
  const ids = new Set<string>([
    ...tables.get('jobs')?.keys() ?? [],
    ...sorted(tables, 'hostJobs').map(([, { job }]) => job),
    ...kept.map((key) => key.split('/')[0] ?? ''),
  ].filter((id) => id.startsWith(name)))
  if (ids.size > 1) {
    const detail = `${ids.size} jobs begin with ${name}; add digits`
    return refuse({ reason: 'ambiguous', detail })
  }
  const [job] = ids
  if (job === undefined) {
    const detail = `nothing of a job ${name} is here: it is none of this site's, or is forgotten`
    return refuse({ reason: 'not_found', detail })
  }
  const found: Found = { lines: new Set(), missing: [] }
  atHome(tables, job, found)
  atHost(tables, job, found)
  for (const key of kept.filter((one) => one.startsWith(`${job}/`))) {
    const lines = await store.get('documentLines', key) as readonly string[] | undefined
    for (const line of lines ?? []) found.lines.add(line)
  }
  return ok({ lines: [...found.lines], missing: found.missing })
}

function add({ lines }: Found, document: PrivateDocument): void {
  lines.add(formatDocument(document))
}

function atHome(tables: Tables, job: string, found: Found): void {
  const note = get(tables, 'jobNotes', job)
  if (!note) return
  add(found, { kind: 'job', note: note.note })
  const auctions = new Map(sorted(tables, 'auctions').map(([, one]) => [one.id, one]))
  for (const [, contract] of sorted(tables, 'homeContracts')) {
    if (contract.job !== job || contract.sid === '') continue
    const entry = auctions.get(contract.auction)?.entries[contract.host]
    if (entry?.kind === 'bid') add(found, { kind: 'bid', note: entry.note })
    else found.missing.push(`the bid of ${contract.host} for contract ${contract.id} is gone`)
    found.missing.push(
      `what was metered under contract ${contract.id} is ${contract.host}'s to show`)
  }
  for (const [, tranche] of sorted(tables, 'homeTranches')) {
    if (tranche.job !== job || tranche.hold === '') continue
    add(found, { kind: 'tranche', salt: tranche.salt, tasks: formatRanges(tranche.tasks) })
  }
}

/** What is not claimed yet; the rest is kept beside it. */
function atHost(tables: Tables, job: string, found: Found): void {
  for (const [contract, known] of sorted(tables, 'hostJobs')) {
    if (known.job !== job || get(tables, 'hostContracts', contract)?.sid === '') continue
    add(found, { kind: 'job', note: known.note })
    for (const [, { salt, tasks, hold, contract: under }] of sorted(tables, 'hostTranches')) {
      if (under !== contract || hold === '' || salt === '') continue
      add(found, { kind: 'tranche', salt, tasks: formatRanges(tasks) })
    }
  }
}
