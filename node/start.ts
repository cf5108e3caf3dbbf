// A running site: opens everything in the order of its dependence, recovers, serves until it is
// told to stop, and closes in the opposite order. Running jobs go on without it.
//
// Invariant: whatever fails at the start has a message that says what to do, and nothing stays
// open.

import { join, resolve } from 'node:path'
import { fromBase64, fromHex, toHex } from '../protocol/base/crypto.ts'
import type { SiteName } from '../protocol/base/ids.ts'
import type { Tables } from '../protocol/base/tables.ts'
import { judgeGossip } from '../protocol/machine/gossip.ts'
import type { Effect } from '../protocol/machine/effects.ts'
import type { Self } from '../protocol/machine/state.ts'
import { addressesMax } from '../protocol/rules/membership.ts'
import { clock } from './clock.ts'
import type { Config } from './config.ts'
import { configFileName, localMachine, parseConfig, readText } from './config.ts'
import { databaseName } from './enrol.ts'
import type { HomeParts } from './home-work.ts'
import { adminSocketName, startServer, socketName } from './http/server.ts'
import type { Keys } from './identity.ts'
import { readKeys, runningKeyUses } from './identity.ts'
import type { LiveLog } from './ledger/live-log.ts'
import { openLiveLog } from './ledger/live-log.ts'
import { openPeerLog } from './ledger/peer-log.ts'
import { openPayerReplays } from './ledger/replay-payer.ts'
import { startLogServer } from './ledger/serve-log.ts'
import type { SnapshotFiles } from './ledger/snapshot-files.ts'
import { openSnapshotFiles, snapshotsDirectory } from './ledger/snapshot-files.ts'
import { demandNewestKeys, readNamedKeys } from './key-rings.ts'
import type { Lanes } from './lanes.ts'
import { openLanes } from './lanes.ts'
import { paced } from './local/job-streams.ts'
import { siteNode } from './local/site-node.ts'
import { get, viewOf } from './local/tables.ts'
import type { Watchers } from './local/watchers.ts'
import { openWatchers } from './local/watchers.ts'
import { acquireLock } from './lock.ts'
import type { Loop } from './loop.ts'
import { createLoop } from './loop.ts'
import type { GossipTopic, GossipVerdict, Member, Network } from './net/door.ts'
import { startNetwork } from './net/network.ts'
import type { PerformParts } from './perform.ts'
import { perform } from './perform.ts'
import { messageOf, Problem } from './problem.ts'
import type { Report } from './report.ts'
import { stderrReport } from './report.ts'
import { openTaskDoor } from './task-door.ts'
import { openReload } from './reload.ts'
import { driverFor, selfOf } from './self.ts'
import type { JobRequests } from './local/job-requests.ts'
import { jobRequests } from './local/job-requests.ts'
import type { Serving } from './serving.ts'
import { openServing } from './serving.ts'
import { chunkGraceMs, releaseOrphans, spoolRoom } from './spool-room.ts'
import type { Driver } from './scheduler/driver.ts'
import { openChunkStore } from './staging/chunk-store.ts'
import type { ChunkStore } from './staging/chunk-store.ts'
import { openWorkspace } from './staging/workspace.ts'
import type { Store } from './store/level.ts'
import { openStore } from './store/level.ts'
import { checkMark, markName, markOf, raiseMarkTo } from './store/mark.ts'
import type { Watch } from './watch-scheduler.ts'
import { watchScheduler } from './watch-scheduler.ts'

export const version = '0.1.0'

const stagingLanes = 8
const schedulingLanes = 4
const clearingLanes = 2
/** How often the local scheduler is looked at: while it has tasks of ours, and otherwise. */
const lookMs = { embedded: { busy: 1_000, idle: 5_000 }, batch: { busy: 2_000, idle: 10_000 } }

export interface StartOptions {
  readonly directory: string
  /** Receives the log; stderr when left out. */
  readonly report?: Report
  /** The node can no longer go on and has begun to stop. */
  readonly onFatal?: (error: Error) => void
}

export interface RunningNode {
  readonly site: SiteName
  readonly socketPath: string
  readonly addresses: readonly string[]
  /** Idempotent. Ends no running job. */
  stop(): Promise<void>
}

/** Things to close, the last opened first. */
class Opened {
  readonly #closers: (() => Promise<void> | void)[] = []

  add<T>(thing: T, close: (thing: T) => Promise<void> | void): T {
    this.#closers.push(() => close(thing))
    return thing
  }

  async close(report?: Report): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) {
      try {
        await close()
      } catch (error) {
        report?.error('closing failed', { error: messageOf(error) })
      }
    }
  }
}

/** @throws Problem or StoreError: what keeps the site from starting, and what to do about it */
export async function start(options: StartOptions): Promise<RunningNode> {
  const directory = resolve(options.directory)
  const configText = readText(join(directory, configFileName))
  const config = parseConfig(configText, join(directory, configFileName), localMachine())
  const report = options.report ?? stderrReport(config.log)
  const opened = new Opened()
  try {
    opened.add(acquireLock(directory), (lock) => lock.release())
    const store = opened.add(await openStore(join(directory, databaseName)), (db) => db.close())
    const tables = await store.loadAll()
    await checkMark(join(directory, markName), store, get(tables, 'ledgerHead', 'head'))
    demandNewestKeys(directory, get(tables, 'ledgerMembers', config.site.name))
    const named = get(tables, 'ledgerMembers', config.site.name)?.keys
    const keys = named ? readNamedKeys(directory, named) : readKeys(directory, runningKeyUses)
    const self = selfOf(config, keys, tables)
    const snapshots = openSnapshotFiles(join(directory, snapshotsDirectory))
    return await run({
      directory, config, configText, report, opened, keys, store, tables, self, snapshots, options,
    })
  } catch (error) {
    await opened.close(report)
    throw error
  }
}

interface Parts {
  readonly directory: string
  readonly config: Config
  /** As it was read. */
  readonly configText: string
  readonly report: Report
  readonly opened: Opened
  readonly keys: Keys<(typeof runningKeyUses)[number]>
  readonly store: Store
  readonly tables: Tables
  readonly self: Self
  readonly snapshots: SnapshotFiles
  readonly options: StartOptions
}

async function run(parts: Parts): Promise<RunningNode> {
  const { directory, config, report, opened } = parts
  const watchers = openWatchers()
  const chunks = await openChunkStore({
    directory: join(directory, 'chunks'), bytesMax: config.staging.spoolBytesMax,
    graceMs: chunkGraceMs,
  })
  await releaseOrphans(parts.tables, chunks)
  const workspace = opened.add(
    await openWorkspace({
      spool: resolve(directory, config.staging.jobsDirectory), store: chunks,
      shared: config.accounts.map.length > 0,
    }), (one) => one.close())
  const driver = opened.add(driverFor(config, directory), (one) => one.stop())
  await driver.start().catch((cause: unknown) => {
    const why = messageOf(cause)
    throw new Problem('scheduler', `the ${driver.kind} scheduler cannot be used: ${why}`)
  })
  const why = unusable(config, driver)
  if (why !== undefined) throw new Problem('config', why)
  // What the loop drives needs the loop: it is set before the first event.
  const late: { doors?: PerformParts; watch?: Watch; requests?: JobRequests } = {}
  const loop = opened.add(openLoop(parts, (effect) => {
    if (late.doors) perform(late.doors, effect)
  }), (one) => one.stop())
  const { onServed, onProgress } = progressOf(loop, watchers)
  const liveLog = await openLog(parts)
  const log = openPeerLog(liveLog)
  const serving = openServing({
    loop, store: chunks, workspace, log, onServed,
    tasks: opened.add(openTaskDoor({ loop, workspace, driver }), (one) => one.stop()),
    answerAsk: async (from, question) => late.requests?.answer(from, question) ?? '',
  })
  const network = await openNetwork(parts, { loop, serving, watchers })
  opened.add(network, (one) => one.stop())
  const requests = jobRequests({
    self: parts.self, loop, chunks, network, serving, watchers, operators: new Set(),
  })
  late.requests = requests
  const shared = { site: parts.self.site, loop, network, store: chunks, report }
  const lanes = (width: number): Lanes =>
    opened.add(openLanes(width, report), (one) => one.stop())
  late.doors = {
    host: { ...shared, driver, workspace, outputBytesMax: outputBytesMax(config) },
    home: { ...shared, onProgress },
    network,
    watchers,
    log: liveLog,
    snapshots: parts.snapshots,
    payers: openPayerReplays(network),
    ledger: parts.store,
    staging: lanes(stagingLanes),
    scheduling: lanes(schedulingLanes),
    clearing: lanes(clearingLanes),
    connectMembers: () => network.setMembers(membersOf(parts)),
    raiseMark: () => keepMark(parts, loop),
    lookSoon: () => late.watch?.look(),
  }
  loop.push({ kind: 'started', addresses: [...network.addresses()].slice(0, addressesMax) })
  late.watch = opened.add(openWatch(parts, { driver, loop, chunks }), (one) => one.stop())
  return serve(parts, { loop, network, serving, watchers, chunks, liveLog, requests, driver })
}

/** Why a config that is right by itself does not do with this scheduler. */
function unusable(config: Config, driver: Driver): string | undefined {
  if (config.accounts.map.length === 0 || driver.abilities.accounts) return undefined
  return 'accounts.map needs a node that runs as root, and an embedded executor its sandbox ' +
    '(bubblewrap): mend that, or take accounts.map out'
}

/** What everybody is told is on the disk, and from here on no older database opens. */
function keepMark({ directory, tables, report, options }: Parts, loop: Loop): void {
  try {
    const head = get(tables, 'ledgerHead', 'head')
    if (head) raiseMarkTo(join(directory, markName), markOf(head))
  } catch (error) {
    loop.stop()
    report.error('the node cannot go on; start it again when this is mended', {
      error: messageOf(error),
    })
    options.onFatal?.(asError(error))
  }
}

/** One task may fill half of the spool, so that two at once always find room to be collected. */
function outputBytesMax(config: Config): number {
  return Math.floor(config.staging.spoolBytesMax / 2)
}

function openLoop(
  { report, store, tables, self, options }: Parts, act: (effect: Effect) => void,
): Loop {
  return createLoop(self, tables, {
    now: () => clock.now(),
    after: (milliseconds, fn) => {
      const timer = clock.after(milliseconds, fn)
      return () => timer.stop()
    },
    commit: (writes, written) => {
      void store.commit(writes).then(() => undefined, asError).then((failure) => written(failure))
    },
    perform: act,
    broken: (kind, error) => {
      report.error('a step broke and was left out; this is a bug of gridnode', {
        kind, error: error.stack ?? error.message,
      })
    },
    failed: (error) => {
      report.error('the node cannot go on; start it again when this is mended', {
        error: error.message,
      })
      options.onFatal?.(error)
    },
  })
}

function openLog({ directory, keys, store, tables, snapshots }: Parts): Promise<LiveLog> {
  const markPath = join(directory, markName)
  // A database that is behind its mark was refused before this.
  return openLiveLog({
    store,
    logKey: keys.log,
    markPath,
    quarantined: () => get(tables, 'quarantine', 'own')?.detail,
    cosignatures: ({ size, text }) => cosignaturesOf(tables, { size, text }),
    snapshots,
  })
}

/** Of the witnesses that have stored this very head. */
function cosignaturesOf(
  tables: Tables, { size, text }: { readonly size: number, readonly text: string },
): string[] {
  const [, , rootHash = ''] = text.split('\n')
  const root = toHex(fromBase64(rootHash) ?? new Uint8Array())
  const lines: string[] = []
  for (const [, known] of viewOf(tables).entries('cosigned')) {
    lines.push(...known.filter((one) => one.size === size && one.root === root)
      .map(({ line }) => line))
  }
  return lines
}

/** Over HTTP, for everybody, if the config says so. */
async function serveLog({ config, opened, report }: Parts, log: LiveLog): Promise<void> {
  const { listen } = config.ledger
  if (listen === 'off') return
  const server = await startLogServer({ listen, log, report: report.with({ part: 'log' }) })
  opened.add(server, (one) => one.stop())
  report.info('the ledger is served', { host: listen.host, port: server.port })
}

function openWatch(
  { directory, config, report }: Parts,
  { driver, loop, chunks }: { driver: Driver; loop: Loop; chunks: ChunkStore },
): Watch {
  const { scheduler } = config
  const { busy, idle } = lookMs[scheduler.kind === 'embedded' ? 'embedded' : 'batch']
  const room = spoolRoom({ directory, bytesMax: config.staging.spoolBytesMax, chunks })
  return watchScheduler({
    driver,
    loop,
    report,
    walltimeSecondsMax: scheduler.kind === 'embedded'
      ? scheduler.walltimeSecondsMax : Number.MAX_SAFE_INTEGER,
    spoolBytesFree: () => room.bytesFree(),
    busyMs: busy,
    idleMs: idle,
  })
}

async function serve(
  parts: Parts,
  open: {
    loop: Loop; network: Network; serving: Serving; watchers: Watchers; chunks: ChunkStore
    liveLog: LiveLog; requests: JobRequests; driver: Driver
  },
): Promise<RunningNode> {
  const { directory, config, report, opened, keys, store, self } = parts
  const { loop, network, watchers } = open
  const startedEpochMs = clock.now()
  const node = siteNode({
    self,
    loop,
    store,
    network,
    watchers,
    chunks: open.chunks,
    serving: open.serving,
    requests: open.requests,
    logKey: keys.log,
    networkKey: keys.network,
    liveLog: open.liveLog,
    snapshots: parts.snapshots,
    retentionSeconds: config.ledger.retentionSeconds,
    reload: openReload({
      path: join(directory, configFileName), self, loop,
      refusal: (next) => unusable(next, open.driver),
    }, parts.configText),
    info: () => ({
      site: self.site,
      version,
      federation: self.federation,
      pid: process.pid,
      startedEpochMs,
      scheduler: config.scheduler.kind,
      counters: {
        ...Object.fromEntries((loop.tables.get('counters') ?? new Map()) as Map<string, number>),
        ...network.counters(),
      },
    }),
  })
  const socketPath = join(directory, socketName)
  const { socketMode } = config.api
  const listen = async (path: string, mode: number, admin: boolean): Promise<void> => {
    opened.add(await startServer({
      socketPath: path, socketMode: mode, admin, node, report,
      bounds: { connectionsMax: config.limits.apiConnectionsMax },
    }), (server) => server.stop())
  }
  // Where others may use the node, too, they may not speak for the site.
  const isShared = (socketMode & 0o077) !== 0
  if (isShared) await listen(join(directory, adminSocketName), 0o600, true)
  await listen(socketPath, socketMode, !isShared)
  await serveLog(parts, open.liveLog)
  report.info('the site is up', {
    site: self.site, federation: self.federation.slice(0, 16), addresses: network.addresses(),
    scheduler: config.scheduler.kind, socket: socketPath,
  })
  let stopping: Promise<void> | undefined
  return {
    site: self.site,
    socketPath,
    addresses: network.addresses(),
    stop() {
      stopping ??= opened.close(report).then(() => report.info('the site has stopped'))
      return stopping
    },
  }
}

function openNetwork(
  parts: Parts,
  { loop, serving, watchers }: { loop: Loop; serving: Serving; watchers: Watchers },
): Promise<Network> {
  const { config, keys, self, report } = parts
  return startNetwork({
    site: self.site,
    networkSecret: keys.network.secretKey,
    listen: config.network.listen,
    ...(config.network.announce.length > 0 && { announce: config.network.announce }),
    members: membersOf(parts),
    federation: self.federation,
    onMessage: (from, encoded) => loop.push({ kind: 'messageReceived', from, encoded }),
    onPeer: (site, state) =>
      loop.push({ kind: state === 'up' ? 'peerCameUp' : 'peerWentDown', site }),
    onGossip: (topic, from, note) => judge(self, loop, { topic, from, note }),
    onJoin: (encoded) => admit(watchers, loop, encoded),
    onRequest: (from, request) => serving.request(from, request),
    onFetch: (from, header, signal) => serving.fetch(from, header, signal),
    log: (level, text, fields) => report.with({ part: 'net' }).log(level, text, fields),
  })
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(messageOf(error))
}

/** The topics' validator. */
function judge(
  self: Self, loop: Loop, heard: { topic: GossipTopic; from: SiteName; note: string },
): GossipVerdict {
  const now = { nowEpochMs: clock.now() }
  const judged = judgeGossip(viewOf(loop.tables), self, { ...heard, ...now })
  if (judged.verdict === 'accept') loop.push(judged.event)
  return judged.verdict
}

async function admit(watchers: Watchers, loop: Loop, encoded: string): Promise<string> {
  const answer = await watchers.ask((request) =>
    loop.push({ kind: 'joinRequested', request, encoded }))
  if (answer.kind === 'joined') return answer.encoded
  const refused = answer.kind === 'refused' ? answer : { code: 'internal', detail: 'no answer' }
  throw Object.assign(new Error(refused.detail), { code: refused.code.replaceAll('_', '-') })
}

/** Everybody else, where they say they are and where the administrator says to look. */
function membersOf({ tables, self, config }: Parts): Member[] {
  const members: Member[] = []
  for (const [site, { addresses }] of (tables.get('members') ?? new Map()) as Map<
    SiteName, { addresses: readonly string[] }
  >) {
    const key = fromHex(get(tables, 'ledgerMembers', site)?.keys.network ?? '')
    if (site === self.site || !key) continue
    const all = new Set([...config.network.peers.get(site) ?? [], ...addresses])
    members.push({ site, networkKey: key, addresses: [...all] })
  }
  return members
}

/** Tells watchers of a job how far its files are, as often as somebody can read. */
function progressOf(loop: Loop, watchers: Watchers): {
  onServed(contract: string, bytes: number): void
  onProgress: HomeParts['onProgress']
} {
  const served = new Map<string, number>()
  const tell = paced((job, event) => watchers.happened(job, event))
  return {
    onServed(contract, bytes) {
      const record = get(loop.tables, 'homeContracts', contract)
      const bytesTotal = record && get(loop.tables, 'jobNotes', record.job)?.document.inputs_bytes
      if (!record || !bytesTotal) return
      const bytesDone = Math.min(bytesTotal, (served.get(contract) ?? 0) + bytes)
      served.set(contract, bytesDone)
      const { host: site, job } = record
      tell(job, { kind: 'transfer', direction: 'in', site, bytesDone, bytesTotal })
      if (bytesDone >= bytesTotal) served.delete(contract)
    },
    onProgress(job, site, { bytesDone, bytesTotal }) {
      tell(job, { kind: 'transfer', direction: 'out', site, bytesDone, bytesTotal })
    },
  }
}
