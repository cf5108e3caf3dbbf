// Every system call on the way of a statement to the disk fails once, and kills the process once:
// in a new database, in one that is opened again, and while the write-ahead log becomes tables.
// After each: what was told is there, the log verifies, and it goes on as one history.
// time limit: 400 s
//
//   GRIDNODE_FAULTS=all   every count of every call, instead of a stride through the later ones

import { cpSync, mkdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { assert, suite } from '../harness.ts'
import type { Context } from '../harness.ts'
import { readMark } from '../../node/store/mark.ts'
import type { Told } from './histories.ts'
import { goesOn, toldIn } from './histories.ts'
import type { Fault, Ran } from './strace.ts'
import { countsOf, demandStrace, faultText, runTraced } from './strace.ts'

const t = suite('commit path')
const program = join(import.meta.dirname, 'programs', 'say-statements.ts')
const everyCount = process.env['GRIDNODE_FAULTS'] === 'all'

/** What an opening, a commit or a mark does to its files. */
const changing = [
  'write', 'pwrite64', 'fdatasync', 'fsync', 'rename', 'link', 'openat', 'unlink', 'unlinkat',
  'rmdir', 'mkdir',
]
/** What it asks of them: these fail, but kill nothing that the others do not. */
const asking = ['read', 'pread64', 'mmap', 'access', 'getdents64']
/** In no run so far; a test fails when one appears, so that it is made to fail as well. */
const unheard = [
  'writev', 'pwritev', 'ftruncate', 'fallocate', 'msync', 'sync_file_range', 'linkat', 'renameat',
  'renameat2', 'mkdirat', 'open', 'readv', 'preadv',
]
const calls = [...changing, ...asking, ...unheard]
const takesRoom = ['write', 'pwrite64', 'fdatasync', 'link', 'openat', 'mkdir']

interface Scenario {
  readonly name: string
  readonly statements: number
  readonly fillerBytes: number
  /** The first counts of a call are all taken, and so many of the later ones. */
  readonly first: number
  readonly later: number
  readonly calls: readonly string[]
  /** Prepares the directory; tells what was told by then. */
  prepare(directory: string, scratch: string): Promise<readonly Told[]>
}

interface Outcome {
  readonly fault: Fault
  readonly ran: Ran
  readonly injected: boolean
  readonly size: number
  readonly toldSize: number
}

async function plainRun(
  directory: string, scratch: string, said: { first: number, count: number },
): Promise<readonly Told[]> {
  const ran = await runTraced(program, [directory, String(said.first), String(said.count), '0'], {
    directory, calls, fault: { kind: 'none' }, trace: join(scratch, 'trace-of-the-first'),
  })
  assert.equal(ran.code, 0, ran.errors)
  return toldIn(ran.output)
}

const scenarios: readonly Scenario[] = [
  {
    name: 'a new database', statements: 4, fillerBytes: 0, first: 10, later: 2,
    calls: [...changing, ...asking],
    prepare: async () => [],
  },
  {
    name: 'a database that is opened again', statements: 4, fillerBytes: 0, first: 6, later: 3,
    calls: [...changing, ...asking],
    prepare: (directory, scratch) => plainRun(directory, scratch, { first: 100, count: 3 }),
  },
  {
    name: 'a log that becomes tables', statements: 6, fillerBytes: 850_000, first: 1, later: 4,
    calls: ['write', 'fdatasync', 'openat', 'rename', 'unlink'],
    prepare: (directory, scratch) => plainRun(directory, scratch, { first: 100, count: 3 }),
  },
]

for (const scenario of scenarios) {
  t(scenario.name, async (ctx) => {
    demandStrace(ctx)
    const begin = performance.now()
    const outcomes = await sweep(ctx, scenario)
    report(outcomes, (performance.now() - begin) / 1_000)
    const hit = outcomes.filter(({ injected }) => injected)
    assert.equal(hit.length, outcomes.length, 'each fault came to pass')
    for (const { fault, ran } of hit) assert.equal(ran.signal === 'SIGKILL', fault.kind === 'kill')
    assert.ok(hit.some(({ ran }) => ran.code === 3), 'some failures stopped the writer')
    assert.ok(hit.some(({ size, toldSize }) => size > toldSize && toldSize > 0),
      'some statements were on the disk before anybody was told')
  }, { timeoutSeconds: everyCount ? 3_600 : 300 })
}

async function sweep(ctx: Context, scenario: Scenario): Promise<Outcome[]> {
  const scratch = ctx.tmp()
  const source = join(scratch, 'source')
  mkdirSync(source)
  const before = await scenario.prepare(source, scratch)
  const rehearsal = await runCase(scenario, { scratch, source, before, fault: { kind: 'none' } })
  assert.equal(rehearsal.ran.code, 0, rehearsal.ran.errors)
  const counts = countsOf(readFileSync(join(scratch, 'trace-no-fault'), 'utf8'))
  const unforeseen = [...counts.keys()].filter((call) => unheard.includes(call))
  assert.equal(unforeseen, [], 'calls that change files and are not made to fail here')
  const faults = scenario.calls.flatMap((call) =>
    faultsOf(call, counts.get(call) ?? 0, scenario))
  const outcomes: Outcome[] = []
  const work = async (): Promise<void> => {
    for (let fault = faults.shift(); fault; fault = faults.shift()) {
      ctx.signal.throwIfAborted()
      outcomes.push(await runCase(scenario, { scratch, source, before, fault }))
    }
  }
  await Promise.all(Array.from({ length: Math.min(4, availableParallelism()) }, work))
  return outcomes
}

function faultsOf(call: string, count: number, { first, later }: Scenario): Fault[] {
  const faults: Fault[] = []
  const stride = everyCount ? 1 : Math.max(1, Math.ceil((count - first) / later))
  for (let at = 1; at <= count; at += at < first ? 1 : stride) {
    if (changing.includes(call)) faults.push({ kind: 'kill', call, at })
    faults.push({ kind: 'error', call, error: 'EIO', at })
    const isFull = takesRoom.includes(call) && (everyCount || at % 2 === 0)
    if (isFull) faults.push({ kind: 'error', call, error: 'ENOSPC', at })
  }
  return faults
}

async function runCase(
  { statements, fillerBytes }: Scenario,
  { scratch, source, before, fault }: {
    readonly scratch: string, readonly source: string, readonly before: readonly Told[],
    readonly fault: Fault,
  },
): Promise<Outcome> {
  const name = faultText(fault).replaceAll(' ', '-')
  const directory = join(scratch, name)
  cpSync(source, directory, { recursive: true })
  const trace = join(scratch, `trace-${name}`)
  const args = [directory, '1000', String(statements), String(fillerBytes)]
  const ran = await runTraced(program, args, { directory, calls, fault, trace })
  const told = [...before, ...toldIn(ran.output)]
  const last = Math.max(0, ...told.map(({ size }) => size))
  const marks = told.filter(({ kind }) => kind === 'marked')
  const marked = Math.max(0, ...marks.map(({ size }) => size))
  try {
    const isOrderly = ran.code === 0 || (ran.code === 3 && ran.errors.length > 0)
    assert.ok(isOrderly || ran.signal === 'SIGKILL', `ended with ${ran.code} ${ran.signal}`)
    assert.ok((readMark(join(directory, 'ledger.mark'))?.size ?? 0) >= marked, 'the mark is there')
    const size = await goesOn(directory, told, scratch)
    assert.ok(size >= last)
    const injected = /\(INJECTED\)|SIGKILL/.test(readFileSync(trace, 'utf8'))
    return { fault, ran, injected, size, toldSize: last }
  } catch (cause) {
    throw Object.assign(new Error(`after ${faultText(fault)}: ${String(cause)}`, { cause }), {
      details: `${ran.output}${ran.errors}`,
    })
  }
}

/** What was done, and how it ended, by call. */
function report(outcomes: readonly Outcome[], seconds: number): void {
  interface Row { cases: number, killed: number, stopped: number, ignored: number }
  const rows = new Map<string, Row>()
  for (const { fault, ran } of outcomes) {
    const call = fault.kind === 'none' ? '' : fault.call
    const row = rows.get(call) ?? { cases: 0, killed: 0, stopped: 0, ignored: 0 }
    row.cases += 1
    if (ran.signal === 'SIGKILL') row.killed += 1
    else if (ran.code === 3) row.stopped += 1
    else row.ignored += 1
    rows.set(call, row)
  }
  process.stdout.write(`  ${outcomes.length} faults in ${seconds.toFixed(0)} s\n`)
  for (const [call, { cases, killed, stopped, ignored }] of rows) {
    process.stdout.write(`    ${call}: ${cases}, of them ${killed} killed, ${stopped} stopped by `
      + `the error, ${ignored} went on without harm\n`)
  }
}
