// What Grid Engine's commands print, parsed. Pure functions, held to captured output of real
// commands (8.1.9).
//
// The commands run with TZ=UTC0, because times are printed in the zone of whoever asks, without
// saying which.

import { tagOfName } from './batch-script.ts'
import type { BatchPhase, BatchRow } from './batch-tongue.ts'
import type { Capacity, QueueCapacity, SubmitRefusal } from './driver.ts'
import { failureOf } from './batch-shell.ts'
import { parseIndexes } from './slurm-output.ts'

/** `-F` of qstat(1) for `parseQueues`. */
export const queueResources = 'h_rt,mem_total,mem_free'

/** Rows of our jobs in `qstat -xml`; undefined when it cannot be read. */
export function parseJobs(text: string): BatchRow[] | undefined {
  if (!isWhole(text)) return undefined
  const rows: BatchRow[] = []
  for (const block of blocks(text, 'job_list')) {
    const tag = tagOfName(field(block, 'JB_name') ?? '')
    if (tag === undefined) continue
    const jobId = field(block, 'JB_job_number') ?? ''
    const phase = phaseOf(field(block, 'state') ?? '')
    const tasks = field(block, 'tasks')
    const indexes = tasks === undefined ? undefined : parseIndexes(tasks)
    if (!/^\d{1,15}$/.test(jobId) || phase === undefined || indexes === null) return undefined
    const started = field(block, 'JAT_start_time')
    rows.push({
      tag, jobId, phase, reason: '', endEpochMs: 0, exitCode: undefined,
      // Array tasks count from 1.
      positions: indexes?.map((index) => index - 1),
      startEpochMs: started === undefined ? 0 : parseTime(started),
    })
  }
  return rows
}

/**
 * Of the letters of qstat(1): d deletion, E error, h hold, r running, R restarted, s S suspended,
 * t transferring, T threshold, w waiting. Undefined when one is unknown.
 */
export function phaseOf(state: string): BatchPhase | undefined {
  if (!/^[dEhrRsStTwqPN]+$/.test(state)) return undefined
  if (state.includes('E')) return 'stuck'
  if (/[sSTN]/.test(state)) return 'suspended'
  if (/[rt]/.test(state)) return 'running'
  if (state.includes('h')) return 'held'
  return /[wq]/.test(state) ? 'queued' : undefined
}

/** `qsub -terse`: `12`, or `12.1-8:1` for an array; whatever else it says comes before. */
export function parseSubmitted(text: string): string | undefined {
  return /^(\d{1,15})(?:\.\d+-\d+:\d+)?$/.exec(text.trim().split('\n').at(-1) ?? '')?.[1]
}

/** The last words of `qacct -j` on our jobs; of one task the last row is the latest. */
export function parseAccounting(text: string): BatchRow[] {
  const rows: BatchRow[] = []
  for (const part of text.split(/^=+$/m)) {
    const values = new Map([...part.matchAll(/^(\w+) +(.*)$/gm)]
      .map(([, name = '', value = '']) => [name, value.trim()]))
    const tag = tagOfName(values.get('jobname') ?? '')
    const jobId = values.get('jobnumber') ?? ''
    if (tag === undefined || !/^\d{1,15}$/.test(jobId)) continue
    const failed = Number.parseInt(values.get('failed') ?? '0', 10)
    const exitCode = Number.parseInt(values.get('exit_status') ?? '', 10)
    // 25: put back into the queue, by an operator or by itself; another row will follow.
    if (failed === 25 || !Number.isInteger(exitCode) || exitCode < 0) continue
    const index = /^\d{1,8}$/.exec(values.get('taskid') ?? '')?.[0]
    const words = /^\d+ *: *(.+)$/.exec(values.get('failed') ?? '')?.[1] ?? ''
    const memoryBytesPeak = parseResident(values.get('ru_maxrss') ?? '')
    rows.push({
      tag, jobId, positions: index === undefined ? undefined : [Number(index) - 1],
      phase: phaseOfEnd(failed, exitCode), exitCode: exitCode & 0xff, reason: words,
      startEpochMs: parseTime(values.get('start_time') ?? ''),
      endEpochMs: parseTime(values.get('end_time') ?? ''),
      cpuMs: Math.round(Math.min(Number.parseFloat(values.get('cpu') ?? '') || 0, 1e12) * 1_000),
      ...(memoryBytesPeak === undefined ? {} : { memoryBytesPeak }),
    })
  }
  return rows
}

/** `qstat -j`: by job id, why the job is in an error state. */
export function parseReasons(text: string): Map<string, string> {
  const reasons = new Map<string, string>()
  for (const part of text.split(/^=+$/m)) {
    const jobId = /^job_number: +(\d{1,15})$/m.exec(part)?.[1]
    const words = /^error reason +\d*: +(.+)$/m.exec(part)?.[1]
    if (jobId !== undefined && words !== undefined) reasons.set(jobId, words.trim())
  }
  return reasons
}

/**
 * The codes of sge_status(5). 37 and 44: the master or the node enforced h_rt or h_vmem, which of
 * them only the time tells. 100: the job died of a signal; the script itself ends by none, so
 * somebody killed it, and Grid Engine kills what is deleted. Below 26: it never came to the job.
 */
function phaseOfEnd(failed: number, exitCode: number): BatchPhase {
  if (failed === 0) return 'exited'
  if (failed === 37 || failed === 44) return 'walltime'
  if (failed === 100) return exitCode > 128 ? 'cancelled' : 'exited'
  return 'lost'
}

/**
 * `ru_maxrss` counts kilobytes; 8.1.9 prints them as if they were bytes (`4.762KB` for a shell),
 * others print the bare number.
 */
export function parseResident(text: string): number | undefined {
  const kilobytes = parseSize(text)
  return kilobytes === undefined || kilobytes === 0 ? undefined : Math.round(kilobytes * 1024)
}

/** `23.541G`, `4.762KB`, `512`; in bytes. Undefined for what is none, such as `-`. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d{1,12}(?:\.\d{1,9})?)([KMGTPkmgtp]?)B?$/.exec(text.trim())
  if (!match) return undefined
  const power = ' KMGTP'.indexOf((match[2] ?? '').toUpperCase() || ' ')
  const unit = /[kmgtp]/.test(match[2] ?? '') ? 1000 : 1024
  return Math.min(Math.round(Number(match[1]) * unit ** power), Number.MAX_SAFE_INTEGER)
}

/** `24:00:00`, `3600`, `INFINITY`; a year and a day stands for no limit. */
export function parseLimit(text: string): number | undefined {
  if (/^(infinity|none)$/i.test(text.trim())) return 366 * 86_400
  const match = /^(?:(\d{0,6}):(\d{0,6}):)?(\d{1,9})(?:\.\d+)?$/.exec(text.trim())
  if (!match) return undefined
  return Number(match[1] ?? 0) * 3_600 + Number(match[2] ?? 0) * 60 + Number(match[3])
}

/** `2026-11-20T18:13:08`, `Fri Nov 20 18:13:08 2026` or `11/20/2026 18:13:08`; 0 for others. */
function parseTime(text: string): number {
  const bare = text.trim()
  const epochMs = /^\d{4}-\d\d-\d\dT[\d:.]+$/.test(bare)
    ? Date.parse(`${bare}Z`)
    : /^(?:\w{3} \w{3} [ \d]\d [\d:]{8} \d{4}|\d\d\/\d\d\/\d{4} [\d:.]+)$/.test(bare)
      ? Date.parse(`${bare} UTC`)
      : 0
  return Number.isFinite(epochMs) && epochMs > 0 ? epochMs : 0
}

interface HostSeen {
  cores: number
  used: number
  memoryBytes: number
  memoryBytesFree: number
}

/**
 * `qstat -f -F … -u '*' -xml`: an element for each queue on each host. Queues that share a host
 * share its cores: it has as many as its largest queue has slots. `only` leaves out other queues.
 */
export function parseQueues(text: string, only?: string): Capacity | undefined {
  if (!isWhole(text)) return undefined
  const hosts = new Map<string, HostSeen>()
  const queues = new Map<string, { -readonly [K in keyof QueueCapacity]: QueueCapacity[K] }>()
  for (const whole of blocks(text, 'Queue-List')) {
    // The queue's own words come before those of its jobs.
    const [block = ''] = whole.split('<job_list')
    const [name = '', host = ''] = (field(block, 'name') ?? '').split('@')
    const slots = count(field(block, 'slots_total'))
    const used = count(field(block, 'slots_used'))
    const reserved = count(field(block, 'slots_resv') ?? '0')
    const walltimeSecondsMax = parseLimit(resource(block, 'h_rt') ?? 'INFINITY')
    if (name === '' || slots === undefined || used === undefined || reserved === undefined
      || walltimeSecondsMax === undefined) return undefined
    if (only !== undefined && name !== only) continue
    // a load alarm takes no jobs now; c, d, D, E, o, s, S, u: not for a while.
    const state = field(block, 'state') ?? ''
    const total = /[cdDEosSu]/.test(state) ? 0 : slots
    const free = total === 0 || /[aAC]/.test(state) ? 0 : Math.max(0, total - used - reserved)
    const memoryBytes = total === 0 ? 0 : parseSize(resource(block, 'mem_total') ?? '') ?? 0
    const seen = hosts.get(host) ?? { cores: 0, used: 0, memoryBytes, memoryBytesFree: 0 }
    seen.cores = Math.max(seen.cores, total)
    seen.used += total - free
    seen.memoryBytesFree = total === 0 ? 0 : parseSize(resource(block, 'mem_free') ?? '') ?? 0
    hosts.set(host, seen)
    const queue = queues.get(name) ?? {
      name, coresTotal: 0, coresFree: 0, walltimeSecondsMax,
      memoryBytesPerNodeMax: 0, coresPerNodeMax: 0,
    }
    queue.coresTotal += total
    queue.coresFree += free
    queue.walltimeSecondsMax = Math.max(queue.walltimeSecondsMax, walltimeSecondsMax)
    queue.memoryBytesPerNodeMax = Math.max(queue.memoryBytesPerNodeMax, memoryBytes)
    queue.coresPerNodeMax = Math.max(queue.coresPerNodeMax, total)
    queues.set(name, queue)
  }
  return { ...totals([...hosts.values()]), ...parseCounts(text), queues: [...queues.values()] }
}

function totals(hosts: readonly HostSeen[]): Omit<Capacity, 'queues' | 'tasksQueued'
  | 'tasksRunning'> {
  const sum = (of: (host: HostSeen) => number): number =>
    hosts.reduce((total, host) => total + of(host), 0)
  return {
    coresTotal: sum((host) => host.cores),
    coresFree: sum((host) => Math.max(0, host.cores - host.used)),
    memoryBytesTotal: sum((host) => host.memoryBytes),
    memoryBytesFree: sum((host) => Math.min(host.memoryBytes, host.memoryBytesFree)),
    nodesTotal: Math.max(1, hosts.filter((host) => host.cores > 0).length),
  }
}

/** Tasks of all users. */
function parseCounts(text: string): { tasksQueued: number; tasksRunning: number } {
  let [tasksQueued, tasksRunning] = [0, 0]
  for (const block of blocks(text, 'job_list')) {
    const phase = phaseOf(field(block, 'state') ?? '')
    const tasks = field(block, 'tasks')
    const many = tasks === undefined ? 1 : parseIndexes(tasks)?.length ?? 1
    if (phase === 'running' || phase === 'suspended') tasksRunning += many
    else if (phase === 'queued' || phase === 'held') tasksQueued += many
  }
  return { tasksQueued, tasksRunning }
}

/** What qsub says when it says no; undefined when it did not get as far as being told. */
export function refusalOf(said: string): SubmitRefusal | undefined {
  const words = said.trim().replace(/^Unable to run job: /m, '').replace(/\s*Exiting\.\s*$/, '')
    .replaceAll(/\s*\n\s*/g, '; ')
  if (isUnreachable(said)) return undefined
  if (!/unable to run job|denied|rejected|unknown|qsub: |error: /i.test(said)) return undefined
  if (/unknown queue|queue .* does not exist|no such queue/i.test(words)) {
    return { reason: 'queueUnknown', words }
  }
  if (/no suitable queues|more than \d+ tasks|array|parallel environment/i.test(words)) {
    return { reason: 'tooLarge', words }
  }
  if (/only \d+ (jobs|active)|maximum|limit/i.test(words)) return { reason: 'full', words }
  return { reason: 'refused', words }
}

export function isUnreachable(said: string): boolean {
  return failureOf(said) === 'unreachable'
    || /commlib|qmaster|gdi request|got send error|got read error|timeout/i.test(said)
}

/** The end element is there: nothing was cut off. */
function isWhole(text: string): boolean {
  return /^\s*<\?xml/.test(text) && text.trimEnd().endsWith('</job_info>')
}

function blocks(text: string, element: string): string[] {
  return text.split(new RegExp(`<${element}(?: [^>]*)?>`)).slice(1)
    .map((part) => part.slice(0, Math.max(0, part.indexOf(`</${element}>`))))
}

function field(block: string, element: string): string | undefined {
  const start = block.indexOf(`<${element}>`)
  const end = block.indexOf(`</${element}>`, start)
  if (start < 0 || end < 0) return undefined
  return plain(block.slice(start + element.length + 2, end))
}

function resource(block: string, name: string): string | undefined {
  const match = new RegExp(`<resource name="${name}"[^>]*>([^<]*)<`).exec(block)
  return match ? plain(match[1] ?? '') : undefined
}

function plain(text: string): string {
  return text.trim().replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"')
    .replaceAll('&apos;', "'").replaceAll('&amp;', '&')
}

function count(text: string | undefined): number | undefined {
  return /^\d{1,9}$/.test(text ?? '') ? Number(text) : undefined
}
