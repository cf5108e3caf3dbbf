// `gridnode ledger open` and what an operator says by hand: accept, dispute, resolve, forgive,
// rule, settle, close. The node decides what may be said; here the words become requests.

import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { OpenRow, SpokenAnswer } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { sha256Hex } from '../../protocol/base/crypto.ts'
import { parseSiteName } from '../../protocol/base/ids.ts'
import { parseCredits } from '../../protocol/base/units.ts'
import type { OptionTable } from '../arguments.ts'
import type { Context } from '../command.ts'
import { exitCodes, failure, usageFailure } from '../failure.ts'
import { age, credits, jsonText, plural, printable, table } from '../output.ts'

export const wordOptions: OptionTable = {
  contest: { kind: 'value', value: 'CREDITS', help: 'dispute: this part of the claim' },
  reason: { kind: 'value', value: 'TEXT', help: 'dispute: why, for both ledgers' },
  doc: {
    kind: 'value', value: 'FILE',
    help: 'dispute: commits to what supports it; keep FILE, its hash is in the ledgers',
  },
  offer: { kind: 'value', value: 'CREDITS', help: 'resolve: proposes to end the hold at this' },
  agree: { kind: 'flag', help: 'resolve, settle: agrees to what the other side has proposed' },
  clause: { kind: 'flag', help: 'resolve: calls for the contract\'s clause for a silent home' },
  ruling: { kind: 'value', value: 'FILE', help: 'resolve: brings the arbiter\'s word' },
  'paid-by': { kind: 'value', value: 'us|them', help: 'settle: who has paid outside' },
  reference: { kind: 'value', value: 'TEXT', help: 'settle, forgive: names the payment, once' },
  forgive: { kind: 'flag', help: 'close: gives up what is claimed and not accepted, too' },
}

export const wordUsage = [
  'open',
  'accept HOLD [CREDITS]',
  'dispute HOLD --contest CREDITS --reason TEXT [--doc FILE]',
  'resolve HOLD --offer CREDITS | --agree [CREDITS]',
  'resolve HOLD --clause | --ruling FILE',
  'forgive HOLD|SITE CREDITS [--reference TEXT]',
  'rule HOLD CREDITS',
  'settle SITE CREDITS --paid-by us|them --reference TEXT',
  'settle --agree STATEMENT',
  'close SITE [--forgive]',
]

type Run = (context: Context, words: readonly string[]) => Promise<number>

export const wordVerbs: Readonly<Record<string, Run>> = {
  open: listOpen,
  accept: (context, words) => {
    const [hold, amount] = between(words, ['HOLD', 'CREDITS'], 1)
    return speak(context, {
      verb: 'accept', hold: holdWord(hold), ...(amount !== undefined && { amount: money(amount) }),
    })
  },
  dispute: (context, words) => {
    const [hold] = between(words, ['HOLD'])
    const { args, terminal } = context
    const doc = args.value('doc')
    return speak(context, {
      verb: 'dispute',
      hold: holdWord(hold),
      contested: money(needed(context, 'contest')),
      reason: needed(context, 'reason'),
      doc: doc === undefined ? '' : sha256Hex(fileBytes(resolve(terminal.cwd, doc))),
    })
  },
  resolve: resolveHold,
  forgive: (context, words) => {
    const [whom, amount] = between(words, ['HOLD or SITE', 'CREDITS'])
    // Sites have a dot or another letter than digits and a to f have; holds begin with digits.
    if (/^[0-9a-f]{8,64}$/.test(whom!)) {
      return speak(context, { verb: 'forgive_claim', hold: whom, amount: money(amount) })
    }
    const day = new Date(context.terminal.nowEpochMs()).toISOString().slice(0, 10)
    const reference = context.args.value('reference') ?? `forgiven ${day}`
    return speak(context, {
      verb: 'forgive_balance', site: siteWord(whom), amount: money(amount), reference,
    })
  },
  rule: (context, words) => {
    const [hold, amount] = between(words, ['HOLD', 'CREDITS'])
    if (!/^[0-9a-f]{64}$/.test(hold!)) {
      throw usageFailure(`expected the whole sid of a hold, 64 of 0-9 and a-f, got '${hold}'`)
    }
    return speak(context, { verb: 'rule', hold, amount: money(amount) })
  },
  settle,
  close: (context, words) => {
    const [site] = between(words, ['SITE'])
    const forgive = context.args.flag('forgive') ? 1 : 0
    return speak(context, { verb: 'close', site: siteWord(site), forgive })
  },
}

function resolveHold(context: Context, words: readonly string[]): Promise<number> {
  const { args, terminal } = context
  const [word, amount] = between(words, ['HOLD', 'CREDITS'], 1)
  const hold = holdWord(word)
  const [offer, file] = [args.value('offer'), args.value('ruling')]
  const chosen = [
    offer !== undefined && { verb: 'offer', hold, amount: money(offer) },
    args.flag('agree') && {
      verb: 'agree', hold, ...(amount !== undefined && { amount: money(amount) }),
    },
    args.flag('clause') && { verb: 'clause', hold },
    file !== undefined
      && { verb: 'ruling', hold, note: fileBytes(resolve(terminal.cwd, file)).toString() },
  ].filter((one) => one !== false)
  const [only] = chosen
  if (chosen.length !== 1 || !only || (amount !== undefined && only.verb !== 'agree')) {
    throw usageFailure('expected one of --offer CREDITS, --agree, --clause and --ruling FILE')
  }
  return speak(context, only)
}

function settle(context: Context, words: readonly string[]): Promise<number> {
  const { args } = context
  if (args.flag('agree')) {
    const [sid] = between(words, ['STATEMENT'])
    return speak(context, { verb: 'settle_agree', settle: holdWord(sid) })
  }
  const [site, amount] = between(words, ['SITE', 'CREDITS'])
  const payer = needed(context, 'paid-by')
  if (payer !== 'us' && payer !== 'them') {
    throw usageFailure(`--paid-by: expected us or them, got '${payer}'`)
  }
  const reference = needed(context, 'reference')
  return speak(context, {
    verb: 'settle', site: siteWord(site), amount: money(amount), payer, reference,
  })
}

function between(
  words: readonly string[], names: readonly string[], least = names.length,
): readonly string[] {
  if (words.length >= least && words.length <= names.length) return words
  const got = words.length === 0 ? 'nothing' : words.join(' ')
  throw usageFailure(`expected ${names.join(' and ')}, got ${got}`)
}

function holdWord(word: string | undefined): string {
  if (word !== undefined && /^[0-9a-f]{4,64}$/.test(word)) return word
  throw usageFailure(
    `expected at least 4 digits of a sid or a tranche, such as 'ledger open' shows, got '${word}'`,
  )
}

function siteWord(word: string | undefined): string {
  if (word !== undefined && parseSiteName(word) !== undefined) return word
  throw usageFailure(`expected a site's name such as b.example, got '${word}'`)
}

function money(text: string | undefined): string {
  const amount = text === undefined ? undefined : parseCredits(text)
  if (amount !== undefined) return String(amount)
  throw usageFailure(`expected credits such as 100 or 0.5, got '${text}'`)
}

function needed({ args }: Context, name: string): string {
  const value = args.value(name)
  if (value !== undefined) return value
  throw usageFailure(`--${name} is needed here`)
}

function fileBytes(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw failure('not_found', `${path} cannot be read: ${(error as Error).message}`)
  }
}

async function speak(context: Context, body: object): Promise<number> {
  const { terminal, json } = context
  const answer = await context.client().post<SpokenAnswer>(apiPaths.ledgerWord, body)
  if (json) {
    await terminal.out.write(jsonText(answer))
    return exitCodes.done
  }
  // A ruling goes to a file: nothing but it is printed.
  if (answer.note !== '') {
    await terminal.out.write(answer.note)
    return exitCodes.done
  }
  const said = answer.sids.map((sid) => `  statement ${sid}\n`).join('')
  const left = answer.left.map((line) => `  ${printable(line)}\n`).join('')
  await terminal.out.write(
    `${printable(answer.detail)}\n${said}${left === '' ? '' : `still open:\n${left}`}`,
  )
  return exitCodes.done
}

async function listOpen(context: Context, words: readonly string[]): Promise<number> {
  between(words, [])
  const { terminal, json } = context
  const rows = await context.client().get<readonly OpenRow[]>(apiPaths.ledgerOpen)
  await terminal.out.write(json ? jsonText(rows) : openText(context, rows))
  return exitCodes.done
}

function openText(context: Context, rows: readonly OpenRow[]): string {
  const { style, terminal } = context
  if (rows.length === 0) return 'nothing is open\n'
  const now = terminal.nowEpochMs()
  const late = rows.filter(({ pastDue }) => pastDue).length
  const text = table(
    [
      { title: 'WHAT' },
      { title: 'ID' },
      { title: 'WITH', shrinkTo: 8 },
      { title: 'WE ARE' },
      { title: 'AMOUNT', align: 'right' },
      { title: 'CLAIMED', align: 'right' },
      { title: 'ACCEPTED', align: 'right' },
      { title: 'AGE', align: 'right' },
      { title: 'DUE', paint: (word) => word === 'past due' ? style.red(word) : word },
    ],
    rows.map((row) => [
      row.kind, row.sid.slice(0, 16), row.site, row.role, credits(row.amount),
      credits(row.claimed), credits(row.accepted), age(row.sinceEpochMs, now), dueText(row, now),
    ]),
    { width: terminal.out.columns(), style },
  )
  const notes = rows.map((row) => {
    const todo = row.todo.map((command) => `    gridnode ledger ${command}\n`).join('')
    return `\n${row.sid.slice(0, 16)}: ${printable(row.detail)}\n${todo}`
  }).join('')
  return `${text}${late > 0 ? `${plural(late, 'item')} past due\n` : ''}${notes}`
}

function dueText({ dueEpochMs, pastDue }: OpenRow, now: number): string {
  if (pastDue) return 'past due'
  return dueEpochMs === undefined ? '' : `in ${age(now, dueEpochMs)}`
}
