// Runs the test files, one process each, and ends with the line `N passed, N failed` (followed by
// `, N skipped` if any). Two files run at a time; those under test/real and test/e2e, which start
// clusters and federations, run alone at the end. A file has 180 s unless its first lines say
// `// time limit: 600 s`. Processes that a file leaves behind are ended and count as a failure.
// With CI=true a skipped test is a failure.
//
//   node test/run.ts [WORDS...]   only files whose path contains one of WORDS
//   --root FOLDER                 look for test/ there

import { spawn, type ChildProcess } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { FileResult } from './harness.ts'

const limitSecondsDefault = 180
/** From SIGTERM, on which the harness runs its cleanups, to SIGKILL for the whole process group. */
const graceSeconds = 30
const leftoverSeconds = 3
/** A process that left the group may hold the pipe open; its output is not waited for longer. */
const outputSeconds = 5
const outputHeadMax = 64 * 1_024
const outputTailMax = 512 * 1_024

interface Job {
  readonly path: string
  readonly limitSeconds: number
  readonly alone: boolean
}

interface Report {
  readonly path: string
  readonly result: FileResult
  readonly output: string
  readonly seconds: number
}

const inCi = /^(1|true)$/i.test(process.env['CI'] ?? '')
const scratch = mkdtempSync(join(tmpdir(), 'gridnode-'))
// Daemons under test that check their paths want to be able to pass through.
chmodSync(scratch, 0o711)
const running = new Set<ChildProcess>()
const reports: Report[] = []
let started = 0

const { values, positionals: words } = parseArgs({
  options: { root: { type: 'string' } },
  allowPositionals: true,
})
const root = values.root ?? join(import.meta.dirname, '..')

process.on('exit', () => rmSync(scratch, { recursive: true, force: true }))
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    process.stdout.write(`\nstopped by ${signal}\n`)
    for (const child of running) endGroup(child.pid)
    process.exitCode = 1
    finish([`the run was stopped by ${signal}`])
    process.exit(1)
  })
}

const jobs = findJobs()
const together = jobs.filter((job) => !job.alone)
const showAll = jobs.length === 1
await Promise.all([drain(together), drain(together)])
await drain(jobs.filter((job) => job.alone))
finish(jobs.length === 0 ? [`no test file matches ${words.join(' ') || 'test/**/*.test.ts'}`] : [])

function findJobs(): Job[] {
  const paths = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.test.ts'))
    .map((path) => `test/${path}`)
    .filter((path) => words.length === 0 || words.some((word) => path.includes(word)))
  return paths.toSorted().map((path) => {
    const head = readFileSync(join(root, path), 'utf8').split('\n', 20).join('\n')
    const stated = /^\/\/ time limit: (\d+) s$/m.exec(head)?.[1]
    return {
      path,
      limitSeconds: stated === undefined ? limitSecondsDefault : Number(stated),
      alone: /^test\/(real|e2e)\//.test(path),
    }
  })
}

async function drain(queue: Job[]): Promise<void> {
  for (let job = queue.shift(); job; job = queue.shift()) {
    const report = await runFile(job)
    reports.push(report)
    const { passed, failures, skipped } = report.result
    const verdict = failures.length > 0 ? 'FAIL' : 'ok  '
    const counts = [
      `${passed} passed`,
      ...(failures.length > 0 ? [`${failures.length} failed`] : []),
      ...(skipped.length > 0 ? [`${skipped.length} skipped`] : []),
    ].join(', ')
    process.stdout.write(`${verdict} ${job.path}  ${counts}  ${report.seconds.toFixed(1)} s\n`)
    for (const name of failures) process.stdout.write(`       ${name}\n`)
  }
}

async function runFile(job: Job): Promise<Report> {
  const begin = performance.now()
  const folder = join(scratch, String(started += 1))
  mkdirSync(folder)
  const progress = join(folder, 'progress')
  const temporary = join(folder, 't')
  mkdirSync(temporary)
  const child = spawn(process.execPath, [join(root, job.path)], {
    cwd: root,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      TMPDIR: temporary,
      GRIDNODE_TEST_PROGRESS: progress,
      ...(process.stdout.isTTY ? { FORCE_COLOR: '1' } : {}),
    },
  })
  running.add(child)
  const output = collect(child)
  let timedOut = false
  const soft = setTimeout(() => {
    timedOut = true
    child.kill('SIGTERM')
  }, job.limitSeconds * 1_000)
  const hard = setTimeout(() => endGroup(child.pid), (job.limitSeconds + graceSeconds) * 1_000)
  const ended = await ending(child)
  clearTimeout(soft)
  clearTimeout(hard)
  const leftovers = await leftoversOf(child.pid)
  endGroup(child.pid)
  await Promise.race([output.closed, pause(outputSeconds * 1_000, undefined, { ref: false })])
  running.delete(child)
  const text = output.text()
  const result = readResult(text) ??
    { passed: 0, failures: [], skipped: [], complete: false }
  if (timedOut) result.failures.push(`${job.limitSeconds} s were over, in: ${readText(progress)}`)
  if (!timedOut && !result.complete && result.failures.length === 0) {
    result.failures.push(`no result, ${ended}, in: ${readText(progress)}`)
  }
  if (result.failures.length === 0 && ended !== 'exit code 0') result.failures.push(ended)
  if (leftovers.length > 0) result.failures.push(`left running: ${leftovers.join(', ')}`)
  if (inCi) {
    for (const { name, reason } of result.skipped) {
      result.failures.push(`skipped, which CI does not allow: ${name}: ${reason}`)
    }
    result.skipped = []
  }
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
  const shown = text.replace(/^#test-result .*\n?/m, '').trimEnd()
  if (showAll && result.failures.length === 0) process.stdout.write(`${shown}\n`)
  return { path: job.path, result, output: shown, seconds: (performance.now() - begin) / 1_000 }
}

function collect(child: ChildProcess): { text(): string, closed: Promise<unknown> } {
  let head = ''
  let tail = ''
  let cut = 0
  const take = (chunk: string): void => {
    const room = outputHeadMax - head.length
    head += chunk.slice(0, room)
    tail += chunk.slice(room)
    cut += Math.max(0, tail.length - outputTailMax)
    tail = tail.slice(-outputTailMax)
  }
  const streams = [child.stdout, child.stderr].filter((stream) => stream !== null)
  for (const stream of streams) stream.setEncoding('utf8').on('data', take)
  const closed = Promise.all(streams.map((stream) =>
    new Promise((resolve) => stream.once('close', resolve))))
  return { text: () => head + (cut > 0 ? `\n[${cut} characters left out]\n` : '') + tail, closed }
}

function ending(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(`could not be started: ${error.message}`))
    child.once('exit', (code, signal) => {
      resolve(signal === null ? `exit code ${code}` : `ended by ${signal}`)
    })
  })
}

function readResult(text: string): FileResult | undefined {
  const line = [...text.matchAll(/^#test-result (\{.*\})$/gm)].at(-1)?.[1]
  return line === undefined ? undefined : JSON.parse(line) as FileResult
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return '(no test had begun)'
  }
}

/** What is alive in the process group of a file that has ended, after a moment to end by itself. */
async function leftoversOf(group: number | undefined): Promise<string[]> {
  const end = performance.now() + leftoverSeconds * 1_000
  for (;;) {
    const members = group === undefined ? [] : groupMembers(group)
    if (members.length === 0 || performance.now() >= end) return members
    await pause(50)
  }
}

function groupMembers(group: number): string[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    const stat = /^\d+ \((.*)\) (\S) \d+ (\d+) /s.exec(readText(`/proc/${pid}/stat`))
    return stat && Number(stat[3]) === group && stat[2] !== 'Z' ? [`${stat[1]} (${pid})`] : []
  })
}

function endGroup(group: number | undefined): void {
  if (group === undefined) return
  try {
    process.kill(-group, 'SIGKILL')
  } catch {
    // The group is gone already, which is what was wanted.
  }
}

/** Failures with what their files printed, the skipped tests, and as the last line the totals. */
function finish(broken: readonly string[]): void {
  const failed = reports.filter((report) => report.result.failures.length > 0)
  for (const { path, result, output } of failed) {
    process.stdout.write(`\n${'='.repeat(80)}\n${path}\n${output}\n\n`)
    for (const name of result.failures) process.stdout.write(`  failed: ${name}\n`)
  }
  const skipped = reports.flatMap((report) => report.result.skipped)
  if (skipped.length > 0) process.stdout.write('\n')
  for (const { name, reason } of skipped) process.stdout.write(`skipped: ${name}: ${reason}\n`)
  for (const what of broken) process.stdout.write(`\nfailed: ${what}\n`)
  const sum = (count: (result: FileResult) => number): number =>
    reports.reduce((total, report) => total + count(report.result), 0)
  const passedCount = sum((result) => result.passed)
  const failedCount = sum((result) => result.failures.length) + broken.length
  if (failedCount > 0 || passedCount === 0) process.exitCode = 1
  const tail = skipped.length > 0 ? `, ${skipped.length} skipped` : ''
  process.stdout.write(`\n${passedCount} passed, ${failedCount} failed${tail}\n`)
}
