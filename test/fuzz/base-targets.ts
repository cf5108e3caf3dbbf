// The readers of protocol/base: they never throw, and what they accept is the one text of what
// they give.

import { formatCheckpoint, parseCheckpoint } from '../../protocol/base/checkpoint.ts'
import { openCosignatures, withSignatureLines } from '../../protocol/base/cosignature.ts'
import {
  checkPublicKey, fromBase64, fromHex, toBase64, toHex, verify,
} from '../../protocol/base/crypto.ts'
import { decode, encode, fromUtf8 } from '../../protocol/base/encoding.ts'
import type { Value } from '../../protocol/base/encoding.ts'
import { parseSealed, verifySealed } from '../../protocol/base/envelope.ts'
import {
  parseContractId, parseHash, parseJobId, parseSiteName, parseTrancheId,
} from '../../protocol/base/ids.ts'
import { limits } from '../../protocol/base/limits.ts'
import { formatNote, parseNote, verifyNote } from '../../protocol/base/note.ts'
import {
  addRanges, formatRanges, parseRanges, rangesHave, rangesSize, subtractRanges, takeRanges,
} from '../../protocol/base/ranges.ts'
import { pack, unpack } from '../../protocol/base/record.ts'
import {
  decodeBundle, decodeTile, encodeBundle, parseTilePath, tilePath,
} from '../../protocol/base/tiles.ts'
import { formatTlogProof, parseTlogProof, verifyTlogProof } from '../../protocol/base/tlog-proof.ts'
import {
  formatBytes, formatCredits, formatDuration, parseAmount, parseBytes, parseCredits,
  parseDurationSeconds,
} from '../../protocol/base/units.ts'
import type { Corpus } from './corpus.ts'
import { demand, same } from './demand.ts'
import { canonical } from './mutate-value.ts'
import type { Target } from './target.ts'

export function baseTargets(corpus: Corpus): Target[] {
  return [...texts(corpus), ...notes(corpus), ...small, ...bytes]
}

const texts = (corpus: Corpus): Target[] => [
  {
    name: 'canonical JSON',
    cost: 2,
    seeds: () => [...corpus.messages.slice(0, 200), '{"a":[1,"x",{}],"b":"\\u0000é"}', '""', '0'],
    check(input) {
      const read = decode(input, { bytesMax: limits.messageBytes })
      if (read.ok) same(encode(read.value), input)
    },
  },
  {
    name: 'records of the store',
    cost: 2,
    seeds: () => [
      pack({ a: 12n, b: Uint8Array.of(1, 2), $c: [null, true, 1.5], d: { $n: 'x' } }),
      '{"$n":"-12"}', '[{"$b":"AAE="},1e5]', ...corpus.messages.slice(0, 30),
    ],
    check(input) {
      let value: unknown
      let again: string
      try {
        value = unpack(input)
        again = pack(value)
      } catch {
        // A damaged store: any error says so.
        return
      }
      same(pack(unpack(again)), again)
    },
  },
  {
    name: 'UTF-8',
    cost: 1,
    bytes: true,
    seeds: () => ['abc', Buffer.from('é\u{1f600}\ufeff').toString('latin1')],
    check(input) {
      const raw = Buffer.from(input, 'latin1')
      const read = fromUtf8(raw)
      if (read !== undefined) same(Buffer.from(read), raw)
    },
  },
]

const notes = (corpus: Corpus): Target[] => [
  {
    name: 'notes',
    cost: 3,
    seeds: () => corpus.notes,
    check(input) {
      const open = parseNote(input, { bytesMax: limits.statementBytes })
      if (!open.ok) return
      same(formatNote(open.value), input)
      demand(open.value.signatures.length <= 16, 'at most sixteen signatures')
      verifyNote(open.value, corpus.verifier)
    },
  },
  {
    name: 'envelopes',
    cost: 3,
    seeds: () => corpus.notes,
    check(input) {
      const read = parseSealed(input, { bytesMax: limits.statementBytes })
      if (!read.ok) return
      const { kind, body, open } = read.value
      same(`gridnode/v1/${kind}\n${encode(body)}\n`, open.text)
      verifySealed(read.value, corpus.verifier)
    },
  },
  {
    name: 'checkpoints',
    cost: 1,
    seeds: () => corpus.heads.map((note) => note.slice(0, note.lastIndexOf('\n\n') + 1)),
    check(input) {
      const read = parseCheckpoint(input)
      if (read.ok) same(formatCheckpoint(read.value), input)
    },
  },
  {
    name: 'receipts',
    cost: 4,
    seeds: () => corpus.proofs,
    check(input) {
      const read = parseTlogProof(input)
      if (!read.ok) return
      same(formatTlogProof(read.value), input)
      verifyTlogProof(read.value, { leaf: Buffer.from('x'), log: corpus.logVerifier })
    },
  },
  {
    name: 'cosignatures',
    cost: 4,
    seeds: () => corpus.cosigned,
    check(input) {
      const open = parseNote(input, { bytesMax: 16_384 })
      if (open.ok) openCosignatures(open.value, corpus.witnesses)
      const split = input.lastIndexOf('\n\n') + 2
      const lines = input.slice(split).split('\n').map((line) => `${line}\n`)
      const [note = ''] = corpus.heads
      for (const signed of [note, input]) {
        const whole = withSignatureLines(signed, lines)
        if (whole.ok) demand(parseNote(whole.value, { bytesMax: 65_536 }).ok, 'a note it can read')
      }
    },
  },
]

const small: readonly Target[] = [
  {
    name: 'ranges',
    cost: 1,
    seeds: () => ['', '0', '1-16,20', '0-3,5-9,999999999', '1-100000', '7,9,11,13-15'],
    check(input) {
      const read = parseRanges(input, { last: limits.taskNumberMax })
      if (!read) return
      same(formatRanges(read), input)
      const [one, ...others] = [read, parseRanges('2-9,12', { last: 20 })!]
      const two = others[0]!
      const size = rangesSize(one)
      demand(rangesSize(subtractRanges(one, two)) + rangesSize(two)
        === rangesSize(addRanges(one, two)), 'left and right make the union')
      const { taken, rest } = takeRanges(one, 3)
      demand(rangesSize(taken) === Math.min(3, size), 'as many as asked for')
      same(formatRanges(addRanges(taken, rest)), input)
      if (size > 0) demand(rangesHave(one, one[0]![0]), 'has its first')
    },
  },
  {
    name: 'units',
    cost: 1,
    seeds: () => ['12', '0.5', '12.000001 cr', '90s', '1h30m', '2d', '512MiB', '4G', '2 GB', '0',
      '9223372036854775807', '12credits', '1d 2h'],
    check(input) {
      const amount = parseAmount(input)
      if (amount !== undefined) same(String(amount), input)
      const credits = parseCredits(input)
      if (credits !== undefined) demand(parseCredits(formatCredits(credits)) === credits, 'credits')
      const seconds = parseDurationSeconds(input)
      if (seconds !== undefined) {
        demand(Number.isSafeInteger(seconds) && seconds >= 0, `seconds: ${seconds}`)
        formatDuration(seconds)
      }
      const size = parseBytes(input)
      if (size === undefined) return
      demand(Number.isSafeInteger(size) && size >= 0, `bytes: ${size}`)
      formatBytes(size)
    },
  },
  {
    name: 'names and ids',
    cost: 1,
    seeds: () => ['site-a.example', 'a', 'a.b-c.d', 'ab'.repeat(6), 'ab'.repeat(8), 'ab'.repeat(32),
      `${'a'.repeat(63)}`, 'a-'.repeat(31)],
    check(input) {
      const site = parseSiteName(input)
      if (site !== undefined) demand(/^[a-z0-9.-]{1,63}$/.test(site), 'a name of plain characters')
      for (const [parse, length] of [
        [parseHash, 64], [parseJobId, 12], [parseContractId, 16], [parseTrancheId, 16],
      ] as const) {
        const id = parse(input)
        const isId = id === input && /^[0-9a-f]+$/.test(id) && id.length === length
        if (id !== undefined) demand(isId, 'an id')
      }
    },
  },
  {
    name: 'hexadecimal and base64',
    cost: 1,
    seeds: () => ['', '00ff', 'AAE=', 'AA==', 'a+/b', 'ab'.repeat(32)],
    check(input) {
      const hex = fromHex(input)
      if (hex) same(toHex(hex), input)
      const base64 = fromBase64(input)
      if (base64) same(toBase64(base64), input)
    },
  },
  {
    name: 'tile paths',
    cost: 1,
    seeds: () => ['tile/0/000', 'tile/1/x001/x234/067', 'tile/entries/000.p/12', 'tile/6/x999/999',
      'tile/0/x009/x007/x199/x254/x740/991'],
    check(input) {
      const tile = parseTilePath(input)
      if (tile) same(tilePath(tile), input)
    },
  },
]

const bytes: readonly Target[] = [
  {
    name: 'tiles and bundles',
    cost: 1,
    bytes: true,
    seeds: () => [
      encodeBundle([Buffer.from('a'), Buffer.from(''), Buffer.from('xyz')]),
      encodeBundle([Buffer.alloc(65_535)]), new Uint8Array(96), new Uint8Array(0),
    ].map((one) => Buffer.from(one).toString('latin1')),
    check(input) {
      const raw = Buffer.from(input, 'latin1')
      for (const width of [1, 3, 256]) {
        const bundle = decodeBundle(raw, width)
        if (bundle.ok) same(encodeBundle(bundle.value), raw)
        const tile = decodeTile(raw, width)
        if (tile.ok) same(Buffer.concat(tile.value), raw)
      }
    },
  },
  {
    name: 'keys and signatures',
    cost: 6,
    bytes: true,
    seeds: () => [Buffer.alloc(96, 7).toString('latin1'), `\x01${'\0'.repeat(95)}`,
      Buffer.from('ed'.repeat(96), 'hex').toString('latin1')],
    check(input) {
      const raw = Buffer.from(input, 'latin1')
      const [key, signature] = [raw.subarray(0, 32), raw.subarray(32)]
      checkPublicKey(key)
      demand(!verify(key, Buffer.from('never signed'), signature), 'a signature from nowhere')
    },
  },
]

/** As `same`, for what a document was read from and its typed form gives back. */
export function sameValue(again: Value, input: unknown): void {
  same(canonical(again), canonical(input))
}
