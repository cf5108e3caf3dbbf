// What is read from an export is what was verified, and an interrupt ends the reading.

import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Context as Command } from '../../../cli/command.ts'
import { openBooks, walkBook } from '../../../cli/books/open-books.ts'
import { assert, suite } from '../../harness.ts'
import { run } from '../fixture-node.ts'
import { credits, say, start } from '../../rules/ledger-sites.ts'
import { dayMs, exported, later, threeSites } from './three-sites.ts'

const t = suite('open books')

/** As much of a command as reading takes. */
function reader(): Command {
  const sink = { write: () => Promise.resolve(), tty: false, columns: () => 80, colours: false }
  return {
    terminal: {
      out: sink, err: sink, cwd: '/', nowEpochMs: () => 0, onInterrupt: () => () => undefined,
    },
  } as unknown as Command
}

t('an export that changes between verification and reading is refused', async (ctx) => {
  const folder = ctx.tmp()
  const { a } = threeSites()
  await exported(folder, a)
  const { books } = await openBooks(reader(), [folder])
  const [book] = books
  assert.equal([books.length, book?.site, book?.entries], [1, 'a.example', 24])
  const { members } = await walkBook(reader(), book!, () => undefined)
  assert.equal([...members].toSorted((x, y) => (x < y ? -1 : 1)),
    ['a.example', 'b.example', 'c.example'])
  const path = join(folder, 'a.example', 'tile', 'entries', '000.p')
  const file = join(path, readdirSync(path)[0]!)
  const bytes = readFileSync(file)
  // Another digit in a signature: the statement still reads as one.
  const at = bytes.length - 10
  bytes[at] = bytes[at] === 'A'.charCodeAt(0) ? 'B'.charCodeAt(0) : 'A'.charCodeAt(0)
  writeFileSync(file, bytes)
  await assert.rejects(walkBook(reader(), book!, () => undefined), /was changed while it was read/)
  rmSync(file)
  await assert.rejects(walkBook(reader(), book!, () => undefined), /give an export that was not pr/)
})

t('of two exports of one site the longer is read', async (ctx) => {
  const [before, after] = [ctx.tmp(), ctx.tmp()]
  const { a, b } = threeSites()
  await exported(before, a)
  say(a, later({ kind: 'credit', to: b.name, at: start, limit: credits(1) }, dayMs))
  await exported(after, a)
  for (const folders of [[before, after], [after, before]]) {
    const { books } = await openBooks(reader(), folders)
    assert.equal(books.map(({ entries, name }) => [entries, name]),
      [[25, join(after, 'a.example')]])
  }
})

t('an interrupt ends it with 130 and prints nothing', async (ctx) => {
  const folder = ctx.tmp()
  const { a } = threeSites()
  await exported(folder, a)
  const ended = await run(ctx, ['balance', '--from', folder], { interrupt: (press) => press() })
  assert.equal([ended.code, ended.out], [130, ''])
})
