// `gridnode ledger receipt`: the proof that a statement of this site stands in the log of the site
// that it was said to; and, without a node, whether such a proof holds.

import { open, writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { ReceiptAnswer } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { sameBytes } from '../../protocol/base/crypto.ts'
import type { Checkpoint } from '../../protocol/base/checkpoint.ts'
import { parseCheckpoint } from '../../protocol/base/checkpoint.ts'
import { parseSiteName } from '../../protocol/base/ids.ts'
import { limits } from '../../protocol/base/limits.ts'
import type { Outcome } from '../../protocol/base/outcome.ts'
import { ok, refuse } from '../../protocol/base/outcome.ts'
import {
  parseTlogProof, tlogProofBytesMax, verifyTlogProof,
} from '../../protocol/base/tlog-proof.ts'
import { logVerifier } from '../../protocol/rules/ledger-keys.ts'
import { parseStatement } from '../../protocol/rules/statement.ts'
import type { Context } from '../command.ts'
import { exitCodes, failure, usageFailure } from '../failure.ts'
import { jsonText } from '../output.ts'
import { keysFrom } from '../verify/known-keys.ts'
import type { LogFiles } from '../verify/log-files.ts'
import { findLogs } from '../verify/log-files.ts'
import { readHead } from '../verify/log-head.ts'
import { openTreeFiles } from '../verify/tree-files.ts'

/** Beside a receipt in FILE: the entry that it proves, as it was signed. */
const entryEnding = '.entry'

export async function receipt(context: Context, words: readonly string[]): Promise<number> {
  const [word, file, ...more] = words
  if (word === 'check' && file !== undefined && more.length === 0) return check(context, file)
  if (word === undefined || file !== undefined || word === 'check') {
    throw usageFailure("expected 'ledger receipt SID|INDEX' or "
      + "'ledger receipt check FILE --ledger DIR'")
  }
  return show(context, word)
}

async function show(context: Context, entry: string): Promise<number> {
  const { args, terminal, json } = context
  if (!/^([0-9a-f]{64}|[0-9]{1,15})$/.test(entry)) {
    throw usageFailure(`expected a statement's sid or the index of its entry, got '${entry}'`)
  }
  const answer = await context.client().get<ReceiptAnswer>(apiPaths.ledgerReceipt, { entry })
  const out = args.value('out')
  if (out !== undefined) {
    const path = resolve(terminal.cwd, out)
    await writeFile(path, answer.proof, { flag: 'wx' }).catch(refused(out))
    await writeFile(`${path}${entryEnding}`, answer.note, { flag: 'wx' }).catch(refused(out))
  }
  const said = `${answer.kind} ${answer.sid}\n  entry ${answer.index} here, entry `
    + `${answer.siteIndex} of ${answer.site}\n`
  const where = out === undefined ? `\n${answer.proof}`
    : `  written to ${out} and ${out}${entryEnding}\n`
  await terminal.out.write(json ? jsonText(answer) : `${said}${where}`)
  return exitCodes.done
}

function refused(out: string): (cause: unknown) => never {
  return (cause) => {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw failure('exists', `${out} cannot be written: ${why}; name a file that does not exist`)
  }
}

interface Checked {
  readonly kind: string
  readonly sid: string
  readonly site: string
  readonly index: number
  readonly size: number
  /** Compared with the ledger of that site, too. */
  readonly compared: boolean
}

async function check(context: Context, file: string): Promise<number> {
  const { args, terminal, json } = context
  const ledgers = args.list('ledger')
  if (ledgers.length === 0) {
    throw usageFailure('expected --ledger DIR: an exported ledger that has the keys')
  }
  const path = resolve(terminal.cwd, file)
  const [proof, entry] = await Promise.all([
    readSmall(path, tlogProofBytesMax), readSmall(`${path}${entryEnding}`, limits.statementBytes),
  ])
  const inputs = await findLogs(ledgers.map((each) => resolve(terminal.cwd, each)))
  const checked = await checkReceipt({ proof, entry }, inputs)
  if (json) {
    const { ok: isProof } = checked
    await terminal.out.write(jsonText({
      holds: isProof, ...(isProof ? checked.value : { detail: checked.refusal.detail }),
    }))
  } else if (checked.ok) {
    const { kind, sid, site, index, size, compared } = checked.value
    await terminal.out.write(`${kind} ${sid}\n  stands at entry ${index} of ${site}, under its `
      + `signed head of ${size} entries\n`
      + (compared ? '  and that head is one of its ledger\n' : ''))
  } else await terminal.out.write(`no receipt: ${checked.refusal.detail}\n`)
  return checked.ok ? exitCodes.done : exitCodes.failed
}

export async function checkReceipt(
  given: { readonly proof: string, readonly entry: string }, inputs: readonly LogFiles[],
): Promise<Outcome<Checked, { readonly detail: string }>> {
  const proof = parseTlogProof(given.proof)
  if (!proof.ok) return refuse({ detail: `the file is no tlog-proof: ${proof.refusal.detail}` })
  const said = parseStatement(given.entry)
  if (!said.ok) return refuse({ detail: 'the entry beside it is no statement' })
  const checkpoint = parseCheckpoint(proof.value.note.text)
  const [name = '', , , e = ''] = checkpoint.ok ? checkpoint.value.origin.split('/') : []
  const site = parseSiteName(name)
  const { federation: fed, keysOf } = await keysFrom(inputs)
  const keys = site && keysOf(site)
  const log = keys && logVerifier(keys, site, { fed, epoch: Number(e.slice(1)) })
  if (!site || !log) return refuse({ detail: `these ledgers do not know the log of ${name}` })
  const proven = verifyTlogProof(proof.value, { leaf: Buffer.from(given.entry), log })
  if (!proven.ok) return refuse({ detail: proven.refusal.detail })
  const { index, checkpoint: head } = proven.value
  const compared = await compare(inputs, head)
  if (compared === 'other') {
    return refuse({ detail: `the ledger of ${site} has never had the head that the receipt stands `
      + 'under: the two together prove that it lied' })
  }
  const { statement: { kind }, sid } = said.value
  return ok({ kind, sid, site, index, size: head.size, compared: compared === 'same' })
}

/** The receipt's head against an export of that very log, if there is one that goes so far. */
async function compare(
  inputs: readonly LogFiles[], head: Checkpoint,
): Promise<'same' | 'other' | 'unknown'> {
  for (const files of inputs) {
    const read = await readHead(files)
    if (read.kind !== 'head') continue
    const { origin, size } = read.head.checkpoint
    if (origin !== head.origin || size < head.size) continue
    const root = await openTreeFiles(files, size).rootAt(head.size)
    if (root) return sameBytes(root, head.rootHash) ? 'same' : 'other'
  }
  return 'unknown'
}

async function readSmall(path: string, bytesMax: number): Promise<string> {
  const file = await open(path).catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw failure('not_found', `${path} cannot be read: ${why}; a receipt is two files, FILE and `
      + `FILE${entryEnding}, as 'gridnode ledger receipt --out FILE' writes them`)
  })
  try {
    const bytes = Buffer.alloc(bytesMax + 1)
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0)
    if (bytesRead > bytesMax) throw failure('too_large', `${path} is longer than a receipt can be`)
    return bytes.toString('utf8', 0, bytesRead)
  } finally {
    await file.close()
  }
}
