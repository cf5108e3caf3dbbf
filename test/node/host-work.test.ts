// What a host does for a tranche, with a real spool and a scheduler that does nothing.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ContractId, TrancheId } from '../../protocol/base/ids.ts'
import type { Tables } from '../../protocol/base/tables.ts'
import type { HostParts } from '../../node/host-work.ts'
import { removeTranche, stageTranche } from '../../node/host-work.ts'
import { openLanes } from '../../node/lanes.ts'
import type { PerformParts } from '../../node/perform.ts'
import { perform } from '../../node/perform.ts'
import type { Report } from '../../node/report.ts'
import { snapshot } from '../../node/staging/snapshot.ts'
import { assert, eventually, suite } from '../harness.ts'
import { MiB, openSite, plant, wireTo } from '../staging/sites.ts'

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

t('a tranche that is over while its inputs are on their way leaves nothing behind', async (ctx) => {
  const [from, here] = [await openSite(ctx), await openSite(ctx)]
  const base = ctx.tmp()
  plant(base, { input: 'of some length' })
  const { treeHash } = await snapshot({
    store: from.store, owner: 'job', base, inputs: [{ from: '.' }], bytesMax: MiB,
  })
  const [id, contract] = ['a1'.repeat(8) as TrancheId, 'c0'.repeat(8) as ContractId]
  const document = { inputs: treeHash, inputs_bytes: MiB, script: '#!/bin/sh\n' }
  const tables = new Map<string, Map<string, unknown>>([
    ['hostTranches', new Map([[id, { id, contract, home: 'home.example', tasks: [[1, 2]] }]])],
    ['hostContracts', new Map([[contract, { id: contract }]])],
    ['hostJobs', new Map([[contract, { document }]])],
  ]) as Tables
  const happened: string[] = []
  let isAsked = false
  let answer = (): void => undefined
  const answered = new Promise<void>((resolve) => (answer = resolve))
  const wire = wireTo(from.store, { before: () => (isAsked = true, answered) })
  const report = { warn: (text: string) => happened.push(text) } as unknown as Report
  const host = {
    site: 'host.example',
    loop: { tables, push: ({ kind }: { kind: string }) => happened.push(kind) },
    driver: { forget: () => Promise.resolve() },
    network: { fetch: (_from: string, header: string, signal: AbortSignal) =>
      wire.fetch(header, signal) },
    store: here.store, workspace: here.workspace, report,
  } as unknown as HostParts
  const [lanes, clearing] = [openLanes(2, report), openLanes(2, report)]
  const pieces: Promise<void>[] = []
  const staging: typeof lanes = {
    ...lanes,
    run: (name, work, peer) => lanes.run(name, (signal) => {
      const piece = work(signal)
      pieces.push(piece)
      return piece
    }, peer),
  }
  const parts = { host, staging, clearing } as unknown as PerformParts
  perform(parts, { kind: 'stageTranche', tranche: id })
  await eventually(() => isAsked)
  perform(parts, { kind: 'removeTranche', tranche: id, contract })
  for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve))
  answer()
  await Promise.all(pieces)
  await eventually(() => happened.length > 0)
  assert.equal(happened, ['trancheRemoved'])
  assert.equal(readdirSync(join(here.directory, 'jobs')), [])
  assert.equal(await here.store.owners(), [])
})
