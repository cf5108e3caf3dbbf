// What LSF prints, parsed. Pure functions, held to output in the form that its command reference
// shows (test/fixtures/lsf).
//
// Times of day come without a year and often without seconds, so they are used only where they say
// enough; the records of the job scripts know better.

import type { BatchPhase, BatchRow } from './batch-tongue.ts'
import type { QueueCapacity, SubmitRefusal } from './driver.ts'

/** `-o` of bjobs. */
export const jobFields = [
  'jobid', 'jobindex', 'stat', 'job_name', 'exit_code', 'exit_reason', 'cpu_used', 'max_mem',
  'pend_reason',
].join(' ')

export const hostFields = 'host_name status max njobs run'

type LsfRecord = Readonly<Record<string, string>>

/** The RECORDS of `-json`; undefined when it is none. Before it there may be words on waiting. */
export function parseRecords(text: string): LsfRecord[] | undefined {
  const from = text.indexOf('{')
  let whole: unknown
  try {
    whole = JSON.parse(text.slice(from))
  } catch {
    return undefined
  }
  if (typeof whole !== 'object' || whole === null || !('RECORDS' in whole)) return undefined
  const { RECORDS: records } = whole
  if (!Array.isArray(records)) return undefined
  const found: LsfRecord[] = []
  for (const record of records as unknown[]) {
    if (typeof record !== 'object' || record === null) return undefined
    found.push(Object.fromEntries(Object.entries(record).map(([name, value]) =>
      [name, String(value)])))
  }
  return found
}

/** Rows of our jobs; undefined when something of ours cannot be read. */
export function parseJobs(text: string): BatchRow[] | undefined {
  const records = parseRecords(text)
  if (!records) return undefined
  const rows: BatchRow[] = []
  for (const record of records) {
    const tag = /^gn-([0-9a-f]{16})(?:\[[\d,:-]+\])?$/.exec(record['JOB_NAME'] ?? '')?.[1]
    if (tag === undefined) continue
    // `12[3]` in some versions, else the index is a field of its own.
    const id = /^(\d+)(?:\[(\d+)\])?$/.exec(record['JOBID'] ?? '')
    const index = Number(id?.[2] ?? record['JOBINDEX'] ?? 0)
    const phase = phaseOf(record)
    if (!id?.[1] || !Number.isSafeInteger(index) || phase === undefined) return undefined
    rows.push({
      tag, jobId: id[1], positions: index === 0 ? undefined : [index - 1], phase,
      startEpochMs: 0, endEpochMs: 0, ...measures(record, phase),
    })
  }
  return rows
}

function measures(
  record: LsfRecord, phase: BatchPhase,
): Pick<BatchRow, 'exitCode' | 'reason' | 'cpuMs' | 'memoryBytesPeak'> {
  const state = record['STAT']
  const ended = state === 'DONE' || state === 'EXIT'
  const code = record['EXIT_CODE'] ?? ''
  const cpuMs = parseSeconds(record['CPU_USED'] ?? '')
  const memoryBytesPeak = parseBytes(record['MAX_MEM'] ?? '')
  const waits = phase === 'queued' || phase === 'held'
  return {
    exitCode: /^\d{1,3}$/.test(code) ? Number(code) : state === 'DONE' ? 0 : undefined,
    reason: (waits ? record['PEND_REASON'] : record['EXIT_REASON']) ?? '',
    ...(ended && cpuMs > 0 ? { cpuMs } : {}),
    ...(ended && memoryBytesPeak > 0 ? { memoryBytesPeak } : {}),
  }
}

/** JOB STATUS of bjobs(1). */
function phaseOf(record: LsfRecord): BatchPhase | undefined {
  switch (record['STAT']) {
    case 'PEND': case 'WAIT': case 'PROV': return 'queued'
    case 'PSUSP': return 'held'
    // UNKWN and ZOMBI: its host does not answer, it may well run.
    case 'RUN': case 'UNKWN': case 'ZOMBI': return 'running'
    case 'USUSP': case 'SSUSP': return 'suspended'
    case 'DONE': return 'exited'
    case 'EXIT': return endOf(record['EXIT_REASON'] ?? '', record['EXIT_CODE'] ?? '')
    default: return undefined
  }
}

/** The termination reasons of bacct(1), bhist(1) and bjobs(1). */
export function endOf(reason: string, exitCode: string): BatchPhase {
  const name = /\bTERM_\w+/.exec(reason)?.[0]
  switch (name) {
    case undefined:
      // Killed while it waited: no reason, no code.
      return exitCode === '' ? 'cancelled' : 'exited'
    case 'TERM_RUNLIMIT': return 'walltime'
    case 'TERM_MEMLIMIT': return 'memory'
    case 'TERM_UNKNOWN': case 'TERM_EXTERNAL_SIGNAL': case 'TERM_OTHER': return 'exited'
    case 'TERM_ZOMBI': case 'TERM_REMOVE_HUNG_JOB': case 'TERM_CWD_NOTEXIST': return 'lost'
    default: return 'cancelled'
  }
}

/** `0.1 second(s)`, or `00:01:30` with -hms; milliseconds. */
export function parseSeconds(text: string): number {
  const plain = /^([\d.]+) *sec/.exec(text)
  if (plain) return Math.round(Number(plain[1]) * 1_000) || 0
  const clock = /^(\d+):(\d+):(\d+)$/.exec(text)
  if (!clock) return 0
  return (Number(clock[1]) * 3_600 + Number(clock[2]) * 60 + Number(clock[3])) * 1_000
}

const units: Readonly<Record<string, number>> = {
  '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40,
}

/** `3 Mbytes`, `5.2 Gbytes`, `64G`, `2048M`; 0 when it is none. */
export function parseBytes(text: string): number {
  const match = /^([\d.]+) *([KMGT]?)(?:B|bytes)?$/i.exec(text.trim())
  return match ? Math.round(Number(match[1]) * (units[(match[2] ?? '').toLowerCase()] ?? 1)) : 0
}

/** `Job <12> is submitted to …`, perhaps after a site's own words. */
export function parseSubmitted(text: string): string | undefined {
  return /^Job <(\d+)> is submitted to/m.exec(text)?.[1]
}

/**
 * The blocks of `bacct -l -UF`. An exit without a reason says no code, so the records must tell.
 */
export function parseAccounting(text: string): BatchRow[] {
  const rows: BatchRow[] = []
  for (const block of text.split(/^Job </m).slice(1)) {
    const id = /^(\d+)(?:\[(\d+)\])?>/.exec(block)
    const tag = /Job Name <gn-([0-9a-f]{16})(?:\[\d+\])?>/.exec(block)?.[1]
    const end = /: Completed <(done|exit)>(?:; ([^\n]*?))?[.;]?$/m.exec(block)
    if (!id?.[1] || tag === undefined || !end) continue
    const reason = end[2] ?? ''
    const began = /: (?:\[\d+\] )?(?:dispatched|started) /i.test(block)
    const phase = end[1] === 'done' ? 'exited' : endOf(reason, began ? '1' : '')
    rows.push({
      tag, jobId: id[1], positions: id[2] === undefined ? undefined : [Number(id[2]) - 1], phase,
      startEpochMs: 0, endEpochMs: 0, exitCode: end[1] === 'done' ? 0 : undefined, reason,
    })
  }
  return rows
}

export interface LsfHost {
  readonly name: string
  readonly usable: boolean
  readonly cores: number
  readonly coresBusy: number
}

/** `bhosts -json`; undefined when it is not that. */
export function parseHosts(text: string): LsfHost[] | undefined {
  return parseRecords(text)?.map((record) => ({
    name: record['HOST_NAME'] ?? '',
    usable: /^(ok|closed_Full|closed_Busy|closed_Excl)$/.test(record['STATUS'] ?? ''),
    cores: Number(record['MAX']) || 0,
    coresBusy: Number(record['NJOBS']) || 0,
  }))
}

/** `lshosts -w`: the memory of each host. */
export function parseMemory(text: string): Map<string, number> {
  const found = new Map<string, number>()
  const [head = '', ...lines] = text.split('\n')
  const column = head.trim().split(/\s+/).indexOf('maxmem')
  for (const line of lines) {
    const fields = line.trim().split(/\s+/)
    if (column >= 0 && fields.length > column) {
      found.set(fields[0] ?? '', parseBytes(fields[column] ?? ''))
    }
  }
  return found
}

/** `bhosts -s`: how many there are of each shared resource, at all of its places. */
export function parseShared(text: string): Map<string, number> {
  const found = new Map<string, number>()
  for (const line of text.split('\n').slice(1)) {
    const match = /^(\S+) +([\d.]+) /.exec(line)
    if (match?.[1]) found.set(match[1], (found.get(match[1]) ?? 0) + Math.floor(Number(match[2])))
  }
  return found
}

export interface LsfQueue {
  readonly name: string
  readonly usable: boolean
  readonly walltimeSecondsMax: number
  readonly slotsWaiting: number
  readonly slotsRunning: number
}

/** No limit: a year and a day. */
const endless = 366 * 86_400

/** `bqueues -l`. Undefined when there is no queue in it. */
export function parseQueues(text: string): LsfQueue[] | undefined {
  const parts = text.split(/^QUEUE: /m).slice(1)
  if (parts.length === 0) return undefined
  return parts.map((part) => {
    const lines = part.split('\n')
    const at = lines.findIndex((line) => /^PRIO\s+NICE\s+STATUS/.test(line))
    const names = (lines[at] ?? '').trim().split(/\s+/)
    const values = (lines[at + 1] ?? '').trim().split(/\s+/)
    const value = (name: string): string => values[names.indexOf(name)] ?? ''
    // Where there are default limits too, the maximum ones come after.
    const limits = part.slice(Math.max(0, part.indexOf('MAXIMUM LIMITS:')))
    const minutes = /^ *RUNLIMIT[^\n]*\n *([\d.]+) min/m.exec(limits)?.[1]
    return {
      name: lines[0]?.trim() ?? '', usable: value('STATUS').startsWith('Open:Active'),
      walltimeSecondsMax: minutes === undefined ? endless : Math.floor(Number(minutes) * 60),
      slotsWaiting: Number(value('PEND')) || 0, slotsRunning: Number(value('RUN')) || 0,
    }
  })
}

export function queueCapacity(
  queue: LsfQueue, hosts: readonly LsfHost[], memory: ReadonlyMap<string, number>,
): QueueCapacity {
  const usable = hosts.filter((host) => host.usable)
  return {
    name: queue.name, walltimeSecondsMax: queue.walltimeSecondsMax,
    coresTotal: usable.reduce((sum, host) => sum + host.cores, 0),
    coresFree: usable.reduce((sum, host) => sum + Math.max(0, host.cores - host.coresBusy), 0),
    memoryBytesPerNodeMax: Math.max(0, ...usable.map((host) => memory.get(host.name) ?? 0)),
    coresPerNodeMax: Math.max(0, ...usable.map((host) => host.cores)),
  }
}

const away = new RegExp([
  'lsf is down', 'lim is down', 'not responding', 'cannot connect', 'connection refused',
  'please wait', 'library call', 'timed? ?out', 'internal error', 'communication', 'try later',
].join('|'), 'i')

/** Whether the words say that LSF was not there, or not whether it did what it was told. */
export function isAway(words: string): boolean {
  return away.test(words)
}

/** What bsub says when it says no; undefined when it may have been told and said nothing. */
export function refusalOf(stderr: string): SubmitRefusal | undefined {
  const words = stderr.trim().replaceAll('\n', '; ')
  const told = /not submitted|illegal option|bad (argument|syntax)/i.test(words)
  if (!told || isAway(words)) return undefined
  if (/no such queue/i.test(words)) return { reason: 'queueUnknown', words }
  if (/too many processors|hard limit|cannot exceed/i.test(words)) {
    return { reason: 'tooLarge', words }
  }
  if (/job limit|threshold|no job id/i.test(words)) return { reason: 'full', words }
  return { reason: 'refused', words }
}
