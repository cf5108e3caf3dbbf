// The tree keeps the house rules, type-checks and lints; and each rule is shown to fail on a
// snippet that breaks it, so that no rule is dead.
// time limit: 300 s

import { spawnSync } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { assert, suite } from './harness.ts'
import { rulesInOrder } from './import-rules.ts'
import { codeOf, importsOf } from './source-text.ts'
import { violations } from './tidy-rules.ts'

const root = join(import.meta.dirname, '..')

const tree = suite('the tree')

tree('keeps the house rules', () => {
  const paths = trackedFiles()
  assert.ok(paths.includes('test/tidy.test.ts'), 'the list of files holds this file')
  const found = paths.flatMap((path) => {
    const bytes = readFileSync(join(root, path))
    return bytes.includes(0) ? [] : violations(path, bytes.toString('utf8'))
  })
  assert.ok(found.length === 0, `${found.length} places break a rule:\n${found.join('\n')}`)
})

tree('type-checks', () => {
  program('tsc', ['--pretty', 'false'])
}, { timeoutSeconds: 240 })

tree('lints', () => {
  program('oxlint', ['--format', 'unix'])
}, { timeoutSeconds: 240 })

tree('has one lock file that fits package.json', () => {
  const read = (name: string): Record<string, unknown> =>
    JSON.parse(readFileSync(join(root, name), 'utf8')) as Record<string, unknown>
  const packages = read('package-lock.json')['packages'] as Record<string, Record<string, unknown>>
  const wanted = read('package.json')
  const locked = packages[''] ?? {}
  for (const group of ['dependencies', 'devDependencies', 'optionalDependencies']) {
    assert.equal(sorted(locked[group]), sorted(wanted[group]), `${group} of package-lock.json`)
  }
})

function sorted(group: unknown): [string, unknown][] {
  return Object.entries(group ?? {}).toSorted(([left], [right]) => left < right ? -1 : 1)
}

/** Committed and new files, without what .gitignore leaves out. */
function trackedFiles(): string[] {
  const ran = spawnSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root, encoding: 'utf8', maxBuffer: 1 << 24,
  })
  assert.equal(ran.status, 0, `git lists the files: ${ran.error?.message ?? ran.stderr}`)
  return ran.stdout.split('\0').filter((path) =>
    path !== '' && statSync(join(root, path), { throwIfNoEntry: false })?.isFile() === true)
}

function program(name: string, args: readonly string[]): void {
  const ran = spawnSync(join(root, 'node_modules/.bin', name), args, {
    cwd: root, encoding: 'utf8', timeout: 230_000, maxBuffer: 1 << 24,
  })
  const text = `${ran.error?.message ?? ''}${ran.stdout}${ran.stderr}`
  assert.ok(ran.status === 0, `${name} found faults:\n${text.slice(0, 20_000)}`)
}

const rules = suite('each rule')

/** Path, source without its opening comment, and what is said; undefined when nothing is. */
type Planted = readonly [path: string, source: string, said: RegExp | undefined]

function plant(name: string, planted: readonly Planted[]): void {
  rules(name, () => {
    for (const [path, source, said] of planted) {
      const found = violations(path, path.endsWith('.ts') ? `// What it is.\n${source}\n` : source)
      if (said === undefined) assert.equal(found, [], `${path} keeps the rules: ${source}`)
      else assert.match(found.join('\n'), said, `${path} breaks ${String(said)}: ${source}`)
    }
  })
}

const base = 'protocol/base/units.ts'
const award = 'protocol/rules/award.ts'
const loop = 'node/loop.ts'
const command = 'cli/commands/submit.ts'
const tests = 'test/base/units.test.ts'

plant('protocol/ imports in the order base, rules, machine', [
  [base, "import { a } from './ids.ts'", undefined],
  [base, "import { a } from '../rules/job.ts'", /protocol\/base\/ imports only/],
  [award, "import { a } from '../base/ids.ts'", undefined],
  [award, "import type { A } from '../machine/state.ts'", /protocol\/rules\/ imports only/],
  ['protocol/machine/home.ts', "import { a } from '../rules/award.ts'", undefined],
  ['protocol/machine/home.ts', "import { a } from '../../node/loop.ts'", /imports only/],
  ['protocol/extra/a.ts', "import { a } from '../base/ids.ts'", /not extra/],
])

plant('the rules import along the walk', [
  [award, "import { a } from './bid.ts'", undefined],
  [award, "import { a } from './contract.ts'", /award stands before contract/],
  [award, "export { a } from './reputation.ts'", /award stands before reputation/],
  ['protocol/rules/unheard-of.ts', 'export const a = 1', /add 'unheard-of' to the walk/],
])

plant('node/, cli/ and test/ keep to their sides', [
  [loop, "import { step } from '../protocol/machine/root.ts'", undefined],
  [loop, "import { a } from '../cli/output.ts'", /node\/ imports only/],
  [loop, "import { a } from '../test/harness.ts'", /nothing outside test/],
  [command, "import { a } from '../../node/http/api.ts'", undefined],
  [command, "import { a } from '../../node/config.ts'", /cli\/ imports only/],
  [command, "import { a } from '../../node/start.ts'", /loaded with import\(\)/],
  [command, "const { a } = await import('../../node/start.ts')", undefined],
  [command, "const { a } = await import('../../node/loop.ts')", /cli\/ imports only/],
  [tests, "import { a } from '../../node/loop.ts'", undefined],
])

plant('each outside thing has one door', [
  ['protocol/base/crypto.ts', "import { sign } from 'node:crypto'", undefined],
  ['protocol/base/crypto.ts', "import * as ed from '@noble/ed25519'", undefined],
  [base, "import * as ed from '@noble/ed25519'", /imported only by protocol\/base\/crypto/],
  [base, "import { hash } from 'node:crypto'", /imported only by protocol\/base\/crypto/],
  [base, "import { readFileSync } from 'node:fs'", /protocol\/ imports no/],
  [base, "import { parse } from 'valibot'", /imported only by node\//],
  [loop, "import { createHash } from 'node:crypto'", /imported only by protocol\/base\/crypto/],
  [loop, "import { createLibp2p } from 'libp2p'", /imported only by node\/net/],
  [loop, "import type { PeerId } from '@libp2p/interface'", /imported only by node\/net/],
  ['node/net/network.ts', "import { createLibp2p } from 'libp2p'", undefined],
  ['node/store/keyspace.ts', "import { Level } from 'level'", /only by node\/store\/level/],
  [loop, "import { spawn } from 'node:child_process'", /only by node\/scheduler\/exec/],
  [loop, "const { spawn } = await import('node:child_process')", /only by node\/scheduler/],
  ['node/scheduler/exec.ts', "import { spawn } from 'node:child_process'", undefined],
  [loop, "import { setTimeout } from 'node:timers/promises'", /only by node\/clock/],
  [command, "import { createLibp2p } from 'libp2p'", /only by node\/net/],
  [loop, "import chalk from 'chalk'", /'chalk' has no door/],
  [loop, "import fs from 'fs'", /'fs' has no door/],
  [tests, "import { test } from 'uvu'", /imported only by test\/harness/],
  [tests, "import * as assert from 'uvu/assert'", /imported only by test\/harness/],
  [tests, "import assert from 'node:assert/strict'", /imported only by nobody/],
  ['test/harness.ts', "import type { suite } from 'uvu'", undefined],
])

plant('imports end in .ts', [
  [base, "import { a } from './ids'", /must end in \.ts/],
  [base, "import { a } from './ids.js'", /must end in \.ts/],
])

plant('protocol/ is pure', [
  [base, 'class Ledger {}', /no classes/],
  ['protocol/base/assert.ts', 'class Broken extends Error {}', undefined],
  [base, 'const a = { class: 1 }', undefined],
  [base, 'export function f() { return this.x }', /no this/],
  [base, 'export async function f() {}', /synchronous/],
  [base, 'type A = Promise<void>', /synchronous/],
  [base, 'setTimeout(f, 1)', /synchronous/],
  [base, 'const now = Date.now()', /time comes into protocol/],
  [base, 'const x = Math.random()', /chance comes from/],
  [base, "console.log('x')", /knows nothing of the world/],
  [base, "const home = process.env['HOME']", /knows nothing of the world/],
  [base, "// class this async Date\nconst a = 'class this async Date 1.5'", undefined],
])

plant('what is signed or decided has no float and no accidental order', [
  [base, 'const a = 0.5', /no floats/],
  [base, 'const a = .5', /no floats/],
  [base, 'const a = 1e-3', /no floats/],
  [base, 'const a = Math.sqrt(2)', /no floats/],
  [base, "const a = parseFloat('2')", /no floats/],
  [base, 'const a = 1_000\nconst b = 1e9\nconst c = list[0].x\nconst d = [...list]', undefined],
  [base, 'const a = `${x}1.5${y} / 2.5`\nconst b = /1.5/g', undefined],
  [base, 'const a = `${0.5}`', /no floats/],
  [base, 'list.sort()', /sort with a comparator/],
  [base, 'list.toSorted( )', /sort with a comparator/],
  [base, 'list.toSorted(byBytes)', undefined],
  [loop, 'a.localeCompare(b)', /depend on the locale/],
  [loop, 'new Intl.Collator()', /depend on the locale/],
  [loop, 'x.toLocaleString()', /depend on the locale/],
])

plant('node/ takes time and chance from their doors', [
  [loop, 'setTimeout(f, 1)', /time comes from node\/clock/],
  [loop, 'const a = Date.now()', /time comes from node\/clock/],
  [loop, 'const a = new Date()', /time comes from node\/clock/],
  [loop, 'const a = new Date(epochMs).toISOString()', undefined],
  [loop, 'const a = AbortSignal.timeout(5)', /time comes from node\/clock/],
  [loop, 'const a = performance.now()', /time comes from node\/clock/],
  ['node/clock.ts', 'const a = Date.now()', undefined],
  [loop, 'const a = Math.random()', /chance comes from/],
  [loop, 'const a = crypto.randomUUID()', /chance comes from/],
  [tests, 'const a = Math.random()', /chance comes from/],
])

plant('exports are named, types are known, nothing is silenced or unfinished', [
  [loop, 'export default 1', /named exports only/],
  [loop, "export * from './start.ts'", /no barrels/],
  [loop, 'export const a: any = 1', /no any/],
  [loop, 'export const a = b as any', /no any/],
  [loop, 'export const a: Map<string, any> = b', /no any/],
  [loop, '// any case is fine\nexport const anyOf = Promise.any(x)', undefined],
  [loop, '// @ts-ignore\nf()', /instead of silencing/],
  [loop, '// @ts-expect-error: not yet\nf()', /instead of silencing/],
  [tests, '// @ts-expect-error: what was never awarded cannot be settled\nf()', undefined],
  [loop, '// TO' + 'DO: later', /finish it/],
])

plant('files have their shape and their names', [
  [loop, 'const a = 1\n'.repeat(500), /501 lines|502 lines/],
  [loop, `// ${'x'.repeat(98)}`, /101 columns/],
  [loop, `// ${'é'.repeat(97)}`, undefined],
  [loop, 'const a = 1 ', /blanks at the end/],
  [loop, '\tconst a = 1', /not tabs/],
  [loop, 'const a = 1;', /no semicolons/],
  [loop, 'const a = "x"', /single quotes/],
  [loop, 'const a = "it\'s"\nfor (let i = 0; i < 3; i += 1) f(i)', undefined],
  [loop, '// line\n'.repeat(12), /at most 12 lines/],
  [loop, `${'// line\n'.repeat(11)}// [AWARD-1] first\n// [AWARD-2] second`, undefined],
  ['node/net/Peer.ts', 'const a = 1', /kebab-case/],
  ['node/net/peer_list.ts', 'const a = 1', /kebab-case/],
  ['node/net/utils.ts', 'const a = 1', /name the file for the thing/],
  ['cli/index.ts', 'const a = 1', /name the file for the thing/],
])

rules('a file says what it is', () => {
  assert.match(violations(loop, 'const a = 1\n').join('\n'), /opens by saying what it is/)
  assert.match(violations(loop, '// A.\nconst a = 1').join('\n'), /last line has no end/)
})

plant('nothing tracked names a machine or a registry', [
  ['docs/USING.md', `see https://${'regi' + 'stry'}.example.org/x`, /host of a package registry/],
  ['docs/USING.md', `cd /${'wo' + 'rk'}/main`, /path of one machine/],
  ['docs/USING.md', 'protocol/work/x, https://example.org/work/x and ~/work', undefined],
  ['package-lock.json', JSON.stringify({ resolved: `${'https:'}//example.org/a.tgz` }),
    /1 'resolved' addresses/],
  ['package-lock.json', '{"name": "gridnode"}', undefined],
])

rules('the walk names each step once', () => {
  assert.equal(new Set(rulesInOrder).size, rulesInOrder.length)
})

const text = suite('source text')

text('tells code from comments, strings, templates and regular expressions', () => {
  const cases: readonly (readonly [source: string, code: string])[] = [
    ["a 'b' // c", "a ' '     "],
    ['a /* b\nc */ d', 'a     \n     d'],
    ['`a ${b + `c${d}`} e` + f', '`   {b + `  {d}`}  ` + f'],
    ["`it's` + a", '`    ` + a'],
    ['a / b / c', 'a / b / c'],
    ['(a) / b / c', '(a) / b / c'],
    ["f(/'/, a)", 'f(/ /, a)'],
    ["return /[/'\"]/g", 'return /      g'],
    ["'it\\'s' + a", "'     ' + a"],
    ["const x = { a: `${{ b: '}' }.b}` } // z", "const x = { a: ` {{ b: ' ' }.b}` }     "],
  ]
  for (const [source, code] of cases) assert.equal(codeOf(source), code)
})

text('finds every way to import', () => {
  const found = importsOf([
    "import a from 'one'",
    "import type { b } from 'two'",
    "import {\n  c,\n} from 'three'",
    "import 'four'",
    "export { d } from 'five'",
    "export type * from 'six'",
    "const e = await import('seven')",
    "const f = \"import g from 'eight'\" // import h from 'nine'",
    "export const from = 'ten'",
    'console.log(import.meta.url)',
  ].join('\n'))
  const names = found.map((one) => one.specifier)
  assert.equal(names, ['one', 'two', 'three', 'four', 'five', 'six', 'seven'])
  assert.equal(found.filter((one) => one.dynamic).map((one) => one.line), [9])
})
