// What OpenPBS and PBS Pro print, parsed; the numbers and words that Torque shares with them. Pure
// functions, held to output in the form that the sources of OpenPBS print (test/fixtures/openpbs).
//
// The commands run with TZ=UTC and LC_ALL=C, for qstat prints times of day without a zone.

import { tagOfName } from './batch-script.ts'
import type { BatchPhase, BatchRow } from './batch-tongue.ts'
import type { QueueCapacity, SubmitRefusal } from './driver.ts'

/** A job, a subjob or an array as `qstat -f` shows it. */
export interface PbsJob {
  /** With its brackets and its server: `12.host`, `12[].host`, `12[3].host`. */
  readonly id: string
  readonly attributes: Attributes
}

export type Attributes = ReadonlyMap<string, string | ReadonlyMap<string, string>>

/** Undefined when it is not the JSON of qstat or pbsnodes; `section` may be absent: nothing. */
export function parsePbsJson(text: string, section: string): PbsJob[] | undefined {
  let whole: unknown
  try {
    whole = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!isRecord(whole) || !('pbs_version' in whole)) return undefined
  const found = whole[section] ?? {}
  if (!isRecord(found)) return undefined
  const jobs: PbsJob[] = []
  for (const [id, value] of Object.entries(found)) {
    if (!isRecord(value)) return undefined
    const attributes = new Map<string, string | Map<string, string>>()
    for (const [name, one] of Object.entries(value)) {
      attributes.set(name, isRecord(one) ? flat(one) : textOf(one))
    }
    jobs.push({ id, attributes })
  }
  return jobs
}

function flat(record: Record<string, unknown>): Map<string, string> {
  return new Map(Object.entries(record).map(([name, value]) => [name, textOf(value)]))
}

/** `jobs` of a node is a list; numbers and strings are the same to us. */
function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.map(textOf).join(',')
  return typeof value === 'string' ? value : JSON.stringify(value ?? '')
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function textAt(attributes: Attributes, name: string): string | undefined {
  const value = attributes.get(name)
  return typeof value === 'string' ? value : undefined
}

export function resourceAt(attributes: Attributes, list: string, name: string): string | undefined {
  const value = attributes.get(list)
  return typeof value === 'object' ? value.get(name) : undefined
}

export interface PbsId {
  readonly number: string
  /** Undefined for a job that is no array, or for the array itself. */
  readonly index: number | undefined
  readonly array: boolean
}

export function parseId(id: string): PbsId | undefined {
  const match = /^(\d+)(?:(\[)(\d+)?\])?(?:\.|$)/.exec(id)
  if (!match?.[1]) return undefined
  const index = match[3] === undefined ? undefined : Number(match[3])
  return { number: match[1], index, array: match[2] !== undefined }
}

/**
 * Rows of our jobs. Subjobs that wait are not shown by themselves: the array names them. Undefined
 * when a state is none that we know.
 */
export function pbsRows(jobs: readonly PbsJob[]): BatchRow[] | undefined {
  const rows: BatchRow[] = []
  for (const { id, attributes } of jobs) {
    const tag = tagOfName(textAt(attributes, 'Job_Name') ?? '')
    if (tag === undefined) continue
    const named = parseId(id)
    const state = textAt(attributes, 'job_state')
    if (!named || state === undefined) return undefined
    const whole = named.array && named.index === undefined
    const phase = whole ? arrayPhase(state) : phaseOf(state, attributes)
    if (phase === undefined) return undefined
    // Of an array that is over, or has moved to another server, its subjobs tell.
    if (phase === 'none') continue
    const positions = whole
      ? parseIndexes(textAt(attributes, 'array_indices_remaining') ?? '-')
      : named.index === undefined ? undefined : [named.index]
    if (positions === null) return undefined
    if (positions?.length === 0) continue
    rows.push({ tag, jobId: named.number, positions, phase, ...measures(attributes, phase) })
  }
  return rows
}

function measures(
  attributes: Attributes, phase: BatchPhase,
): Omit<BatchRow, 'tag' | 'jobId' | 'positions' | 'phase'> {
  const cpuSeconds = parseSeconds(resourceAt(attributes, 'resources_used', 'cput') ?? '') ?? 0
  const memoryBytes = parseBytes(resourceAt(attributes, 'resources_used', 'mem') ?? '') ?? 0
  const ended = phase !== 'queued' && phase !== 'held' && phase !== 'running'
    && phase !== 'suspended'
  const status = textAt(attributes, 'Exit_status')
  return {
    startEpochMs: parseDate(textAt(attributes, 'stime')),
    endEpochMs: ended
      ? parseDate(textAt(attributes, 'obittime')) || historyMs(attributes)
        || parseDate(textAt(attributes, 'mtime'))
      : 0,
    exitCode: status === undefined ? undefined : exitOf(Number(status)).exitCode,
    reason: textAt(attributes, 'comment') ?? '',
    ...(ended && cpuSeconds > 0 ? { cpuMs: cpuSeconds * 1_000 } : {}),
    ...(ended && memoryBytes > 0 ? { memoryBytesPeak: memoryBytes } : {}),
  }
}

function historyMs(attributes: Attributes): number {
  const seconds = textAt(attributes, 'history_timestamp') ?? ''
  return /^\d{1,12}$/.test(seconds) ? Number(seconds) * 1_000 : 0
}

function arrayPhase(state: string): BatchPhase | 'none' | undefined {
  switch (state) {
    case 'Q': case 'B': case 'T': case 'W': return 'queued'
    case 'H': return 'held'
    case 'F': case 'M': case 'E': return 'none'
    default: return undefined
  }
}

/** The letters of job_state in pbs_job_attributes(7B). */
function phaseOf(state: string, attributes: Attributes): BatchPhase | 'none' | undefined {
  switch (state) {
    case 'Q': case 'T': case 'W': return 'queued'
    case 'H': return 'held'
    case 'R': case 'E': return 'running'
    case 'S': case 'U': return 'suspended'
    case 'M': return 'none'
    case 'F': case 'X': return endOf(attributes)
    default: return undefined
  }
}

const substates = { terminated: '91', failed: '93' } as const

/** `substate` says who ended it; Exit_status may be absent, for a job that never ran. */
function endOf(attributes: Attributes): BatchPhase {
  const status = textAt(attributes, 'Exit_status')
  const comment = textAt(attributes, 'comment') ?? ''
  const substate = textAt(attributes, 'substate')
  const { phase } = status === undefined ? { phase: undefined } : exitOf(Number(status))
  if (phase !== undefined && phase !== 'exited') return phase
  const terminated = substate === substates.terminated || /terminated/.test(comment)
  if (terminated) return 'cancelled'
  if (status === undefined && substate === substates.failed) return 'lost'
  return 'exited'
}

/**
 * Exit_status: 0 to 255 is the script's own code, from 256 a signal, below 0 a reason of the
 * server's (JOB_EXEC_… in job.h of OpenPBS).
 */
export function exitOf(
  status: number,
): { readonly phase: BatchPhase; readonly exitCode: number | undefined } {
  if (status >= 256) return { phase: 'exited', exitCode: 128 + ((status - 256) & 0x7f) }
  if (status >= 0) return { phase: 'exited', exitCode: status }
  if (status === -29) return { phase: 'walltime', exitCode: undefined }
  if (status === -27 || status === -26) return { phase: 'memory', exitCode: undefined }
  // Processor time and the number of processors: limits that an operator set.
  if (status <= -24 && status >= -28) return { phase: 'cancelled', exitCode: undefined }
  return { phase: 'lost', exitCode: undefined }
}

const indexesMax = 1_000_000

/** `0-3,7`, `1-7:2`, `-` for none; null when it is none of these. */
export function parseIndexes(text: string): number[] | null {
  const indexes: number[] = []
  if (text === '-' || text === '') return indexes
  for (const part of text.split(',')) {
    const match = /^(\d{1,8})(?:-(\d{1,8})(?::(\d{1,8}))?)?$/.exec(part.trim())
    if (!match) return null
    const last = Number(match[2] ?? match[1])
    const step = Math.max(1, Number(match[3] ?? 1))
    if (indexes.length + (last - Number(match[1])) / step >= indexesMax) return null
    for (let index = Number(match[1]); index <= last; index += step) indexes.push(index)
  }
  return indexes
}

const months = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ')

/** As ctime(3) prints it, in UTC: `Fri Nov 20 18:02:11 2026`; 0 when there is none. */
export function parseDate(text: string | undefined): number {
  const match = /^\w{3} (\w{3}) +(\d+) (\d+):(\d+):(\d+) (\d{4})$/.exec(text?.trim() ?? '')
  const month = months.indexOf(match?.[1] ?? '')
  if (!match || month < 0) return 0
  const [day = 1, hour = 0, minute = 0, second = 0] = match.slice(2, 6).map(Number)
  return Date.UTC(Number(match[6]), month, day, hour, minute, second)
}

/** `3661`, `61:01`, `1:01:01`. */
export function parseSeconds(text: string): number | undefined {
  const match = /^(?:(?:(\d{1,9}):)?(\d{1,9}):)?(\d{1,9})(?:\.\d+)?$/.exec(text.trim())
  if (!match) return undefined
  return Number(match[1] ?? 0) * 3_600 + Number(match[2] ?? 0) * 60 + Number(match[3])
}

const units: Readonly<Record<string, number>> = {
  '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40, p: 2 ** 50,
}

/** `3084kb`, `64mb`, `1024`; words (`w`) have eight bytes. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d{1,15})([kmgtp]?)([bw]?)$/i.exec(text.trim())
  if (!match) return undefined
  const bytes = Number(match[1]) * (units[(match[2] ?? '').toLowerCase()] ?? 1)
  return match[3]?.toLowerCase() === 'w' ? bytes * 8 : bytes
}

/** What one node gives; several vnodes of one host are told apart by their names. */
export interface PbsNode {
  readonly name: string
  readonly usable: boolean
  readonly cores: number
  readonly coresBusy: number
  readonly memoryBytes: number
  readonly memoryBytesBusy: number
  readonly gpus: number
  readonly gpusBusy: number
  /** Only jobs of this queue; undefined: of any. */
  readonly queue: string | undefined
  readonly jobs: readonly string[]
}

/** The nodes of `pbsnodes -av -F json`. */
export function pbsNodes(nodes: readonly PbsJob[]): PbsNode[] {
  return nodes.map(({ id, attributes }) => {
    const states = (textAt(attributes, 'state') ?? '').split(',')
    const of = (list: string, name: string): string => resourceAt(attributes, list, name) ?? '0'
    return {
      name: id,
      usable: states.every((state) => /^(free|job-busy|job-exclusive|resv-exclusive)$/.test(state)),
      cores: Number(of('resources_available', 'ncpus')) || 0,
      coresBusy: Number(of('resources_assigned', 'ncpus')) || 0,
      memoryBytes: parseBytes(of('resources_available', 'mem')) ?? 0,
      memoryBytesBusy: parseBytes(of('resources_assigned', 'mem')) ?? 0,
      gpus: Number(of('resources_available', 'ngpus')) || 0,
      gpusBusy: Number(of('resources_assigned', 'ngpus')) || 0,
      queue: textAt(attributes, 'queue'),
      jobs: (textAt(attributes, 'jobs') ?? '').split(',').filter((job) => job !== ''),
    }
  })
}

export interface PbsQueue {
  readonly name: string
  readonly usable: boolean
  readonly walltimeSecondsMax: number
  readonly coresMax: number
  readonly queued: number
}

/** No limit: a year and a day. */
const endless = 366 * 86_400

/** The queues that take jobs and run them; a routing queue only passes them on. */
export function pbsQueues(queues: readonly PbsJob[]): PbsQueue[] {
  return queues.map(({ id, attributes }) => {
    const most = (name: string): string | undefined => resourceAt(attributes, 'resources_max', name)
    const isTrue = (name: string): boolean => /^true$/i.test(textAt(attributes, name) ?? 'true')
    const counts = textAt(attributes, 'state_count') ?? ''
    const count = (name: string): number =>
      Number(new RegExp(`${name}:(\\d+)`).exec(counts)?.[1] ?? 0)
    return {
      name: id,
      usable: isTrue('enabled') && isTrue('started')
        && /^e/i.test(textAt(attributes, 'queue_type') ?? 'Execution'),
      walltimeSecondsMax: parseSeconds(most('walltime') ?? '') ?? endless,
      coresMax: Number(most('ncpus') ?? Infinity),
      queued: count('Queued') + count('Held') + count('Waiting'),
    }
  })
}

/** What a queue can give: the nodes that are its own, or those that are nobody's. */
export function queueCapacity(queue: PbsQueue, nodes: readonly PbsNode[]): QueueCapacity {
  const own = nodes.filter((node) => node.usable
    && (node.queue === undefined || node.queue === queue.name))
  const most = (of: (node: PbsNode) => number): number => Math.max(0, ...own.map(of))
  const sum = (of: (node: PbsNode) => number): number =>
    own.reduce((total, node) => total + of(node), 0)
  return {
    name: queue.name, walltimeSecondsMax: queue.walltimeSecondsMax,
    coresTotal: sum((node) => node.cores),
    coresFree: sum((node) => Math.max(0, node.cores - node.coresBusy)),
    memoryBytesPerNodeMax: most((node) => node.memoryBytes),
    coresPerNodeMax: Math.min(queue.coresMax, most((node) => node.cores)),
  }
}

/** An answer that may hide a submission, or says that the server was not there. */
const unsure = new RegExp([
  'cannot connect', 'connection', 'communication failure', 'protocol error', 'end of file',
  'shutting down', 'no server', 'time(d )?out', 'could not contact', 'trqauthd', 'pbs_iff',
  'system error', 'no free connections', 'temporarily',
].join('|'), 'i')

/** What qsub says when it says no; undefined when it did not get as far as being told. */
export function pbsRefusal(stderr: string): SubmitRefusal | undefined {
  const words = stderr.replaceAll(/^qsub: +/gm, '').trim().replaceAll('\n', '; ')
  if (words === '' || unsure.test(words)) return undefined
  if (/unknown queue|no default queue/i.test(words)) return { reason: 'queueUnknown', words }
  const large = /resource limit|exceeds queue|size limit|exceeds allowable|out of range/i
  if (large.test(words)) return { reason: 'tooLarge', words }
  if (/maximum number of jobs|would exceed|limit/i.test(words)) return { reason: 'full', words }
  return { reason: 'refused', words }
}
