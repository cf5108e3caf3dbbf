// Signatures checked ahead of the replay. A bundle's entries are read and their signatures given to
// the pool under the keys that will most likely be asked for: those that the entries themselves
// have named so far. The replay then asks as ever; what was checked under another key, or not at
// all, is checked when it asks. So the answers are those of `checkNow`, only sooner.
// Invariants: a guess is used only for the very key that the rules name; what several logs hold
// alike is checked once.

import { fromHex, sameBytes } from '../../protocol/base/crypto.ts'
import type { Sealed } from '../../protocol/base/envelope.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import { keyId } from '../../protocol/base/note.ts'
import type { ReadLeaf } from '../../protocol/rules/audit.ts'
import { readLeaf } from '../../protocol/rules/audit.ts'
import type { LedgerTables } from '../../protocol/rules/ledger-book.ts'
import type { SignatureCheck } from '../../protocol/rules/ledger-entry.ts'
import { checkNow } from '../../protocol/rules/ledger-entry.ts'
import type { LoadedBook } from '../../protocol/rules/ledger-state.ts'
import type { Statement } from '../../protocol/rules/statement.ts'
import { rootSignerName, statementSignerName } from '../../protocol/rules/statement.ts'
import type { Bundle } from './bundles.ts'
import type { KnownNotes } from './known-notes.ts'
import { partsPerSignature, signatureBytes } from './signature-batch.ts'
import type { SignaturePool } from './signature-pool.ts'

export interface ReadEntry {
  readonly bytes: Uint8Array
  readonly read: ReadLeaf
  /** Answers for this entry's signature. */
  readonly check: SignatureCheck
}

export interface SignatureDesk {
  /** Reads the entries; the promise is kept when their signatures are checked. */
  read(bundle: Extract<Bundle, { readonly kind: 'entries' }>): Promise<readonly ReadEntry[]>
  /** Takes in the keys of a book that a replay begins from. */
  learn(book: LoadedBook): void
}

/** A key that entries have named for its signer. */
interface Guess {
  readonly publicKey: Uint8Array
  readonly keyId: number
}

/** More signers than a log has sites and epochs: a log that names more is read without guesses. */
const guessesMax = 10_000

export function openSignatureDesk(pool: SignaturePool, known?: KnownNotes): SignatureDesk {
  const guesses = new Map<string, Guess>()
  const guess = (name: string, key: string): void => {
    const publicKey = fromHex(key)
    if (!publicKey || (guesses.size >= guessesMax && !guesses.has(name))) return
    guesses.set(name, { publicKey, keyId: keyId(name, publicKey) })
  }
  return {
    async read({ bytes, entries }) {
      const batch = openBatch(bytes, entries.length, known)
      const leaves = entries.map((entry) => {
        const read = readLeaf(entry)
        if ('reason' in read) return { bytes: entry, read, check: checkNow }
        learnKeys(read.statement, guess)
        const guessed = guesses.get(read.sealed.signerName)
        const check = guessed ? batch.add(entry, read.sealed, guessed) : checkNow
        return { bytes: entry, read, check }
      })
      await batch.send(pool)
      return leaves
    },
    learn({ records }) {
      for (const { table, key, value } of records) {
        if (table !== 'ledgerMembers') continue
        const { epoch, root, keys } = value as LedgerTables['ledgerMembers']
        guess(rootSignerName(key as SiteName), root)
        guess(statementSignerName(key as SiteName, epoch), keys.statement)
      }
    },
  }
}

/** Keys that this statement names for those that follow it. */
function learnKeys(statement: Statement, guess: (name: string, key: string) => void): void {
  switch (statement.kind) {
    case 'federation': return guess(rootSignerName(statement.founder), statement.root)
    case 'genesis':
      guess(rootSignerName(statement.from), statement.root)
      return guess(statementSignerName(statement.from, statement.e), statement.keys.statement)
    case 'key':
      return guess(statementSignerName(statement.from, statement.e), statement.statement)
    default:
  }
}

interface OpenBatch {
  /** The check of this entry, to be used once the batch is back. */
  add(entry: Uint8Array, sealed: Sealed, guessed: Guess): SignatureCheck
  send(pool: SignaturePool): Promise<void>
}

function openBatch(
  bytes: Uint8Array, entriesMax: number, known: KnownNotes | undefined,
): OpenBatch {
  const parts = new Int32Array(entriesMax * partsPerSignature)
  const signatures = new Uint8Array(entriesMax * signatureBytes)
  const keys: Uint8Array[] = []
  const fingerprints: Uint8Array[] = []
  let size = 0
  let verdicts: Uint8Array = new Uint8Array()
  return {
    add(entry, sealed, { publicKey, keyId: id }) {
      const answer = (verdict: () => boolean): SignatureCheck => (asked, verifier) =>
        verifier.name === sealed.signerName && sameBytes(verifier.publicKey, publicKey)
          ? verdict()
          : checkNow(asked, verifier)
      const signed = sealed.open.signatures[0]
      if (signed?.keyId !== id || signed.signature.length !== signatureBytes) return checkNow
      if (known) {
        const fingerprint = known.fingerprint({ publicKey, sid: sealed.sid, ...signed })
        if (known.has(fingerprint)) return answer(() => true)
        fingerprints.push(fingerprint)
      }
      const place = size++
      const begin = entry.byteOffset - bytes.byteOffset
      let key = keys.indexOf(publicKey)
      if (key < 0) key = keys.push(publicKey) - 1
      parts[place * partsPerSignature] = begin
      parts[place * partsPerSignature + 1] = begin + textBytes(entry, sealed)
      parts[place * partsPerSignature + 2] = key
      signatures.set(signed.signature, place * signatureBytes)
      return answer(() => verdicts[place] === 1)
    },
    async send(pool) {
      if (size === 0) return
      verdicts = await pool.check({
        bytes,
        parts: parts.subarray(0, size * partsPerSignature),
        signatures: signatures.subarray(0, size * signatureBytes),
        keys,
      })
      for (const [at, fingerprint] of fingerprints.entries()) {
        if (verdicts[at] === 1) known?.add(fingerprint)
      }
    },
  }
}

/** How much of the entry is its text: all but the empty line and the signature's. */
function textBytes(entry: Uint8Array, { open, signerName }: Sealed): number {
  const signed = open.signatures[0]
  // `— <name> <base64>` and two newlines: the dash takes three bytes.
  const base64 = signed ? 4 * Math.ceil((4 + signed.signature.length) / 3) : 0
  return entry.length - 1 - (3 + 1 + Buffer.byteLength(signerName) + 1 + base64 + 1)
}
