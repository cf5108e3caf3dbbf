// The commands of Torque 6 as far as a driver uses them: qsub, qstat, qselect, qdel, qhold, qrls,
// qsig, qrerun and pbsnodes, with its letters, its XML, its messages and exit codes.
//
// What it does otherwise than OpenPBS: arrays by -t with a list; a subjob's name and output files
// get `-<index>` appended; ended jobs stay in qstat for keep_completed; subjobs by -t of the other
// commands.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { getopt, has, valueOf } from '../batch-commands/options.ts'
import { isActive, neverRan } from '../batch-commands/machine.ts'
import type { FakeJob, FakeMachine, FakeTask } from '../batch-commands/machine.ts'
import type { Answer, Call, Dialect } from '../batch-commands/service.ts'
import { each, fileOf, isOver, jobName } from './pbs-jobs.ts'
import {
  byteCount, jobEnvironment, pbsFault, secondsOf, serverName, taskName, usedTime,
} from './pbs-words.ts'

const known = new Set([
  'walltime', 'nodes', 'mem', 'pmem', 'vmem', 'ncpus', 'procs', 'software', 'file', 'nice',
])

export function torque(machine: FakeMachine, { operator }: { operator: boolean }): Dialect {
  const answers: Readonly<Record<string, (call: Call) => Answer>> = {
    qsub: (call) => qsub(machine, call),
    qstat: (call) => qstat(machine, call),
    qselect: (call) => qselect(machine, call),
    qdel: (call) => each(machine, call, 'ab:cm:pW:t:', (tasks, _id, options) => {
      for (const task of chosen(tasks, valueOf(options, 't'))) machine.end(task, 'deleted')
      return undefined
    }),
    qhold: (call) => holding(machine, call),
    qrls: (call) => holding(machine, call),
    qsig: (call) => qsig(machine, operator, call),
    qrerun: (call) => each(machine, call, 'm:f', (tasks) => {
      const active = tasks.filter(isActive)
      if (!operator) return 15007
      if (active.length === 0) return 15016
      if (active.some(({ job }) => job.attributes['rerunable'] === 'False')) return 15038
      for (const task of active) machine.requeue(task)
      return undefined
    }),
    pbsnodes: (call) => pbsnodes(machine, call),
  }
  return {
    programs: Object.keys(answers),
    readers: ['qsub'],
    answer: (call) => answers[call.program]?.(call) ?? { code: 127 },
    down: (program) => ({
      stdout: '', code: program === 'pbsnodes' ? 1 : 111,
      stderr: `Unable to communicate with ${serverName}(127.0.0.1)\n`
        + `Cannot connect to specified server host '${serverName}'.\n`
        + (program === 'pbsnodes'
          ? `pbsnodes: cannot connect to server ${serverName}, error=111 (Connection refused)\n`
          : `${program}: cannot connect to server ${serverName} (errno=111) Connection refused\n`),
    }),
  }
}

/** `3,5-7`, or all. */
function chosen(tasks: readonly FakeTask[], text: string | undefined): readonly FakeTask[] {
  if (text === undefined) return tasks
  const indexes = readList(text)?.list ?? []
  return tasks.filter((task) => indexes.includes(task.index))
}

function readList(text: string): { list: number[]; limit: number | undefined } | undefined {
  const match = /^([\d,-]+)(?:%(\d+))?$/.exec(text)
  const list: number[] = []
  for (const part of match?.[1]?.split(',') ?? []) {
    const range = /^(\d+)(?:-(\d+))?$/.exec(part)
    if (!range) return undefined
    for (let at = Number(range[1]); at <= Number(range[2] ?? range[1]); at++) list.push(at)
  }
  if (list.length === 0) return undefined
  return { list, limit: match?.[2] === undefined ? undefined : Number(match[2]) }
}

const submitLetters = 'a:A:b:c:C:d:D:e:EfF:hi:Ij:J:k:K:l:L:m:M:nN:o:p:P:q:r:S:t:T:u:v:Vw:W:Xxz'

function qsub(machine: FakeMachine, call: Call): Answer {
  const options = getopt('qsub', submitLetters, call.words)
  if (options.fault !== undefined) return { stderr: `${options.fault}usage: qsub\n`, code: 2 }
  if (has(options, 'J')) return { stderr: 'qsub: illegal -J value\n', code: 1 }
  const asked = new Map<string, string>()
  for (const { value } of options.given.filter(({ name }) => name === 'l')) {
    for (const part of value.split(',')) {
      const [name = '', ...rest] = part.split('=')
      if (!known.has(name)) return pbsFault('qsub', 15035, ` type Resource_List.${name}`)
      asked.set(name, rest.join('='))
    }
  }
  const queueName = valueOf(options, 'q') ?? machine.queues[0]?.name ?? ''
  const queue = machine.queues.find((one) => one.name === queueName)
  if (!queue) return pbsFault('qsub', 15018, ' MSG=cannot locate queue')
  const request = valueOf(options, 't')
  const indexes = request === undefined ? { list: [0], limit: undefined } : readList(request)
  if (!indexes) return { stderr: 'qsub: illegal -t value\n', code: 1 }
  const walltime = asked.get('walltime')
  const walltimeSeconds = walltime === undefined ? undefined : secondsOf(walltime)
  const place = /^(\d+):ppn=(\d+)(?::gpus=(\d+))?$/.exec(asked.get('nodes') ?? '1:ppn=1')
  const memoryBytes = byteCount(asked.get('mem') ?? '0')
  const fault = walltime !== undefined && walltimeSeconds === undefined ? 'walltime'
    : !place ? 'nodes' : memoryBytes === undefined ? 'mem' : undefined
  if (fault !== undefined || !place || memoryBytes === undefined) {
    return pbsFault('qsub', 15014, ` for  Resource_List.${fault}`)
  }
  if ((walltimeSeconds ?? 0) > (queue.walltimeSecondsMax ?? Infinity)) {
    return {
      code: 15036 & 255,
      stderr: 'qsub: Job exceeds queue resource limits MSG=cannot satisfy queue max walltime '
        + 'requirement\n',
    }
  }
  const open = machine.tasks().filter(({ state }) => state !== 'ended')
  if (open.length + indexes.list.length > (queue.tasksMax ?? Infinity)) {
    return pbsFault('qsub', 15046, ' MSG=total number of jobs exceeds the queue limit')
  }
  const [path] = options.operands
  const script = path === undefined ? call.input : readFileSync(join(call.directory, path), 'utf8')
  const array = request !== undefined
  const name = valueOf(options, 'N') ?? 'STDIN'
  const output = fileOf(valueOf(options, 'o'))
  const job = machine.submit({
    name, owner: call.user, queue: queueName, nodes: Number(place[1]),
    coresPerNode: Number(place[2]), memoryBytes, walltimeSeconds, indexes: indexes.list, array,
    limit: indexes.limit, held: has(options, 'h'), walltimeSignal: 'SIGTERM',
    command: (task) => [valueOf(options, 'S') ?? '/bin/sh', task.job.script],
    environment: (task) => ({
      ...jobEnvironment(call, has(options, 'V')),
      PBS_JOBID: taskName(task), PBS_JOBNAME: nameOf(task), PBS_QUEUE: queueName,
      PBS_ENVIRONMENT: 'PBS_BATCH', ...(array ? { PBS_ARRAYID: String(task.index) } : {}),
    }),
    directory: call.environment['HOME'] ?? '/',
    stdout: output === '/dev/null' ? output : `${output}${array ? '-0' : ''}`, stderr: '/dev/null',
    attributes: { rerunable: valueOf(options, 'r') === 'n' ? 'False' : 'True' },
  }, script)
  return { stdout: `${jobName(job)}\n` }
}

function nameOf(task: FakeTask): string {
  return task.job.array ? `${task.job.name}-${task.index}` : task.job.name
}

function qstat(machine: FakeMachine, call: Call): Answer {
  const options = getopt('qstat', 'acCeE:filn1pqrstu:xGMQRBW:', call.words)
  if (options.fault !== undefined) return { stderr: `${options.fault}usage: qstat\n`, code: 2 }
  if (has(options, 'Q') && has(options, 'f')) return { stdout: showQueues(machine) }
  if (!has(options, 'x')) return { stderr: 'usage: qstat\n', code: 2 }
  machine.tasks()
  const shown = [...machine.jobs.values()].flatMap((job) =>
    job.array && !has(options, 't') ? [showArray(job)] : job.tasks.map(showTask))
  return { stdout: `<?xml version="1.0"?>\n<Data>${shown.join('')}</Data>\n` }
}

function element(name: string, value: string | number | undefined): string {
  return value === undefined ? '' : `<${name}>${value}</${name}>`
}

function common(job: FakeJob): string {
  const seconds = Math.floor(job.submittedMs / 1000)
  return element('Job_Owner', `${job.owner}@${serverName}`) + element('queue', job.queue)
    + element('server', serverName) + element('ctime', seconds) + element('qtime', seconds)
    + element('Rerunable', job.attributes['rerunable'])
    + element('Resource_List', element('nodes', `${job.nodes}:ppn=${job.coresPerNode}`)
      + element('mem', job.memoryBytes)
      + element('walltime', usedTime(job.walltimeSeconds ?? 0)))
    + element('Variable_List', 'PBS_O_HOME=/root,PBS_O_PATH=/usr/bin:/bin')
}

function showArray(job: FakeJob): string {
  return element('Job', element('Job_Id', jobName(job)) + element('Job_Name', job.name)
    + element('job_state', isOver(job) ? 'C' : 'R') + common(job))
}

function showTask(task: FakeTask): string {
  const { job } = task
  const ran = !neverRan(task) && task.state !== 'queued'
  const until = task.state === 'ended' ? task.endedMs : Date.now()
  const used = Math.max(0, Math.floor((until - task.startedMs) / 1000))
  return element('Job', [
    element('Job_Id', taskName(task)), element('Job_Name', nameOf(task)),
    element('job_state', letterOf(task)), common(job),
    element('Hold_Types', task.held ? 'u' : 'n'),
    ...(job.array ? [element('job_array_id', task.index)] : []),
    ...(ran
      ? [
          element('resources_used', element('cput', '00:00:01') + element('mem', '3084kb')
            + element('walltime', usedTime(used))),
          element('exec_host', `${task.node?.name}/0`),
          element('start_time', Math.floor(task.startedMs / 1000)),
        ]
      : []),
    ...(task.state === 'ended'
      ? [
          element('exit_status', exitStatusOf(task)),
          element('comp_time', Math.floor(task.endedMs / 1000)),
        ]
      : []),
  ].join(''))
}

function letterOf(task: FakeTask): string {
  switch (task.state) {
    case 'queued': return task.held ? 'H' : 'Q'
    case 'running': return 'R'
    case 'suspended': return 'S'
    default: return 'C'
  }
}

function exitStatusOf(task: FakeTask): number | undefined {
  if (task.ending === 'walltime') return -11
  if (task.ending === 'memory') return -10
  if (task.ending === 'deleted') return 271
  if (task.ending === 'lost') return -3
  return task.signal === 0 ? task.exitCode : 256 + task.signal
}

function showQueues(machine: FakeMachine): string {
  return machine.queues.map(({ name, walltimeSecondsMax }) => {
    const jobs = machine.tasks().filter((task) => task.job.queue === name)
    const count = (holds: (task: FakeTask) => boolean): number => jobs.filter(holds).length
    return [
      `Queue: ${name}`, '    queue_type = Execution', `    total_jobs = ${jobs.length}`,
      '    state_count = Transit:0 '
        + `Queued:${count((task) => task.state === 'queued' && !task.held)} `
        + `Held:${count((task) => task.held)} Waiting:0 Running:${count(isActive)} Exiting:0 `
        + `Complete:${count((task) => task.state === 'ended')} `,
      ...(walltimeSecondsMax === undefined
        ? []
        : [`    resources_max.walltime = ${usedTime(walltimeSecondsMax)}`]),
      '    mtime = Fri Nov 20 10:00:00 2026', '    enabled = True', '    started = True', '', '',
    ].join('\n')
  }).join('')
}

function pbsnodes(machine: FakeMachine, call: Call): Answer {
  const options = getopt('pbsnodes', 'acdlm:opqrs:xN:A:n', call.words)
  if (options.fault !== undefined || !has(options, 'x')) {
    return { stderr: `${options.fault ?? ''}usage:\tpbsnodes\n`, code: 1 }
  }
  const shown = machine.nodes.map((node) => {
    const here = machine.tasks().filter((task) => isActive(task) && task.node === node)
    let slot = 0
    const jobs = here.map((task) => {
      const first = slot
      slot += task.job.coresPerNode
      return `${slot - first === 1 ? first : `${first}-${slot - 1}`}/${taskName(task)}`
    })
    const kilobytes = Math.floor(node.memoryBytes / 1024)
    return element('Node', element('name', node.name)
      + element('state', slot >= node.cores ? 'job-exclusive' : 'free') + element('np', node.cores)
      + element('ntype', 'cluster') + (jobs.length === 0 ? '' : element('jobs', jobs.join(',')))
      + element('status', `rectime=1795183200,state=free,ncpus=${node.cores},`
        + `physmem=${kilobytes}kb,availmem=${kilobytes}kb,totmem=${kilobytes}kb,opsys=linux`)
      + element('mom_service_port', 15002))
  })
  return { stdout: `<?xml version="1.0"?>\n<Data>${shown.join('')}</Data>\n` }
}

function qselect(machine: FakeMachine, call: Call): Answer {
  const options = getopt('qselect', 'a:A:ec:h:l:N:p:q:r:s:u:', call.words)
  if (options.fault !== undefined) return { stderr: `${options.fault}usage: qselect\n`, code: 2 }
  const found = machine.tasks().filter((task) =>
    (valueOf(options, 'N') ?? nameOf(task)) === nameOf(task))
  return { stdout: found.map((task) => `${taskName(task)}\n`).join('') }
}

function holding(machine: FakeMachine, call: Call): Answer {
  return each(machine, call, 'h:t:', (tasks, _id, options) => {
    const waiting = chosen(tasks, valueOf(options, 't')).filter((task) => task.state === 'queued')
    if (waiting.length === 0) return 15016
    for (const task of waiting) {
      if (call.program === 'qhold') machine.hold(task)
      else machine.release(task)
    }
    return undefined
  })
}

function qsig(machine: FakeMachine, operator: boolean, call: Call): Answer {
  return each(machine, call, 'as:', (tasks, id, options) => {
    const name = valueOf(options, 's') ?? 'SIGTERM'
    const stops = name === 'suspend' || name === 'resume'
    if (stops && !operator) return 15007
    // An array as a whole takes no signal.
    if (id.includes('[]')) return 15004
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
