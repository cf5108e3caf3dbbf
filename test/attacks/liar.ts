// What a site that lies can sign with its own real keys: second statements, second heads, second
// trees; and proofs of them.

import type { KeyPair } from '../../protocol/base/crypto.ts'
import { sha256 } from '../../protocol/base/crypto.ts'
import { encode } from '../../protocol/base/encoding.ts'
import type { FederationId, SiteName } from '../../protocol/base/ids.ts'
import { formatCheckpoint } from '../../protocol/base/checkpoint.ts'
import { append, emptyFrontier, inclusionProof, root } from '../../protocol/base/merkle.ts'
import type { Signer } from '../../protocol/base/note.ts'
import { parseNote, signNote } from '../../protocol/base/note.ts'
import { formatTlogProof } from '../../protocol/base/tlog-proof.ts'
import type { Statement } from '../../protocol/rules/statement.ts'
import { logOrigin, parseStatement, sealStatement } from '../../protocol/rules/statement.ts'
import { must } from '../sim/identity.ts'

/** The same statement with something else in it, signed like the first. */
export function another(
  signer: Signer, note: string, change: { readonly [field: string]: unknown },
): string {
  const { statement } = must(parseStatement(note))
  return must(sealStatement({ ...statement, ...change } as Statement, signer)).note
}

/** Any text at all that claims to be a statement. */
export function signedText(
  signer: Signer, kind: string, body: string | Parameters<typeof encode>[0],
): string {
  const line = typeof body === 'string' ? body : encode(body)
  return signNote(`gridnode/v1/${kind}\n${line}\n`, signer)
}

export interface LogOf {
  readonly name: SiteName
  readonly federation: FederationId
  readonly epoch?: number
  readonly log: KeyPair
}

export interface ShownLog {
  /** The signed head over all leaves. */
  readonly head: string
  /** A tlog-proof of one of them. */
  receipt(index: number): string
}

/** A log with exactly these leaves, signed by the key of the log. */
export function shownLog(of: LogOf, leaves: readonly string[]): ShownLog {
  let frontier = emptyFrontier
  const nodes = new Map<string, Uint8Array>()
  for (const leaf of leaves) {
    const grown = append(frontier, Buffer.from(leaf))
    for (const { level, index, hash } of grown.nodes) nodes.set(`${level}/${index}`, hash)
    frontier = grown.frontier
  }
  const name = logOrigin(of.name, of.federation, of.epoch ?? 1)
  const text = formatCheckpoint({ origin: name, size: leaves.length, rootHash: root(frontier) })
  const head = signNote(text, { name, key: of.log })
  return {
    head,
    receipt(index) {
      const hashes = inclusionProof(index, leaves.length, (level, at) =>
        nodes.get(`${level}/${at}`) ?? sha256(''))
      const note = must(parseNote(head, { bytesMax: 4_096 }))
      return formatTlogProof({ index, hashes, note })
    },
  }
}
