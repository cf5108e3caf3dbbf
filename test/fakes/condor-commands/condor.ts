// The commands of HTCondor 23 as far as a driver uses them: condor_submit, condor_q,
// condor_history, condor_rm, condor_hold, condor_release, condor_suspend, condor_continue,
// condor_vacate_job, condor_qedit and condor_status, with their words, JSON and messages. Periodic
// expressions are looked at whenever a command comes, instead of once a minute.

import { dashed, has, valueOf } from '../batch-commands/options.ts'
import type { Options } from '../batch-commands/options.ts'
import { isActive } from '../batch-commands/machine.ts'
import type { FakeJob, FakeMachine, FakeTask } from '../batch-commands/machine.ts'
import type { Answer, Call, Dialect } from '../batch-commands/service.ts'
import { adsText, evaluate } from './class-ads.ts'
import type { Ad, Value } from './class-ads.ts'
import { readSubmitFile } from './submit-file.ts'

/** What the queue knows of a job beside the machine. */
interface Extra {
  removeReason: string | undefined
  lastStatus: number
  holdCode: number | undefined
  /** By condor_qedit. */
  readonly edited: Record<string, Value>
}

const address = '<127.0.0.1:9618?addrs=127.0.0.1-9618&alias=head>'

export function condor(machine: FakeMachine): Dialect {
  const extras = new WeakMap<FakeTask, Extra>()
  const extraOf = (task: FakeTask): Extra => {
    const known = extras.get(task)
    if (known) return known
    const made: Extra = {
      removeReason: undefined, lastStatus: 1, holdCode: undefined, edited: {},
    }
    extras.set(task, made)
    return made
  }
  const queue = new Queue(machine, extraOf)
  machine.mayStart = (task) => queue.holds(task, 'requirements', true)
  const answers: Readonly<Record<string, (call: Call) => Answer>> = {
    condor_submit: (call) => queue.submit(call),
    condor_q: (call) => queue.list(call, 'queue'),
    condor_history: (call) => queue.list(call, 'history'),
    condor_rm: (call) => queue.act(call, 'marked for removal', (task) => queue.remove(task)),
    condor_hold: (call) => queue.act(call, 'held', (task) => queue.hold(task)),
    condor_release: (call) => queue.act(call, 'released', (task) => queue.release(task)),
    condor_suspend: (call) => queue.act(call, 'suspended', (task) => {
      if (task.state !== 'running') return false
      machine.suspend(task)
      return true
    }),
    condor_continue: (call) => queue.act(call, 'continued', (task) => {
      if (task.state !== 'suspended') return false
      machine.resume(task)
      return true
    }),
    condor_vacate_job: (call) => queue.act(call, 'vacated', (task) => {
      if (!isActive(task)) return false
      machine.requeue(task)
      return true
    }),
    condor_qedit: (call) => queue.edit(call),
    condor_status: (call) => status(machine, call),
  }
  return {
    programs: Object.keys(answers),
    readers: ['condor_submit'],
    answer: (call) => {
      queue.periodic()
      return answers[call.program]?.(call) ?? { code: 127 }
    },
    down: (program) => ({ stdout: '', code: 1, stderr: downText(program) }),
  }
}

function downText(program: string): string {
  const why = `CEDAR:6001:Failed to connect to ${address}\n`
  switch (program) {
    case 'condor_submit': return `\nERROR: Failed to connect to local queue manager\n${why}`
    case 'condor_q': return `\n-- Failed to fetch ads from: ${address} : head\n${why}`
    case 'condor_status': return `Error: communication error\n${why}`
    default: return `${program}: Can't connect to schedd\n${why}`
  }
}

const listWords = {
  '-json': 'flag', '-allusers': 'flag', '-constraint': 'value', '-attributes': 'value',
  '-nobatch': 'flag', '-limit': 'value', '-name': 'value', '-long': 'flag',
} as const
const actWords = {
  '-constraint': 'value', '-reason': 'value', '-fast': 'flag', '-name': 'value', '-all': 'flag',
} as const

class Queue {
  readonly machine: FakeMachine
  readonly extraOf: (task: FakeTask) => Extra

  constructor(machine: FakeMachine, extraOf: (task: FakeTask) => Extra) {
    this.machine = machine
    this.extraOf = extraOf
  }

  submit(call: Call): Answer {
    const options = dashed({ '-terse': 'flag', '-batch-name': 'value' }, call.words)
    if (options.fault !== undefined) {
      return { stderr: `\nERROR: unknown command line argument "${options.fault}"\n`, code: 1 }
    }
    const file = readSubmitFile(call.input)
    if ('fault' in file) return { stderr: `\nERROR: ${file.fault}\n`, code: 1 }
    const { commands, count, argumentsOf, attributes } = file
    if (count > (this.machine.queues[0]?.tasksMax ?? Infinity)) {
      const words = `Number of submitted jobs would exceed MAX_JOBS_PER_SUBMISSION\n`
      return { stderr: `\nERROR: Failed to create proc\n${words}`, code: 1 }
    }
    const job = this.machine.submit({
      name: attributes['JobBatchName'] ?? '', owner: call.user, queue: '', nodes: 1,
      coresPerNode: Number(commands.get('request_cpus') ?? 1),
      memoryBytes: Number(commands.get('request_memory') ?? 0) * 1024 * 1024,
      walltimeSeconds: undefined, indexes: Array.from({ length: count }, (_, at) => at),
      array: true, limit: undefined, held: commands.get('hold') === 'true',
      command: (task) => [
        commands.get('executable') ?? '', ...argumentsOf(task.job.id, task.index),
      ],
      environment: () => /^true$/i.test(commands.get('getenv') ?? '') ? call.environment : {},
      directory: commands.get('initialdir') ?? call.directory,
      stdout: commands.get('output') ?? '/dev/null', stderr: commands.get('error') ?? '/dev/null',
      walltimeSignal: 'SIGTERM',
      attributes: {
        requirements: commands.get('requirements') ?? 'true',
        periodic_remove: commands.get('periodic_remove') ?? 'false',
        leave_in_queue: commands.get('leave_in_queue') ?? 'false',
        own: JSON.stringify(file.attributes),
      },
    }, '')
    if (has(options, '-terse')) return { stdout: `${job.id}.0 - ${job.id}.${count - 1}\n` }
    return { stdout: `Submitting job(s).\n${count} job(s) submitted to cluster ${job.id}.\n` }
  }

  /** The job's ClassAd, as far as we have it. */
  adOf(task: FakeTask): Ad {
    const { job } = task
    const extra = this.extraOf(task)
    const seconds = (ms: number): number => Math.floor(ms / 1000)
    const completed = task.state === 'ended' && task.ending === undefined
    const own = JSON.parse(job.attributes['own'] ?? '{}') as Record<string, Value>
    return {
      ClusterId: job.id, ProcId: task.index, Owner: job.owner, JobStatus: this.statusOf(task),
      LastJobStatus: extra.lastStatus, EnteredCurrentStatus: seconds(task.changedMs),
      QDate: seconds(job.submittedMs), NumJobStarts: task.starts, RequestCpus: job.coresPerNode,
      RequestMemory: job.memoryBytes / 1024 / 1024, ...own, ...extra.edited,
      JobCurrentStartDate: task.starts > 0 ? seconds(task.startedMs) : undefined,
      RemoteHost: task.pid === undefined ? undefined : `slot1@${task.node?.name}`,
      HoldReasonCode: extra.holdCode,
      HoldReason: extra.holdCode === undefined ? undefined : holdReasons[extra.holdCode],
      RemoveReason: extra.removeReason,
      ...(completed
        ? {
            CompletionDate: seconds(task.endedMs), ExitBySignal: task.signal > 0,
            ...(task.signal > 0 ? { ExitSignal: task.signal } : { ExitCode: task.exitCode }),
          }
        : {}),
      RemoteUserCpu: task.starts > 0 ? 0.5 : 0, RemoteSysCpu: task.starts > 0 ? 0.25 : 0,
      ResidentSetSize: task.starts > 0 ? 3084 : 0,
    }
  }

  statusOf(task: FakeTask): number {
    const { removeReason, holdCode } = this.extraOf(task)
    if (removeReason !== undefined) return 3
    if (task.ending === 'memory' && task.state === 'ended') return 5
    if (task.state === 'queued') return task.held || holdCode !== undefined ? 5 : 1
    if (task.state === 'suspended') return 7
    return task.state === 'running' ? 2 : 4
  }

  holds(task: FakeTask, expression: string, unless: boolean): boolean {
    const text = task.job.attributes[expression]
    return text === undefined ? unless : evaluate(text, this.adOf(task)) === true
  }

  periodic(): void {
    for (const task of this.machine.tasks()) {
      const extra = this.extraOf(task)
      if (task.ending === 'memory' && task.state === 'ended') extra.holdCode = 34
      if (extra.removeReason !== undefined || this.statusOf(task) === 4) continue
      if (!this.holds(task, 'periodic_remove', false)) continue
      const text = task.job.attributes['periodic_remove'] ?? ''
      this.remove(task, `The job attribute PeriodicRemove expression '${text}' evaluated to TRUE`)
    }
  }

  remove(task: FakeTask, reason = `via condor_rm (by user ${task.job.owner})`): boolean {
    const extra = this.extraOf(task)
    if (extra.removeReason !== undefined || this.statusOf(task) === 4) return false
    extra.lastStatus = this.statusOf(task)
    extra.removeReason = reason
    task.changedMs = Date.now()
    this.machine.end(task, 'deleted')
    return true
  }

  hold(task: FakeTask): boolean {
    if (task.state !== 'queued') return false
    this.extraOf(task).holdCode = 1
    this.machine.hold(task)
    return true
  }

  release(task: FakeTask): boolean {
    const extra = this.extraOf(task)
    if (this.statusOf(task) !== 5) return false
    extra.holdCode = undefined
    this.machine.release(task)
    return true
  }

  /** What has left the queue is in the history. */
  inQueue(task: FakeTask): boolean {
    const status = this.statusOf(task)
    if (status !== 3 && status !== 4) return true
    return task.pid !== undefined || this.holds(task, 'leave_in_queue', false)
  }

  list(call: Call, where: 'queue' | 'history'): Answer {
    const options = dashed(listWords, call.words)
    if (options.fault !== undefined || !has(options, '-json')) {
      return { stderr: `Error: unrecognized argument for switch "${options.fault}"\n`, code: 1 }
    }
    const wanted = valueOf(options, '-attributes')?.split(',')
    const found = where === 'queue'
      ? this.chosen(options, this.machine.tasks()).filter((task) => this.inQueue(task))
      : this.chosen(options, [
        ...this.machine.tasks().filter((task) => !this.inQueue(task)),
        ...this.machine.accounted.flatMap((job) => job.tasks),
      ])
    return {
      stdout: adsText(found.map((task) => {
        const ad = this.adOf(task)
        return wanted ? Object.fromEntries(wanted.map((name) => [name, ad[name]])) : ad
      })),
    }
  }

  chosen(options: Options, tasks: readonly FakeTask[]): FakeTask[] {
    const constraint = valueOf(options, '-constraint')
    return tasks.filter((task) =>
      (constraint === undefined || evaluate(constraint, this.adOf(task)) === true)
      && (options.operands.length === 0
        || options.operands.some((id) => isNamed(task, id))))
  }

  act(call: Call, done: string, act: (task: FakeTask) => boolean): Answer {
    const options = dashed(actWords, call.words)
    if (options.fault !== undefined) {
      return { stderr: `Unrecognized option: ${options.fault}\n`, code: 1 }
    }
    if (options.operands.length === 0 && valueOf(options, '-constraint') === undefined) {
      return { stderr: 'You did not specify any jobs\n', code: 1 }
    }
    let [stdout, stderr] = ['', '']
    for (const id of options.operands) {
      const tasks = this.chosen(options, this.machine.tasks())
        .filter((task) => isNamed(task, id) && this.inQueue(task))
      const acted = tasks.filter(act)
      const whole = !id.includes('.')
      if (acted.length > 0) {
        stdout += whole
          ? `All jobs in cluster ${id} have been ${done}\n`
          : `Job ${id} ${done}\n`
      } else if (whole) stderr += `Couldn't find/${done} all jobs in cluster ${id}\n`
      else if (tasks.length === 0) stderr += `Job ${id} not found\n`
      else if (call.program === 'condor_rm') stderr += `Job ${id} already ${done}\n`
      else stderr += `Job ${id} not running to be ${done}\n`
    }
    return { stdout, stderr, code: stderr === '' ? 0 : 1 }
  }

  edit(call: Call): Answer {
    const [id = '', name = '', value = ''] = call.words
    const tasks = this.machine.tasks().filter((task) => isNamed(task, id) && this.inQueue(task))
    if (tasks.length === 0 || !/^\w+$/.test(name)) {
      return { stderr: `Couldn't find any jobs matching ${id}\n`, code: 1 }
    }
    for (const task of tasks) this.extraOf(task).edited[name] = evaluate(value, {})
    this.machine.schedule()
    return { stdout: `Set attribute "${name}" for ${tasks.length} matching jobs.\n` }
  }
}

const holdReasons: Readonly<Record<number, string>> = {
  1: 'via condor_hold (by user)', 12: 'Error from slot1@n1: Failed to execute',
  34: 'Error from slot1@n1: Job has gone over cgroup memory limit of 64 megabytes. '
    + 'Peak usage: 65 megabytes.',
}

function isNamed({ job, index }: FakeTask, id: string): boolean {
  return id === String(job.id) || id === `${job.id}.${index}`
}

function status(machine: FakeMachine, call: Call): Answer {
  const words = {
    '-json': 'flag', '-attributes': 'value', '-schedd': 'flag', '-constraint': 'value',
  } as const
  const options = dashed(words, call.words)
  if (options.fault !== undefined || !has(options, '-json')) {
    return { stderr: `Error: Unknown option ${options.fault}\n`, code: 1 }
  }
  const wanted = valueOf(options, '-attributes')?.split(',')
  const only = (ad: Ad): Ad =>
    wanted ? Object.fromEntries(wanted.map((name) => [name, ad[name]])) : ad
  const tasks = machine.tasks()
  if (has(options, '-schedd')) {
    return {
      stdout: adsText([only({
        Name: 'head', TotalIdleJobs: tasks.filter((task) => task.state === 'queued').length,
        TotalRunningJobs: tasks.filter(isActive).length,
      })]),
    }
  }
  const ads: Ad[] = []
  for (const node of machine.nodes) {
    const busy = machine.coresBusy(node)
    const memory = (bytes: number): number => Math.floor(bytes / 1024 / 1024)
    ads.push({
      Name: `slot1@${node.name}`, Machine: node.name, SlotType: 'Partitionable',
      State: 'Unclaimed', Cpus: node.cores - busy, TotalSlotCpus: node.cores,
      Memory: memory(node.memoryBytes - machine.memoryBusy(node)),
      TotalSlotMemory: memory(node.memoryBytes),
    })
    const here = tasks.filter((task) => isActive(task) && task.node === node)
    here.forEach(({ job }: { job: FakeJob }, at) => ads.push({
      Name: `slot1_${at + 1}@${node.name}`, Machine: node.name, SlotType: 'Dynamic',
      State: 'Claimed', Cpus: job.coresPerNode, TotalSlotCpus: job.coresPerNode,
      Memory: memory(job.memoryBytes), TotalSlotMemory: memory(job.memoryBytes),
    }))
  }
  return { stdout: adsText(ads.map(only)) }
}
