// What a host does for a tranche, with a real spool and a scheduler that does nothing.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ContractId, TrancheId } from '../../protocol/base/ids.ts'
import type { Tables } from '../../protocol/base/tables.ts'
import type { HostParts } from '../../node/host-work.ts'
import { removeTranche, stageTranche } from '../../node/host-work.ts'
import type { Report } from '../../node/report.ts'
import { assert, suite } from '../harness.ts'
import { openSite } from '../staging/sites.ts'

const t = suite('what a host does for a tranche')

t('a task placed again outlives what is cleared up of its first try', async (ctx) => {
  const { store, workspace } = await openSite(ctx)
  const contract = 'c0'.repeat(8) as ContractId
  const [first, second] = ['a1'.repeat(8), 'b2'.repeat(8)] as [TrancheId, TrancheId]
  const tranche = (id: TrancheId): object =>
    ({ id, contract, home: 'home.example', tasks: [[3, 3]], phase: 'staging' })
  const tables = new Map<string, Map<string, unknown>>([
    ['hostTranches', new Map([[first, tranche(first)], [second, tranche(second)]])],
    ['hostContracts', new Map([[contract, { id: contract }]])],
    ['hostJobs', new Map([[contract, { document: { inputs: '', script: '#!/bin/sh\n' } }]])],
  ]) as Tables
  const happened: string[] = []
  const parts = {
    site: 'host.example',
    loop: { tables, push: ({ kind }: { kind: string }) => happened.push(kind) },
    driver: { forget: () => Promise.resolve() },
    store,
    workspace,
    report: { warn: (text: string) => happened.push(text) } as unknown as Report,
  } as unknown as HostParts
  const signal = new AbortController().signal
  await stageTranche(parts, first, signal)
  await stageTranche(parts, second, signal)
  await removeTranche(parts, first)
  assert.equal(happened, ['trancheStaged', 'trancheStaged', 'trancheRemoved'])
  const script = join(workspace.directory(second, 3), '.gridnode', 'script')
  assert.ok(existsSync(script), 'the second try has its directory still')
  assert.match(readFileSync(script, 'utf8'), /^#!/)
})
