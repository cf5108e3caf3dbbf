// A site's answer in an auction, in one line. Text only.

import type { WhyRow } from '../node/http/api.ts'
import { formatDuration } from '../protocol/base/units.ts'
import { credits, plural } from './output.ts'

const verdicts: Readonly<Record<WhyRow['verdict'], string>> = {
  bid: 'bids',
  refused: 'refuses',
  unfit: 'does not fit',
  silent: 'did not answer',
  not_asked: 'was not asked',
  late: 'answered too late',
}

/** `b.example bids 8 slots, 0.01 cr a task, start now, done in 2m` */
export function bidText(row: WhyRow): string {
  if (row.verdict !== 'bid') return `${row.site} ${verdicts[row.verdict]}${reasonText(row)}`
  const parts: string[] = []
  if (row.slots !== undefined) parts.push(plural(row.slots, 'slot'))
  if (row.taskPrice !== undefined) parts.push(`${credits(row.taskPrice)} cr a task`)
  if (row.startInSeconds !== undefined) parts.push(`start ${inSeconds(row.startInSeconds)}`)
  if (row.completionInSeconds !== undefined) {
    parts.push(`done ${inSeconds(row.completionInSeconds)}`)
  }
  return `${row.site} bids ${parts.join(', ')}`
}

export function verdictText(row: WhyRow): string {
  return verdicts[row.verdict]
}

function inSeconds(seconds: number): string {
  return seconds <= 0 ? 'now' : `in ${formatDuration(seconds)}`
}

export function reasonText(row: WhyRow): string {
  const word = row.reason === undefined ? '' : ` (${row.reason})`
  return `${word}${row.detail === undefined ? '' : `: ${row.detail}`}`
}
