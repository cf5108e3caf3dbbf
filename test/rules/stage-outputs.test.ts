// Output patterns: by example, and against a slow matcher that follows the words of the rule.

import fc from 'fast-check'
import type { OutputPattern } from '../../protocol/rules/stage-outputs.ts'
import { enterName, isHopeless, matchName } from '../../protocol/rules/stage-outputs.ts'
import { matchOutputs, parseOutputPatterns } from '../../protocol/rules/stage-outputs.ts'
import { standingAtRoot } from '../../protocol/rules/stage-outputs.ts'
import { assert, suite } from '../harness.ts'

const t = suite('rules/stage-outputs')

function parsed(...texts: string[]): readonly OutputPattern[] {
  return assert.accepted(parseOutputPatterns(texts))
}

function taken(pattern: string, ...files: string[]): string[] {
  return matchOutputs(parsed(pattern), { files, directories: [] }).files
}

t('takes files, directories and what is below them [STAGE-8]', () => {
  assert.equal(taken('out', 'out', 'out/a', 'out/b/c', 'outer', 'x/out'),
    ['out', 'out/a', 'out/b/c'])
  assert.equal(taken('out/', 'out'), [])
  assert.equal(taken('out/', 'out/a', 'out/b/c'), ['out/a', 'out/b/c'])
  assert.equal(taken('*.txt', 'a.txt', '.txt', 'a/b.txt', 'a.txt/b', 'a.txtx'),
    ['a.txt', '.txt', 'a.txt/b'])
  assert.equal(taken('*/x', 'x', 'a/x', 'a/b/x'), ['a/x'])
  assert.equal(taken('**/x', 'x', 'a/x', 'a/b/x', 'a/xx'), ['x', 'a/x', 'a/b/x'])
  assert.equal(taken('a/**/b', 'a/b', 'a/x/b', 'a/x/y/b', 'b'), ['a/b', 'a/x/b', 'a/x/y/b'])
  assert.equal(taken('?', 'a', 'é', '😀', 'ab'), ['a', 'é', '😀'])
  assert.equal(taken('a?c*', 'abc', 'abcd', 'ac'), ['abc', 'abcd'])
  assert.equal(taken('[ab]', 'a', '[ab]'), ['[ab]'])
  assert.equal(taken('a b/*', 'a b/c d'), ['a b/c d'])
})

t('empty directories are taken, and say that a pattern took something', () => {
  const tree = { files: ['x'], directories: ['out', 'other/deep'] }
  const matched = matchOutputs(parsed('out/', 'other/**', 'none', 'x/'), tree)
  assert.equal(matched, { files: [], directories: ['out', 'other/deep'], missing: ['none', 'x/'] })
})

t('patterns that are no paths are refused', () => {
  for (const bad of ['', '/', '/abs', '../x', 'a//b', './a', 'a\\*', '.gridnode/stdout', 'a\n',
    'a//']) {
    assert.refused(parseOutputPatterns([bad]), 'bad_path')
  }
  assert.refused(parseOutputPatterns(Array.from({ length: 257 }, (_, i) => `${i}`)), 'too_many')
  assert.refused(parseOutputPatterns(Array.from({ length: 20 }, () => 'x/'.repeat(500))),
    'too_many')
})

t('a walk sees where nothing can match', () => {
  const patterns = parsed('a/b/*.txt', 'c/')
  const down = (...names: string[]): boolean =>
    isHopeless(names.reduce((at, name) => enterName(patterns, at, name), standingAtRoot(patterns)))
  assert.equal([down('a'), down('a', 'b'), down('c', 'x', 'y')], [false, false, false])
  assert.equal([down('b'), down('a', 'x'), down('a', 'b', 'x.png')], [true, true, true])
})

t('hostile patterns take a bounded number of steps', () => {
  assert.equal(matchName('a*'.repeat(120) + 'b', 'a'.repeat(255)), false)
  const [pattern] = parsed('**/a/'.repeat(200) + 'b')
  assert.ok(pattern)
  assert.equal(taken(pattern.text, 'a/'.repeat(500) + 'c'), [])
  assert.equal(taken('**/**/**/*'.repeat(1) + '/**'.repeat(200), 'a/b'), ['a/b'])
})

/** The rule word by word, over code points and names, with no regard to time. */
function slowName(pattern: readonly string[], name: readonly string[]): boolean {
  const [wanted, ...rest] = pattern
  if (wanted === undefined) return name.length === 0
  const deeper = name.slice(1)
  if (wanted === '*') return slowName(rest, name) || (name.length > 0 && slowName(pattern, deeper))
  return name.length > 0 && (wanted === '?' || wanted === name[0]) && slowName(rest, deeper)
}

function slowNames(pattern: readonly string[], names: readonly string[]): boolean {
  const [wanted, ...rest] = pattern
  const [name, ...deeper] = names
  if (wanted === undefined) return names.length === 0
  if (wanted === '**' && slowNames(rest, names)) return true
  if (name === undefined) return false
  if (wanted === '**') return slowNames(pattern, deeper)
  return slowName([...wanted], [...name]) && slowNames(rest, deeper)
}

function slowTakes(pattern: string, path: string): boolean {
  const names = path.split('/')
  const isDirectory = pattern.endsWith('/')
  const wanted = (isDirectory ? pattern.slice(0, -1) : pattern).split('/')
  // Some directory above it, or (unless only directories count) the file itself.
  for (let depth = 0; depth <= names.length - (isDirectory ? 1 : 0); depth++) {
    if (slowNames(wanted, names.slice(0, depth))) return true
  }
  return false
}

const name = fc.array(fc.constantFrom('a', 'b', '.', 'é', '😀'), { minLength: 1, maxLength: 5 })
  .map((parts) => `${parts.join('')}x`)
const patternName = fc.array(fc.constantFrom('a', 'b', '*', '?', 'x', '😀'),
  { minLength: 1, maxLength: 6 })
  .map((parts) => parts.join(''))
const path = fc.array(name, { minLength: 1, maxLength: 5 }).map((names) => names.join('/'))
const pattern = fc.tuple(
  fc.array(fc.oneof(patternName, fc.constant('**'), fc.constant('*')),
    { minLength: 1, maxLength: 5 }),
  fc.boolean(),
).map(([names, isDirectory]) => names.join('/') + (isDirectory ? '/' : ''))

t('agrees with the slow matcher', () => {
  fc.assert(
    fc.property(fc.array(pattern, { minLength: 1, maxLength: 4 }), fc.array(path),
      (texts, paths) => {
      const files = [...new Set(paths)]
      const matched = matchOutputs(parsed(...texts), { files, directories: [] })
      assert.equal(matched.files, files.filter((one) => texts.some((text) => slowTakes(text, one))))
      assert.equal(
        matched.missing, texts.filter((text) => !files.some((one) => slowTakes(text, one))))
    }),
    { numRuns: 3_000 },
  )
})
