// `gridnode ledger`: balances, entries, the export for auditors, and credit given to another site.

import { resolve } from 'node:path'
import type { ExportAnswer, LedgerEntryRow, LedgerSummary } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { compareBytes, parseSiteName } from '../../protocol/base/ids.ts'
import { parseCredits } from '../../protocol/base/units.ts'
import type { Command, Context } from '../command.ts'
import { wrap } from '../command.ts'
import { exitCodes, usageFailure } from '../failure.ts'
import { credits, cut, jsonText, plural, printable, table } from '../output.ts'
import { digest, documents, prune, snapshot } from './ledger-keeping.ts'
import { receipt } from './ledger-receipt.ts'
import { recoverLedger, rotateKeys } from './ledger-repair.ts'
import { wordOptions, wordUsage, wordVerbs } from './ledger-words.ts'

export const ledger: Command = {
  usage: [
    '[options]', 'entries', 'export DIR', 'credit SITE CREDITS',
    'receipt SID|INDEX', 'receipt check FILE --ledger DIR...', 'digest DAY',
    'documents JOB', 'snapshot', 'prune', 'recover', 'rotate',
    ...wordUsage,
  ],
  about:
    'Without a word: what this site and each other owe and hold. entries: the signed statements ' +
    'in the order of the log. export: writes the log into DIR, which is new or holds an older ' +
    "export, for 'gridnode verify'. credit: how much SITE may owe this site; a promise that is " +
    'signed. receipt: the proof that a statement of this site stands in the log of the other; ' +
    "check: whether it holds, without a node. digest: a day's local work, with --json as " +
    "documents. documents: a job's private documents, as far as they are here, for 'gridnode " +
    "verify --documents'. snapshot: says the state of the books. prune: drops the first entries. " +
    'recover and rotate need keys/root.key and a node that does not run. recover: begins a ' +
    'new epoch after the database was put back from a backup or lost; open jobs are ended, what ' +
    'the ledger lacks comes back from the peers. rotate: new statement and witness keys, after a ' +
    'theft. open: what waits for a word on either side, and the commands for it; HOLD is the ' +
    'beginning of its sid, or a tranche.',
  options: {
    from: {
      kind: 'value', value: 'N|DIR',
      help: 'entries: from this index (default: the last ones); recover: an exported ledger, of ' +
        'this site or of a peer, when there is no database any more',
    },
    limit: { kind: 'value', short: 'n', value: 'N', help: 'entries: at most N (default 20)' },
    out: { kind: 'value', value: 'FILE', help: 'receipt, documents: write into FILE' },
    ledger: {
      kind: 'list', value: 'DIR', help: 'receipt check: exported ledgers that have the keys',
    },
    below: { kind: 'value', value: 'INDEX', help: 'prune: the first entry that is to stay' },
    mirror: { kind: 'list', value: 'DIR', help: 'prune: an export that has the entries (twice)' },
    retention: {
      kind: 'value', value: 'TIME', help: "prune: nothing younger (default: the config's)",
    },
    full: { kind: 'flag', help: 'entries: with all they say' },
    ...wordOptions,
  },
  examples: [
    ['gridnode ledger', 'balances'],
    ['gridnode ledger entries --limit 5 --full', 'the last five statements'],
    ['gridnode ledger export /tmp/a-ledger', 'for an auditor; then gridnode verify /tmp/a-ledger'],
    ['gridnode ledger credit b.example 100', 'b.example may owe us up to 100 credits'],
    ['gridnode ledger receipt 41 --out hold.proof', 'to show to an arbiter, say'],
    ['gridnode ledger receipt check hold.proof --ledger ledgers', 'does it hold?'],
    ['gridnode ledger open', 'claims, disputes and payments that wait for a word, and what to do'],
    ['gridnode ledger settle b.example 20 --paid-by us --reference "bank 17"', 'we have paid 20'],
    ['gridnode ledger recover', 'after db/ was put back from a backup'],
    ['gridnode ledger recover --from /backup/a-ledger', 'after db/ was lost'],
  ],
  run: runLedger,
}

async function runLedger(context: Context): Promise<number> {
  const [verb, ...words] = context.args.words
  const word = verb !== undefined && Object.hasOwn(wordVerbs, verb) ? wordVerbs[verb] : undefined
  if (word) return word(context, words)
  switch (verb) {
    case undefined:
    case 'summary':
      return summary(context, expectWords(words, []))
    case 'entries':
      return entries(context, expectWords(words, []))
    case 'export':
      return exportLedger(context, expectWords(words, ['DIR']))
    case 'credit':
      return giveCredit(context, expectWords(words, ['SITE', 'CREDITS']))
    case 'receipt': return receipt(context, words)
    case 'digest': return digest(context, expectWords(words, ['DAY'])[0]!)
    case 'documents': return documents(context, expectWords(words, ['JOB'])[0]!)
    case 'snapshot':
      expectWords(words, [])
      return snapshot(context)
    case 'prune':
      expectWords(words, [])
      return prune(context)
    case 'recover':
      expectWords(words, [])
      return recoverLedger(context)
    case 'rotate':
      expectWords(words, [])
      return rotateKeys(context)
    default:
      throw usageFailure(
        "expected 'ledger' with entries, export, credit, receipt, digest, documents, snapshot, " +
          `prune, recover or rotate; got 'ledger ${verb}'`,
      )
  }
}

function expectWords(words: readonly string[], names: readonly string[]): readonly string[] {
  if (words.length === names.length) return words
  const expected = names.length === 0 ? 'nothing more' : names.join(' and ')
  const got = words.length === 0 ? 'nothing' : words.join(' ')
  throw usageFailure(`expected ${expected}, got ${got}`)
}

async function summary(context: Context, _words: readonly string[]): Promise<number> {
  const { terminal, json, style } = context
  const answer = await context.client().get<LedgerSummary>(apiPaths.ledger)
  if (json) {
    await terminal.out.write(jsonText(answer))
    return exitCodes.done
  }
  const count = plural(answer.entries, 'entry', 'entries')
  const head = `ledger of ${style.bold(answer.site)}: ${count}\n` +
    `  federation ${answer.federation}\n  root hash  ${answer.rootHash}\n`
  const pairs = answer.pairs.toSorted((a, b) => compareBytes(a.site, b.site))
  await terminal.out.write(pairs.length === 0 ? head : `${head}\n${table(
    [
      { title: 'WITH', shrinkTo: 8 },
      { title: 'BALANCE', align: 'right' },
      { title: 'WE HOLD', align: 'right' },
      { title: 'THEY HOLD', align: 'right' },
      { title: 'WE CLAIM', align: 'right' },
      { title: 'THEY CLAIM', align: 'right' },
    ],
    pairs.map((pair) => [
      pair.site, credits(pair.balance), credits(pair.heldByUs), credits(pair.heldByThem),
      credits(pair.claimedByUs), credits(pair.claimedByThem),
    ]),
    { width: terminal.out.columns(), style },
  )}\na positive balance is owed to this site; 'gridnode peers' has the limits\n`)
  return exitCodes.done
}

async function entries(context: Context, _words: readonly string[]): Promise<number> {
  const { args, terminal, json } = context
  const limit = wholeNumber(args.value('limit') ?? '20', '--limit', 1)
  const chosen = args.value('from')
  let from = chosen === undefined ? 0 : wholeNumber(chosen, '--from', 0)
  if (chosen === undefined) {
    const { entries: count } = await context.client().get<LedgerSummary>(apiPaths.ledger)
    from = Math.max(0, count - limit)
  }
  const rows = await context.client().get<readonly LedgerEntryRow[]>(
    apiPaths.ledgerEntries, { from, limit },
  )
  await terminal.out.write(json ? jsonText(rows) : entriesText(context, rows))
  return exitCodes.done
}

function wholeNumber(text: string, option: string, min: number): number {
  if (/^[0-9]{1,12}$/.test(text) && Number(text) >= min) return Number(text)
  throw usageFailure(`${option}: expected a number from ${min}, got '${text}'`)
}

function entriesText(context: Context, rows: readonly LedgerEntryRow[]): string {
  const { args, style, terminal } = context
  if (rows.length === 0) return 'no entries there\n'
  if (args.flag('full')) return rows.map((row) => fullEntryText(context, row)).join('')
  return table(
    [
      { title: 'INDEX', align: 'right' },
      { title: 'KIND' },
      { title: 'FROM', shrinkTo: 8 },
      { title: 'TO', shrinkTo: 8 },
      { title: 'NO', align: 'right' },
      { title: 'STATEMENT' },
      { title: 'SAYS', shrinkTo: 10 },
    ],
    rows.map((row) => [
      String(row.index), row.kind, row.from, row.to, String(row.number), row.sid.slice(0, 12),
      bodyText(row.body),
    ]),
    { width: terminal.out.columns(), style },
  )
}

/** What every statement carries, or the row says already. */
const plainKeys = new Set(['e', 'fed', 'from', 'to', 'n', 'at'])

function bodyText(body: LedgerEntryRow['body']): string {
  const own = Object.entries(body).filter(([name]) => !plainKeys.has(name))
  return own.map(([name, value]) => `${name}=${valueText(value)}`).join(' ')
}

function valueText(value: unknown): string {
  return cut(typeof value === 'string' ? value : JSON.stringify(value), 40)
}

function fullEntryText(context: Context, row: LedgerEntryRow): string {
  const width = Math.min(context.terminal.out.columns(), 100)
  const head = `${row.index}  ${context.style.bold(row.kind)} ${row.number}, ` +
    `${row.from} to ${row.to || 'all'}\n     ${row.sid}\n`
  const lines = Object.entries(row.body).flatMap(([name, value]) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value)
    return wrap(`${name} ${printable(text)}`, width - 5)
  })
  return `${head}${lines.map((line) => `     ${line}\n`).join('')}`
}

async function exportLedger(context: Context, [named]: readonly string[]): Promise<number> {
  const { terminal, json } = context
  const directory = resolve(terminal.cwd, named!)
  const answer = await context.client().post<ExportAnswer>(apiPaths.ledgerExport, { directory })
  await terminal.out.write(json
    ? jsonText(answer)
    : `${plural(answer.entries, 'entry', 'entries')} written to ${answer.directory}, ` +
      `root hash\n  ${answer.rootHash}\ncheck them with: gridnode verify ${named}\n`)
  return exitCodes.done
}

async function giveCredit(context: Context, words: readonly string[]): Promise<number> {
  const { terminal, json } = context
  const [site = '', text = ''] = words
  if (parseSiteName(site) === undefined) {
    throw usageFailure(`expected a site's name such as b.example, got '${site}'`)
  }
  const limit = parseCredits(text)
  if (limit === undefined) throw usageFailure(`expected credits such as 100 or 0.5, got '${text}'`)
  const body = { site, limit: String(limit) }
  const answer = await context.client().post<{ readonly sid: string }>(apiPaths.credit, body)
  await terminal.out.write(json
    ? jsonText(answer)
    : `${site} may owe this site up to ${credits(String(limit))} cr\n  statement ${answer.sid}\n`)
  return exitCodes.done
}
