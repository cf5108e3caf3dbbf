// Names that travel: what each parser takes and refuses, the ids that are cut from a sid, and the
// one order.

import {
  compareBytes, contractIdOf, parseContractId, parseHash, parseJobId, parseSiteName, parseTrancheId,
  trancheIdOf,
} from '../../protocol/base/ids.ts'
import { sha256Hex } from '../../protocol/base/crypto.ts'
import { assert, suite } from '../harness.ts'
import { random } from '../sim/random.ts'

const t = suite('ids')

/** A site name by its words: labels of [a-z0-9-] between dots, no dash at an end, 63 in all. */
function slowIsSiteName(text: string): boolean {
  if (text.length < 1 || text.length > 63) return false
  return text.split('.').every((label) => label !== '' && !label.startsWith('-') &&
    !label.endsWith('-') && [...label].every((letter) => 'abcxyz0189-'.includes(letter)))
}

t('of all short texts exactly the site names are taken', () => {
  const letters = ['a', '0', '-', '.', 'A', '_']
  let texts = ['']
  for (let length = 0; length <= 5; length++) {
    for (const text of texts) {
      const expected = slowIsSiteName(text) ? text : undefined
      assert.equal(parseSiteName(text), expected, `'${text}'`)
    }
    texts = texts.flatMap((text) => letters.map((letter) => text + letter))
  }
})

t('long random texts are site names by the same words', () => {
  const chance = random(1, 'names')
  let taken = 0
  for (let round = 0; round < 5_000; round++) {
    const letter = (): string => chance.pick(chance.chance(60) ? ['-', '.'] : ['a', 'z', '0', '9'])
    const text = Array.from({ length: chance.between(50, 70) }, letter).join('')
    const expected = slowIsSiteName(text) ? text : undefined
    assert.equal(parseSiteName(text), expected, `round ${round}: '${text}'`)
    if (expected !== undefined) taken++
  }
  assert.ok(taken > 100, `${taken} names were taken`)
})

t('site names have 1 to 63 characters of one script and one case', () => {
  for (const name of ['a', '0', 'site-a.example', 'a--b.c', 'x'.repeat(63)]) {
    assert.equal(parseSiteName(name), name)
  }
  const wrong = [
    '', 'x'.repeat(64), 'Site-a', 'site_a', 'site a', 'a.', '.a', 'a..b', 'a-.b', 'a.-b', '-a',
    'sité', 'ａ', 'a\n', '\na', 'a/b', 'a:1', 'a\u0000', 'a\u200b',
  ]
  for (const text of wrong) assert.equal(parseSiteName(text), undefined, JSON.stringify(text))
})

t('a text that is nearly a name is refused at once', () => {
  for (const text of [`${'a'.repeat(62)}-`, `${'a-'.repeat(31)}-`, `${'a.'.repeat(31)}-`]) {
    assert.equal(parseSiteName(text), undefined)
  }
  assert.equal(parseSiteName(`${'a-'.repeat(500_000)}!`), undefined)
})

t('ids are lower-case hexadecimal digits of one length', () => {
  const parsers: readonly (readonly [(text: string) => string | undefined, number])[] = [
    [parseHash, 64], [parseJobId, 12], [parseContractId, 16], [parseTrancheId, 16],
  ]
  for (const [parse, digits] of parsers) {
    const good = '0123456789abcdef'.repeat(4).slice(0, digits)
    assert.equal(parse(good), good)
    const wrong = [
      '', good.slice(1), `${good}0`, `${good}\n`, ` ${good.slice(1)}`, `g${good.slice(1)}`,
      `A${good.slice(1)}`, `${good.slice(1)}\n`, `-${good.slice(1)}`, `０${good.slice(1)}`,
    ]
    for (const text of wrong) assert.equal(parse(text), undefined, JSON.stringify(text))
  }
})

t('contracts and tranches are named by the beginning of their statement\'s sid', () => {
  const sid = sha256Hex('a statement')
  assert.equal(contractIdOf(sid), sid.slice(0, 16))
  assert.equal(trancheIdOf(sid), sid.slice(0, 16))
  assert.equal(parseContractId(contractIdOf(sid)), sid.slice(0, 16))
  assert.equal(parseTrancheId(trancheIdOf(sid)), sid.slice(0, 16))
})

t('the order of ids and names is that of their bytes', () => {
  const chance = random(1, 'order')
  const draw = (): string => Array.from({ length: chance.int(4) }, () =>
    String.fromCharCode(chance.between(0x20, 0x7e))).join('')
  for (let round = 0; round < 5_000; round++) {
    const [left, right] = [draw(), draw()]
    const expected = Buffer.compare(Buffer.from(left), Buffer.from(right))
    assert.equal(compareBytes(left, right), expected, JSON.stringify([left, right]))
    assert.equal(compareBytes(left, left), 0)
  }
  const names = ['b', 'a.b', 'a-b', 'a', 'Z', 'aa', 'a0', '']
  assert.equal(names.toSorted(compareBytes), ['', 'Z', 'a', 'a-b', 'a.b', 'a0', 'aa', 'b'])
})
