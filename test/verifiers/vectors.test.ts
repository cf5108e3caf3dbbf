// The vectors in test/vectors/ledger are those that the code makes, and gridnode itself finds in
// each what it expects of others.

import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { assert, suite } from '../harness.ts'
import type { StatementKind } from '../../protocol/rules/statement.ts'
import { ledgerVectors, vectorText } from '../vectors/ledger/generate.ts'
import type { VectorFile } from '../vectors/ledger/vector-case.ts'
import { runVector } from './vector-checks.ts'

const folder = join(import.meta.dirname, '../vectors/ledger')
const made = ledgerVectors()

/** The compiler knows when one is missing. */
const kinds: Readonly<Record<StatementKind, true>> = {
  federation: true, genesis: true, key: true, policy: true, tariff: true, heads: true, digest: true,
  snapshot: true, evidence: true, grant: true, credit: true, contract: true, hold: true, held: true,
  declined: true, usage: true, accept: true, void: true, dispute: true, resolve: true, settle: true,
  reconcile: true,
}

const t = suite('vectors of the ledger')

t('are what the code makes', () => {
  const names = readdirSync(folder).filter((name) => name.endsWith('.json'))
  assert.equal(new Set(names), new Set([...made.keys()].map((name) => `${name}.json`)))
  for (const [name, file] of made) {
    const same = readFileSync(join(folder, `${name}.json`), 'utf8') === vectorText(file)
    assert.ok(same, `${name}.json is another; meant so? node test/vectors/ledger/generate.ts`)
  }
})

t('have names of their own, and both verdicts', () => {
  for (const { check, cases } of made.values()) {
    const names = new Set(cases.map(({ name }) => name))
    assert.equal(names.size, cases.length, `${check}: unique names`)
    assert.equal(new Set(cases.map(({ expect }) => expect)).size, 2, check)
  }
})

t('have every kind of statement', () => {
  const { cases } = made.get('statement') as VectorFile
  const found = new Set(cases.flatMap(({ gives }) => gives?.['kind'] ?? []))
  assert.equal(found, new Set<string | number>(Object.keys(kinds)))
})

for (const [name, { cases }] of made) {
  t(`gridnode agrees: ${name}`, async () => {
    const wrong: string[] = []
    for (const one of cases) {
      const verdict = await runVector(name, one)
      if (verdict !== one.expect) wrong.push(`${one.name}: ${verdict}, expected ${one.expect}`)
    }
    assert.equal(wrong, [])
  })
}
