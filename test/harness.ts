// The one door to uvu, with its traps closed: suites run by themselves once the test file has been
// evaluated, a file without tests fails, every test and hook has a time limit, a stray rejection
// fails the test it happened in, a file that leaves something open fails instead of hanging, and
// the exit code says whether all went well. At exit one line starting with `#test-result ` carries
// the counts as JSON for test/run.ts. `node test/x.test.ts WORDS` runs only the tests whose name
// contains WORDS.

import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { suite as Open } from 'uvu'
import { assert, show } from './assertions.ts'

export { assert }

/** What a test or a `before` hook is handed. */
export interface Context {
  /** A fresh directory, removed when the test (or, in `before`, the suite) is over. */
  tmp(): string
  /** Registers a cleanup; the last registered runs first, also after a failure. */
  after(cleanup: () => unknown): void
  /** Ends the test, or in `before` the whole suite, as skipped. With CI=true that is a failure. */
  skip(reason: string): never
  /** Aborted when the test's time is up or the test is over. */
  readonly signal: AbortSignal
}

export type Body = (ctx: Context) => unknown
export interface Limits { readonly timeoutSeconds?: number }
export interface Hook {
  (body: Body, limits?: Limits): void
  each(body: Body, limits?: Limits): void
}
export interface Suite {
  (name: string, body: Body, limits?: Limits): void
  readonly before: Hook
  readonly after: Hook
}

/** The JSON behind `#test-result `. `complete` is false when the process ended before its tests. */
export interface FileResult {
  passed: number
  failures: string[]
  skipped: { name: string, reason: string }[]
  complete: boolean
}

const timeoutSecondsDefault = 60
/** Shorter than the grace the runner gives between SIGTERM and SIGKILL. */
const cleanupTimeoutSeconds = 20
const leftOpenSeconds = 10

interface Timed { readonly body: Body, readonly timeoutSeconds: number }
interface Case extends Timed { readonly name: string }
interface SuiteState {
  readonly name: string
  readonly cases: Case[]
  readonly before: Timed[]
  readonly after: Timed[]
  readonly beforeEach: Timed[]
  readonly afterEach: Timed[]
}

class Skipped extends Error {}

const result: FileResult = { passed: 0, failures: [], skipped: [], complete: false }
const suites: SuiteState[] = []
let phase: 'collecting' | 'running' | 'done' = 'collecting'
/** Set by SIGTERM: tests that have not started are not started any more. */
let stopped = false
let current = '(loading the file)'
/** Fails what is running now; set while a test or hook runs. */
let interrupt: ((error: unknown) => void) | undefined

/** A named group of tests; call it to add one. Names are unique within the suite. */
export function suite(name: string): Suite {
  demandCollecting(name)
  const state: SuiteState = {
    name, cases: [], before: [], after: [], beforeEach: [], afterEach: [],
  }
  suites.push(state)
  const add = (caseName: string, body: Body, limits?: Limits): void => {
    demandCollecting(caseName)
    if (state.cases.some((known) => known.name === caseName)) {
      throw new Error(`two tests of suite '${name}' are called '${caseName}'; rename one`)
    }
    state.cases.push({ name: caseName, ...timed(body, limits) })
  }
  return Object.assign(add, {
    before: hook(state.before, state.beforeEach),
    after: hook(state.after, state.afterEach),
  })
}

function hook(once: Timed[], each: Timed[]): Hook {
  return Object.assign(
    (body: Body, limits?: Limits) => void once.push(timed(body, limits)),
    { each: (body: Body, limits?: Limits) => void each.push(timed(body, limits)) },
  )
}

function timed(body: Body, limits: Limits | undefined): Timed {
  return { body, timeoutSeconds: limits?.timeoutSeconds ?? timeoutSecondsDefault }
}

function demandCollecting(name: string): void {
  if (phase === 'collecting') return
  throw new Error(`'${name}' came after the tests had started; register while the file loads`)
}

/**
 * Asks again and again until the answer is truthy, and gives that answer. An error thrown by
 * `question` counts as "not yet"; the last one is shown when the time is up.
 */
export async function eventually<Answer>(
  question: () => Answer | PromiseLike<Answer>,
  options: { readonly timeoutSeconds?: number, readonly what?: string } = {},
): Promise<NonNullable<Answer>> {
  const seconds = options.timeoutSeconds ?? 30
  const end = performance.now() + seconds * 1_000
  let pauseMs = 5
  let last: unknown = 'no answer within the time'
  for (;;) {
    try {
      const asked = Promise.resolve().then(question)
      const answer = await within(asked, Math.max(1, end - performance.now()), 'the question')
      if (answer) return answer
      last = answer
    } catch (error) {
      last = error
    }
    if (performance.now() >= end) {
      const what = options.what ?? question.toString().slice(0, 200)
      const details = `last answer: ${show(last)}`
      throw Object.assign(new Error(`not so within ${seconds} s: ${what}`), { details })
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
    pauseMs = Math.min(200, pauseMs * 2)
  }
}

async function within<T>(promise: PromiseLike<T>, limitMs: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`${what} took longer than ${(limitMs / 1_000).toFixed(1)} s`))
    }, limitMs)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

interface Scope {
  readonly ctx: Context
  readonly skipReason: () => string | undefined
  /** Aborts the signal: the test's own time is over. */
  expire(): void
  /** Runs the cleanups, last first, each with its own limit; gives what went wrong. */
  close(): Promise<unknown[]>
}

function openScope(): Scope {
  const cleanups: (() => unknown)[] = []
  const abort = new AbortController()
  let reason: string | undefined
  const ctx: Context = {
    tmp() {
      const folder = realpathSync(mkdtempSync(join(tmpdir(), 'gridnode-test-')))
      cleanups.push(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
      return folder
    },
    after(cleanup) {
      cleanups.push(cleanup)
    },
    skip(why) {
      reason = why
      throw new Skipped(why)
    },
    signal: abort.signal,
  }
  const expire = (): void => abort.abort(new Error('the test is over'))
  const close = async (): Promise<unknown[]> => {
    const errors: unknown[] = []
    expire()
    for (let cleanup = cleanups.pop(); cleanup; cleanup = cleanups.pop()) {
      const error = await attempt('a cleanup', cleanupTimeoutSeconds, cleanup)
      if (error) errors.push(error.cause)
    }
    return errors
  }
  return { ctx, skipReason: () => reason, expire, close }
}

/** Runs one body to its end, its time limit, or the first stray error in the process. */
async function attempt(
  what: string, timeoutSeconds: number, body: () => unknown,
): Promise<{ readonly cause: unknown } | undefined> {
  const stray = Promise.withResolvers<never>()
  interrupt = stray.reject
  stray.promise.catch(() => undefined)
  try {
    const started = Promise.resolve().then(body)
    await within(Promise.race([started, stray.promise]), timeoutSeconds * 1_000, what)
    return undefined
  } catch (cause) {
    return { cause }
  } finally {
    interrupt = undefined
  }
}

async function runCase(owner: SuiteState, one: Case, broken: unknown): Promise<void> {
  const name = `${owner.name} › ${one.name}`
  if (broken instanceof Skipped) {
    result.skipped.push({ name, reason: broken.message })
    return
  }
  announce(name)
  const scope = openScope()
  const errors: unknown[] = []
  if (stopped) errors.push(new Error('not started: the time limit of the file was reached before'))
  else if (broken) errors.push(broken)
  else errors.push(...await runSteps(owner, one, scope))
  if (errors.length > 0) {
    fail(name, ...errors)
    throw toldAbove
  }
  const reason = scope.skipReason()
  if (reason === undefined) result.passed += 1
  else result.skipped.push({ name, reason })
}

/** The hooks before, the test, the hooks after and the cleanups; gives all that went wrong. */
async function runSteps(owner: SuiteState, one: Case, scope: Scope): Promise<unknown[]> {
  const errors: unknown[] = []
  const take = async (what: string, step: Timed): Promise<void> => {
    const error = await attempt(what, step.timeoutSeconds, () => step.body(scope.ctx))
    if (error && !(error.cause instanceof Skipped)) errors.push(error.cause)
  }
  for (const step of owner.beforeEach) if (errors.length === 0) await take('before.each', step)
  if (errors.length === 0 && scope.skipReason() === undefined) await take('the test', one)
  scope.expire()
  for (const step of owner.afterEach) await take('after.each', step)
  return [...errors, ...await scope.close()]
}

/** What uvu is given for a failed test; uvu would show its text only when the suite has ended. */
const toldAbove = Object.assign(new Error('told above'), { stack: '' })
const ownFrame = /^ +at .*(\/test\/harness\.ts|\/test\/assertions\.ts|\/uvu\/dist\/)/

/** Counts a failure and shows it at once: the first error with its causes, the others under it. */
function fail(name: string, ...errors: readonly unknown[]): void {
  result.failures.push(name)
  const [first, ...others] = errors
  const error = first instanceof Error ? first : { stack: `thrown, no Error: ${show(first)}` }
  const notes = [
    'details' in error && typeof error.details === 'string' ? error.details : '',
    'cause' in error && error.cause !== undefined ? `cause: ${show(error.cause)}` : '',
    ...others.map((other) => `and then: ${other instanceof Error ? other.stack : show(other)}`),
  ]
  const stack = (error.stack ?? String(first)).split('\n').filter((line) => !ownFrame.test(line))
  const lines = [...stack.slice(0, 1), ...notes, ...stack.slice(1)].filter((note) => note !== '')
  process.stdout.write(`\n  FAIL ${name}\n${lines.join('\n').replaceAll(/^/gm, '    ')}\n`)
}

/** Leaves the name of what runs where the runner finds it if it must kill this process. */
function announce(name: string): void {
  current = name
  const file = process.env['GRIDNODE_TEST_PROGRESS']
  if (file) writeFileSync(file, name)
}

async function runAll(exec: () => Promise<void>, open: typeof Open): Promise<void> {
  const words = process.argv[2] ?? ''
  phase = 'running'
  for (const state of suites) {
    const chosen = state.cases.filter((one) => `${state.name} › ${one.name}`.includes(words))
    if (chosen.length === 0) continue
    const scope = openScope()
    const registered = open(state.name)
    let broken: unknown
    registered.before(async () => {
      for (const step of state.before) {
        announce(`${state.name} › before`)
        const error = await attempt('before', step.timeoutSeconds, () => step.body(scope.ctx))
        broken ??= error && wrapHook('before', error.cause)
      }
    })
    for (const one of chosen) registered(one.name, () => runCase(state, one, broken))
    registered.after(async () => {
      announce(`${state.name} › after`)
      for (const step of state.after) {
        const error = await attempt('after', step.timeoutSeconds, () => step.body(scope.ctx))
        if (error) fail(current, error.cause)
      }
      for (const error of await scope.close()) fail(current, error)
    })
    registered.run()
  }
  await exec()
}

function wrapHook(what: string, cause: unknown): Error {
  if (cause instanceof Skipped) return cause
  const text = cause instanceof Error ? cause.message : show(cause)
  return new Error(`the suite's ${what} hook failed: ${text}`, { cause })
}

async function main(file: string): Promise<void> {
  process.on('unhandledRejection', strayError)
  process.on('uncaughtException', strayError)
  process.once('SIGTERM', timeIsUp)
  process.on('exit', report)
  // With this flag, which its own command line sets too, uvu starts nothing before it is told to.
  const shared = globalThis as { UVU_DEFER?: number, UVU_QUEUE?: unknown[][] }
  shared.UVU_DEFER = 1
  const uvu = await import('uvu')
  shared.UVU_QUEUE = [[null]]
  // The file under test is the program's entry: importing it again waits for its evaluation to end.
  try {
    await import(pathToFileURL(file).href)
  } catch (error) {
    strayError(error)
    phase = 'done'
    return
  }
  try {
    await runAll(() => uvu.exec(), uvu.suite)
  } catch (error) {
    fail('the harness could not run the tests', error)
  }
  const ran = result.passed + result.failures.length + result.skipped.length
  if (ran === 0) {
    const words = process.argv[2]
    fail(words ? `no test is called '${words}'` : 'this file has no tests', 'nothing ran')
  }
  result.complete = true
  phase = 'done'
  announce('(after the last test)')
  setTimeout(() => {
    const open = process.getActiveResourcesInfo().filter((name) => name !== 'Timeout').join(', ')
    fail('something was left open after the last test', `still open: ${open || 'a timer'}`)
    process.exit(1)
  }, leftOpenSeconds * 1_000).unref()
}

/** The file's time limit: what runs fails, its cleanups get their chance, nothing else starts. */
function timeIsUp(): void {
  stopped = true
  const error = new Error(`the file's time limit was reached during ${current}`)
  if (interrupt) interrupt(error)
  else fail(error.message, error)
  if (phase !== 'running') process.exit(1)
}

const seen = new Set<unknown>()

function strayError(error: unknown): void {
  if (seen.has(error)) return
  seen.add(error)
  if (interrupt) interrupt(error)
  else fail(`stray error: ${current}`, error)
}

function report(code: number): void {
  if (phase === 'collecting') fail('the process ended while the file was loading', current)
  if (phase === 'running') fail('the process ended before its tests did', `during: ${current}`)
  for (const { name, reason } of result.skipped) {
    process.stdout.write(`  skipped: ${name}: ${reason}\n`)
  }
  process.stdout.write(`\n#test-result ${JSON.stringify(result)}\n`)
  process.exitCode = result.failures.length > 0 ? 1 : code
}

const entry = process.argv[1]
if (entry?.endsWith('.test.ts')) void main(realpathSync(entry))
