// Ledgers verified by Go's own packages for transparency logs (test/verifiers/go): the vectors,
// fresh exports, and every kind of tampering.
// time limit: 300 s

import { join } from 'node:path'
import { assert, suite } from '../harness.ts'
import { exportLedger } from '../../node/store/ledger-export.ts'
import { ledgerStory } from '../ledger-examples.ts'
import { readingStore } from '../rules/ledger-exports.ts'
import type { TestSite } from '../rules/ledger-sites.ts'
import { verifierSuite } from './exports.ts'
import { buildGoVerifier, goMissing, run, timeGoVerifier } from './go-verifier.ts'

const t = suite('verified by Go')
let program = ''

verifierSuite(t, async (ctx) => {
  const missing = goMissing()
  if (missing.length > 0) ctx.skip(`needs ${missing.join(', ')}: apt install ${missing.join(' ')}`)
  program = await buildGoVerifier()
  return (args) => run(program, args)
})

t('says how long it took, and no figure for a broken log', async (ctx) => {
  const home = ledgerStory().sites[0] as TestSite
  const directory = join(ctx.tmp(), 'log')
  await exportLedger(readingStore(home), home.log, directory)
  const { entries, seconds } = await timeGoVerifier(program, directory)
  assert.equal(entries, home.tables.get('ledgerEntries')?.size)
  assert.ok(seconds >= 0)
  await assert.rejects(timeGoVerifier(program, ctx.tmp()), /ended with 2/)
})
