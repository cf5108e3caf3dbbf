// The exchange of directories: what one site says it knows of the others, and what it answers to
// such a list. Of many sites it speaks of a page at a time, so that neither grows with the
// federation [DIRECTORY-4].
//
// Invariant: the pages that a site goes through cover all names that there are or may be.

import { sha256Hex } from '../base/crypto.ts'
import type { Hash, SiteName } from '../base/ids.ts'
import { compareBytes } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import type { View } from '../base/tables.ts'
import type { MessageOf } from './messages.ts'
import type { CoreTables } from './state.ts'
import type { Turn } from './turn.ts'
import { send } from './turn.ts'

/** Sites behind `after`, up to and with `until`, by name; '' stands for no bound. */
export type Page = Pick<MessageOf<'summary'>, 'after' | 'until'>

const offersPerMessageBytes = limits.messageBytes / 2

export const everySite: Page = { after: '', until: '' }

export function isOn({ after, until }: Page, site: string): boolean {
  return (after === '' || compareBytes(site, after) > 0)
    && (until === '' || compareBytes(site, until) <= 0)
}

/** [DIRECTORY-4] Page `number` of the members, beginning anew after the last; one page is all. */
export function pageOf(view: View<CoreTables>, number: number): Page {
  const names = [...view.entries('members')].map(([site]) => site)
  const pages = Math.ceil(names.length / limits.sitesPerPage)
  if (pages <= 1) return everySite
  names.sort(compareBytes)
  const at = number % pages
  return {
    after: at === 0 ? '' : names[at * limits.sitesPerPage - 1]!,
    until: at === pages - 1 ? '' : names[(at + 1) * limits.sitesPerPage - 1]!,
  }
}

/** Newest sequences that we hold, sorted by site. */
export function offerSummary(
  view: View<CoreTables>, page: Page,
): { site: SiteName; sequence: number }[] {
  const rows: { site: SiteName; sequence: number }[] = []
  for (const [site, { offer }] of view.entries('offers')) {
    if (isOn(page, site)) rows.push({ site: offer.site, sequence: offer.sequence })
  }
  return rows.sort((a, b) => compareBytes(a.site, b.site))
}

/** Sends `to` the offers of the page that it lacks, in messages of bounded size. */
export function answerSummary(turn: Turn, to: SiteName, message: MessageOf<'summary'>): void {
  const theirs = new Map(message.offers.map(({ site, sequence }) => [site, sequence]))
  let notes: string[] = []
  let bytes = 0
  const flush = (): void => {
    if (notes.length > 0) send(turn, to, { kind: 'offers', notes })
    notes = []
    bytes = 0
  }
  for (const [site, kept] of turn.view.entries('offers')) {
    if (!isOn(message, site) || kept.expiresEpochMs <= turn.now) continue
    if ((theirs.get(site as SiteName) ?? 0) >= kept.offer.sequence) continue
    if (bytes + kept.note.length > offersPerMessageBytes) flush()
    notes.push(kept.note)
    bytes += kept.note.length
  }
  flush()
}

/** One hash over who of the page belongs to the federation, as we know it. */
export function membersDigest(view: View<CoreTables>, page: Page): Hash {
  const rows: string[] = []
  for (const [site, member] of view.entries('ledgerMembers')) {
    if (isOn(page, site)) rows.push(`${site} ${member.genesis} ${member.keys.statement}`)
  }
  return sha256Hex(rows.sort(compareBytes).join('\n'))
}
