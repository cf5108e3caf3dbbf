// What HTCondor prints, parsed: the JSON of condor_q, condor_history and condor_status. Pure
// functions, held to output in the form that its manual and sources show (test/fixtures/htcondor).

import type { BatchPhase, BatchRow } from './batch-tongue.ts'
import type { Capacity, QueueCapacity, SubmitRefusal } from './driver.ts'

export type Ad = Readonly<Record<string, unknown>>

/** Ours in a job's ClassAd. */
export const tagAttribute = 'GridnodeTranche'
/** How often the job may have started: raised when it is requeued on purpose. */
export const startsAttribute = 'GridnodeStarts'

/** `-attributes` of condor_q and condor_history. */
export const jobAttributes = [
  'ClusterId', 'ProcId', 'JobStatus', 'LastJobStatus', tagAttribute, 'EnteredCurrentStatus',
  'JobCurrentStartDate', 'CompletionDate', 'ExitBySignal', 'ExitCode', 'ExitSignal', 'RemoteHost',
  'RemoveReason', 'HoldReason', 'HoldReasonCode', 'LastHoldReasonCode', 'RemoteUserCpu',
  'RemoteSysCpu', 'ResidentSetSize',
].join(',')

export const slotAttributes =
  'Name,Machine,SlotType,State,Cpus,TotalSlotCpus,Memory,TotalSlotMemory,GPUs,TotalSlotGPUs'

/** Nothing printed is an empty list; undefined when it is no list of ClassAds. */
export function parseAds(text: string): Ad[] | undefined {
  if (text.trim() === '') return []
  let whole: unknown
  try {
    whole = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!Array.isArray(whole)) return undefined
  const ads = whole as unknown[]
  const isAd = (value: unknown): value is Ad => typeof value === 'object' && value !== null
  return ads.every(isAd) ? ads : undefined
}

function numberAt(ad: Ad, name: string): number {
  const value = ad[name]
  return typeof value === 'number' && Number.isFinite(value) ? value : 0
}

function textAt(ad: Ad, name: string): string {
  const value = ad[name]
  return typeof value === 'string' ? value : ''
}

/** Rows of our jobs; undefined when something of ours cannot be read. */
export function parseJobs(text: string): BatchRow[] | undefined {
  const ads = parseAds(text)
  if (!ads) return undefined
  const rows: BatchRow[] = []
  for (const ad of ads) {
    const tag = textAt(ad, tagAttribute)
    if (!/^[0-9a-f]{16}$/.test(tag)) continue
    const cluster = numberAt(ad, 'ClusterId')
    const phase = phaseOf(ad)
    if (cluster < 1 || phase === undefined) return undefined
    rows.push({
      tag, jobId: String(cluster), positions: [numberAt(ad, 'ProcId')], phase,
      ...measures(ad, phase),
    })
  }
  return rows
}

function measures(
  ad: Ad, phase: BatchPhase,
): Omit<BatchRow, 'tag' | 'jobId' | 'positions' | 'phase'> {
  const ended = !['queued', 'held', 'stuck', 'running', 'suspended'].includes(phase)
  const cpuMs = Math.round((numberAt(ad, 'RemoteUserCpu') + numberAt(ad, 'RemoteSysCpu')) * 1_000)
  const memoryBytes = numberAt(ad, 'ResidentSetSize') * 1024
  const code = ad['ExitBySignal'] === true
    ? 128 + numberAt(ad, 'ExitSignal')
    : typeof ad['ExitCode'] === 'number' ? ad['ExitCode'] & 0xff : undefined
  const changed = numberAt(ad, 'CompletionDate') || numberAt(ad, 'EnteredCurrentStatus')
  return {
    startEpochMs: numberAt(ad, 'JobCurrentStartDate') * 1_000,
    endEpochMs: ended ? changed * 1_000 : 0,
    exitCode: phase === 'exited' ? code : undefined,
    reason: textAt(ad, 'RemoveReason') || textAt(ad, 'HoldReason'),
    ...(ended && cpuMs > 0 ? { cpuMs } : {}),
    ...(ended && memoryBytes > 0 ? { memoryBytesPeak: memoryBytes } : {}),
  }
}

/** JobStatus, in the manual's appendix of job status codes. */
const statuses = {
  idle: 1, running: 2, removed: 3, completed: 4, held: 5, transferring: 6, suspended: 7,
} as const

/** HoldReasonCode: by condor_hold, submitted so, waiting for its input; used too much memory. */
const waitsWhile = [1, 15, 16]
const memoryCode = 34

function phaseOf(ad: Ad): BatchPhase | undefined {
  switch (ad['JobStatus']) {
    case statuses.idle: return 'queued'
    case statuses.running: case statuses.transferring: return 'running'
    case statuses.suspended: return 'suspended'
    case statuses.completed: return 'exited'
    case statuses.held:
      if (waitsWhile.includes(numberAt(ad, 'HoldReasonCode'))) return 'held'
      return numberAt(ad, 'HoldReasonCode') === memoryCode ? 'memory' : 'stuck'
    case statuses.removed:
      // Its processes are being ended as long as a machine is named.
      return textAt(ad, 'RemoteHost') === '' ? whyRemoved(ad) : 'running'
    default: return undefined
  }
}

/** By our own periodic_remove (htcondor.ts) or by somebody. */
function whyRemoved(ad: Ad): BatchPhase {
  if (!/PeriodicRemove/i.test(textAt(ad, 'RemoveReason'))) return 'cancelled'
  const codes = [numberAt(ad, 'HoldReasonCode'), numberAt(ad, 'LastHoldReasonCode')]
  switch (ad['LastJobStatus']) {
    case statuses.running: case statuses.suspended: case statuses.transferring: return 'walltime'
    case statuses.held: return codes.includes(memoryCode) ? 'memory' : 'cancelled'
    case statuses.idle: return 'lost'
    default: return 'cancelled'
  }
}

/** `condor_submit -terse`: `12.0 - 12.3`. */
export function parseSubmitted(text: string): string | undefined {
  return /^(\d+)\.\d+ - \1\.\d+\s*$/m.exec(text)?.[1]
}

const mebibyte = 1024 * 1024
/** HTCondor knows no limit of time: a year and a day. */
const endless = 366 * 86_400

/**
 * Slots of `condor_status`, schedulers of `condor_status -schedd`. A slot that can be divided shows
 * what is left of it; those that were made of it are part of its total.
 */
export function parseCapacity(
  slotText: string, scheddText: string, queueName: string,
): Capacity | undefined {
  const slots = parseAds(slotText)
  const schedds = parseAds(scheddText)
  if (!slots || !schedds) return undefined
  const machines = new Map<string, { cores: number; memory: number }>()
  let [coresTotal, coresFree, memoryTotal, memoryFree, gpusTotal, gpusFree] = [0, 0, 0, 0, 0, 0]
  for (const slot of slots) {
    const state = textAt(slot, 'State')
    const type = textAt(slot, 'SlotType')
    if (type === 'Dynamic' || state === 'Owner' || state === 'Drained') continue
    const divided = type === 'Partitionable'
    const cores = numberAt(slot, divided ? 'TotalSlotCpus' : 'Cpus')
    const memory = numberAt(slot, divided ? 'TotalSlotMemory' : 'Memory') * mebibyte
    const free = divided || state === 'Unclaimed'
    coresTotal += cores
    memoryTotal += memory
    coresFree += free ? numberAt(slot, 'Cpus') : 0
    gpusTotal += numberAt(slot, divided ? 'TotalSlotGPUs' : 'GPUs')
    gpusFree += free ? numberAt(slot, 'GPUs') : 0
    memoryFree += free ? numberAt(slot, 'Memory') * mebibyte : 0
    // One task takes one slot, so the largest slot is what a machine can give.
    const machine = textAt(slot, 'Machine')
    const known = machines.get(machine) ?? { cores: 0, memory: 0 }
    machines.set(machine, {
      cores: Math.max(known.cores, cores), memory: Math.max(known.memory, memory),
    })
  }
  const most = [...machines.values()]
  const queue: QueueCapacity = {
    name: queueName, coresTotal, coresFree, walltimeSecondsMax: endless,
    memoryBytesPerNodeMax: Math.max(0, ...most.map(({ memory }) => memory)),
    coresPerNodeMax: Math.max(0, ...most.map(({ cores }) => cores)),
  }
  return {
    coresTotal, coresFree, memoryBytesTotal: memoryTotal, memoryBytesFree: memoryFree,
    nodesTotal: machines.size, gpusTotal, gpusFree,
    tasksQueued: schedds.reduce((sum, ad) => sum + numberAt(ad, 'TotalIdleJobs'), 0),
    tasksRunning: schedds.reduce((sum, ad) => sum + numberAt(ad, 'TotalRunningJobs'), 0),
    queues: [queue],
  }
}

const unsure = /connect|communication|timed? ?out|secman|cedar|authenticat|disconnect|commit/i

/** What condor_submit says when it says no; undefined when it may have been told nothing. */
export function refusalOf(stderr: string): SubmitRefusal | undefined {
  const words = stderr.replaceAll(/^ERROR: /gm, '').trim().replaceAll(/\s*\n\s*/g, '; ')
  if (words === '' || unsure.test(words)) return undefined
  if (/would exceed|MAX_JOBS/i.test(words)) return { reason: 'full', words }
  return { reason: 'refused', words }
}
