// Cases of whole logs, as exported files: honest ones; files that do not fit together; and logs
// that fit and are signed by their log key, but hold what no log may hold.

import { formatCheckpoint } from '../../../protocol/base/checkpoint.ts'
import { toBase64, toHex } from '../../../protocol/base/crypto.ts'
import type { Sid } from '../../../protocol/base/ids.ts'
import { append, emptyFrontier, root } from '../../../protocol/base/merkle.ts'
import { signNote } from '../../../protocol/base/note.ts'
import type { Signer } from '../../../protocol/base/note.ts'
import { encodeBundle, encodeTile, tilePath, tilesFor } from '../../../protocol/base/tiles.ts'
import { entryKey } from '../../../protocol/rules/ledger-book.ts'
import { sealGenesis } from '../../../protocol/rules/ledger.ts'
import {
  logOrigin, parseStatement, rootSigner, sealStatement, statementSigner,
} from '../../../protocol/rules/statement.ts'
import type { PlacedStatement, Statement } from '../../../protocol/rules/statement.ts'
import { ledgerStory } from '../../ledger-examples.ts'
import {
  credits, federation, keyFor, must, say, start, tell,
} from '../../rules/ledger-sites.ts'
import type { TestSite } from '../../rules/ledger-sites.ts'
import { badKeys } from './crafted-signatures.ts'
import { invalid, seededKey, valid } from './vector-case.ts'
import type { VectorCase, VectorFile } from './vector-case.ts'

type Files = Map<string, Uint8Array>

/** Where a case is wrong: the entry, -1 for the log as a whole. */
type At = readonly [index: number, rule: string]

export function logVectors(): VectorFile {
  const story = ledgerStory()
  const [home, host] = story.sites as [TestSite, TestSite]
  return {
    check: 'log',
    about: 'docs/LEDGER.md: files of an exported log (path to base64). Every entry opens under the '
      + 'key that is valid there, numbers and epochs fit (I1, I2, I8, I11); gives site and entries'
      + '; index and rule: the first fault, -1 for the log as a whole. Accounts are not replayed',
    cases: [
      valid('home', 'a log with all kinds of statements', given(home.name, filesOf(home))),
      valid('host', 'a log in its second epoch', given(host.name, filesOf(host))),
      ...smallLog(),
    ],
  }
}

function given(site: string, files: Files): object {
  return { ...encoded(files), gives: { site, entries: Number(sizeIn(files)) } }
}

function encoded(files: Files): { readonly files: Readonly<Record<string, string>> } {
  return { files: Object.fromEntries([...files].map(([path, bytes]) => [path, toBase64(bytes)])) }
}

function sizeIn(files: Files): string {
  return Buffer.from(files.get('checkpoint') ?? []).toString().split('\n')[1] ?? ''
}

function notesOf({ tables }: TestSite): string[] {
  const entries = tables.get('ledgerEntries') ?? new Map<string, unknown>()
  return Array.from({ length: entries.size }, (_, index) => String(entries.get(entryKey(index))))
}

function signerOf({ name, log, signer, tables }: TestSite): Signer {
  const head = tables.get('ledgerHead')?.get('head') as { readonly federation: Sid }
  return { name: logOrigin(name, head.federation, signer.epoch), key: log }
}

function filesOf(at: TestSite): Files {
  return filesWith(notesOf(at), signerOf(at))
}

/** The files of a log with these entries, whatever they are; at most 256. */
function filesWith(notes: readonly string[], signer: Signer): Files {
  const nodes = new Map<string, Uint8Array>()
  let frontier = emptyFrontier
  for (const note of notes) {
    const grown = append(frontier, Buffer.from(note))
    frontier = grown.frontier
    for (const node of grown.nodes) nodes.set(`${node.level}/${node.index}`, node.hash)
  }
  const files: Files = new Map()
  const { size } = frontier
  const text = formatCheckpoint({ origin: signer.name, size, rootHash: root(frontier) })
  files.set('checkpoint', Buffer.from(signNote(text, signer)))
  for (const tile of tilesFor({ from: 0, size })) {
    const bytes = tile.level === 'entries'
      ? encodeBundle(notes.map((note) => Buffer.from(note)))
      : encodeTile(tile, (level, index) => nodes.get(`${level}/${index}`) ?? new Uint8Array())
    files.set(tilePath(tile), bytes)
  }
  return files
}

function smallLog(): VectorCase[] {
  const [home, host] = federation('home.example', 'host.example') as [TestSite, TestSite]
  for (const limit of [1, 2]) {
    const credit = { kind: 'credit', at: start + limit, limit: credits(limit) } as const
    tell(host, home, { ...credit, to: home.name })
    say(home, { ...credit, to: host.name })
  }
  return [
    valid('small', 'six entries of two members, four of credit', given(home.name, filesOf(home))),
    ...spoiledFiles(home),
    ...spoiledHeads(home),
    ...spoiledEntries(home, host),
    ...spoiledEpochs(home, host),
    ...replacedKeys(home, host),
  ]
}

function broken(
  name: string, why: string, files: Files, [index, rule]: At,
): VectorCase {
  return invalid(name, why, { ...encoded(files), index, rule })
}

/** Files that do not fit together. */
function spoiledFiles(home: TestSite): VectorCase[] {
  const files = filesOf(home)
  const size = notesOf(home).length
  const [bundle, tile] = (['entries', 0] as const).map((level) =>
    tilePath({ level, index: 0, width: size })) as [string, string]
  const entries = files.get(bundle) ?? new Uint8Array()
  const changed = (path: string, bytes: Uint8Array | undefined): Files => {
    const copy = new Map(files)
    if (bytes) copy.set(path, bytes)
    else copy.delete(path)
    return copy
  }
  const flipped = (path: string, at: number): Files => {
    const bytes = Uint8Array.from(files.get(path) ?? [])
    bytes[at] = (bytes[at] ?? 0) ^ 1
    return changed(path, bytes)
  }
  const middle = Buffer.from(entries).indexOf('"limit":"1"') + 9
  return [
    broken('a byte of an entry', 'the entry is not what was signed, nor what the tree has',
      flipped(bundle, middle), [4, 'I1']),
    broken('a byte of a tile', 'the tile is not that of the entries', flipped(tile, 40), [1, 'I1']),
    broken('a tile cut short', 'a tile has 32 bytes for each hash',
      changed(tile, files.get(tile)?.subarray(0, -1)), [-1, 'I1']),
    broken('a tile with a byte more', 'a tile has 32 bytes for each hash',
      changed(tile, Buffer.concat([files.get(tile) ?? entries, Buffer.of(0)])), [-1, 'I1']),
    broken('no tile', 'a log has all its tiles', changed(tile, undefined), [-1, 'I1']),
    broken('no entries', 'a log has all its entries', changed(bundle, undefined), [0, 'I1']),
    broken('entries cut short', 'a bundle ends with an entry',
      changed(bundle, entries.subarray(0, -1)), [0, 'I1']),
    broken('entries with a byte more', 'a bundle ends with an entry',
      changed(bundle, Buffer.concat([entries, Buffer.of(0)])), [0, 'I1']),
    broken('an entry less', 'a bundle has as many entries as its name says', changed(bundle,
      encodeBundle(notesOf(home).slice(0, -1).map((note) => Buffer.from(note)))), [0, 'I1']),
  ]
}

/** Heads that are not this log's. */
function spoiledHeads(home: TestSite): VectorCase[] {
  const notes = notesOf(home)
  const signer = signerOf(home)
  const files = filesWith(notes, signer)
  const head = (note: string): Files => new Map([...files, ['checkpoint', Buffer.from(note)]])
  const text = Buffer.from(files.get('checkpoint') ?? []).toString().split('\n\n')[0] + '\n'
  const [origin = '', , rootText = ''] = text.split('\n')
  const zero = toBase64(new Uint8Array(32))
  const other = (name: string): Signer => ({ ...signer, name })
  return [
    broken('a head of another root', 'the entries give another root',
      head(signNote(text.replace(rootText, zero), signer)), [-1, 'I1']),
    broken('a head signed by another key', 'the genesis names the log key',
      head(signNote(text, { ...signer, key: seededKey('stranger') })), [-1, 'I1']),
    broken('a head signed by the statement key', 'a key signs for one purpose',
      head(signNote(text, { ...signer, key: keyFor(home.name, 'statement') })), [-1, 'I1']),
    broken('a head of another federation', 'the origin is not that of the entries',
      filesWith(notes, other(origin.replace(/\/[0-9a-f]{16}\//, '/0123456789abcdef/'))),
      [-1, 'I1']),
    broken('a head of another epoch', 'the origin is not that of the entries',
      filesWith(notes, other(origin.replace('/e1', '/e2'))), [-1, 'I1']),
    broken('a head of no site', 'the origin names site, federation and epoch',
      filesWith(notes, other('home.example/log')), [-1, 'I1']),
    broken('a head of another site', 'entry 1 is the genesis of the log\'s site',
      filesWith(notes, other(origin.replace('home', 'host'))), [1, 'I1']),
    broken('an unsigned head', 'a head is signed', head(`${text}\n`), [-1, 'I1']),
  ]
}

/** Logs that their log key has signed, with entries that may not be there. */
function spoiledEntries(home: TestSite, host: TestSite): VectorCase[] {
  const notes = notesOf(home)
  const signer = signerOf(home)
  const end = notes.length
  const last = must(parseStatement(notes.at(-1) ?? '')).statement as PlacedStatement
  const own = home.signer.statement
  const sealedBy = (by: Signer, statement: object): string =>
    must(sealStatement(statement as Statement, by)).note
  const with_ = (note: string): Files => filesWith([...notes, note], signer)
  const next = { ...last, n: last.n + 1, prev: sidAt(notes, -1) }
  const [other] = federation('other.example') as [TestSite]
  const strange = notesOf(other)
  const named = (name: string): Signer => ({ name, key: own.key })
  const text = sealedBy(own, next)
  const place = { e: 1, fed: last.fed, from: 'other.example', to: home.name, n: 1, prev: '' }
  const credit = { ...place, kind: 'credit', at: start, limit: credits(1) }
  return [
    broken('a bad signature', 'the signature is that of another text',
      with_(text.replace(/"at":\d+/, `"at":${start + 9}`)), [end, 'I1']),
    broken('another key', 'the genesis names the statement key',
      with_(sealedBy({ ...own, key: seededKey('stranger') }, next)), [end, 'I1']),
    broken('signed by the root key', 'the statement key signs statements',
      with_(sealedBy({ ...own, key: home.root }, next)), [end, 'I1']),
    broken('another name', 'the name has the epoch of the statement',
      with_(sealedBy(named('home.example/gridnode/s2'), next)), [end, 'I1']),
    broken('of no member', 'nobody has admitted the author',
      with_(sealedBy(other.signer.statement, credit)), [end, 'I1']),
    broken('to no member', 'nobody has admitted the addressee',
      with_(sealedBy(own, { ...next, to: 'other.example', n: 1, prev: '' })), [end, 'I1']),
    broken('between others', 'a log holds what its site says and hears',
      with_(sealedBy(host.signer.statement, {
        ...next, from: host.name, to: 'other.example', n: 1, prev: '',
      })), [end, 'I1']),
    broken('a genesis of no member', 'nobody has admitted the site', with_(must(sealGenesis(
      rootSigner(other.name, other.root),
      { fed: last.fed, site: other.name, keys: other.keys, at: start })).note), [end, 'I1']),
    broken('of another federation', 'statements name their federation',
      with_(sealedBy(own, { ...next, fed: sidAt(strange, 0) })), [end, 'I1']),
    broken('a gap', 'numbers have no gaps', with_(sealedBy(own, { ...next, n: next.n + 1 })),
      [end, 'I2']),
    broken('does not follow', 'a statement names the one before',
      with_(sealedBy(own, { ...next, prev: sidAt(notes, 0) })), [end, 'I2']),
    broken('two for one number', 'a number is used once',
      with_(sealedBy(own, { ...last, limit: credits(9) })), [end, 'I2']),
    broken('the same twice', 'a statement is logged once', with_(notes.at(-1) ?? ''), [end, 'I5']),
    broken('a time that fell', 'times do not fall within a sequence',
      with_(sealedBy(own, { ...next, at: last.at - 1 })), [end, 'I8']),
    broken('an unknown kind', 'a verifier knows all kinds',
      with_(signNote('gridnode/v1/credits\n{}\n', own)), [end, 'I11']),
    broken('not canonical', 'an entry has one encoding',
      with_(signNote(text.split('\n\n')[0]?.replace('"n":', '"n": ') + '\n', own)), [end, 'I11']),
    broken('no statement', 'an entry is a signed note', with_('anything\n'), [end, 'I11']),
    broken('an empty entry', 'an entry is a signed note', with_(''), [end, 'I11']),
    broken('a missing entry', 'numbers have no gaps',
      filesWith(notes.toSpliced(end - 3, 1), signer), [end - 2, 'I2']),
    broken('no federation', 'entry 0 is the federation statement',
      filesWith(notes.slice(1), signer), [0, 'I1']),
    broken('no genesis', 'entry 1 is the genesis of the log',
      filesWith(notes.toSpliced(1, 1), signer), [1, 'I1']),
    broken('federation twice', 'entry 0, and no other, is the federation statement',
      with_(notes[0] ?? ''), [end, 'I1']),
  ]
}

function sidAt(notes: readonly string[], index: number): Sid {
  return must(parseStatement(notes.at(index) ?? '')).sid
}

/** Geneses and new keys that do not follow from what was there. */
function spoiledEpochs(home: TestSite, host: TestSite): VectorCase[] {
  const notes = notesOf(home)
  const signer = signerOf(home)
  const end = notes.length
  const rootOfHost = rootSigner(host.name, host.root)
  const fed = sidAt(notes, 0)
  const fresh = (use: string): string => toHex(keyFor(host.name, `${use} of epoch 2`).publicKey)
  const keys = { ...host.keys, log: fresh('log'), statement: fresh('statement') }
  const after = { epoch: 1, genesis: sidAt([host.genesis], 0), closes: [] }
  const genesis = (change: object, by = rootOfHost): string =>
    must(sealGenesis(by, { fed, site: host.name, keys, at: start, after, ...change })).note
  const with_ = (...more: string[]): Files => filesWith([...notes, ...more], signer)
  const bad = (name: string, why: string, note: string, rule: string) =>
    broken(`genesis: ${name}`, why, with_(note), [end, rule])
  const message = Buffer.from('a message')
  const mixed = badKeys(message).find(({ name }) => name === 'key of mixed order')
  const [host2, old] = [2, 1].map((epoch) => statementSigner(host.name, epoch,
    epoch === 2 ? keyFor(host.name, 'statement of epoch 2') : host.signer.statement.key)) as
    [Signer, Signer]
  const hostsLast = must(parseStatement(notes[6] ?? '')).statement as PlacedStatement
  const inEpoch2 = { ...hostsLast, e: 2, n: 1, prev: '' }
  return [
    valid('a later epoch of another', 'its genesis follows the one before',
      given(home.name, with_(genesis({})))),
    bad('epoch 3', 'epochs follow one another', genesis({ after: { ...after, epoch: 2 } }), 'I1'),
    bad('of another one before', 'it names the genesis before it', genesis({
      after: { ...after, genesis: sidAt(notes, 1) },
    }), 'I5'),
    bad('another root key', 'the root key stays', genesis({}, {
      ...rootOfHost, key: seededKey('root'),
    }), 'I5'),
    bad('the log key again', 'a new epoch has new log and statement keys', genesis({
      keys: { ...keys, log: host.keys.log },
    }), 'I1'),
    bad('one key for two purposes', 'a key signs for one purpose', genesis({
      keys: { ...keys, log: keys.statement },
    }), 'I1'),
    bad('a key of mixed order', 'keys have prime order', genesis({
      keys: { ...keys, witness: toHex(mixed?.publicKey ?? new Uint8Array()) },
    }), 'I1'),
    bad('signed by the statement key', 'the root key signs a genesis',
      signNote(`${genesis({}).split('\n\n')[0]}\n`, { ...rootOfHost, key: old.key }), 'I1'),
    broken('an epoch that was not opened', 'its genesis is not in the log',
      with_(must(sealStatement(inEpoch2 as Statement, host2)).note), [end, 'I1']),
    broken('a new epoch without a close', 'the sequence goes on where it was, or is closed',
      with_(genesis({}), must(sealStatement(inEpoch2 as Statement, host2)).note), [end + 1, 'I1']),
    broken('the old key in a new epoch', 'an epoch has its own keys', with_(genesis({}),
      must(sealStatement(inEpoch2 as Statement, { ...host2, key: old.key })).note),
    [end + 1, 'I1']),
  ]
}

/** A `key` statement, and what the old key and the new one may sign around it. */
function replacedKeys(home: TestSite, host: TestSite): VectorCase[] {
  const notes = notesOf(home)
  const end = notes.length
  const statement = keyFor(host.name, 'statement 2')
  const last = must(parseStatement(notes[6] ?? '')).statement as PlacedStatement
  const next = { ...last, n: last.n + 1, prev: sidAt(notes, 6) }
  const rootOfHost = rootSigner(host.name, host.root)
  const said = (until: number, change: object = {}, by = rootOfHost): string =>
    must(sealStatement({
      kind: 'key', e: 1, fed: last.fed, from: host.name, to: '*', n: 2,
      prev: sidAt([host.genesis], 0), at: start, statement: toHex(statement.publicKey),
      witness: toHex(keyFor(host.name, 'witness 2').publicKey),
      last: [{ site: home.name, n: until }], ...change,
    } as Statement, by)).note
  const by = (key: Signer['key']): string =>
    must(sealStatement(next as Statement, statementSigner(host.name, 1, key))).note
  const old = host.signer.statement.key
  const log = (...more: string[]): Files => filesWith([...notes, ...more], signerOf(home))
  return [
    valid('key: the new key from here on', 'it signs what follows',
      given(home.name, log(said(last.n), by(statement)))),
    valid('key: the old key up to its last number', 'the numbers decide, not when they arrive',
      given(home.name, log(said(last.n + 1), by(old)))),
    broken('key: the old key beyond its last number', 'it counts no more',
      log(said(last.n), by(old)), [end + 1, 'I1']),
    broken('key: the new key too early', 'the old key has signed up to that number',
      log(said(last.n + 1), by(statement)), [end + 1, 'I1']),
    broken('key: the new key before it was named', 'the log does not know it yet',
      log(by(statement), said(last.n)), [end, 'I1']),
    broken('key: signed by the statement key', 'the root key signs new keys',
      log(said(last.n, {}, { ...rootOfHost, key: old })), [end, 'I1']),
    broken('key: the old key again', 'a key that was replaced does not come back',
      log(said(last.n, { statement: toHex(old.publicKey) })), [end, 'I1']),
    broken('key: the log key', 'a key signs for one purpose',
      log(said(last.n, { statement: host.keys.log })), [end, 'I1']),
    broken('key: the network key for the witness', 'a key signs for one purpose',
      log(said(last.n, { witness: host.keys.network })), [end, 'I1']),
    broken('key: of a later epoch', 'new keys are of the epoch that is open',
      log(said(last.n, { e: 2 })), [end, 'I1']),
  ]
}
