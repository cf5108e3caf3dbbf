// People who hand in jobs at several homes without a pause, whatever happens to the nodes: each
// repeats a request until it is answered. Every task notes outside, in one line, that it ran; every
// answered job is remembered, with what must come of it.

import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { JobSummary, SubmitAnswer } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { assert } from '../harness.ts'
import { random } from '../sim/random.ts'
import type { Random } from '../sim/random.ts'
import { ended, entriesOf, jobOf } from './federation.ts'
import { cancel, prepare, resultBytes, sha256 } from './jobs.ts'
import type { Site } from './site.ts'

export interface LoadOptions {
  /** For inputs and for the lines. */
  readonly folder: string
  readonly homes: readonly Site[]
  readonly seed: number
  /** Jobs that each home has open at once. */
  readonly openMax: number
  /** Aborted when nobody wants an answer any more. */
  readonly signal: AbortSignal
}

export interface Load {
  readonly answered: readonly Answered[]
  /** Hands in nothing more; resolves when every request has been answered. */
  stop(): Promise<void>
  /** What ran. */
  runs(): Run[]
}

export interface Answered {
  readonly home: Site
  readonly job: string
  readonly tasks: number
  readonly input: Buffer
}

export interface Run {
  readonly job: string
  readonly task: number
  readonly contract: string
  readonly line: string
}

const tasksMax = 5
/** The shortest that a work may take, and how much longer others are; some outlive a cut. */
const shortMs = [50, 1_500] as const
const longMs = [6_000, 18_000] as const
const longPermille = 150
const cancelPermille = 60
const cancelMs = [0, 4_000] as const
const remotePermille = 600
const inputBytes = [1, 300_000] as const
const againMs = 250

export function openLoad(options: LoadOptions): Load {
  const answered: Answered[] = []
  const lines = join(options.folder, 'lines')
  mkdirSync(options.folder, { recursive: true })
  writeFileSync(lines, '')
  const goOn = { yes: true }
  const cancels: Promise<unknown>[] = []
  const people = options.homes.map((home) => handInJobs({
    ...options, home, lines, goOn, answered, cancels,
    chance: random(options.seed, `jobs of ${home.name}`),
  }))
  const all = Promise.all(people)
  // Whoever waits hears of it; until then it has an owner.
  all.catch(() => undefined)
  return {
    answered,
    async stop() {
      goOn.yes = false
      await all
      await Promise.all(cancels)
    },
    runs: () => readFileSync(lines, 'utf8').split('\n').filter((line) => line !== '')
      .map((line) => {
        const [job = '', task = '', contract = ''] = line.split(' ')
        return { job, task: Number(task), contract, line }
      }),
  }
}

interface Person extends LoadOptions {
  readonly home: Site
  readonly lines: string
  readonly goOn: { readonly yes: boolean }
  readonly answered: Answered[]
  /** Tries, under way. */
  readonly cancels: Promise<unknown>[]
  readonly chance: Random
}

async function handInJobs(person: Person): Promise<void> {
  const { home, openMax } = person
  const goOn = (): boolean => person.goOn.yes && !person.signal.aborted
  for (let count = 0; goOn(); count++) {
    while (goOn() && !(await hasRoom(home, openMax))) await pause(againMs)
    if (goOn()) await handIn(person, count)
  }
}

async function hasRoom({ client }: Site, openMax: number): Promise<boolean> {
  try {
    return (await client.get<JobSummary[]>(apiPaths.jobs, { state: 'open' })).length < openMax
  } catch {
    // It is down, or going down.
    return false
  }
}

async function handIn(person: Person, count: number): Promise<void> {
  const { home, chance, folder, lines, answered, cancels } = person
  const tasks = chance.between(1, tasksMax)
  const input = randomBytes(chance.between(...inputBytes))
  const path = join(folder, `${home.name}-${count}`)
  writeFileSync(path, input)
  const [least, most] = chance.chance(longPermille) ? longMs : shortMs
  const seconds = (chance.between(least, most) / 1_000).toFixed(3)
  const place = chance.chance(remotePermille) ? 'remote' as const : 'anywhere' as const
  const cancelAfterMs = chance.chance(cancelPermille) ? chance.between(...cancelMs) : -1
  const { note, upload } = await prepare({
    ...(tasks > 1 && { tasks: `1-${tasks}` }),
    inputs: [{ path, name: 'input' }],
    outputs: ['result'],
    script: `#!/bin/sh
echo "$GRIDNODE_JOB_ID $GRIDNODE_TASK_ID $GRIDNODE_CONTRACT" >>${lines}
sleep ${seconds}
cp input result
`,
    options: { place },
  })
  while (!person.signal.aborted) {
    try {
      await upload(home)
      const { job } = await home.client.post<SubmitAnswer>(apiPaths.jobs, note)
      answered.push({ home, job, tasks, input })
      if (cancelAfterMs < 0) return
      // A try: the home may be down.
      cancels.push(pause(cancelAfterMs).then(() => cancel(home, job)).catch(() => undefined))
      return
    } catch (error) {
      // Whoever is asked again when it is up gives the same answer to the same request.
      if (home.running() && !isPassing(error)) throw error
      await pause(againMs)
    }
  }
}

/** Of a node that is down, starts, or went down in the middle; or of inputs that went with it. */
function isPassing(error: unknown): boolean {
  const { code } = error as { readonly code?: string }
  return ['unreachable', 'conflict', 'timeout', 'ECONNRESET', 'EPIPE'].includes(code ?? '')
}

export interface Outcomes {
  readonly jobs: number
  readonly tasks: number
  /** Jobs by their final state. */
  readonly states: Readonly<Record<string, number>>
  /** Of those that are neither done nor cancelled. */
  readonly notes: readonly string[]
}

/** Every answered job is over, its done tasks have run and have given their results back. */
export async function outcomesOf(load: Load, timeoutSeconds: number): Promise<Outcomes> {
  const deadline = performance.now() + timeoutSeconds * 1_000
  const details = []
  for (const one of load.answered) {
    const left = Math.max(1, (deadline - performance.now()) / 1_000)
    details.push({ ...one, detail: await ended(one.home, one.job, left) })
  }
  const ran = new Set(load.runs().map(({ line }) => line))
  const states: Record<string, number> = {}
  const notes: string[] = []
  let tasks = 0
  for (const { home, job, detail, input, ...one } of details) {
    states[detail.state] = (states[detail.state] ?? 0) + 1
    tasks += detail.tasks.total
    if (detail.state === 'done') assert.equal(detail.tasks.done, one.tasks, `${job} is whole`)
    else if (detail.state !== 'cancelled') {
      notes.push(`${home.name} ${job} ${detail.state}: ${detail.note}`)
    }
    for (const { state, task, contract } of detail.taskRows) {
      if (state !== 'done') continue
      assert.ok(ran.has(`${job} ${task} ${contract}`), `${job} ${task} ran under ${contract}`)
      const path = one.tasks > 1 ? `${task}/result` : 'result'
      const result = await resultBytes(home, job, path)
      assert.equal(sha256(result), sha256(input), `the result of ${job} ${task}`)
    }
  }
  return { jobs: details.length, tasks, states, notes }
}

/** Nobody was paid for more than what ran, and each home's jobs have cost what its ledger says. */
export async function paidForWhatRan(load: Load): Promise<void> {
  const runs = load.runs()
  for (const home of new Set(load.answered.map((one) => one.home))) {
    const entries = await entriesOf(home)
    const jobs = load.answered.filter((one) => one.home === home)
    const contractOf = new Map(entries.filter(({ kind, from }) => kind === 'hold' &&
      from === home.name).map(({ sid, body }) => [sid, String(body['contract'])]))
    const claimed = new Map<string, number>()
    const accepted = new Map<string, bigint>()
    for (const { kind, body } of entries) {
      const hold = String(body['hold'])
      const contract = contractOf.get(hold)
      if (contract === undefined) continue
      // What was accepted is cumulative.
      if (kind === 'accept') accepted.set(hold, BigInt(String(body['amount'])))
      if (kind !== 'usage' || body['final'] !== 1) continue
      claimed.set(contract, (claimed.get(contract) ?? 0) + Number(body['tasks']))
    }
    for (const [sid, tasks] of claimed) {
      const ran = runs.filter(({ contract }) => sid.startsWith(contract)).length
      assert.ok(tasks <= ran, `${home.name}: ${tasks} tasks claimed, ${ran} ran under ${sid}`)
    }
    const details = await Promise.all(jobs.map(({ job }) => jobOf(home, job)))
    const spent = details.reduce((sum, one) => sum + BigInt(one.spent), 0n)
    const paid = [...accepted.values()].reduce((sum, one) => sum + one, 0n)
    assert.equal(spent, paid, `${home.name}: what its jobs have cost is what it has accepted`)
  }
}

/** No line is there twice, and each is of a job that was answered. */
export function ranOnce(load: Load): void {
  const runs = load.runs()
  const seen = new Set<string>()
  const twice = runs.filter(({ line }) => seen.has(line) || !seen.add(line))
  assert.equal(twice.map(({ line }) => line), [], 'no task ran twice under one contract')
  const known = new Set(load.answered.map(({ job }) => job))
  const strange = runs.filter(({ job }) => !known.has(job))
  assert.equal(strange.map(({ line }) => line), [], 'nothing ran that nobody handed in')
}
