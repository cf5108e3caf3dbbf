// What verifiers of other languages are held to: the vectors, statements changed at random, honest
// exports as they come from the exporter, and copies of them with one thing changed. A verifier is
// a function from arguments to exit code and lines.

import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exportLedger } from '../../node/store/ledger-export.ts'
import { assert } from '../harness.ts'
import type { Context, Suite } from '../harness.ts'
import { ledgerStory } from '../ledger-examples.ts'
import { readingStore } from '../rules/ledger-exports.ts'
import type { TestSite } from '../rules/ledger-sites.ts'
import { agreedDeal, credits, federation, start, tell } from '../rules/ledger-sites.ts'
import type { VectorFile } from '../vectors/ledger/vector-case.ts'
import { changedStatements } from './changed-statements.ts'
import type { Ran } from './go-verifier.ts'

const vectors = join(import.meta.dirname, '../vectors/ledger')
/** More than two full tiles, so that there is a tile of the next level. */
const longEntries = 620

/** `open` skips where the language is missing. */
export function verifierSuite(
  t: Suite, open: (ctx: Context) => Promise<(args: readonly string[]) => Promise<Ran>>,
): void {
  let verify: (args: readonly string[]) => Promise<Ran>
  t.before(async (ctx) => {
    verify = await open(ctx)
  }, { timeoutSeconds: 240 })

  for (const name of readdirSync(vectors).filter((each) => each.endsWith('.json'))) {
    t(`agrees with every case of ${name}`, async () => {
      const path = join(vectors, name)
      const { check, cases } = JSON.parse(readFileSync(path, 'utf8')) as VectorFile
      const { code, lines } = await verify(['vectors', path])
      const verdicts = lines.map((line) => verdictIn(line, check))
      const expected = cases.map(({ name: each, expect }) => `${each}: ${expect}`)
      assert.equal(verdicts, expected)
      assert.equal(code, 0)
    })
  }

  t('agrees on statements that were changed at random and signed again', async (ctx) => {
    const cases = await changedStatements(1, 2_000)
    assert.ok(new Set(cases.map(({ expect }) => expect)).size === 2, 'some of them are good')
    const path = join(ctx.tmp(), 'changed.json')
    writeFileSync(path, JSON.stringify({ check: 'statement', cases }))
    const { lines } = await verify(['vectors', path])
    const wrong = lines.filter((line, at) =>
      verdictIn(line, 'statement') !== `${cases[at]?.name}: ${cases[at]?.expect}`)
    assert.equal(wrong, [])
    assert.equal(lines.length, cases.length)
  })

  t('verifies exports: all kinds of statements, a second epoch, several tiles', async (ctx) => {
    const { home, directory } = await longExport(ctx)
    const told = ledgerStory().sites
    const directories = await Promise.all(told.map((site) =>
      exportTo(site, join(ctx.tmp(), 'log'))))
    const { code, lines } = await verify(['log', directory, ...directories])
    assert.equal(lines, [home, ...told].map((site) =>
      `${site.name}: ${sizeOf(site)} entries, 0 faults`))
    assert.equal(code, 0)
  })

  t('rejects each kind of tampering, and names the place', async (ctx) => {
    const { directory, home } = await longExport(ctx)
    const size = sizeOf(home)
    for (const [name, change, said] of tamperings(size)) {
      const copy = join(ctx.tmp(), 'copy')
      cpSync(directory, copy, { recursive: true })
      change(copy)
      const { code, lines } = await verify(['log', copy])
      assert.equal(code, 1, `${name}: ${lines.join('\n')}`)
      assert.ok(lines.some((line) => said.test(line)), `${name}: ${lines.join('\n')}`)
      rmSync(copy, { recursive: true })
    }
  }, { timeoutSeconds: 180 })

  t('a folder that holds no ledger is told from a broken one', async (ctx) => {
    const { code, lines } = await verify(['log', ctx.tmp()])
    assert.equal(code, 2)
    assert.match(lines.join('\n'), /there is no checkpoint/)
  })
}

function verdictIn(line: string, check: string): string {
  const found = /^(.*?: (?:valid|invalid|differs))(?: .*)?$/.exec(line)?.[1] ?? line
  return found.slice(check.length + 1)
}

function sizeOf({ tables }: TestSite): number {
  return tables.get('ledgerEntries')?.size ?? 0
}

async function exportTo(site: TestSite, directory: string): Promise<string> {
  mkdirSync(join(directory, '..'), { recursive: true })
  await exportLedger(readingStore(site), site.log, directory)
  return directory
}

async function longExport(ctx: Context): Promise<{ home: TestSite, directory: string }> {
  const [home, host] = federation('home.example', 'host.example') as [TestSite, TestSite]
  agreedDeal(home, host)
  while (sizeOf(home) < longEntries) {
    const limit = credits(sizeOf(home))
    tell(host, home, { kind: 'credit', to: home.name, at: start + sizeOf(home), limit })
  }
  return { home, directory: await exportTo(home, join(ctx.tmp(), 'log')) }
}

type Tampering = readonly [name: string, change: (directory: string) => void, said: RegExp]

function tamperings(size: number): Tampering[] {
  const flip = (path: string, at: number) => (directory: string): void => {
    const bytes = readFileSync(join(directory, path))
    bytes[at] = (bytes[at] ?? 0) ^ 1
    writeFileSync(join(directory, path), bytes)
  }
  const cut = (path: string) => (directory: string): void => {
    writeFileSync(join(directory, path), readFileSync(join(directory, path)).subarray(0, -1))
  }
  const remove = (path: string) => (directory: string): void => rmSync(join(directory, path))
  const [full, tail, above] = ['tile/0/001', `tile/0/002.p/${size - 512}`, 'tile/1/000.p/2']
  const entries = `tile/entries/002.p/${size - 512}`
  return [
    ['a byte of an entry in a full bundle', flip('tile/entries/001', 60), /entry 256 \[I1*\]/],
    ['a byte of an entry in the last bundle', flip(entries, 60), /entry 512 \[I1*\]/],
    ['a length', flip('tile/entries/000', 0), /entry 0 \[I1\]/],
    ['a byte of a full tile', flip(full, 65), /entry 258 \[I1\]/],
    ['a byte of the last tile', flip(tail, 0), /entry 512 \[I1\]/],
    ['a byte of a tile above', flip(above, 40), /log \[I1\]/],
    ['a tile cut short', cut(full), /log \[I1\]/],
    ['the last entry cut short', cut(entries), /entry 512 \[I1\]/],
    ['a missing tile', remove(above), /log \[I1\]/],
    ['a missing bundle', remove('tile/entries/001'), /entry 256 \[I1\]/],
    ['the tiles of two places exchanged', (directory) => {
      cpSync(join(directory, 'tile/0/000'), join(directory, full))
    }, /entry 256 \[I1\]/],
    ['the bundles of two places exchanged', (directory) => {
      cpSync(join(directory, 'tile/entries/000'), join(directory, 'tile/entries/001'))
    }, /entry 256 \[I/],
    ['a smaller size', (directory) => {
      const path = join(directory, 'checkpoint')
      writeFileSync(path, readFileSync(path, 'utf8').replace(`\n${size}\n`, '\n512\n'))
    }, /log \[I1\]/],
    ['a byte of the root', (directory) => {
      const path = join(directory, 'checkpoint')
      const lines = readFileSync(path, 'utf8').split('\n')
      lines[2] = lines[2]?.startsWith('A') ? `B${lines[2].slice(1)}` : `A${lines[2]?.slice(1)}`
      writeFileSync(path, lines.join('\n'))
    }, /log \[I1\]/],
    ['the checkpoint\'s signature', (directory) => {
      const path = join(directory, 'checkpoint')
      const note = readFileSync(path, 'utf8')
      const at = note.length - 30
      writeFileSync(path, note.slice(0, at) + (note[at] === 'A' ? 'B' : 'A') + note.slice(at + 1))
    }, /log \[I1\]/],
    ['an empty checkpoint', (directory) => writeFileSync(join(directory, 'checkpoint'), ''),
      /log \[I1*\]/],
  ]
}
