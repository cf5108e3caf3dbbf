// `gridnode reputation`: the standing of a site in the eyes of another, from ledgers alone. The
// rules are in protocol/rules/reputation.ts.

import type { PeerRow } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import { formatCredits, zeroMicrocredits } from '../../protocol/base/units.ts'
import { outcomesOf, unpaidOutcomes } from '../../protocol/rules/hold-outcomes.ts'
import type { HoldOutcome } from '../../protocol/rules/hold-outcomes.ts'
import type { History } from '../../protocol/rules/ledger-history.ts'
import type { Reputation } from '../../protocol/rules/reputation.ts'
import { openScore, priorMicrocredits } from '../../protocol/rules/reputation.ts'
import type { Books } from '../books/open-books.ts'
import { chooseBook, expectMember, openBooks, siteWord, walkBook } from '../books/open-books.ts'
import { parseDay } from '../books/period.ts'
import type { Command, Context } from '../command.ts'
import { wrap } from '../command.ts'
import { exitCodes, usageFailure } from '../failure.ts'
import { credits, instant, plural, table } from '../output.ts'

export const reputation: Command = {
  usage: ['[options] SITE', '[options] SITE --from DIR...'],
  about:
    'Computes how far SITE has kept its word, from 0 to 1000, as another site sees it: from the ' +
    'log of the local node, or from exported ledgers, which are verified first. The ledgers of ' +
    'other sites count up to the credit that the observer gives them.',
  options: {
    from: { kind: 'list', value: 'DIR', help: 'exported ledgers, or a directory of them' },
    as: {
      kind: 'value', value: 'SITE', help: 'the observer (default: each site whose log was given)',
    },
    at: { kind: 'value', value: 'DAY', help: 'ages up to the start of this day (default: now)' },
    limit: { kind: 'value', short: 'n', value: 'N', help: 'show at most N entries (default 20)' },
  },
  examples: [
    ['gridnode reputation b.example', 'what this site has seen of b.example'],
    ['gridnode reputation b.example --from ledgers --as a.example', 'from exports, for anybody'],
  ],
  notes:
    'A stranger has 500. Silence is never held against a site: only what it signed, or a ruling, ' +
    'is.',
  run: runReputation,
}

const dayMs = 86_400_000

async function runReputation(context: Context): Promise<number> {
  const { args, terminal, json } = context
  const subject = siteWord(args.words[0])
  const directories = args.list('from')
  const more = args.words.slice(1)
  if (more.length > 0 && directories.length === 0) {
    throw usageFailure(`expected one site, got ${args.words.join(' ')}`)
  }
  const asOfEpochMs = asOf(context)
  const shown = shownEntries(args.value('limit') ?? '20')
  const books = await openBooks(context, [...directories, ...more])
  const scores = await scoreAll(context, books, subject, asOfEpochMs)
  await terminal.out.write(json
    ? reputationJson(scores)
    : scores.map((score) => reputationText(context, score, shown)).join('\n'))
  return exitCodes.done
}

function asOf({ args, terminal }: Context): number {
  const day = args.value('at')
  if (day === undefined) return terminal.nowEpochMs()
  const epochMs = parseDay(day)
  if (epochMs === undefined) {
    throw usageFailure(`--at: expected a day such as 2026-03-01, got '${day}'`)
  }
  return epochMs
}

function shownEntries(text: string): number {
  if (/^[0-9]{1,4}$/.test(text)) return Number(text)
  throw usageFailure(`--limit: expected a number up to 9999, got '${text}'`)
}

/**
 * Each pair of the subject and another is read from one log: that of the other if it was given,
 * else the subject's own. The logs have verified against one another, so they do not disagree.
 */
async function scoreAll(
  context: Context, all: Books, subject: SiteName, asOfEpochMs: number,
): Promise<Reputation[]> {
  const as = context.args.value('as')
  const observers = as === undefined
    ? all.books.filter(({ site }) => site !== subject)
    : [chooseBook(all, { as, other: undefined })]
  if (observers.length === 0) chooseBook(all, { as, other: subject })
  if (as === subject) throw usageFailure(`${subject} does not judge itself; name another with --as`)
  const given = new Set(all.books.map(({ site }) => site))
  const histories = new Map<SiteName, History>()
  const scores = new Map(observers.map(({ site: observer }) => [observer, openScore({
    observer,
    subject,
    asOfEpochMs,
    // Asked for at the end, when the observer's own log has been read.
    credit: (site) => histories.get(observer)?.limit(observer, site) ?? zeroMicrocredits,
  })]))
  for (const book of all.books) {
    const { history, members } = await walkBook(context, book, (event) => {
      addOutcomes(outcomesOf(book.site, event))
      const isOwnProof = event.kind === 'accused' && event.accused === subject
        && event.said.by === book.site
      if (isOwnProof) scores.get(book.site)?.accuse(event.said)
    })
    addOutcomes(unpaidOutcomes(history))
    histories.set(book.site, history)
    expectMember(subject, members, book)
  }
  const challenged = all.origin === 'node' && await isChallenged(context, subject)
  return [...scores.values()].map((score) => score.result({ challenged }))

  function addOutcomes(outcomes: readonly HoldOutcome[]): void {
    for (const outcome of outcomes) {
      if (outcome.log === subject && given.has(outcome.counterparty)) continue
      for (const score of scores.values()) score.add(outcome)
    }
  }
}

/** Only the node knows what it has asked and not been told; no ledger shows it. */
async function isChallenged(context: Context, subject: SiteName): Promise<boolean> {
  const peers = await context.client().get<readonly PeerRow[]>(apiPaths.peers)
  return peers.some(({ site, challenged }) => site === subject && challenged === true)
}

function reputationJson(scores: readonly Reputation[]): string {
  const plain = (_: string, value: unknown): unknown =>
    typeof value === 'bigint' ? String(value) : value
  return `${JSON.stringify(scores, plain, 2)}\n`
}

function reputationText(context: Context, found: Reputation, shown: number): string {
  const { style, terminal } = context
  const layout = { width: terminal.out.columns(), style }
  const { total, counterparties, evidence } = found
  const amount = (value: bigint): string => formatCredits(value).replace(' cr', '')
  const head = `${style.bold(found.subject)} as ${found.observer} sees it, ` +
    `${instant(found.asOfEpochMs)}\n` +
    `  score   ${style.bold(String(found.scorePermille))} of 1000\n` +
    `  kept    ${amount(total.kept)} cr\n  failed  ${amount(total.failed)} cr\n` +
    `  a stranger counts as ${formatCredits(priorMicrocredits)} of either\n`
  const parts = [head]
  if (found.challenged) {
    parts.push('halved: others were shown a head of its log that it does not link with ours\n')
  }
  for (const { index, sid } of evidence) {
    parts.push(style.red(`proven a liar: entry ${index} of ${found.observer}, ${sid}`) + '\n')
  }
  if (counterparties.length > 0) {
    parts.push(table(
      [
        { title: 'DEALT WITH', shrinkTo: 8 },
        { title: 'KEPT', align: 'right' },
        { title: 'FAILED', align: 'right' },
        { title: 'CREDIT', align: 'right' },
        { title: 'KEPT COUNTS', align: 'right' },
        { title: 'FAILED COUNTS', align: 'right' },
      ],
      counterparties.map(({ site, weighed, counted, credit }) => [
        site, amount(weighed.kept), amount(weighed.failed),
        credit === undefined ? 'itself' : amount(credit), amount(counted.kept),
        amount(counted.failed),
      ]),
      layout,
    ))
  }
  if (found.entries.length === 0) {
    parts.push(wrap('No hold of it has ended in what was read.', 80).join('\n') + '\n')
  } else if (shown > 0) parts.push(entriesText(found, shown, layout))
  return parts.join('\n')
}

function entriesText(
  { entries, entriesMore, asOfEpochMs }: Reputation,
  shown: number,
  layout: Parameters<typeof table>[2],
): string {
  const rows = entries.slice(0, shown)
  const more = entries.length - rows.length + entriesMore
  return table(
    [
      { title: 'LOG OF', shrinkTo: 8 },
      { title: 'ENTRY', align: 'right' },
      { title: 'STATEMENT' },
      { title: 'HOLD' },
      { title: 'AS' },
      { title: 'WHAT' },
      { title: 'VALUE', align: 'right' },
      { title: 'DAYS', align: 'right' },
      { title: 'WEIGHS', align: 'right' },
    ],
    rows.map((row) => [
      row.log, String(row.index), row.sid.slice(0, 12), row.hold.slice(0, 12), row.role, row.how,
      credits(String(row.value)),
      String(Math.max(0, Math.floor((asOfEpochMs - row.endedEpochMs) / dayMs))),
      credits(String(row.weight)),
    ]),
    layout,
  ) + (more > 0 ? `and ${plural(more, 'older entry', 'older entries')}\n` : '')
}
