// Ledgers verified by Python (test/verifiers/python): the vectors, fresh exports, and every kind of
// tampering; and its table of fields is that of the verifier in Go.
// time limit: 300 s

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { assert, suite } from '../harness.ts'
import { verifierSuite } from './exports.ts'
import { pythonMissing, runPython } from './python-verifier.ts'

const t = suite('verified by Python')

verifierSuite(t, async (ctx) => {
  const missing = pythonMissing()
  if (missing.length > 0) ctx.skip(`needs ${missing.join(', ')}: apt install ${missing.join(' ')}`)
  return runPython
})

t('both verifiers go by one table of fields', () => {
  const read = (path: string): string => readFileSync(join(import.meta.dirname, path), 'utf8')
  const table = /^@place [^`']*/m
  const [go, python] = ['go/statement.go', 'python/verify.py'].map((path) =>
    table.exec(read(path))?.[0])
  assert.ok(go !== undefined && go.length > 2_000)
  assert.equal(go, python)
})
