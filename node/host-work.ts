// What a host does for a tranche: bring its inputs, lay out its directories, hand it to the
// scheduler, collect what its tasks leave, clear up. Each piece is named by the tranche, may be
// repeated after a crash, and tells the core how it went by one event.

import { chmod, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Hash, TrancheId } from '../protocol/base/ids.ts'
import { parseHash } from '../protocol/base/ids.ts'
import { limits } from '../protocol/base/limits.ts'
import { parseRanges, rangesValues } from '../protocol/base/ranges.ts'
import type { HostContract, HostTranche } from '../protocol/machine/state.ts'
import { dialectPreface } from '../protocol/rules/dialect-variables.ts'
import type { JobDocument } from '../protocol/rules/job.ts'
import { sizeOf } from '../protocol/rules/stage.ts'
import type { Manifest } from '../protocol/rules/stage.ts'
import { parseOutputPatterns } from '../protocol/rules/stage-outputs.ts'
import { clock } from './clock.ts'
import { localAccount } from './local-account.ts'
import { get } from './local/tables.ts'
import type { Loop } from './loop.ts'
import type { Network } from './net/door.ts'
import type { Report } from './report.ts'
import { messageOf, Problem } from './problem.ts'
import type { Driver, LocalAccount, Resources } from './scheduler/driver.ts'
import { temporaryName } from './scheduler/sandbox.ts'
import type { ChunkStore } from './staging/chunk-store.ts'
import { inParallel } from './staging/parallel.ts'
import { StagingError, systemCode } from './staging/staging-error.ts'
import { loadTree } from './staging/stored-tree.ts'
import { fetchTree } from './staging/transfer.ts'
import type { Workspace } from './staging/workspace.ts'

export interface HostParts {
  readonly site: string
  readonly loop: Loop
  readonly driver: Driver
  readonly network: Network
  readonly store: ChunkStore
  readonly workspace: Workspace
  readonly report: Report
  /** The most that one task may leave behind. */
  readonly outputBytesMax: number
}

const submitTimeoutMs = 120_000
const cancelTimeoutMs = 60_000
/** Directories that are laid out side by side. */
const tasksAtOnce = 4
const collectTriesMax = 6
const collectRetryMs = 5_000
/** These never get better by trying again here. */
const permanent = new Set([
  'account', 'SPOOL_FULL', 'TREE_REFUSED', 'TREE_TOO_LARGE', 'CHUNK_ABSENT', 'CHUNK_REFUSED',
  'PATH_REFUSED',
])
const scriptName = 'script'
const prefaceName = 'start'
const startName = ({ dialect }: JobDocument): string => dialect === undefined ? scriptName
  : prefaceName
const noInputs: Manifest = { files: [], directories: [] }

interface Work {
  readonly tranche: HostTranche
  readonly contract: HostContract
  readonly document: JobDocument
  readonly job: string
}

/** The records of a tranche; undefined when it is over already. */
function workOf(parts: HostParts, id: TrancheId): Work | undefined {
  const tranche = get(parts.loop.tables, 'hostTranches', id)
  const contract = tranche && get(parts.loop.tables, 'hostContracts', tranche.contract)
  const job = tranche && get(parts.loop.tables, 'hostJobs', tranche.contract)
  return tranche && contract && job
    ? { tranche, contract, document: job.document, job: job.job } : undefined
}

export async function stageTranche(
  parts: HostParts, id: TrancheId, signal: AbortSignal,
): Promise<void> {
  const work = workOf(parts, id)
  if (!work) return
  try {
    const account = await accountOf(work, signal)
    const manifest = await bringInputs(parts, work, signal)
    await inParallel(rangesValues(work.tranche.tasks), tasksAtOnce, async (task) => {
      signal.throwIfAborted()
      await layOut(parts, work, { manifest, task, account, signal })
    })
    parts.loop.push({ kind: 'trancheStaged', tranche: id })
  } catch (error) {
    if (signal.aborted) return
    const code = error instanceof StagingError || error instanceof Problem ? error.code : ''
    const detail = messageOf(error)
    parts.report.warn('staging failed', { tranche: id, code, error: detail })
    const isPermanent = permanent.has(code)
    parts.loop.push({ kind: 'trancheStagingFailed', tranche: id, permanent: isPermanent, detail })
  }
}

async function bringInputs(parts: HostParts, work: Work, signal: AbortSignal): Promise<Manifest> {
  const { tranche, document } = work
  const treeHash = parseHash(document.inputs)
  if (!treeHash) return noInputs
  // At home the inputs have been here since the job was submitted.
  if (tranche.home === parts.site) return (await loadTree(parts.store, treeHash)).manifest
  return fetchTree({
    source: { fetch: (header, stop) => parts.network.fetch(tranche.home, header, stop) },
    scope: `in/${tranche.contract}`,
    treeHash,
    store: parts.store,
    owner: `stage-${tranche.id}`,
    // The bid was made for so many bytes.
    bytesMax: document.inputs_bytes,
    signal,
  })
}

async function layOut(
  parts: HostParts,
  work: Work,
  { manifest, task, account, signal }: {
    manifest: Manifest
    task: number
    account: LocalAccount | undefined
    signal: AbortSignal
  },
): Promise<void> {
  const { tranche, document } = work
  const directory = parts.workspace.directory(tranche.id, task)
  // What an earlier try gave away is not walked by root again.
  if (account) await parts.workspace.remove(directory)
  await parts.workspace.place(manifest, directory, signal)
  await writeProgram(join(directory, '.gridnode', scriptName), document.script)
  await writePreface(parts, work, { directory, task })
  if (!account) return
  await mkdir(join(directory, temporaryName), { recursive: true, mode: 0o700 })
  await parts.workspace.give(directory, account)
}

/** What sets the variables of the job's dialect, and then runs the script. */
async function writePreface(
  parts: HostParts,
  { tranche, document, job }: Work,
  { directory, task }: { directory: string; task: number },
): Promise<void> {
  if (document.dialect === undefined) return
  const tasks = parseRanges(document.tasks, { last: limits.taskNumberMax }) ?? []
  const facts = { document, job, tasks, task, home: tranche.home, site: parts.site }
  const preface = dialectPreface(facts)
  if (preface === undefined) return
  await writeProgram(join(directory, '.gridnode', prefaceName), preface)
}

/** A file of its own each time: a task of an earlier try may still have the old one open. */
async function writeProgram(path: string, text: string): Promise<void> {
  const write = (): Promise<void> => writeFile(path, text, { flag: 'wx', mode: 0o700 })
  await write().catch(async (error: unknown) => {
    if (systemCode(error) !== 'EEXIST') throw error
    await rm(path)
    await write()
  })
  // The umask may have taken bits away.
  await chmod(path, 0o700)
}

/** Undefined for the node's own. */
async function accountOf(
  { contract }: Work, signal: AbortSignal,
): Promise<LocalAccount | undefined> {
  const { account } = contract
  return account && await localAccount(account.name, account.owner.user, signal)
}

export async function submitTranche(
  parts: HostParts, id: TrancheId, signal: AbortSignal,
): Promise<void> {
  const work = workOf(parts, id)
  if (!work) return
  const { tranche, contract, document } = work
  const deadline = AbortSignal.any([signal, clock.deadline(submitTimeoutMs)])
  try {
    const account = await accountOf(work, deadline)
    const submitted = await parts.driver.submit({
      tag: id,
      jobName: document.name,
      tasks: [...rangesValues(tranche.tasks)].map((taskIndex) => ({
        taskIndex, directory: parts.workspace.directory(id, taskIndex),
      })),
      command: [`./.gridnode/${startName(document)}`, ...document.args],
      environment: environmentOf(work, parts.site),
      resources: {
        coresPerTask: contract.cores,
        memoryBytesPerTask: contract.memoryMib * 2 ** 20,
        walltimeSeconds: contract.walltimeSeconds,
        ...moreResources(document),
      },
      ...(document.seen_at !== undefined && { seenAt: document.seen_at }),
      ...(account && { account }),
    }, deadline)
    if (submitted.ok) {
      parts.loop.push({ kind: 'trancheSubmitted', tranche: id, localId: submitted.value.localId })
    } else {
      const { reason, words } = submitted.refusal
      const detail = `${reason}: ${words}`
      parts.report.warn('the scheduler refused a submission', { tranche: id, detail })
      parts.loop.push({ kind: 'trancheSubmitRefused', tranche: id, detail })
    }
  } catch (error) {
    if (signal.aborted) return
    const detail = messageOf(error)
    parts.report.warn('submitting failed; will look it up again', { tranche: id, error: detail })
    parts.loop.push({ kind: 'trancheSubmitFailed', tranche: id, detail })
  }
}

function moreResources({ gpus, chunks, licences }: JobDocument): Partial<Resources> {
  return {
    ...(gpus !== undefined && { gpusPerTask: gpus }),
    ...(chunks && { chunks: chunks.map((chunk) => ({
      nodes: chunk.nodes, coresPerNode: chunk.cores,
      memoryBytesPerNode: chunk.memory_mib * 2 ** 20, gpusPerNode: chunk.gpus,
    })) }),
    ...(licences && { licences }),
  }
}

/** The job's own variables win over nothing of ours: ours have a prefix of their own. */
function environmentOf({ tranche, contract, document, job }: Work, site: string) {
  const own: Record<string, string> = {}
  for (const { name, value } of document.environment) own[name] = value
  return {
    ...own,
    GRIDNODE_JOB_ID: job,
    GRIDNODE_JOB_NAME: document.name,
    GRIDNODE_USER: document.user,
    GRIDNODE_HOME: tranche.home,
    GRIDNODE_SITE: site,
    GRIDNODE_CONTRACT: contract.id,
    GRIDNODE_CORES: String(contract.cores),
    GRIDNODE_MEMORY_MIB: String(contract.memoryMib),
    GRIDNODE_WALLTIME_SECONDS: String(contract.walltimeSeconds),
  }
}

export async function cancelTranche(
  parts: HostParts, id: TrancheId, signal: AbortSignal,
): Promise<void> {
  const deadline = AbortSignal.any([signal, clock.deadline(cancelTimeoutMs)])
  try {
    await parts.driver.cancel(id, 'all', deadline)
  } catch (error) {
    // The core asks again until the tasks are seen to have ended.
    if (!signal.aborted) {
      parts.report.warn('cancelling failed', { tranche: id, error: messageOf(error) })
    }
  }
}

/** Does the first open order of a tranche. */
export async function controlTranche(
  parts: HostParts, id: TrancheId, n: number, signal: AbortSignal,
): Promise<void> {
  const order = get(parts.loop.tables, 'hostOrders', id)?.open[0]
  if (order?.n !== n) return
  const deadline = AbortSignal.any([signal, clock.deadline(cancelTimeoutMs)])
  const tasks = [...rangesValues(parseRanges(order.tasks, { last: limits.taskNumberMax }) ?? [])]
  const named = { tranche: id, n }
  try {
    if (order.verb === 'cancel' || order.verb === 'requeue') {
      await parts.driver.cancel(id, tasks, deadline)
      return parts.loop.push({ kind: 'orderDone', ...named, words: '' })
    }
    const verb = order.verb === 'signal' ? { kind: order.verb, name: order.signal }
      : { kind: order.verb }
    const done = await parts.driver.control(id, tasks, verb, deadline)
    const words = done.ok ? '' : `${done.refusal.reason}: ${done.refusal.words}`
    parts.loop.push({ kind: 'orderDone', ...named, words })
  } catch (error) {
    if (signal.aborted) return
    const detail = messageOf(error)
    parts.report.warn('an order could not be done', { ...named, verb: order.verb, error: detail })
    parts.loop.push({ kind: 'orderFailed', ...named, detail })
  }
}

export async function collectTask(
  parts: HostParts, id: TrancheId, task: number, signal: AbortSignal,
): Promise<void> {
  const work = workOf(parts, id)
  if (!work) return
  const patterns = parseOutputPatterns(work.document.outputs)
  const named = { tranche: id, task }
  try {
    const directory = parts.workspace.directory(id, task)
    const collected = await patiently(signal, () =>
      parts.workspace.collect(directory, patterns.ok ? patterns.value : [], {
        owner: outOwner(id, task), bytesMax: parts.outputBytesMax, signal, streams: true,
      }))
    for (const { path, problem } of collected.problems) {
      parts.report.warn('an output cannot be taken', { ...named, path, problem })
    }
    const tree: Hash = collected.treeHash
    const treeBytes = sizeOf(collected.manifest)
    const missing = collected.missing.slice(0, 256)
    parts.loop.push({ kind: 'taskCollected', ...named, tree, treeBytes, missing })
  } catch (error) {
    if (signal.aborted) return
    const detail = messageOf(error)
    parts.report.warn('collecting results failed', { ...named, error: detail })
    parts.loop.push({ kind: 'taskCollectFailed', ...named, detail })
  }
}

/** Work that is done is not thrown away because the spool is full for a moment. */
async function patiently<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work()
    } catch (error) {
      const full = error instanceof StagingError && error.code === 'SPOOL_FULL'
      if (!full || tries >= collectTriesMax) throw error
      await clock.sleep(collectRetryMs, signal)
    }
  }
}

export function outOwner(tranche: TrancheId, task: number): string {
  return `out-${tranche}-${task}`
}

export async function removeTranche(parts: HostParts, id: TrancheId): Promise<void> {
  const tranche = get(parts.loop.tables, 'hostTranches', id)
  if (!tranche) return
  try {
    await parts.driver.forget(id)
    for (const task of rangesValues(tranche.tasks)) {
      await parts.workspace.remove(parts.workspace.directory(id, task))
      await parts.store.release(outOwner(id, task))
    }
    await parts.store.release(`stage-${id}`)
    parts.loop.push({ kind: 'trancheRemoved', tranche: id })
  } catch (error) {
    parts.report.warn('clearing up failed; it is tried again at the next start', {
      tranche: id, error: messageOf(error),
    })
  }
}
