// The commands of OpenPBS 23.06 (and PBS Pro since 14) as far as a driver uses them: qsub, qstat,
// qselect, qdel, qhold, qrls, qsig, qrerun and pbsnodes, with its letters, its JSON, its messages
// and its exit codes, which are the low byte of the server's error number.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { getopt, has, valueOf } from '../batch-commands/options.ts'
import type { Options } from '../batch-commands/options.ts'
import { currentUser, isActive, neverRan } from '../batch-commands/machine.ts'
import type { FakeJob, FakeMachine, FakeTask } from '../batch-commands/machine.ts'
import type { Answer, Call, Dialect } from '../batch-commands/service.ts'
import { each, fileOf, isOver, jobName, lookUp } from './pbs-jobs.ts'
import {
  byteCount, jobEnvironment, pbsFault, pbsText, secondsOf, serverName, taskName, usedTime,
} from './pbs-words.ts'

export interface OpenPbsOptions {
  /** job_history_enable of the server. */
  readonly history: boolean
  /** Whether the user is a manager or an operator. */
  readonly operator: boolean
}

const version = '23.06.06'
const known = new Set(['walltime', 'select', 'place', 'ncpus', 'mem', 'ngpus', 'nodes', 'software'])
const inChunks = new Set(['ncpus', 'mem', 'ngpus', 'mpiprocs', 'ompthreads', 'host', 'vnode'])

export function openPbs(machine: FakeMachine, options: OpenPbsOptions): Dialect {
  const answers: Readonly<Record<string, (call: Call) => Answer>> = {
    qsub: (call) => qsub(machine, call),
    qstat: (call) => qstat(machine, options, call),
    qselect: (call) => qselect(machine, options, call),
    qdel: (call) => qdel(machine, call),
    qhold: (call) => holding(machine, call),
    qrls: (call) => holding(machine, call),
    qsig: (call) => qsig(machine, options, call),
    qrerun: (call) => qrerun(machine, options, call),
    pbsnodes: (call) => pbsnodes(machine, call),
  }
  return {
    programs: Object.keys(answers),
    readers: ['qsub'],
    answer: (call) => answers[call.program]?.(call) ?? { code: 127 },
    down: (program) => program === 'pbsnodes'
      ? {
          stdout: '', code: 1,
          stderr: `Connection refused\npbsnodes: cannot connect to server ${serverName}, `
            + 'error=111\n',
        }
      : {
          stdout: '', code: 111,
          stderr: `Connection refused\n${program}: cannot connect to server ${serverName} `
            + '(errno=111)\n',
        },
  }
}

interface Wish {
  readonly nodes: number
  readonly cores: number
  readonly memoryBytes: number
  readonly walltimeSeconds: number | undefined
}

function qsub(machine: FakeMachine, call: Call): Answer {
  const options = getopt('qsub', 'a:A:c:C:e:fhIj:J:k:l:m:M:N:o:p:q:r:R:S:u:v:VW:XzP:', call.words)
  if (options.fault !== undefined) return { stderr: `${options.fault}usage: qsub\n`, code: 2 }
  const range = valueOf(options, 'J')
  if (range !== undefined && valueOf(options, 'r') === 'n') {
    return { stderr: 'qsub:  cannot submit non-rerunable Array Job\n', code: 1 }
  }
  const name = valueOf(options, 'N') ?? 'STDIN'
  if (!/^[A-Za-z0-9_.+-]{1,230}$/.test(name)) return { stderr: 'qsub: illegal -N value\n', code: 2 }
  const queueName = valueOf(options, 'q') ?? machine.queues[0]?.name ?? ''
  const queue = machine.queues.find((one) => one.name === queueName)
  if (!queue) return pbsFault('qsub', 15018)
  const wish = readResources(options)
  if ('code' in wish) return wish
  const indexes = range === undefined ? { list: [0], limit: undefined } : readRange(range)
  if (!indexes) return { stderr: 'qsub: illegal -J value\n', code: 2 }
  if (indexes.list.length > 10_000) return pbsFault('qsub', 15107)
  const most = queue.walltimeSecondsMax
  if (most !== undefined && (wish.walltimeSeconds ?? 0) > most) return pbsFault('qsub', 15036)
  const waiting = machine.tasks()
    .filter(({ state, job }) => state !== 'ended' && job.queue === queueName)
  if (waiting.length + indexes.list.length > (queue.tasksMax ?? Infinity)) {
    return pbsFault('qsub', 15046)
  }
  const [path] = options.operands
  const script = path === undefined ? call.input : readFileSync(join(call.directory, path), 'utf8')
  const array = range !== undefined
  const job: FakeJob = machine.submit({
    name, owner: call.user, queue: queueName, nodes: wish.nodes, coresPerNode: wish.cores,
    memoryBytes: wish.memoryBytes, walltimeSeconds: wish.walltimeSeconds,
    indexes: indexes.list, array, limit: indexes.limit, held: has(options, 'h'),
    command: (task) => [valueOf(options, 'S') ?? '/bin/sh', task.job.script],
    environment: (task) => ({
      ...jobEnvironment(call, has(options, 'V')),
      PBS_JOBID: taskName(task), PBS_JOBNAME: name, PBS_QUEUE: queueName,
      PBS_ENVIRONMENT: 'PBS_BATCH',
      ...(array
        ? { PBS_ARRAY_INDEX: String(task.index), PBS_ARRAY_ID: `${task.job.id}[].${serverName}` }
        : {}),
    }),
    directory: call.environment['HOME'] ?? '/', walltimeSignal: 'SIGTERM',
    stdout: fileOf(valueOf(options, 'o')), stderr: fileOf(valueOf(options, 'e')),
    attributes: { rerunable: valueOf(options, 'r') === 'n' ? 'False' : 'True' },
  }, script)
  return { stdout: `${jobName(job)}\n` }
}

function readResources(options: Options): Wish | (Answer & { readonly code: number }) {
  const asked = new Map<string, string>()
  for (const { value } of options.given.filter(({ name }) => name === 'l')) {
    for (const part of value.split(',')) {
      const [name = '', ...rest] = part.split('=')
      if (!known.has(name)) return pbsFault('qsub', 15035, ` Resource_List.${name}`)
      asked.set(name, rest.join('='))
    }
  }
  const select = asked.get('select')
  if (select !== undefined && ['ncpus', 'mem', 'ngpus', 'nodes'].some((name) => asked.has(name))) {
    return pbsFault('qsub', 15109)
  }
  if (select === undefined && asked.has('place')) return pbsFault('qsub', 15111)
  const walltime = asked.get('walltime')
  const walltimeSeconds = walltime === undefined ? undefined : secondsOf(walltime)
  if (walltime !== undefined && walltimeSeconds === undefined) {
    return pbsFault('qsub', 15014, ' Resource_List.walltime')
  }
  let [nodes, cores, memoryBytes] = [0, 0, 0]
  for (const chunk of (select ?? '1').split('+')) {
    const [count = '1', ...parts] = (/^\d/.test(chunk) ? chunk : `1:${chunk}`).split(':')
    const values = new Map(parts.map((part) => part.split('=') as [string, string]))
    for (const name of values.keys()) {
      if (!inChunks.has(name)) return pbsFault('qsub', 15108, ` ${name}`)
    }
    const bytes = values.has('mem') ? byteCount(values.get('mem') ?? '') : 0
    if (bytes === undefined || !/^\d+$/.test(count)) {
      return pbsFault('qsub', 15014, ' Resource_List.select')
    }
    nodes += Number(count)
    cores = Math.max(cores, Number(values.get('ncpus') ?? 1))
    memoryBytes = Math.max(memoryBytes, bytes)
  }
  return { nodes, cores, memoryBytes, walltimeSeconds }
}

/** `0-7`, `0-7:2`, `0-7%3`; at least two indexes, as the server wants. */
function readRange(text: string): { list: number[]; limit: number | undefined } | undefined {
  const match = /^(\d+)-(\d+)(?::(\d+))?(?:%(\d+))?$/.exec(text)
  if (!match || Number(match[1]) >= Number(match[2])) return undefined
  const list: number[] = []
  const step = Number(match[3] ?? 1)
  for (let at = Number(match[1]); at <= Number(match[2]); at += step) list.push(at)
  return { list, limit: match[4] === undefined ? undefined : Number(match[4]) }
}

function qstat(machine: FakeMachine, { history }: OpenPbsOptions, call: Call): Answer {
  const options = getopt('qstat', 'ainpqrstwxu:fGHJMQEBW:T1F:D:', call.words)
  const asJson = has(options, 'f') && valueOf(options, 'F') === 'json'
  if (options.fault !== undefined || !asJson) {
    return { stderr: `${options.fault ?? ''}usage: qstat [-f] …\n`, code: 2 }
  }
  const head = {
    timestamp: Math.floor(Date.now() / 1000), pbs_version: version, pbs_server: serverName,
  }
  if (has(options, 'Q')) return { stdout: pbsText({ ...head, Queue: showQueues(machine) }) }
  if (has(options, 'B')) {
    const job_history_enable = history ? 'True' : 'False'
    const server = { server_state: 'Active', scheduling: 'True', job_history_enable }
    return { stdout: pbsText({ ...head, Server: { [serverName]: server } }) }
  }
  if (has(options, 'x') && !history) {
    return {
      stdout: pbsText(head), stderr: 'qstat: PBS is not configured to maintain job history\n',
    }
  }
  const jobs: Record<string, unknown> = {}
  let failed: Answer = {}
  const batches = has(options, 'E') ? [options.operands] : options.operands.map((id) => [id])
  for (const ids of batches) {
    let found = 0
    let fault: Answer = {}
    for (const id of ids) {
      const tasks = lookUp(machine, id)
      const job = tasks?.[0]?.job
      if (!tasks || !job || (isOver(job) && !history)) fault = pbsFault('qstat', 15001, ` ${id}`)
      else if (isOver(job) && !has(options, 'x')) {
        const words = 'Job has finished, use -x or -H to obtain historical job information'
        fault = { stderr: `qstat: ${id} ${words}\n`, code: 15139 & 255 }
      } else {
        found++
        showJob(job, tasks, has(options, 't'), jobs)
      }
    }
    // Of a list asked with -E, one that is found hides that others are not.
    if (found < ids.length && found === 0) failed = fault
  }
  if (options.operands.length === 0) {
    for (const job of machine.jobs.values()) {
      if (!isOver(job) || has(options, 'x')) showJob(job, job.tasks, has(options, 't'), jobs)
    }
  }
  const body = Object.keys(jobs).length === 0 ? head : { ...head, Jobs: jobs }
  return { stdout: pbsText(body), stderr: failed.stderr ?? '', code: failed.code ?? 0 }
}

function showJob(
  job: FakeJob, tasks: readonly FakeTask[], subjobs: boolean, into: Record<string, unknown>,
): void {
  if (!job.array) {
    for (const task of tasks) into[jobName(job)] = showTask(task)
    return
  }
  const whole = tasks.length === job.tasks.length
  if (whole) into[jobName(job)] = showArray(job)
  if (whole && !subjobs) return
  for (const task of tasks) {
    if (!whole || task.state !== 'queued') into[taskName(task)] = showTask(task)
  }
}

function common(job: FakeJob): Record<string, unknown> {
  return {
    Job_Name: job.name, Job_Owner: `${job.owner}@${serverName}`, queue: job.queue,
    server: serverName, ctime: dateText(job.submittedMs), Hold_Types: 'n', Priority: 0,
    qtime: dateText(job.submittedMs), Rerunable: job.attributes['rerunable'] ?? 'True',
    Resource_List: {
      mem: `${Math.ceil(job.memoryBytes / 1024)}kb`, ncpus: job.coresPerNode * job.nodes,
      nodect: job.nodes, place: 'free',
      select: `${job.nodes}:ncpus=${job.coresPerNode}`,
      ...(job.walltimeSeconds === undefined ? {} : { walltime: usedTime(job.walltimeSeconds) }),
    },
    Variable_List: { PBS_O_HOME: '/root', PBS_O_SYSTEM: 'Linux', PBS_O_WORKDIR: '/' },
  }
}

function showArray(job: FakeJob): Record<string, unknown> {
  const count = (state: FakeTask['state']): number =>
    job.tasks.filter((task) => task.state === state).length
  const waiting = job.tasks.filter((task) => task.state === 'queued').map(({ index }) => index)
  const begun = waiting.length < job.tasks.length
  const held = job.tasks.some((task) => task.held)
  const failed = job.tasks.some((task) => task.exitCode !== 0 || task.signal !== 0)
  return {
    ...common(job), job_state: isOver(job) ? 'F' : held ? 'H' : begun ? 'B' : 'Q',
    Hold_Types: held ? 'u' : 'n', substate: isOver(job) ? 92 : 70, array: 'True',
    array_state_count: `Queued:${count('queued')} Running:${count('running')} Exiting:0 `
      + `Expired:${count('ended')} `,
    array_indices_submitted: `${job.tasks[0]?.index}-${job.tasks.at(-1)?.index}`,
    array_indices_remaining: waiting.length === 0 ? '-' : ranges(waiting),
    ...(isOver(job) ? { Exit_status: failed ? 1 : 0 } : {}),
  }
}

function ranges(indexes: readonly number[]): string {
  const parts: string[] = []
  for (let at = 0; at < indexes.length; at++) {
    const first = indexes[at] ?? 0
    while (indexes[at + 1] === (indexes[at] ?? 0) + 1) at++
    const last = indexes[at] ?? 0
    parts.push(first === last ? `${first}` : `${first}-${last}`)
  }
  return parts.join(',')
}

function showTask(task: FakeTask): Record<string, unknown> {
  const { job } = task
  const shown: Record<string, unknown> = {
    ...common(job), job_state: letterOf(task), substate: substateOf(task),
    Hold_Types: task.held ? 'u' : 'n', mtime: dateText(task.changedMs),
    ...(job.array ? { array_id: jobName(job), array_index: task.index } : {}),
  }
  const ran = !neverRan(task) && task.state !== 'queued'
  if (ran) {
    const until = task.state === 'ended' ? task.endedMs : Date.now()
    const seconds = Math.max(0, Math.floor((until - task.startedMs) / 1000))
    Object.assign(shown, {
      exec_host: `${task.node?.name}/0`, exec_vnode: `(${task.node?.name}:ncpus=1)`,
      stime: dateText(task.startedMs), session_id: task.pid ?? 1, run_count: task.starts,
      resources_used: {
        cpupercent: 0, cput: '00:00:01', mem: '3084kb', ncpus: job.coresPerNode,
        vmem: '13180kb', walltime: usedTime(seconds),
      },
    })
  }
  if (task.state !== 'ended') return shown
  const how = task.ending === 'deleted' ? 'terminated' : task.ending ? 'failed' : 'finished'
  return {
    ...shown, comment: ran ? `Job run at … and ${how}` : `Not Running and ${how}`,
    ...(ran && task.ending !== 'lost' ? { Exit_status: exitStatusOf(task) } : {}),
    ...(isOver(job) ? { history_timestamp: Math.floor(task.endedMs / 1000) } : {}),
  }
}

function letterOf(task: FakeTask): string {
  switch (task.state) {
    case 'queued': return task.held ? 'H' : 'Q'
    case 'running': return 'R'
    case 'suspended': return 'S'
    default: return isOver(task.job) ? 'F' : 'X'
  }
}

function substateOf(task: FakeTask): number {
  if (task.state === 'queued') return task.held ? 20 : 10
  if (task.state === 'running') return 42
  if (task.state === 'suspended') return 45
  if (task.ending === 'deleted') return 91
  return task.ending === undefined ? 92 : 93
}

function exitStatusOf(task: FakeTask): number {
  if (task.ending === 'walltime') return -29
  if (task.ending === 'memory') return -27
  return task.signal === 0 ? task.exitCode : 256 + task.signal
}

/** As ctime(3) prints it, in UTC, which is what the driver asks for. */
function dateText(epochMs: number): string {
  const [day = '', date = '', month = '', year = '', time = ''] =
    new Date(epochMs).toUTCString().split(/,? /)
  return `${day} ${month} ${String(Number(date)).padStart(2)} ${time} ${year}`
}

function showQueues(machine: FakeMachine): Record<string, unknown> {
  const shown: Record<string, unknown> = {}
  for (const { name, walltimeSecondsMax } of machine.queues) {
    const jobs = machine.tasks().filter((task) => task.job.queue === name)
    const count = (holds: (task: FakeTask) => boolean): number => jobs.filter(holds).length
    shown[name] = {
      queue_type: 'Execution', total_jobs: jobs.length,
      state_count: `Transit:0 Queued:${count((task) => task.state === 'queued' && !task.held)} `
        + `Held:${count((task) => task.held)} Waiting:0 Running:${count(isActive)} Exiting:0 `
        + 'Begun:0 ',
      ...(walltimeSecondsMax === undefined
        ? {}
        : { resources_max: { walltime: usedTime(walltimeSecondsMax) } }),
      enabled: 'True', started: 'True',
    }
  }
  return shown
}

function pbsnodes(machine: FakeMachine, call: Call): Answer {
  const options = getopt('pbsnodes', 'acC:dD:F:HjlLo:qrsSv', call.words)
  if (options.fault !== undefined || valueOf(options, 'F') !== 'json' || !has(options, 'a')) {
    return { stderr: `${options.fault ?? ''}usage:\tpbsnodes -a[S] …\n`, code: 1 }
  }
  const nodes: Record<string, unknown> = {}
  for (const node of machine.nodes) {
    const here = machine.tasks().filter((task) => isActive(task) && task.node === node)
    const busy = machine.coresBusy(node)
    const memory = machine.memoryBusy(node)
    nodes[node.name] = {
      Mom: `${node.name}.cluster`, Port: 15002, pbs_version: version, ntype: 'PBS',
      state: busy >= node.cores ? 'job-busy' : 'free', pcpus: node.cores,
      ...(here.length === 0 ? {} : { jobs: here.map(taskName) }),
      resources_available: {
        arch: 'linux', host: node.name, mem: `${node.memoryBytes / 1024}kb`, ncpus: node.cores,
        vnode: node.name,
      },
      resources_assigned: {
        ...(memory > 0 ? { mem: `${Math.ceil(memory / 1024)}kb` } : {}),
        ...(busy > 0 ? { ncpus: busy } : {}),
      },
      resv_enable: 'True', sharing: 'default_shared',
    }
  }
  const timestamp = Math.floor(Date.now() / 1000)
  return { stdout: pbsText({ timestamp, pbs_version: version, pbs_server: serverName, nodes }) }
}

function qselect(machine: FakeMachine, { history }: OpenPbsOptions, call: Call): Answer {
  const options = getopt('qselect', 'a:A:c:h:HJl:N:p:q:r:s:t:Tu:xP:', call.words)
  if (options.fault !== undefined) return { stderr: `${options.fault}usage: qselect\n`, code: 2 }
  if (has(options, 'x') && !history) {
    return { stderr: 'qselect: PBS is not configured to maintain job history\n' }
  }
  const users = valueOf(options, 'u')?.split(',').map((user) => user.replace(/@.*/, ''))
  machine.tasks()
  const found = [...machine.jobs.values()].filter((job) =>
    (valueOf(options, 'N') ?? job.name) === job.name
    && (users?.includes(job.owner) ?? true)
    && (has(options, 'x') || !isOver(job)))
  return { stdout: found.map((job) => `${jobName(job)}\n`).join('') }
}

function qdel(machine: FakeMachine, call: Call): Answer {
  return each(machine, call, 'W:x', (tasks) => {
    for (const task of tasks) machine.end(task, 'deleted')
    return undefined
  })
}

function holding(machine: FakeMachine, call: Call): Answer {
  return each(machine, call, 'h:', (tasks, id) => {
    // Arrays are held as a whole.
    if (/\[\d/.test(id)) return 15004
    const waiting = tasks.filter((task) => task.state === 'queued')
    if (waiting.length === 0) return 15016
    for (const task of waiting) {
      if (call.program === 'qhold') machine.hold(task)
      else machine.release(task)
    }
    return undefined
  })
}

function qsig(machine: FakeMachine, { operator }: OpenPbsOptions, call: Call): Answer {
  return each(machine, call, 's:', (tasks, _id, options) => {
    const name = valueOf(options, 's') ?? 'SIGTERM'
    const stops = name === 'suspend' || name === 'resume'
    if (stops && !operator && currentUser() === call.user) return 15007
    const active = tasks.filter(isActive)
    if (active.length === 0) return 15016
    for (const task of active) {
      if (name === 'suspend') machine.suspend(task)
      else if (name === 'resume') machine.resume(task)
      else machine.signal(task, `SIG${name.replace(/^SIG/, '')}` as NodeJS.Signals)
    }
    return undefined
  })
}

function qrerun(machine: FakeMachine, { operator }: OpenPbsOptions, call: Call): Answer {
  return each(machine, call, 'W:', (tasks) => {
    if (!operator) return 15007
    const active = tasks.filter(isActive)
    if (active.length === 0) return 15016
    if (active.some(({ job }) => job.attributes['rerunable'] === 'False')) return 15038
    for (const task of active) machine.requeue(task)
    return undefined
  })
}
