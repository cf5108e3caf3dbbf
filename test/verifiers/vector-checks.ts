// The checks of test/vectors/ledger by gridnode's own code; the verifiers in Go and Python have the
// same ones.

import { parseCheckpoint } from '../../protocol/base/checkpoint.ts'
import { openCosignatures } from '../../protocol/base/cosignature.ts'
import { fromBase64, fromHex, toHex, verify } from '../../protocol/base/crypto.ts'
import { verifySealed } from '../../protocol/base/envelope.ts'
import { fromUtf8 } from '../../protocol/base/encoding.ts'
import { verifyConsistency, verifyInclusion } from '../../protocol/base/merkle.ts'
import { keyId, noteAlgorithm, parseNote, verifyNote } from '../../protocol/base/note.ts'
import type { Verifier } from '../../protocol/base/note.ts'
import { parseTlogProof, verifyTlogProof } from '../../protocol/base/tlog-proof.ts'
import { parseStatement, signerNameOf } from '../../protocol/rules/statement.ts'
import { verifyLogs } from '../../cli/verify/verify.ts'
import { memoryFiles } from '../rules/ledger-exports.ts'
import type { VectorCase } from '../vectors/ledger/vector-case.ts'

export type Gives = Readonly<Record<string, string | number>>
type Check = (inputs: VectorCase) => Gives | undefined | Promise<Gives | undefined>

const bytesMax = 16 * 1_024

/** `valid`, `invalid`, or `differs` when it gives something else, or fails elsewhere. */
export async function runVector(
  check: string, one: VectorCase,
): Promise<'valid' | 'invalid' | 'differs'> {
  const found = await checks[check]?.(one)
  if (!found) return 'invalid'
  if (one.expect === 'valid') {
    return JSON.stringify(found) === JSON.stringify(one.gives ?? {}) ? 'valid' : 'differs'
  }
  return found['differs'] === undefined ? 'valid' : 'differs'
}

const checks: Readonly<Record<string, Check>> = {
  signature(one) {
    const [key, message, signature] = ['public_key', 'message', 'signature'].map((name) =>
      hexOf(one[name])) as [Uint8Array, Uint8Array, Uint8Array]
    return verify(key, message, signature) ? {} : undefined
  },
  checkpoint(one) {
    const note = openNote(one)
    const head = note && parseCheckpoint(note.text)
    const key = verifierOf(one, noteAlgorithm.ed25519)
    if (!note || !head?.ok || !key || !verifyNote(note, key)) return undefined
    const { origin, size, rootHash } = head.value
    if (origin !== key.name || origin !== one['origin']) return undefined
    return { size, root: toHex(rootHash) }
  },
  statement(one) {
    const parsed = parseStatement(textOf(one, 'note') ?? '')
    const key = verifierOf(one, noteAlgorithm.ed25519)
    if (!parsed.ok || !key) return undefined
    const { statement, sealed, sid } = parsed.value
    const named = sealed.signerName === key.name && key.name === signerNameOf(statement)
    return named && verifySealed(sealed, key) ? { sid, kind: statement.kind } : undefined
  },
  cosignature(one) {
    const note = openNote(one)
    const key = verifierOf(one, noteAlgorithm.cosignature)
    const found = note && key ? openCosignatures(note, [key])[0] : undefined
    return found && { time: found.seconds }
  },
  receipt(one) {
    const key = verifierOf(one, noteAlgorithm.ed25519)
    const proof = parseTlogProof(textOf(one, 'receipt') ?? '')
    if (!proof.ok || !key) return undefined
    const leaf = Buffer.from(String(one['leaf']))
    const proven = verifyTlogProof(proof.value, { leaf, log: key })
    if (!proven.ok) return undefined
    return { index: proven.value.index, size: proven.value.checkpoint.size }
  },
  inclusion(one) {
    const holds = verifyInclusion({
      leafHash: hexOf(one['leaf_hash']),
      index: Number(one['index']),
      size: Number(one['size']),
      root: hexOf(one['root']),
      proof: proofOf(one),
    })
    return holds ? {} : undefined
  },
  consistency(one) {
    const holds = verifyConsistency({
      from: Number(one['from']),
      to: Number(one['to']),
      fromRoot: hexOf(one['from_root']),
      toRoot: hexOf(one['to_root']),
      proof: proofOf(one),
    })
    return holds ? {} : undefined
  },
  async log(one) {
    const encoded = one['files'] as Readonly<Record<string, string>>
    const files = new Map(Object.entries(encoded).map(([path, base64]) =>
      [path, fromBase64(base64) ?? new Uint8Array()]))
    const { verdict, findings, logs } = await verifyLogs([memoryFiles(one.name, files)])
    const [log] = logs
    if (verdict === 'holds' && log) return { site: log.site, entries: log.entries }
    const place = ({ index }: { readonly index: number | undefined }): number => index ?? Infinity
    const [first] = findings.toSorted((a, b) => place(a) - place(b))
    const named = (first?.index ?? -1) === one['index'] && first?.rule === one['rule']
    return named ? undefined : { differs: `${first?.index} ${first?.rule} ${first?.detail}` }
  },
}

function textOf(one: VectorCase, name: string): string | undefined {
  const encoded = one[`${name}_base64`]
  if (typeof encoded !== 'string') return String(one[name])
  return fromUtf8(fromBase64(encoded) ?? new Uint8Array())
}

function openNote(one: VectorCase) {
  const note = parseNote(textOf(one, 'note') ?? '', { bytesMax })
  return note.ok ? note.value : undefined
}

/** A verifier key as Go writes it: name, key id, base64 of type and key. */
function verifierOf(one: VectorCase, algorithm: number): Verifier | undefined {
  const [name = '', id = '', ...rest] = String(one['vkey']).split('+')
  const bytes = fromBase64(rest.join('+'))
  if (bytes?.[0] !== algorithm || bytes.length !== 33) return undefined
  const publicKey = bytes.subarray(1)
  const expected = keyId(name, publicKey, algorithm).toString(16).padStart(8, '0')
  return id === expected ? { name, publicKey } : undefined
}

function hexOf(text: unknown): Uint8Array {
  return fromHex(String(text)) ?? new Uint8Array()
}

function proofOf(one: VectorCase): Uint8Array[] {
  return (one['proof'] as readonly string[]).map(hexOf)
}
