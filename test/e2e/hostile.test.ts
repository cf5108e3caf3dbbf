// A member that does not keep the rules: a process with the keys of a real site says what a test
// says. All of it changes counters at most, and the others go on working.
// time limit: 180 s

import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readKeys } from '../../node/identity.ts'
import type { ExportAnswer, NodeInfo, PeerRow } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { encodeRequest } from '../../node/staging/frames.ts'
import type { Network } from '../../node/net/door.ts'
import { startNetwork } from '../../node/net/network.ts'
import { fromHex } from '../../protocol/base/crypto.ts'
import { decodeBundle, tilePath } from '../../protocol/base/tiles.ts'
import { encode } from '../../protocol/base/encoding.ts'
import { parseHash, parseSiteName } from '../../protocol/base/ids.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import { limits } from '../../protocol/base/limits.ts'
import type { Context } from '../harness.ts'
import { suite, assert, eventually } from '../harness.ts'
import type { Federation } from './federation.ts'
import {
  booksHold, ended, entriesOf, everybodyMeets, jobOf, ledgerOf, openFederation, untilJob,
} from './federation.ts'
import { submit } from './jobs.ts'
import type { Site } from './site.ts'

const t = suite('a hostile member')
let federation: Federation

t.before(async (ctx) => {
  federation = await openFederation(ctx, {
    sites: [
      { name: 'a.example', cores: 1 }, { name: 'b.example', cores: 2 }, { name: 'm.example' },
    ],
  })
}, { timeoutSeconds: 90 })

const home = () => federation.site('a.example')
const host = () => federation.site('b.example')
const member = () => federation.site('m.example')

/** Speaks to `target` with the network key of m.example, whose own process is stopped. */
async function impersonate(ctx: Context, target: Site): Promise<Network> {
  const { network } = readKeys(member().directory, ['network'])
  const observer = target === home() ? host() : home()
  const peers = await observer.client.get<PeerRow[]>(apiPaths.peers)
  const addresses = peers.find(({ site }) => site === target.name)?.addresses ?? []
  const genesis = (await entriesOf(target)).find((entry) =>
    entry.kind === 'genesis' && entry.from === target.name)
  const keys = genesis?.body['keys'] as { network: string }
  const { federation: id } = await ledgerOf(target)
  const own = await startNetwork({
    site: 'm.example' as SiteName,
    networkSecret: network.secretKey,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    members: [{
      site: parseSiteName(target.name)!, networkKey: fromHex(keys.network)!, addresses,
    }],
    federation: id,
    onMessage: () => undefined,
    onPeer: () => undefined,
    onGossip: () => 'ignore',
    onRequest: () => Promise.resolve('no'),
    onFetch: async function* () { yield new Uint8Array(0) },
  })
  ctx.after(() => own.stop())
  await eventually(() => own.isUp(parseSiteName(target.name)!), { what: 'the member is linked' })
  return own
}

const hex = (bytes: number): string => randomBytes(bytes).toString('hex')

/** Frames of every kind that make no sense, or make sense and are not m.example's to say. */
function nonsense(tranche: string, contract: string, note: string): string[] {
  const task = {
    task: 0, state: 'ended', how: 'exited', exit_code: 0, detail: '', started_ms: 1, ended_ms: 2,
    core_s: 1, gib_s: 1, tree: '', tree_bytes: 0, missing: [],
  }
  const report = { tranche, revision: 99, phase: 'settling', tasks: [task] }
  const ack = { tranche, revision: 99, directive: 'lapsed', lease_seconds: 1, taken: '' }
  return [
    '', 'not json', '{', '[]', 'null', '"text"', '{"kind":"statements"}', '{"kind":"no-such"}',
    ' {"kind":"documents_wanted"} ',
    `{"kind":"documents_wanted","tranche":"${tranche.toUpperCase()}"}`,
    '['.repeat(5_000), 'x'.repeat(limits.messageBytes - 16),
    encode({ kind: 'statements', notes: [note, 'no note', ''], have: 0, have_e: 1, heard: 1 }),
    encode({ kind: 'statements', notes: [], have: Number.MAX_SAFE_INTEGER, have_e: 1, heard: 1 }),
    encode({ kind: 'announce', note }),
    encode({ kind: 'answer', note, tariff: note }),
    encode({ kind: 'offers', notes: [note, 'x'] }),
    encode({ kind: 'members', members: [{ genesis: note, policy: note, addresses: ['x'] }] }),
    encode({ kind: 'reports', reports: [report] }),
    encode({ kind: 'acks', acks: [ack] }),
    encode({ kind: 'auction_closed', auction: hex(8) }),
    encode({ kind: 'contract_closed', contract }),
    encode({ kind: 'documents_wanted', tranche }),
    encode({
      kind: 'documents', contract, tranche, job: note, document: { salt: hex(16), tasks: '0' },
    }),
  ]
}

t('frames that make no sense, or are not its to send, change nothing but counters', async (ctx) => {
  const gate = join(ctx.tmp(), 'gate')
  const job = await submit(home(), {
    script: `#!/bin/sh\nuntil [ -e ${gate} ]; do sleep 0.1; done; echo ok\n`,
    options: { sites: ['b.example' as SiteName] },
  })
  const running = await untilJob(home(), job, ({ tasks }) => tasks.running === 1)
  await member().stop()
  const entries = await entriesOf(home())
  const hold = entries.findLast(({ kind }) => kind === 'hold')!
  const { contract } = running.contracts[0]!
  const tranche = hold.sid.slice(0, contract.length)
  for (const target of [home(), host()]) {
    const info = await target.client.get<NodeInfo>(apiPaths.info)
    const before = { ...(await ledgerOf(target)), info }
    const hostile = await impersonate(ctx, target)
    const name = parseSiteName(target.name)!
    const foreign = await noteOf(home(), hold.index)
    assert.match(foreign, /^gridnode\/v1\/hold\n/)
    const frames = nonsense(tranche, contract, foreign)
    for (const frame of frames) hostile.send(name, frame)
    hostile.publish('offers', 'no offer')
    hostile.publish('offers', foreign)
    await refusedToAsk(hostile, name, { tranche, contract, signal: ctx.signal })
    const malformed = (info: NodeInfo): number => info.counters['message_malformed'] ?? 0
    await eventually(async () => {
      const info = await target.client.get<NodeInfo>(apiPaths.info)
      return malformed(info) >= malformed(before.info) + 10
    }, { what: 'the malformed frames are counted' })
    const { info: _, ...books } = before
    assert.equal(await ledgerOf(target), books, 'no statement came in')
    await hostile.stop()
  }
  assert.equal((await jobOf(home(), job)).tasks.running, 1)
  writeFileSync(gate, '')
  assert.equal((await ended(home(), job)).state, 'done')
  await member().start()
  await everybodyMeets(federation)
  await booksHold(federation)
}, { timeoutSeconds: 120 })

/** It may neither look at a task of others nor have one chunk of theirs. */
async function refusedToAsk(
  hostile: Network, to: SiteName,
  about: { readonly tranche: string; readonly contract: string; readonly signal: AbortSignal },
): Promise<void> {
  const { tranche, contract, signal } = about
  const look = encode({ tranche, task: 0, stream: 'stdout', offset: 0 })
  assert.match(await hostile.request(to, look, { timeoutMs: 5_000 }), /"over"/)
  assert.match(await hostile.request(to, 'no question', { timeoutMs: 5_000 }), /"refused"/)
  for (const scope of [`in/${contract}`, `out/${tranche}/0`, '../../keys', 'in/', '']) {
    const header = encodeRequest({ scope, hashes: [parseHash(hex(32))!] })
    // The head of one frame that says no, or nothing.
    assert.ok(await bytesOf(hostile.fetch(to, header, signal)) <= 36)
  }
  assert.equal(await bytesOf(hostile.fetch(to, 'no header', signal)), -1)
}

/** The statement itself, from the site's exported ledger. */
async function noteOf(site: Site, index: number): Promise<string> {
  const directory = join(federation.directory, `notes-${hex(4)}`)
  const { entries: width } =
    await site.client.post<ExportAnswer>(apiPaths.ledgerExport, { directory })
  const path = tilePath({ level: 'entries', index: 0, width })
  const bundle = decodeBundle(readFileSync(join(directory, path)), width)
  return Buffer.from((bundle.ok ? bundle.value : [])[index]!).toString()
}

/** How many bytes come, -1 for an error. */
async function bytesOf(stream: AsyncIterable<Uint8Array>): Promise<number> {
  let bytes = 0
  try {
    for await (const part of stream) bytes += part.length
    return bytes
  } catch {
    return -1
  }
}
