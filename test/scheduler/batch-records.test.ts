// What a node reads and writes in the directory of a batch job, where the job may have put other
// things in the place of its records.

import { spawnSync } from 'node:child_process'
import { existsSync, linkSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { leaveWord } from '../../node/scheduler/batch-control.ts'
import { batchShell } from '../../node/scheduler/batch-shell.ts'
import { readEnd, readStart } from '../../node/scheduler/supervisor.ts'
import { assert, suite } from '../harness.ts'

const t = suite('records in the directory of a job')
const never = new AbortController().signal
const end = 'end exited 0 100\n0m0.01s 0m0.01s\n0m0.02s 0m0.01s\ndone\n'

t('a record is a small plain file, and nothing else is waited for', (ctx) => {
  const base = join(ctx.tmp(), 'feedfacefeedface')
  assert.equal(readStart(base).kind, 'absent')
  assert.equal(spawnSync('mkfifo', [`${base}.start`, `${base}.end`]).status, 0)
  assert.equal([readStart(base).kind, readEnd(base)], ['absent', undefined])
  const linked = `${base}1`
  symlinkSync('/dev/zero', `${linked}.start`)
  symlinkSync('/dev/zero', `${linked}.end`)
  assert.equal([readStart(linked).kind, readEnd(linked)], ['absent', undefined])
  const large = `${base}2`
  writeFileSync(`${large}.start`, 'x'.repeat(1_000_000))
  writeFileSync(`${large}.end`, 'x'.repeat(1_000_000) + end)
  assert.equal([readStart(large).kind, readEnd(large)], ['torn', undefined])
  mkdirSync(`${base}3.end`)
  assert.equal(readEnd(`${base}3`), undefined)
  writeFileSync(`${base}4.end`, end)
  assert.equal(readEnd(`${base}4`)?.exitCode, 0)
  writeFileSync(`${base}5.start`, 'start -uother\n')
  assert.equal(readStart(`${base}5`).kind, 'torn')
  writeFileSync(`${base}6.start`, 'start 12[].server@x\n')
  assert.equal(readStart(`${base}6`).kind, 'claimed')
})

t("a word for a job's script goes into no pipe, and into no file of the node's", async (ctx) => {
  const own = ctx.tmp()
  const key = join(own, 'key')
  writeFileSync(key, 'secret')
  const shell = batchShell({}, {})
  const words = [{ ending: 'signal', text: 'USR1\n' }, { ending: 'again', text: '' }] as const
  const lay = (put: (path: string) => void, name: string): string => {
    const base = join(own, name)
    for (const { ending } of words) put(`${base}.${ending}`)
    return base
  }
  const bases = [
    lay((path) => spawnSync('mkfifo', [path]), 'pipe'),
    lay((path) => symlinkSync(key, path), 'link'),
    lay((path) => linkSync(key, path), 'name'),
  ]
  for (const base of bases) {
    for (const word of words) {
      const left = leaveWord(shell, [base], word, undefined, never)
      await assert.rejects(left, /ENXIO|ELOOP|replaced by the job/)
    }
  }
  assert.equal(readFileSync(key, 'utf8'), 'secret')
  const plain = join(own, 'plain')
  for (const word of [...words, ...words]) await leaveWord(shell, [plain], word, undefined, never)
  assert.equal(readFileSync(`${plain}.signal`, 'utf8'), 'USR1\nUSR1\n')
  assert.ok(existsSync(`${plain}.again`))
})
