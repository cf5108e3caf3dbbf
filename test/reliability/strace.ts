// Programs under strace, whose system calls on given files fail or kill them at a chosen count.

import { spawn, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import type { Context } from '../harness.ts'

export type Fault =
  | { readonly kind: 'none' }
  | { readonly kind: 'error', readonly call: string, readonly error: string, readonly at: number }
  /** The process is killed as it enters the call, which is then not made. */
  | { readonly kind: 'kill', readonly call: string, readonly at: number }

export interface Ran {
  readonly code: number | null
  readonly signal: string | null
  readonly output: string
  readonly errors: string
}

/** Ends the test as skipped where nothing can be traced. */
export function demandStrace(ctx: Context): void {
  const probe = spawnSync('strace', ['-f', '-o', '/dev/null', 'true'], { encoding: 'utf8' })
  if (probe.status === 0) return
  ctx.skip(`strace does not work here: ${probe.error?.message ?? probe.stderr.slice(0, 200)}`)
}

/** What a data directory may hold, by path: only calls on these are counted and made to fail. */
export function filesUnder(directory: string): readonly string[] {
  const database = join(directory, 'db')
  const numbered = Array.from({ length: 16 }, (_, at) => String(at + 1).padStart(6, '0'))
  const kept = ['', '.partial', '.old'].map((end) => `${database}.opening${end}`)
  return [
    directory,
    ...['db.commits', 'ledger.mark', 'ledger.mark.new'].map((name) => join(directory, name)),
    ...[database, ...kept].flatMap((folder) => [
      folder,
      join(folder, 'CURRENT'),
      ...numbered.flatMap((number) =>
        [`${number}.log`, `${number}.ldb`, `${number}.dbtmp`, `MANIFEST-${number}`]
          .map((name) => join(folder, name))),
    ]),
  ]
}

export function faultText(fault: Fault): string {
  if (fault.kind === 'none') return 'no fault'
  const what = fault.kind === 'kill' ? 'SIGKILL' : fault.error
  return `${what} at ${fault.call} ${fault.at}`
}

/**
 * Runs Node on `program` with the fault in it. One thread does all work on the database, so that
 * counts mean the same from run to run; strace counts for each thread.
 */
export function runTraced(
  program: string,
  args: readonly string[],
  { directory, calls, fault, trace }: {
    readonly directory: string, readonly calls: readonly string[], readonly fault: Fault,
    readonly trace: string,
  },
): Promise<Ran> {
  const inject = fault.kind === 'none' ? [] : ['-e', `inject=${fault.call}:`
    + `${fault.kind === 'kill' ? 'signal=KILL' : `error=${fault.error}`}:when=${fault.at}`]
  const child = spawn('strace', [
    // With a filter in the kernel the process goes on where it should be killed.
    '-f', ...(fault.kind === 'kill' ? [] : ['--seccomp-bpf']), '-o', trace,
    '-e', `trace=${calls.join(',')}`, ...inject,
    ...filesUnder(directory).flatMap((path) => ['-P', path]),
    process.execPath, program, ...args,
  ], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, UV_THREADPOOL_SIZE: '1' },
  })
  const ran = { output: '', errors: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => void (ran.output += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => void (ran.errors += text))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal, ...ran }))
  })
}

/** The calls of a trace, counted as strace counts them: for each thread from 1. */
export function countsOf(trace: string): Map<string, number> {
  const threads = new Map<string, number>()
  const counts = new Map<string, number>()
  for (const [, thread, call] of trace.matchAll(/^(\d+) +(\w+)\(/gm)) {
    const key = `${thread} ${call}`
    const count = (threads.get(key) ?? 0) + 1
    threads.set(key, count)
    counts.set(call as string, Math.max(counts.get(call as string) ?? 0, count))
  }
  return counts
}
