// The Standard Workload Format (Chapin et al., "Benchmarks and standards for the evaluation of
// parallel job schedulers", 1999), as the logs of the Parallel Workloads Archive really are: one
// job a line, fields apart by blanks, -1 for unknown, headers in lines that begin with `;`.
//
// Invariants: reading is total, and a line that cannot be a job is counted with its reason, never
// guessed at; jobs come in the order of their submission.

import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'

export interface SwfJob {
  readonly number: number
  /** From the log's own zero; the first one's is often not 0. */
  readonly submitSeconds: number
  /** In the real system. */
  readonly waitSeconds: number | undefined
  /** 0 for a job that was cancelled as soon as it had started. */
  readonly runSeconds: number
  /** Allocated, or requested if that is all that is known; at least 1. */
  readonly cores: number
  readonly requestedSeconds: number | undefined
  readonly user: number | undefined
}

/** Why a line is not a job that can be run. */
export type SwfSkip = 'not_numbers' | 'no_submit_time' | 'no_run_time' | 'no_processors'

export interface SwfLog {
  /** Header field → its values: some, such as `Note`, come again. */
  readonly header: ReadonlyMap<string, readonly string[]>
  /** Of the machine, by its header; else of its largest job. */
  readonly processors: number
  readonly jobs: readonly SwfJob[]
  readonly skipped: ReadonlyMap<SwfSkip, number>
}

const bytesMax = 512 * 2 ** 20
const number = /^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$/

/** Reads a file, compressed by gzip or not, whatever it is called. */
export function readSwf(path: string): SwfLog {
  const bytes = readFileSync(path)
  const compressed = bytes[0] === 0x1f && bytes[1] === 0x8b
  const text = compressed ? gunzipSync(bytes, { maxOutputLength: bytesMax }) : bytes
  const log = parseSwf(text.toString('latin1'))
  if (log.jobs.length > 0) return log
  throw new Error(`expected jobs in the Standard Workload Format in ${path}, found none; ` +
    'see https://www.cs.huji.ac.il/labs/parallel/workload/swf.html')
}

export function parseSwf(text: string): SwfLog {
  const header = new Map<string, string[]>()
  const skipped = new Map<SwfSkip, number>()
  const jobs: SwfJob[] = []
  for (const line of text.split(/\r\n|\r|\n/)) {
    const stated = line.trim()
    if (stated === '') continue
    if (stated.startsWith(';')) {
      readHeader(header, stated)
      continue
    }
    const job = readJob(stated)
    if (typeof job === 'string') skipped.set(job, (skipped.get(job) ?? 0) + 1)
    else jobs.push(job)
  }
  jobs.sort((a, b) => a.submitSeconds - b.submitSeconds)
  const largest = jobs.reduce((most, { cores }) => Math.max(most, cores), 0)
  const processors = statedCount(header, 'MaxProcs') ?? statedCount(header, 'MaxNodes') ?? largest
  return { header, processors, jobs, skipped }
}

function readHeader(header: Map<string, string[]>, line: string): void {
  const [, name, value] = /^;\s*([A-Za-z][A-Za-z0-9]*)\s*:\s*(.*)$/.exec(line) ?? []
  if (name === undefined || value === undefined) return
  const values = header.get(name)
  if (values) values.push(value)
  else header.set(name, [value])
}

/** Words may follow: `338 (batch partition; 512 total)`. */
function statedCount(
  header: ReadonlyMap<string, readonly string[]>, name: string,
): number | undefined {
  const [digits] = /^\d{1,9}(?!\d)/.exec(header.get(name)?.[0] ?? '') ?? []
  return digits === undefined || Number(digits) === 0 ? undefined : Number(digits)
}

function readJob(line: string): SwfJob | SwfSkip {
  // More columns than the format's eighteen are somebody's own.
  const fields = line.split(/\s+/).slice(0, 18)
  if (!fields.every((field) => number.test(field))) return 'not_numbers'
  const [id, submit, wait, run, allocated, , , requested, walltime, , , user] = fields
    .map((field) => Number(field)).map((value) => value < 0 ? undefined : value)
  if (submit === undefined) return 'no_submit_time'
  if (run === undefined) return 'no_run_time'
  const cores = [allocated, requested].find((count) => count !== undefined && count >= 1)
  if (cores === undefined) return 'no_processors'
  return {
    number: id ?? -1,
    submitSeconds: submit,
    waitSeconds: wait,
    runSeconds: run,
    cores: Math.floor(cores),
    requestedSeconds: walltime !== undefined && walltime > 0 ? walltime : undefined,
    user,
  }
}
