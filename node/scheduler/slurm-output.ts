// What Slurm's commands print, parsed. Pure functions, held to captured output of real commands.
//
// The commands run with SLURM_TIME_FORMAT=%s (times are seconds since 1970), SLURM_BITSTR_LEN=0
// (lists of array indexes are whole) and LC_ALL=C. Fields end with `|`, which no field that is
// asked for can contain.

import { tagOfName } from './batch-script.ts'
import { failureOf } from './batch-shell.ts'
import type { BatchPhase, BatchRow } from './batch-tongue.ts'
import type { QueueCapacity, SubmitRefusal } from './driver.ts'

/** `-O` of squeue(1). */
export const jobFields = [
  'ArrayJobID', 'ArrayTaskID', 'State', 'Name', 'StartTime', 'EndTime', 'exit_code', 'Reason',
].map((field) => `${field}:|`).join(',')

/** `-O` of sinfo(1). */
export const nodeFields = [
  'NodeList', 'Partition', 'StateLong', 'CPUsState', 'Memory', 'AllocMem', 'Time', 'Gres',
  'GresUsed',
].map((field) => `${field}:|`).join(',')

/** Rows of our jobs; undefined when a line cannot be read, for then nothing should be concluded. */
export function parseJobs(text: string): BatchRow[] | undefined {
  const rows: BatchRow[] = []
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue
    const fields = line.split('|')
    if (fields.length < 8) return undefined
    const [jobId = '', index = '', state = '', name = '', start, end, exit, reason = ''] = fields
    const tag = tagOfName(name)
    if (tag === undefined) continue
    const phase = phaseOf(state, reason)
    const positions = index === 'N/A' || index === '' ? undefined : parseIndexes(index)
    if (!/^[0-9]+$/.test(jobId) || phase === undefined || positions === null) return undefined
    rows.push({
      jobId, positions, phase, tag, reason: reason === 'None' ? '' : reason,
      startEpochMs: parseSeconds(start) * 1_000, endEpochMs: parseSeconds(end) * 1_000,
      exitCode: parseExit(exit ?? ''),
    })
  }
  return rows
}

/** Of a JOB STATE CODE of squeue(1); undefined when we do not know it. */
export function phaseOf(state: string, reason = ''): BatchPhase | undefined {
  switch (state.trim().split(/[ +]/)[0]) {
    case 'PENDING': case 'REQUEUED': case 'REQUEUE_FED': case 'REQUEUE_HOLD': case 'RESV_DEL_HOLD':
    case 'SPECIAL_EXIT':
      return /^JobHeld(User|Admin)$/.test(reason) ? 'held' : 'queued'
    // COMPLETING jobs still have processes, or Slurm does not know yet that they have not.
    case 'RUNNING': case 'CONFIGURING': case 'COMPLETING': case 'SIGNALING': case 'RESIZING':
    case 'STAGE_OUT':
      return 'running'
    case 'SUSPENDED': case 'STOPPED': return 'suspended'
    case 'COMPLETED': case 'FAILED': return 'exited'
    case 'TIMEOUT': return 'walltime'
    case 'OUT_OF_MEMORY': return 'memory'
    case 'CANCELLED': case 'PREEMPTED': case 'DEADLINE': return 'cancelled'
    case 'NODE_FAIL': case 'BOOT_FAIL': case 'REVOKED': return 'lost'
    default: return undefined
  }
}

/** More than any array that we submit has; others' larger ones are not worth the memory. */
const indexesMax = 1_000_000

/**
 * `7`, `0-3,9`, `1-7:2`, each perhaps with `%5` (how many may run at once); null when it is none of
 * these.
 */
export function parseIndexes(text: string): number[] | null {
  const indexes: number[] = []
  for (const part of text.trim().replace(/%\d+$/, '').split(',')) {
    const match = /^(\d{1,8})(?:-(\d{1,8})(?::(\d{1,8}))?)?$/.exec(part)
    if (!match) return null
    const last = Number(match[2] ?? match[1])
    const step = Math.max(1, Number(match[3] ?? 1))
    if (indexes.length + (last - Number(match[1])) / step >= indexesMax) return null
    for (let index = Number(match[1]); index <= last; index += step) indexes.push(index)
  }
  return indexes
}

/** A wait status as squeue prints it (`768`), or `3:0` as other versions and commands do. */
export function parseExit(text: string): number {
  const pair = /^(\d+):(\d+)$/.exec(text.trim())
  const code = pair ? Number(pair[1]) : Number(text.trim()) >> 8
  const signal = (pair ? Number(pair[2]) : Number(text.trim())) & 0x7f
  return signal > 0 ? 128 + signal : code & 0xff
}

function parseSeconds(text: string | undefined): number {
  return /^[0-9]{1,12}$/.test(text?.trim() ?? '') ? Number(text) : 0
}

/** `sbatch --parsable`: the job's id, perhaps with `;cluster`. */
export function parseSubmitted(text: string): string | undefined {
  return /^([0-9]+)(?:;\S+)?\s*$/.exec(text.trim())?.[1]
}

/**
 * A time limit: `30`, `30:00`, `1:00:00`, `2-12:00:00`, `infinite`; a year and a day stands for no
 * limit.
 */
export function parseTimeLimit(text: string): number | undefined {
  if (/^(infinite|unlimited)$/i.test(text.trim())) return 366 * 86_400
  const match = /^(?:(\d{1,9})-)?(\d{1,9})(?::(\d{1,9}))?(?::(\d{1,9}))?$/.exec(text.trim())
  if (!match) return undefined
  const [days, ...rest] = [match[1], match[2], match[3], match[4]]
  const parts = rest.filter((part) => part !== undefined).map(Number)
  const [a = 0, b = 0, c = 0] = parts
  if (days !== undefined) return Number(days) * 86_400 + a * 3_600 + b * 60 + c
  return parts.length === 3 ? a * 3_600 + b * 60 + c : a * 60 + b
}

export interface NodesSeen {
  readonly coresTotal: number
  readonly coresFree: number
  readonly memoryBytesTotal: number
  readonly memoryBytesFree: number
  readonly nodesTotal: number
  readonly gpusTotal: number
  readonly gpusFree: number
  readonly queues: readonly QueueCapacity[]
}

const mebibyte = 1024 * 1024

/**
 * The lines of `sinfo -N`, one for each node and partition. A node of two partitions counts once in
 * the totals. `only` leaves out all other partitions. Undefined when a line cannot be read.
 */
export function parseNodes(text: string, only?: string): NodesSeen | undefined {
  const counted = new Set<string>()
  const queues = new Map<string, { -readonly [K in keyof QueueCapacity]: QueueCapacity[K] }>()
  let [coresTotal, coresFree, memoryBytesTotal, memoryBytesFree] = [0, 0, 0, 0]
  let [nodesTotal, gpusTotal, gpusFree] = [0, 0, 0]
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue
    const fields = line.split('|')
    const [node = '', partition = '', state = '', cpus = '', memory, allocated, limit = ''] = fields
    const [gres = '', gresUsed = ''] = fields.slice(7)
    const cores = /^(\d{1,9})\/(\d{1,9})\/(\d{1,9})\/(\d{1,9})$/.exec(cpus.trim())
    const walltimeSecondsMax = parseTimeLimit(limit)
    if (!cores || walltimeSecondsMax === undefined) return undefined
    const name = partition.replace(/\*$/, '')
    if (only !== undefined && name !== only) continue
    const usable = /^(idle|mixed|allocated|completing)[+~#%]*$/.test(state.trim())
    const total = usable ? Number(cores[4]) : 0
    const free = usable ? Number(cores[2]) : 0
    const memoryBytes = usable ? mebibytes(memory) : 0
    const allocatedBytes = usable ? mebibytes(allocated) : 0
    if (memoryBytes === undefined || allocatedBytes === undefined) return undefined
    const queue = queues.get(name) ?? {
      name, coresTotal: 0, coresFree: 0, walltimeSecondsMax,
      memoryBytesPerNodeMax: 0, coresPerNodeMax: 0,
    }
    queue.coresTotal += total
    queue.coresFree += free
    queue.memoryBytesPerNodeMax = Math.max(queue.memoryBytesPerNodeMax, memoryBytes)
    queue.coresPerNodeMax = Math.max(queue.coresPerNodeMax, total)
    queues.set(name, queue)
    if (counted.has(node)) continue
    counted.add(node)
    coresTotal += total
    coresFree += free
    memoryBytesTotal += memoryBytes
    memoryBytesFree += Math.max(0, memoryBytes - allocatedBytes)
    if (!usable) continue
    nodesTotal++
    gpusTotal += gpusOf(gres)
    gpusFree += Math.max(0, gpusOf(gres) - gpusOf(gresUsed))
  }
  return {
    coresTotal, coresFree, memoryBytesTotal, memoryBytesFree, nodesTotal, gpusTotal, gpusFree,
    queues: [...queues.values()],
  }
}

/** `gpu:2`, `gpu:a100:4(S:0-1),nvme:1`, `(null)`: how many of them are graphics processors. */
export function gpusOf(gres: string): number {
  let found = 0
  for (const part of gres.replaceAll(/\([^)]*\)/g, '').split(',')) {
    const count = /^gpu(?::[\w.-]+)??(?::(\d{1,6}))?$/.exec(part.trim())
    if (count) found += Number(count[1] ?? 1)
  }
  return found
}

/** `scontrol -o show licenses`; those of other clusters are counted there. */
export function parseLicences(text: string): { readonly name: string; readonly count: number }[] {
  return text.split('\n').flatMap((line) => {
    const match = /^LicenseName=(\S+) .*?\bTotal=(\d{1,9})\b/.exec(line)
    return match ? [{ name: match[1] ?? '', count: Number(match[2]) }] : []
  })
}

function mebibytes(text: string | undefined): number | undefined {
  return /^[0-9]{1,9}$/.test(text?.trim() ?? '') ? Number(text) * mebibyte : undefined
}

/** Lines of `squeue -O ArrayTaskID:|,State:|`: how many tasks wait and run. */
export function parseCounts(text: string): { readonly queued: number; readonly running: number } {
  let queued = 0
  let running = 0
  for (const line of text.split('\n')) {
    const [index = '', state = ''] = line.split('|')
    const phase = phaseOf(state)
    if (phase === 'queued' || phase === 'held') {
      queued += index === 'N/A' ? 1 : parseIndexes(index)?.length ?? 1
    } else if (phase === 'running') running++
  }
  return { queued, running }
}

/** The last words of jobcomp/filetxt on tasks of `tags`; of one task the last row is the latest. */
export function parseCompletions(text: string, tags: ReadonlySet<string>): BatchRow[] {
  const rows: BatchRow[] = []
  for (const line of text.split('\n')) {
    const tag = tagOfName(/ Name=(\S+) /.exec(line)?.[1] ?? '')
    const phase = phaseOf(/ JobState=(\S+)/.exec(line)?.[1] ?? '')
    if (tag === undefined || !tags.has(tag) || phase === undefined) continue
    const index = / ArrayTaskId=(\d{1,8})/.exec(line)?.[1]
    rows.push({
      tag, phase,
      jobId: / ArrayJobId=(\d+)/.exec(line)?.[1] ?? /^JobId=(\d+)/.exec(line)?.[1] ?? '',
      positions: index === undefined ? undefined : [Number(index)],
      // The log has times of day without a zone.
      startEpochMs: 0, endEpochMs: 0, reason: '',
      exitCode: parseExit(/ ExitCode=(\S+)/.exec(line)?.[1] ?? ''),
    })
  }
  return rows
}

/** What sbatch says when it says no; undefined when it did not get as far as being told. */
export function refusalOf(stderr: string): SubmitRefusal | undefined {
  const words = stderr.replaceAll(/^sbatch: (error: )?/gm, '').trim().replaceAll('\n', '; ')
  const told = /submission failed|invalid|unrecognized/i.test(words)
  if (failureOf(words) === 'unreachable' || !told) return undefined
  if (/partition/i.test(words)) return { reason: 'queueUnknown', words }
  const tooLarge = /node configuration is not|more processors|time limit|memory spec|array/i
  if (tooLarge.test(words)) return { reason: 'tooLarge', words }
  const full = /submit limit|resource temporarily|job count|maxjob/i
  if (full.test(words)) return { reason: 'full', words }
  return { reason: 'refused', words }
}
