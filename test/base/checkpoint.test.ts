// Checkpoints: the specification's example, one that other software signed, and one text a head.

import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { formatCheckpoint, parseCheckpoint } from '../../protocol/base/checkpoint.ts'
import { fromHex, sha256, toHex } from '../../protocol/base/crypto.ts'
import { parseNote } from '../../protocol/base/note.ts'
import { assert, suite } from '../harness.ts'

interface Vectors {
  readonly checkpoint: {
    readonly origin: string
    readonly size: number
    readonly root_hash: string
    readonly note: string
  }
}
const file = new URL('../vectors/base/notes.json', import.meta.url)
const { checkpoint } = JSON.parse(readFileSync(file, 'utf8')) as Vectors
const root = 'CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I='

const t = suite('checkpoint')

t('agrees with a checkpoint that other software wrote', () => {
  const { text } = assert.accepted(parseNote(checkpoint.note, { bytesMax: 4_096 }))
  const parsed = assert.accepted(parseCheckpoint(text))
  assert.equal([parsed.origin, parsed.size], [checkpoint.origin, checkpoint.size])
  assert.equal(toHex(parsed.rootHash), checkpoint.root_hash)
  const rootHash = fromHex(checkpoint.root_hash) as Uint8Array
  assert.equal(formatCheckpoint({ origin: parsed.origin, size: 8, rootHash }), text)
})

t('reads the example of the specification', () => {
  const origin = 'example.com/behind-the-sofa'
  const parsed = assert.accepted(parseCheckpoint(`${origin}\n20852163\n${root}\n`))
  assert.equal([parsed.origin, parsed.size], [origin, 20_852_163])
})

t('refuses what is not three lines in their one form', () => {
  const wrong = [
    '', 'o\n', 'o\n1\n', `o\n1\n${root}`, `o\n1\n${root}\n\n`, `o\n1\n${root}\nextension\n`,
    `\n1\n${root}\n`, `o p\n1\n${root}\n`, `o+p\n1\n${root}\n`, `${'o'.repeat(256)}\n1\n${root}\n`,
    `o\n01\n${root}\n`, `o\n+1\n${root}\n`, `o\n-1\n${root}\n`, `o\n1.0\n${root}\n`,
    `o\n\n${root}\n`, `o\n0x1\n${root}\n`, `o\n1e3\n${root}\n`, `o\n 1\n${root}\n`,
    `o\n9007199254740992\n${root}\n`, `o\n${'9'.repeat(400)}\n${root}\n`,
    `o\n1\n${root.slice(0, -1)}\n`, `o\n1\n${root.slice(4)}\n`, `o\n1\nAAAA${root}\n`, 'o\n1\n\n',
    `o\n1\n${root.replace('I=', 'J=')}\n`, `o\r\n1\n${root}\n`,
  ]
  for (const text of wrong) assert.refused(parseCheckpoint(text), 'malformed')
})

t('what is formatted is parsed back', () => {
  const heads = fc.record({
    origin: fc.stringMatching(/^[a-z0-9./-]{1,40}$/),
    size: fc.maxSafeNat(),
    rootHash: fc.string().map((seed) => sha256(seed)),
  }, { noNullPrototype: true })
  fc.assert(fc.property(heads, (head) => {
    assert.equal(assert.accepted(parseCheckpoint(formatCheckpoint(head))), head)
  }), { seed: 1, numRuns: 200 })
})

t('formatting what is no head is our own mistake', () => {
  const head = { origin: 'o', size: 1, rootHash: sha256('') }
  assert.throws(() => formatCheckpoint({ ...head, origin: 'a b' }), /an origin has no spaces/)
  assert.throws(() => formatCheckpoint({ ...head, size: 2 ** 53 }), /a tree size/)
  assert.throws(() => formatCheckpoint({ ...head, rootHash: new Uint8Array(31) }), /32 bytes/)
})
