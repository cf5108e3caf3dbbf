// Clipped words are within their bytes, well-formed, and the beginning of what they were.

import { clip } from '../../protocol/base/clip.ts'
import { assert, suite } from '../harness.ts'

const t = suite('clip')

t('leaves what fits', () => {
  assert.equal(clip('', 0), '')
  assert.equal(clip('abc', 3), 'abc')
  assert.equal(clip('ü', 2), 'ü')
})

t('cuts between characters, never within one', () => {
  assert.equal(clip('abcd', 3), 'abc')
  assert.equal(clip('üü', 3), 'ü')
  assert.equal(clip('a😀b', 4), 'a')
  assert.equal(clip('a😀b', 5), 'a😀')
})

t('gives well-formed text of bounded bytes for any text', () => {
  const pieces = ['a', 'ü', '€', '😀', '\ud83d', '\ude00', '\n', '"']
  let state = 1
  const next = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return state % below
  }
  for (let round = 0; round < 2_000; round++) {
    const text = Array.from({ length: next(40) }, () => pieces[next(pieces.length)]).join('')
    const bytesMax = next(60)
    const clipped = clip(text, bytesMax)
    assert.ok(clipped.isWellFormed(), JSON.stringify(text))
    assert.ok(Buffer.byteLength(clipped) <= bytesMax, `${JSON.stringify(text)} in ${bytesMax}`)
    assert.ok(text.toWellFormed().startsWith(clipped) || clipped.endsWith('\ufffd'), clipped)
  }
})
