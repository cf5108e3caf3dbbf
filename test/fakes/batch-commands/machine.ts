// The cluster behind the fake commands: nodes, jobs of one or more tasks, first come first served.
// It really runs the job scripts, each in a session of its own, as a scheduler's daemon on the node
// would: environment, directory, output files, the end at the walltime, hold, suspend, requeue. It
// knows nothing of any scheduler's words; pbs-commands/, lsf-commands/ and condor-commands/ speak.
//
// Invariants: a task runs at most once at a time; cores are never given twice; what ended keeps its
// wait status and times until `forgetEnded` or its time of history is over.

import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs'
import { constants, userInfo } from 'node:os'
import { join } from 'node:path'
import { readSessions } from '../../../node/scheduler/process-table.ts'

export interface FakeNode {
  readonly name: string
  readonly cores: number
  readonly memoryBytes: number
}

export interface FakeQueue {
  readonly name: string
  /** Undefined: no limit. */
  readonly walltimeSecondsMax?: number
  readonly tasksMax?: number
}

/** Why the machine ended a task; undefined when it ended by itself. */
export type Ending = 'walltime' | 'memory' | 'deleted' | 'lost'

export interface FakeTask {
  readonly job: FakeJob
  /** Its index in the array, as its scheduler counts; 0 for a job that is none. */
  readonly index: number
  state: 'queued' | 'running' | 'suspended' | 'ended'
  held: boolean
  ending: Ending | undefined
  /** Who ended it or held it, in the scheduler's words. */
  remark: string
  startedMs: number
  endedMs: number
  changedMs: number
  exitCode: number
  /** 0 when no signal ended it. */
  signal: number
  starts: number
  pid: number | undefined
  node: FakeNode | undefined
  /** It goes back to the queue when it has ended. */
  requeue: boolean
}

export interface FakeRequest {
  readonly name: string
  readonly owner: string
  readonly queue: string
  readonly nodes: number
  readonly coresPerNode: number
  readonly memoryBytes: number
  readonly walltimeSeconds: number | undefined
  readonly indexes: readonly number[]
  readonly array: boolean
  /** How many tasks may run at once. */
  readonly limit: number | undefined
  readonly held: boolean
  /** argv of the task; the first word is a program. */
  readonly command: readonly string[] | ((task: FakeTask) => readonly string[])
  readonly environment: (task: FakeTask) => Readonly<Record<string, string>>
  readonly directory: string
  readonly stdout: string
  readonly stderr: string
  /** What a task gets at its walltime, and how much later SIGKILL. */
  readonly walltimeSignal: NodeJS.Signals
  /** Whatever the dialect wants to remember. */
  readonly attributes: Readonly<Record<string, string>>
}

export interface FakeJob extends FakeRequest {
  readonly id: number
  readonly submittedMs: number
  readonly tasks: readonly FakeTask[]
  readonly script: string
}

export interface MachineOptions {
  readonly directory: string
  readonly nodes?: readonly FakeNode[]
  readonly queues?: readonly FakeQueue[]
  /** Ended jobs are known for so long. */
  readonly historySeconds?: number
  /** The highest id; the next one is 1 again. */
  readonly idMax?: number
  readonly graceMs?: number
}

const mebibyte = 1024 * 1024
const nodesDefault: readonly FakeNode[] = [
  { name: 'n1', cores: 2, memoryBytes: 2048 * mebibyte },
  { name: 'n2', cores: 2, memoryBytes: 2048 * mebibyte },
]

export class FakeMachine {
  readonly directory: string
  readonly nodes: readonly FakeNode[]
  readonly queues: readonly FakeQueue[]
  readonly jobs = new Map<number, FakeJob>()
  /** What only the accounting remembers. */
  readonly accounted: FakeJob[] = []
  readonly graceMs: number
  historySeconds: number
  idMax: number
  nextId = 1
  /** Whether the scheduler's own rules let a task start. */
  mayStart: (task: FakeTask) => boolean = () => true
  /** Called after each change of a task. */
  onChange: (task: FakeTask) => void = () => {}
  readonly #timers = new Set<NodeJS.Timeout>()
  #closed = false

  constructor(options: MachineOptions) {
    this.directory = options.directory
    this.nodes = options.nodes ?? nodesDefault
    this.queues = options.queues ?? [{ name: 'work', walltimeSecondsMax: 86_400 }]
    this.historySeconds = options.historySeconds ?? 3_600
    this.idMax = options.idMax ?? 9_999_999
    this.graceMs = options.graceMs ?? 1_000
    mkdirSync(join(this.directory, 'scripts'), { recursive: true })
  }

  get coresTotal(): number {
    return this.nodes.reduce((sum, node) => sum + node.cores, 0)
  }

  coresBusy(node: FakeNode): number {
    return this.#onNode(node).reduce((sum, { job }) => sum + job.coresPerNode, 0)
  }

  memoryBusy(node: FakeNode): number {
    return this.#onNode(node).reduce((sum, { job }) => sum + job.memoryBytes, 0)
  }

  tasks(): FakeTask[] {
    this.#expire()
    return [...this.jobs.values()].flatMap((job) => job.tasks)
  }

  submit(request: FakeRequest, scriptText: string): FakeJob {
    this.#expire()
    while (this.jobs.has(this.nextId)) this.nextId = this.nextId >= this.idMax ? 1 : this.nextId + 1
    const id = this.nextId
    this.nextId = id >= this.idMax ? 1 : id + 1
    const script = join(this.directory, 'scripts', `${id}.sh`)
    writeFileSync(script, scriptText, { mode: 0o700 })
    const tasks: FakeTask[] = []
    const job: FakeJob = { ...request, id, submittedMs: Date.now(), tasks, script }
    for (const index of request.indexes) tasks.push(newTask(job, index))
    this.jobs.set(id, job)
    this.schedule()
    return job
  }

  /** Starts what fits, in order; a later task may overtake one that does not fit. */
  schedule(): void {
    if (this.#closed) return
    for (const job of this.jobs.values()) {
      for (const task of job.tasks) {
        if (task.state !== 'queued' || task.held || !this.mayStart(task)) continue
        const running = job.tasks.filter(isActive).length
        if (job.limit !== undefined && running >= job.limit) break
        const node = this.nodes.find((one) =>
          one.cores - this.coresBusy(one) >= job.coresPerNode
          && one.memoryBytes - this.memoryBusy(one) >= job.memoryBytes)
        // The first that waits keeps its place.
        if (!node) return
        this.#start(task, node)
      }
    }
  }

  /** Ends a task that runs or waits. */
  end(task: FakeTask, ending: Ending, options: {
    readonly signal?: NodeJS.Signals
    readonly remark?: string
  } = {}): void {
    if (task.state === 'ended') return
    task.ending ??= ending
    task.remark = options.remark ?? task.remark
    if (task.state === 'queued') {
      this.#ended(task, 0, 0)
      this.schedule()
      return
    }
    this.signal(task, 'SIGCONT')
    this.signal(task, options.signal ?? 'SIGTERM')
    this.#later(this.graceMs, () => {
      if (isActive(task)) this.signal(task, 'SIGKILL')
    })
  }

  /** The node is gone with the task on it. */
  lose(task: FakeTask): void {
    task.ending = 'lost'
    this.signal(task, 'SIGKILL')
  }

  requeue(task: FakeTask): void {
    task.requeue = true
    this.signal(task, 'SIGCONT')
    this.signal(task, 'SIGTERM')
    this.#later(this.graceMs, () => {
      if (task.requeue && isActive(task)) this.signal(task, 'SIGKILL')
    })
  }

  hold(task: FakeTask, remark = ''): void {
    if (task.state !== 'queued') return
    task.held = true
    task.remark = remark
    this.#changed(task)
  }

  release(task: FakeTask): void {
    task.held = false
    this.#changed(task)
    this.schedule()
  }

  suspend(task: FakeTask): void {
    if (task.state !== 'running') return
    this.signal(task, 'SIGSTOP')
    task.state = 'suspended'
    this.#changed(task)
  }

  resume(task: FakeTask): void {
    if (task.state !== 'suspended') return
    this.signal(task, 'SIGCONT')
    task.state = 'running'
    this.#changed(task)
  }

  /** To every process of the task, whatever process group it made for itself. */
  signal(task: FakeTask, signal: NodeJS.Signals): void {
    const { pid } = task
    if (pid === undefined) return
    const members = readSessions(new Set([pid])).get(pid) ?? []
    for (const one of members) {
      try {
        process.kill(one.pid, signal)
      } catch {
        // It ended meanwhile.
      }
    }
  }

  /** As when the time of history is over. */
  forgetEnded(): void {
    for (const [id, job] of this.jobs) {
      if (job.tasks.some((task) => task.state !== 'ended')) continue
      this.jobs.delete(id)
      this.accounted.push(job)
    }
  }

  /** Ends everything and waits for it. */
  async close(): Promise<void> {
    this.#closed = true
    for (const timer of this.#timers) clearTimeout(timer)
    for (const task of this.tasks().filter(isActive)) this.signal(task, 'SIGKILL')
    while (this.tasks().some((task) => task.pid !== undefined)) {
      await new Promise((resolve) => { setTimeout(resolve, 10) })
    }
  }

  /** All tasks end, and the ids go on: for the next test. */
  async clear(): Promise<void> {
    for (const task of this.tasks()) {
      task.requeue = false
      if (task.state === 'queued') this.#ended(task, 0, 0)
      else this.signal(task, 'SIGKILL')
    }
    while (this.tasks().some((task) => task.pid !== undefined)) {
      await new Promise((resolve) => { setTimeout(resolve, 10) })
    }
    this.jobs.clear()
  }

  #onNode(node: FakeNode): FakeTask[] {
    return [...this.jobs.values()].flatMap((job) => job.tasks)
      .filter((task) => isActive(task) && task.node === node)
  }

  #start(task: FakeTask, node: FakeNode): void {
    const { job } = task
    const words = typeof job.command === 'function' ? job.command(task) : job.command
    const [program = '/bin/sh', ...rest] = words
    task.state = 'running'
    task.node = node
    task.startedMs = task.changedMs = Date.now()
    task.starts++
    const output = openSync(job.stdout, 'a')
    const errors = openSync(job.stderr, 'a')
    const child = spawn(program, rest, {
      cwd: job.directory, env: job.environment(task), detached: true,
      stdio: ['ignore', output, errors],
    })
    closeSync(output)
    closeSync(errors)
    task.pid = child.pid
    this.onChange(task)
    const over = (code: number, signal: number): void => {
      if (task.pid === undefined && child.pid !== undefined) return
      task.pid = undefined
      // Nothing of a job outlives it: the daemon ends the whole session.
      if (child.pid !== undefined) killSession(child.pid)
      if (task.requeue) this.#again(task)
      else this.#ended(task, code, signal)
      this.schedule()
    }
    child.on('error', () => over(127, 0))
    child.on('exit', (code, signal) => over(code ?? 0, signal ? constants.signals[signal] : 0))
    if (job.walltimeSeconds === undefined) return
    const run = task.starts
    this.#later(job.walltimeSeconds * 1_000, () => {
      if (isActive(task) && task.starts === run) {
        this.end(task, 'walltime', { signal: job.walltimeSignal })
      }
    })
  }

  #again(task: FakeTask): void {
    task.requeue = false
    task.state = 'queued'
    task.ending = undefined
    task.node = undefined
    this.#changed(task)
  }

  #ended(task: FakeTask, exitCode: number, signal: number): void {
    task.state = 'ended'
    task.exitCode = exitCode
    task.signal = signal
    task.endedMs = Date.now()
    if (task.startedMs === 0) task.startedMs = task.endedMs
    this.#changed(task)
  }

  #changed(task: FakeTask): void {
    task.changedMs = Date.now()
    this.onChange(task)
  }

  #expire(): void {
    const before = Date.now() - this.historySeconds * 1_000
    for (const [id, { tasks }] of this.jobs) {
      const over = tasks.every((task) => task.state === 'ended' && task.endedMs < before)
      if (over) this.jobs.delete(id)
    }
  }

  #later(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      act()
    }, Math.min(ms, 2 ** 31 - 1))
    timer.unref()
    this.#timers.add(timer)
  }
}

export function isActive(task: FakeTask): boolean {
  return task.state === 'running' || task.state === 'suspended'
}

/** Never started, or ended before it could. */
export function neverRan(task: FakeTask): boolean {
  return task.starts === 0
}

export function currentUser(): string {
  return userInfo().username
}

function newTask(job: FakeJob, index: number): FakeTask {
  return {
    job, index, state: 'queued', held: job.held, ending: undefined, remark: '',
    startedMs: 0, endedMs: 0, changedMs: job.submittedMs, exitCode: 0, signal: 0, starts: 0,
    pid: undefined, node: undefined, requeue: false,
  }
}

function killSession(session: number): void {
  for (const { pid } of readSessions(new Set([session])).get(session) ?? []) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It ended meanwhile.
    }
  }
}
