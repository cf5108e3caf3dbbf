// The keys of a federation's sites as exported ledgers know them: replayed from the statements that
// make keys known, each opened under the key that may sign it. Nothing else is believed.
// Invariant: a ledger that is not what its signed checkpoint commits to gives no keys.

import { fromHex, sameBytes } from '../../protocol/base/crypto.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import { verifyNote } from '../../protocol/base/note.ts'
import { openReplay } from '../../protocol/rules/audit.ts'
import type { EvidenceContext } from '../../protocol/rules/evidence.ts'
import type { MemberKeys } from '../../protocol/rules/ledger-book.ts'
import type { SignatureCheck } from '../../protocol/rules/ledger-entry.ts'
import { checkNow } from '../../protocol/rules/ledger-entry.ts'
import { logOrigin, parseStatement } from '../../protocol/rules/statement.ts'
import { bundlesOf } from './bundles.ts'
import type { LogFiles } from './log-files.ts'
import { readHead } from './log-head.ts'

/** Who may sign what follows from these alone; the rest is not what is asked here. */
const keyKinds: ReadonlySet<string> = new Set(['federation', 'genesis', 'key', 'policy'])
const checkKeyKinds: SignatureCheck = (sealed, verifier) =>
  !keyKinds.has(sealed.kind) || checkNow(sealed, verifier)

export interface KnownKeys extends EvidenceContext {
  /** Whose ledgers they are from. */
  readonly sites: readonly SiteName[]
}

/** Throws an Error that says which ledger cannot be used, and why. */
export async function keysFrom(
  inputs: readonly LogFiles[], signal?: AbortSignal,
): Promise<KnownKeys> {
  const logs = []
  for (const files of inputs) logs.push(await keysOfLog(files, signal))
  const [first] = logs
  if (!first) throw new Error('expected at least one ledger')
  const members = new Map<SiteName, MemberKeys>()
  for (const log of logs) {
    if (log.federation !== first.federation) {
      throw new Error(`the ledgers of ${first.site} and ${log.site} are of two federations`)
    }
    for (const [site, keys] of log.members) {
      const known = members.get(site)
      if (!known || isNewer(keys, known)) members.set(site, keys)
    }
  }
  return {
    federation: first.federation,
    founder: first.founder,
    sites: logs.map(({ site }) => site),
    keysOf: (site) => members.get(site),
  }
}

/** Keys only come to be: who knows more changes of them knows better. */
function isNewer(left: MemberKeys, right: MemberKeys): boolean {
  return left.epoch !== right.epoch ? left.epoch > right.epoch
    : left.retired.length > right.retired.length
}

async function keysOfLog(files: LogFiles, signal: AbortSignal | undefined) {
  const read = await readHead(files)
  if (read.kind !== 'head') throw new Error(`${files.name}: ${read.detail}`)
  const { site, checkpoint, note } = read.head
  const replay = openReplay(site, checkKeyKinds)
  let founder: SiteName | undefined
  for await (const bundle of bundlesOf(files, checkpoint.size)) {
    signal?.throwIfAborted()
    if (bundle.kind === 'unreadable') throw new Error(`${files.name}: ${bundle.detail}`)
    for (const entry of bundle.entries) {
      founder ??= founderIn(entry)
      replay.leaf(entry)
    }
  }
  const summary = replay.summary()
  if (!summary || !founder) throw new Error(`${files.name}: its first entries open no ledger`)
  const { federation, epoch, members } = summary
  const name = logOrigin(site, federation, epoch)
  const isSigned = checkpoint.origin === name
    && verifyNote(note, { name, publicKey: fromHex(summary.logKey) ?? new Uint8Array() })
  if (!isSigned || !sameBytes(replay.head().root, checkpoint.rootHash)) {
    throw new Error(`${files.name} is not what its checkpoint commits to; see gridnode verify`)
  }
  return { site, federation, founder, members }
}

function founderIn(entry: Uint8Array): SiteName | undefined {
  const parsed = parseStatement(Buffer.from(entry).toString('utf8'))
  const said = parsed.ok ? parsed.value.statement : undefined
  return said?.kind === 'federation' ? said.founder : undefined
}
