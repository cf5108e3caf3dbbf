// `gridnode evidence`: proofs that a site lied, as the node keeps them; and, without a node,
// whether a document is one, by the keys in exported ledgers.

import { open, writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { EvidenceDocument, EvidenceRow } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import type { ProvenLie } from '../../protocol/rules/evidence.ts'
import { checkEvidence, evidenceBytesMax } from '../../protocol/rules/evidence.ts'
import type { Command, Context } from '../command.ts'
import { wrap } from '../command.ts'
import { CommandFailure, exitCodes, failure, usageFailure } from '../failure.ts'
import { instant, jsonText, printable, table } from '../output.ts'
import { keysFrom } from '../verify/known-keys.ts'
import { findLogs } from '../verify/log-files.ts'

export const evidence: Command = {
  usage: ['[options] [SITE|ID]', 'check FILE --ledger DIR...'],
  about:
    'Proofs that a site lied: what its own signatures make impossible together. The node finds ' +
    'them or hears of them, checks each for itself and gives the site no new credit; debts stay. ' +
    'check: whether a document proves a lie, by the keys in exported ledgers, without a node.',
  options: {
    export: { kind: 'value', value: 'FILE', help: 'write the one document into FILE' },
    ledger: { kind: 'list', value: 'DIR', help: 'check: exported ledgers, or a directory of them' },
  },
  examples: [
    ['gridnode evidence', 'what is known'],
    ['gridnode evidence b.example --export lie.json', 'for an auditor'],
    ['gridnode evidence check lie.json --ledger ledgers', 'is it one?'],
    ['gridnode ledger credit b.example 100', 'give it credit again'],
  ],
  notes: 'Exit codes of check: 0 it proves a lie, 1 it proves nothing.',
  run: runEvidence,
}

async function runEvidence(context: Context): Promise<number> {
  const { args } = context
  const [word, ...more] = args.words
  if (word === 'check') return check(context, more)
  if (more.length > 0) throw usageFailure(`expected one site or id, got ${args.words.join(' ')}`)
  if (args.list('ledger').length > 0) {
    throw usageFailure('--ledger belongs to: gridnode evidence check FILE --ledger DIR...')
  }
  return list(context, word)
}

async function list(context: Context, word: string | undefined): Promise<number> {
  const { args, terminal, json } = context
  const all = await context.client().get<readonly EvidenceRow[]>(apiPaths.evidence)
  const rows = word === undefined ? all : all.filter(({ id, accused }) =>
    accused === word || (/^[0-9a-f]{4,64}$/.test(word) && id.startsWith(word)))
  if (word !== undefined && rows.length === 0) {
    throw failure('not_found', `no evidence of '${word}' is known here; see gridnode evidence`)
  }
  const file = args.value('export')
  if (file !== undefined) return exportDocument(context, rows, file)
  await terminal.out.write(json ? jsonText(rows) : rowsText(context, rows))
  return exitCodes.done
}

function rowsText(context: Context, rows: readonly EvidenceRow[]): string {
  const { style, terminal } = context
  if (rows.length === 0) return 'no evidence against anybody\n'
  const width = Math.min(terminal.out.columns(), 100)
  const head = table(
    [
      { title: 'ID' }, { title: 'SITE', shrinkTo: 10 }, { title: 'EPOCH', align: 'right' },
      { title: 'PROOF' }, { title: 'SINCE' }, { title: 'FOUND BY', shrinkTo: 8 },
      { title: 'CREDIT' },
    ],
    rows.map((row) => [
      row.id.slice(0, 12), row.accused, String(row.epoch), row.kind, instant(row.epochMs),
      row.from || 'this site', row.frozen ? 'frozen' : 'granted',
    ]),
    { width: terminal.out.columns(), style },
  )
  const lines = rows.flatMap((row) =>
    wrap(printable(`${row.id.slice(0, 12)}: ${row.accused} ${row.what}`), width))
  return `${head}${lines.map((line) => `${line}\n`).join('')}`
}

async function exportDocument(
  { terminal, json, client }: Context, rows: readonly EvidenceRow[], file: string,
): Promise<number> {
  const [row, second] = rows
  if (!row || second) {
    throw usageFailure(`--export writes one document; ${rows.length} match, name one by its id`)
  }
  const answer = await client().get<EvidenceDocument>(apiPaths.evidenceDocument(row.id))
  const path = resolve(terminal.cwd, file)
  await writeFile(path, answer.document, { flag: 'wx' }).catch((error: unknown) => {
    throw failure('conflict', `${path} cannot be written (${messageOf(error)}); choose another`)
  })
  await terminal.out.write(json ? jsonText({ id: row.id, file: path })
    : `${path}\ncheck it with: gridnode evidence check ${file} --ledger DIR\n`)
  return exitCodes.done
}

async function check(context: Context, words: readonly string[]): Promise<number> {
  const { args, terminal, json } = context
  const directories = args.list('ledger')
  const [file, ...more] = words
  if (file === undefined || more.length > 0 || directories.length === 0) {
    throw usageFailure('expected: gridnode evidence check FILE --ledger DIR...')
  }
  const document = await readDocument(resolve(terminal.cwd, file))
  const inputs = await findLogs(directories.map((word) => resolve(terminal.cwd, word)))
  const stop = new AbortController()
  const undo = terminal.onInterrupt(() => stop.abort(new Error('interrupted')))
  try {
    const keys = await keysFrom(inputs, stop.signal)
    const checked = checkEvidence(document, keys)
    if (!checked.ok) {
      const { reason, detail } = checked.refusal
      throw failure(reason, `${file} proves nothing by the ledgers of ${keys.sites.join(', ')}: ` +
        detail)
    }
    await terminal.out.write(json ? jsonText(checked.value) : lieText(context, checked.value))
    return exitCodes.done
  } catch (error) {
    if (stop.signal.aborted) return exitCodes.interrupted
    if (error instanceof CommandFailure) throw error
    throw failure('unverified', messageOf(error))
  } finally {
    undo()
  }
}

function lieText({ style }: Context, lie: ProvenLie): string {
  return `${style.bold(lie.accused)} lied in epoch ${lie.epoch}: it ${printable(lie.what)}\n` +
    `  proof ${lie.kind}, document ${lie.doc}\n`
}

/** The document's own bytes; a last newline is forgiven. */
async function readDocument(path: string): Promise<string> {
  const handle = await open(path).catch((error: unknown) => {
    throw failure('not_found', `${path} cannot be read (${messageOf(error)})`)
  })
  try {
    const bytes = Buffer.alloc(evidenceBytesMax + 2)
    let filled = 0
    for (;;) {
      const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, filled)
      filled += bytesRead
      if (bytesRead === 0 || filled === bytes.length) break
    }
    return bytes.subarray(0, filled).toString('utf8').replace(/\n$/, '')
  } finally {
    await handle.close()
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
