// An operator's words about another site as a whole: payments outside, gifts, rulings for others,
// and the end of what there was with a site that will not come back.

import type { Sid, SiteName } from '../base/ids.ts'
import { ok, refuse } from '../base/outcome.ts'
import { formatCredits, microcredits, zeroMicrocredits } from '../base/units.ts'
import type { HoldRecord } from '../rules/ledger-book.ts'
import { openHead } from '../rules/ledger-book.ts'
import { balanceOf, creditLimit, exposure, isMember } from '../rules/ledger.ts'
import { readRuling, sealRuling } from '../rules/ruling.ts'
import { say, sayUnheard } from './delivery.ts'
import { giveUpHost } from './home-reports.ts'
import { abandon, leave } from './host-claims.ts'
import type { OperatorWord, Spoke } from './operator-word.ts'
import { conflict, ledgerWord, notFound, spoken } from './operator-word.ts'
import { isQuarantined } from './quarantine.ts'
import type { PaymentRecord } from './trust-records.ts'
import type { Turn } from './turn.ts'

type Word<V> = Extract<OperatorWord, { readonly verb: V }>

const paymentsMax = 10_000

function unknownSite(turn: Turn, site: SiteName): Spoke | undefined {
  if (site !== turn.self.site && isMember(turn.view, site)) return undefined
  return notFound(`${site} is not another member; see gridnode peers`)
}

function paymentKey(site: SiteName, reference: string): string {
  return `${site}/${reference}`
}

/** A reference names one payment with one site: the same again is the same, another is refused. */
function knownPayment(
  turn: Turn, site: SiteName, reference: string, said: Omit<PaymentRecord, 'sid'>,
): Spoke | undefined {
  const known = turn.view.get('payments', paymentKey(site, reference))
  if (!known) return undefined
  const same = known.kind === said.kind && known.amount === said.amount
    && known.payer === said.payer
  if (same) return spoken(`said already, by statement ${known.sid.slice(0, 16)}`)
  return conflict(`the reference '${reference}' stands for ${formatCredits(known.amount)}; give ` +
    'this one another with --reference')
}

function keepPayment(
  turn: Turn, key: string, { sid, ...said }: PaymentRecord,
): void {
  const { view } = turn
  let size = 0
  for (const _ of view.entries('payments')) size++
  const [oldest] = view.entries('payments')
  if (size >= paymentsMax && oldest) view.remove('payments', oldest[0])
  view.put('payments', key, { sid, ...said })
}

/** A payment beyond what is owed makes the payee a debtor, within what the payer lets it owe. */
function overpaid(
  { view }: Turn, payer: SiteName, payee: SiteName, amount: bigint,
): Spoke | undefined {
  const owed = exposure(view, payer, payee) + amount
  const limit = creditLimit(view, payer, payee)
  if (owed <= 0n || owed <= limit) return undefined
  return conflict(`with that ${payee} would owe ${payer} ` +
    `${formatCredits(microcredits(owed))}, and may owe it ${formatCredits(limit)}: pay what is ` +
    'owed, or raise the limit first')
}

export function settle(turn: Turn, word: Word<'settle'>): Spoke {
  const { site, amount, payer, reference } = word
  const unknown = unknownSite(turn, site)
  if (unknown) return unknown
  if (amount === 0n) return conflict('expected more than nothing')
  const known = knownPayment(turn, site, reference, { kind: 'offer', amount, payer })
  if (known) return known
  const [from, to] = payer === 'us' ? [turn.self.site, site] : [site, turn.self.site]
  const over = overpaid(turn, from, to, amount)
  if (over) return over
  const said = say(turn, {
    kind: 'settle', to: site, side: 'offer', amount,
    payer: payer === 'us' ? 'author' : 'addressee', reference,
  })
  if (said.ok) {
    const { sid } = said.value
    keepPayment(turn, paymentKey(site, reference), { kind: 'offer', sid, amount, payer })
  }
  const who = payer === 'us' ? 'this site has' : `${site} has`
  return ledgerWord(said, site, `said that ${who} paid ${formatCredits(amount)}; it counts when ` +
    `${site} agrees`)
}

export function agree(turn: Turn, { settle: prefix }: Word<'settle_agree'>): Spoke {
  const { view, self } = turn
  const found = [...view.entries('ledgerProposals')].flatMap(([sid, proposal]) =>
    proposal.kind === 'settle' && proposal.to === self.site && sid.startsWith(prefix)
      ? [{ ...proposal, sid: sid as Sid }] : [])
  const [only] = found
  if (found.length > 1) {
    return refuse({ code: 'ambiguous', detail: `${found.length} begin with ${prefix}; add digits` })
  }
  if (!only) {
    for (const [key, { kind }] of view.entries('payments')) {
      if (kind === 'agree' && key.includes(`/=${prefix}`)) return spoken('agreed already')
    }
    return notFound(`no payment ${prefix} waits for this site's word; see gridnode ledger open`)
  }
  const over = overpaid(turn, only.debtor, only.creditor, only.amount)
  if (over) return over
  const said = say(turn, { kind: 'settle', to: only.from, side: 'agree', settle: only.sid })
  const payer = only.debtor === self.site ? 'us' : 'them'
  if (said.ok) {
    const { sid } = said.value
    const key = paymentKey(only.from, `=${only.sid}`)
    keepPayment(turn, key, { kind: 'agree', sid, amount: only.amount, payer })
  }
  return ledgerWord(said, only.from, `agreed: ${only.debtor} has paid ` +
    `${formatCredits(only.amount)}, ${only.reference}`)
}

export function forgive(turn: Turn, { site, amount, reference }: Word<'forgive_balance'>): Spoke {
  const unknown = unknownSite(turn, site)
  if (unknown) return unknown
  const said = { kind: 'forgive', amount, payer: 'them' } as const
  const known = knownPayment(turn, site, reference, said)
  if (known) return known
  const owed = balanceOf(turn.view, turn.self.site, site)
  if (amount === 0n || amount > owed) {
    return conflict(`${site} owes ${formatCredits(microcredits(owed > 0n ? owed : 0n))}: forgive ` +
      'more than nothing and no more than that')
  }
  const issued = say(turn, { kind: 'settle', to: site, side: 'forgive', amount, reference })
  if (issued.ok) keepPayment(turn, paymentKey(site, reference), { ...said, sid: issued.value.sid })
  return ledgerWord(issued, site, `forgave ${formatCredits(amount)} of ${formatCredits(owed)}`)
}

/** A signed text for the two parties; this site's ledger says nothing of it. */
export function rule(turn: Turn, { hold, amount }: Word<'rule'>): Spoke {
  const { view, self, now } = turn
  if (isQuarantined(turn)) return conflict('this site is in quarantine: gridnode ledger recover')
  const known = view.get('rulings', hold)
  if (known && known.amount !== amount) {
    const at = readRuling(known.note)
    return conflict(`this site has ruled ${formatCredits(known.amount)} for this hold already` +
      (at.ok ? `, at ${at.value.ruling.at} (epoch ms)` : ''))
  }
  const { federation: fed } = openHead(view)
  const note = known?.note ?? sealRuling({ fed, hold, amount, at: now }, self.signer.statement)
  view.put('rulings', hold, { note, amount })
  const detail = `ruled that hold ${hold.slice(0, 16)} ends at ${formatCredits(amount)}`
  return ok({ sids: [], detail, note, left: [] })
}

/**
 * [CLOSE-1] The end with a site that will not come back, within what our own statements allow: what
 * it holds of our work unclaimed is given up, its work here is abandoned, its credit is 0. What it
 * owes, and what is claimed and open, stays, for what is owed does not end with silence.
 */
export function close(turn: Turn, { site, forgive: gift }: Word<'close'>): Spoke {
  const { view, self } = turn
  const unknown = unknownSite(turn, site)
  if (unknown) return unknown
  if (isQuarantined(turn)) return conflict('this site is in quarantine: gridnode ledger recover')
  if (view.get('links', site)) {
    return conflict(`${site} is connected; close is for a site that will not come back. For one ` +
      `that is here: gridnode ledger credit ${site} 0`)
  }
  const before = new Set(openHolds(turn, site).map(({ sid }) => sid))
  const sids: Sid[] = []
  for (const [, tranche] of Array.from(view.entries('hostTranches'))) {
    const isOpen = tranche.home === site && tranche.phase !== 'settled'
    if (isOpen) abandon(turn, tranche, `${site} is gone`, sayUnheard)
  }
  for (const { sid } of openHolds(turn, site)) leave(turn, sid, `${site} is gone`, sayUnheard)
  if (gift) forgiveAll(turn, site, sids)
  const tasks = giveUpHost(turn, site)
  if (creditLimit(view, self.site, site) !== zeroMicrocredits) {
    const said = sayUnheard(turn, { kind: 'credit', to: site, limit: zeroMicrocredits })
    if (said.ok) sids.push(said.value.sid)
  }
  const open = openHolds(turn, site)
  const ended = before.size - open.length
  const detail = `closed with ${site}: ${ended} holds ended, ${tasks} tranches of ours there ` +
    'given up, its credit here is 0'
  return ok({ sids, detail, note: '', left: [...open.map((hold) => whyOpen(turn, hold)),
    ...balanceLeft(turn, site)] })
}

function openHolds(turn: Turn, site: SiteName): HoldRecord[] {
  return [...turn.view.entries('ledgerHolds')].map(([, hold]) => hold)
    .filter(({ home, host, endedIndex }) => endedIndex === 0 && (home === site || host === site))
}

function forgiveAll(turn: Turn, site: SiteName, sids: Sid[]): void {
  for (const hold of openHolds(turn, site)) {
    if (hold.home !== site || hold.claimedFinal === 0) continue
    const said = sayUnheard(turn, {
      kind: 'resolve', to: site, side: 'forgive', hold: hold.sid, amount: hold.accepted,
    })
    if (said.ok) sids.push(said.value.sid)
  }
}

function whyOpen({ self }: Turn, hold: HoldRecord): string {
  const name = `hold ${hold.sid.slice(0, 16)}`
  if (hold.home === self.site) {
    return `${name} of this site there, ${formatCredits(hold.amount)}: only ${hold.host} can ` +
      'give it up; it keeps nothing of a budget here'
  }
  const open = microcredits(hold.claimed - hold.accepted)
  return `${name} of ${hold.home} here, ${formatCredits(open)} claimed and not accepted: ` +
    '--forgive gives it up'
}

function balanceLeft({ view, self }: Turn, site: SiteName): string[] {
  const owed = balanceOf(view, self.site, site)
  if (owed === 0n) return []
  const amount = formatCredits(microcredits(owed > 0n ? owed : -owed))
  return [owed > 0n
    ? `${site} owes ${amount}: gridnode ledger forgive ${site} gives it up`
    : `this site owes ${site} ${amount}, for whoever is its heir`]
}
