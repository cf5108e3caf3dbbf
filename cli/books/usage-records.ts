// Final usages as OGF Usage Records 2.0 (GFD.204), one record each, for accounting systems that
// read them.
// The ledger has the core seconds that were set apart for tasks, not what processes consumed:
// CpuDuration is that reserved time over all cores, WallDuration the same by core. StartTime and
// EndTime are when the host held the credit and when it claimed, by its clock; all runs lie between
// them. Users are not on the ledger: the subject is the home.

import type { InvoiceRun } from '../../protocol/rules/invoice.ts'
import { microcreditsPerCredit } from '../../protocol/base/units.ts'
import type { MarkupElement } from '../markup.ts'
import { element, render } from '../markup.ts'

export const usageRecordNamespace = 'http://schema.ogf.org/urf/2013/04/urf'

export function usageRecords(runs: readonly InvoiceRun[]): string {
  const records = runs.map(recordOf)
  const root = element('urf:UsageRecords', { 'xmlns:urf': usageRecordNamespace }, ...records)
  return `<?xml version="1.0" encoding="UTF-8"?>\n${render(root)}`
}

function recordOf({ hold, claim }: InvoiceRun): MarkupElement {
  const { usage, said, amount } = claim
  const { cores, job } = hold.terms
  return element('urf:UsageRecord', {},
    element('urf:RecordIdentityBlock', {},
      element('urf:RecordId', {}, `${hold.host}/usage/${said.sid}`),
      element('urf:CreateTime', {}, dateTime(said.at)),
      element('urf:Site', {}, hold.host)),
    element('urf:SubjectIdentityBlock', {},
      element('urf:GlobalGroupId', {}, hold.home),
      element('urf:Site', {}, hold.home)),
    element('urf:ComputeUsageBlock', {},
      element('urf:CpuDuration', { 'urf:usageType': 'all' }, seconds(usage.core_s)),
      element('urf:WallDuration', {}, seconds(Math.floor(usage.core_s / cores))),
      element('urf:StartTime', {}, dateTime(hold.heldEpochMs ?? hold.asked.at)),
      element('urf:EndTime', {}, dateTime(said.at)),
      element('urf:Processors', {}, String(cores)),
      element('urf:Charge', { 'urf:unit': 'credit' }, decimalCredits(amount))),
    element('urf:JobUsageBlock', {},
      element('urf:GlobalJobId', {}, `${hold.home}/job/${job}`),
      element('urf:LocalJobId', {}, `hold/${hold.sid}`),
      element('urf:MachineName', {}, hold.host),
      element('urf:SubmitHost', {}, hold.home),
      element('urf:Status', {}, 'completed')))
}

/** xsd:dateTime */
function dateTime(epochMs: number): string {
  return new Date(epochMs).toISOString()
}

/** xsd:duration */
function seconds(count: number): string {
  return `PT${count}S`
}

/** xsd:decimal, all six places. */
function decimalCredits(amount: bigint): string {
  const fraction = String(amount % microcreditsPerCredit).padStart(6, '0')
  return `${amount / microcreditsPerCredit}.${fraction}`
}
