// The private documents of a job at this site, as far as they are still here: lines of a file that
// opens the commitments on the ledger (protocol/rules/audit-documents.ts).

import { rangesValues } from '../../protocol/base/ranges.ts'
import type { Outcome } from '../../protocol/base/outcome.ts'
import { ok, refuse } from '../../protocol/base/outcome.ts'
import type { Tables } from '../../protocol/base/tables.ts'
import { toldOf } from '../../protocol/machine/host-book.ts'
import { taskKey } from '../../protocol/machine/state.ts'
import { formatDocument } from '../../protocol/rules/audit-documents.ts'
import type { PrivateDocument } from '../../protocol/rules/audit-documents.ts'
import { formatRanges } from '../../protocol/base/ranges.ts'
import type { DocumentsAnswer } from '../http/api.ts'
import type { ApiRefusal } from '../http/local-node.ts'
import { get, sorted } from './tables.ts'

interface Found {
  readonly documents: Map<string, PrivateDocument>
  readonly missing: string[]
}

/** `name` is a job's id or the beginning of one. */
export function jobDocuments(tables: Tables, name: string): Outcome<DocumentsAnswer, ApiRefusal> {
  const ids = new Set<string>([
    ...[...tables.get('jobs')?.keys() ?? []],
    ...sorted(tables, 'hostJobs').map(([, { job }]) => job),
  ].filter((id) => id.startsWith(name)))
  if (ids.size > 1) {
    return refuse({ reason: 'ambiguous', detail: `${ids.size} jobs begin with ${name}; add digits` })
  }
  const [job] = ids
  if (job === undefined) {
    const detail = `nothing of a job ${name} is here any more; documents are kept as long as the job`
    return refuse({ reason: 'not_found', detail })
  }
  const found: Found = { documents: new Map(), missing: [] }
  atHome(tables, job, found)
  atHost(tables, job, found)
  return ok({ lines: [...found.documents.keys()], missing: found.missing })
}

function add({ documents }: Found, document: PrivateDocument): void {
  documents.set(formatDocument(document), document)
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
  }
  for (const [, tranche] of sorted(tables, 'homeTranches')) {
    if (tranche.job !== job || tranche.hold === '') continue
    add(found, { kind: 'tranche', salt: tranche.salt, tasks: formatRanges(tranche.tasks) })
  }
  found.missing.push('the meter records of other sites are theirs to show')
}

function atHost(tables: Tables, job: string, found: Found): void {
  for (const [contract, known] of sorted(tables, 'hostJobs')) {
    if (known.job !== job || get(tables, 'hostContracts', contract)?.sid === '') continue
    add(found, { kind: 'job', note: known.note })
    const tranches = sorted(tables, 'hostTranches')
      .filter(([, one]) => one.contract === contract && one.hold !== '')
    if (tranches.length === 0) {
      found.missing.push(`the tranches of contract ${contract} are cleared away`)
    }
    for (const [id, tranche] of tranches) {
      if (tranche.salt === '') continue
      add(found, { kind: 'tranche', salt: tranche.salt, tasks: formatRanges(tranche.tasks) })
      const reports = [...rangesValues(tranche.tasks)].flatMap((task) => {
        const one = get(tables, 'hostTasks', taskKey(tranche.id, task))
        return one ? [toldOf(one)] : []
      })
      if (reports.length > 0) add(found, { kind: 'meter', salt: tranche.salt, reports })
      else found.missing.push(`the reports of tranche ${id} are gone`)
    }
  }
}
