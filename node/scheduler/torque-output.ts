// What Torque prints, parsed: the XML of qstat and pbsnodes, the text of `qstat -Qf`. Pure
// functions, held to output in the form that its sources print (test/fixtures/torque).
//
// Its XML has no attributes and one level of nesting within a job; times are seconds since 1970.

import { parseBytes, parseId, parseSeconds } from './pbs-output.ts'
import type { PbsJob, PbsNode } from './pbs-output.ts'
import type { BatchPhase, BatchRow } from './batch-tongue.ts'

/** The text of each `<name>` directly in `<Data>`; undefined when it is no such document. */
export function parseData(text: string, name: string): string[] | undefined {
  const trimmed = text.trim()
  if (trimmed === '' || /^(<\?xml[^>]*\?>\s*)?<Data\s*\/>$/.test(trimmed)) return []
  const body = /^(?:<\?xml[^>]*\?>\s*)?<Data>([\s\S]*)<\/Data>$/.exec(trimmed)?.[1]
  if (body === undefined) return undefined
  const parts = body.split(`<${name}>`)
  if (parts.shift()?.trim() !== '') return undefined
  const found: string[] = []
  for (const part of parts) {
    const end = part.lastIndexOf(`</${name}>`)
    if (end < 0) return undefined
    found.push(part.slice(0, end))
  }
  return found
}

/** The first `<name>` of an element. */
function valueAt(element: string, name: string): string | undefined {
  const from = element.indexOf(`<${name}>`)
  const to = element.indexOf(`</${name}>`, from)
  return from < 0 || to < 0 ? undefined : element.slice(from + name.length + 2, to)
}

/** Rows of our jobs; undefined when something of ours cannot be read. */
export function torqueRows(text: string): BatchRow[] | undefined {
  const jobs = parseData(text, 'Job')
  if (!jobs) return undefined
  const rows: BatchRow[] = []
  for (const job of jobs) {
    // A subjob's name has its index appended.
    const tag = /^gn-([0-9a-f]{16})(?:-\d+)?$/.exec(valueAt(job, 'Job_Name') ?? '')?.[1]
    if (tag === undefined) continue
    const id = parseId(valueAt(job, 'Job_Id') ?? '')
    const phase = phaseOf(job)
    if (!id || phase === undefined) return undefined
    // Without -t an array would be one job; its subjobs tell.
    if (id.array && id.index === undefined) continue
    const positions = id.index === undefined ? undefined : [id.index]
    rows.push({ tag, jobId: id.number, positions, phase, ...measures(job) })
  }
  return rows
}

function measures(job: string): Omit<BatchRow, 'tag' | 'jobId' | 'positions' | 'phase'> {
  const used = valueAt(job, 'resources_used') ?? ''
  const cpuSeconds = parseSeconds(valueAt(used, 'cput') ?? '') ?? 0
  const memoryBytes = parseBytes(valueAt(used, 'mem') ?? '') ?? 0
  const status = valueAt(job, 'exit_status')
  const ended = valueAt(job, 'job_state') === 'C'
  return {
    startEpochMs: epochMs(valueAt(job, 'start_time')),
    endEpochMs: ended ? epochMs(valueAt(job, 'comp_time')) : 0,
    exitCode: status === undefined ? undefined : codeOf(Number(status)),
    reason: valueAt(job, 'comment') ?? '',
    ...(ended && cpuSeconds > 0 ? { cpuMs: cpuSeconds * 1_000 } : {}),
    ...(ended && memoryBytes > 0 ? { memoryBytesPeak: memoryBytes } : {}),
  }
}

function epochMs(text: string | undefined): number {
  return /^\d{1,12}$/.test(text ?? '') ? Number(text) * 1_000 : 0
}

function codeOf(status: number): number | undefined {
  if (status >= 256) return 128 + ((status - 256) & 0x7f)
  return status >= 0 ? status : undefined
}

function phaseOf(job: string): BatchPhase | undefined {
  switch (valueAt(job, 'job_state')) {
    case 'Q': case 'T': case 'W': return 'queued'
    case 'H': return 'held'
    case 'R': case 'E': return 'running'
    case 'S': return 'suspended'
    case 'C': return endOf(valueAt(job, 'exit_status'), valueAt(job, 'start_time') !== undefined)
    default: return undefined
  }
}

/** What qdel leaves: the code of a job that SIGTERM ended. */
const deletedStatus = 271

/** JOB_EXEC_… in pbs_job.h of Torque. */
function endOf(text: string | undefined, started: boolean): BatchPhase {
  const status = text === undefined ? undefined : Number(text)
  if (status === -11) return 'walltime'
  if (status === -10) return 'memory'
  if (status === deletedStatus || status === -12 || !started) return 'cancelled'
  if (status !== undefined && status < 0) return 'lost'
  return 'exited'
}

/** The nodes of `pbsnodes -x`; undefined when it is not that. */
export function torqueNodes(text: string): PbsNode[] | undefined {
  const nodes = parseData(text, 'Node')
  return nodes?.map((node) => {
    const states = (valueAt(node, 'state') ?? '').split(',')
    const status = new Map((valueAt(node, 'status') ?? '').split(',')
      .map((part) => part.split('=') as [string, string]))
    const jobs = (valueAt(node, 'jobs') ?? '').split(',').map((job) => job.trim())
      .filter((job) => job !== '')
    const memoryBytes = parseBytes(status.get('physmem') ?? '0') ?? 0
    const available = parseBytes(status.get('availmem') ?? '') ?? memoryBytes
    return {
      name: valueAt(node, 'name') ?? '',
      usable: states.every((state) => /^(free|job-exclusive|job-sharing|busy)$/.test(state)),
      cores: Number(valueAt(node, 'np') ?? 0),
      coresBusy: jobs.reduce((sum, job) => sum + slots(job), 0),
      memoryBytes, memoryBytesBusy: Math.max(0, memoryBytes - available), queue: undefined,
      // Which of them are in use it does not say in numbers.
      gpus: Number(valueAt(node, 'gpus') ?? 0), gpusBusy: 0,
      jobs: jobs.map((job) => job.slice(job.indexOf('/') + 1)),
    }
  })
}

/** `0/12.host`, and since version 5 `0-3/12.host`, or `0-1,4/…` of which we see the last part. */
function slots(job: string): number {
  const match = /^(\d+)(?:-(\d+))?(?:\/|$)/.exec(job)
  return match ? Number(match[2] ?? match[1]) - Number(match[1]) + 1 : 0
}

/** The text of `qstat -Qf`: `Queue: NAME`, then `name = value` lines. */
export function torqueQueues(text: string): PbsJob[] {
  return text.split(/^Queue: /m).slice(1).map((part) => {
    const [id = '', ...lines] = part.split('\n')
    const attributes = new Map<string, string | Map<string, string>>()
    const limits = new Map<string, string>()
    for (const line of lines) {
      const match = /^ {4}([\w.]+) = (.*)$/.exec(line)
      if (!match?.[1] || match[2] === undefined) continue
      const limit = /^resources_max\.(\w+)$/.exec(match[1])?.[1]
      if (limit === undefined) attributes.set(match[1], match[2])
      else limits.set(limit, match[2])
    }
    attributes.set('resources_max', limits)
    return { id: id.trim(), attributes }
  })
}
