// The commands of IBM Spectrum LSF 10.1 as far as a driver uses them: bsub, bjobs, bkill, bstop,
// bresume, brequeue, bacct, bhosts, bqueues and lshosts, with its words, its minutes, its JSON and
// its messages. Array indexes count from 1; a job that is no array has index 0.

import { dashed, has, valueOf } from '../batch-commands/options.ts'
import type { Options } from '../batch-commands/options.ts'
import { isActive, neverRan } from '../batch-commands/machine.ts'
import type { FakeJob, FakeMachine, FakeTask } from '../batch-commands/machine.ts'
import type { Answer, Call, Dialect } from '../batch-commands/service.ts'

const mebibyte = 1024 * 1024

const submitWords = {
  '-J': 'value', '-Jd': 'value', '-q': 'value', '-n': 'value', '-R': 'value', '-W': 'value',
  '-M': 'value', '-P': 'value', '-o': 'value', '-e': 'value', '-oo': 'value', '-eo': 'value',
  '-i': 'value', '-cwd': 'value', '-env': 'value', '-gpu': 'value', '-m': 'value', '-w': 'value',
  '-b': 'value', '-t': 'value', '-u': 'value', '-L': 'value', '-sp': 'value', '-app': 'value',
  '-We': 'value', '-c': 'value', '-v': 'value', '-g': 'value', '-G': 'value', '-U': 'value',
  '-H': 'flag', '-r': 'flag', '-rn': 'flag', '-x': 'flag', '-N': 'flag', '-B': 'flag',
  '-K': 'flag', '-I': 'flag',
} as const

export function lsf(machine: FakeMachine): Dialect {
  const answers: Readonly<Record<string, (call: Call) => Answer>> = {
    bsub: (call) => bsub(machine, call),
    bjobs: (call) => bjobs(machine, call),
    bkill: (call) => each(machine, call, { '-s': 'value', '-r': 'flag', '-u': 'value' }, kill),
    bstop: (call) => each(machine, call, { '-u': 'value' }, stop),
    bresume: (call) => each(machine, call, { '-u': 'value' }, resume),
    brequeue: (call) => each(machine, call, { '-r': 'flag', '-e': 'flag', '-u': 'value' }, requeue),
    bacct: (call) => bacct(machine, call),
    bhosts: (call) => bhosts(machine, call),
    bqueues: () => ({
      stdout: machine.queues.map((queue) => showQueue(machine, queue)).join('\n'),
    }),
    lshosts: () => lshosts(machine),
  }
  return {
    programs: Object.keys(answers),
    readers: ['bsub'],
    answer: (call) => answers[call.program]?.(call) ?? { code: 127 },
    // The commands try LSB_NTRIES times; ours are told to try once.
    down: (program) => ({
      stdout: '', code: 255,
      stderr: program === 'lshosts'
        ? 'ls_gethostinfo: LIM is down; try later\n'
        : 'LSF is down. Please wait ...\nbatch system daemon not responding ... still trying\n'
          + `${program === 'bsub' ? '' : `${program}: `}`
          + 'Failed in an LSF library call: A socket operation has failed: Connection refused'
          + `${program === 'bsub' ? '. Job not submitted.' : ''}\n`,
    }),
  }
}

function refused(words: string): Answer {
  return { stderr: `${words}. Job not submitted.\n`, code: 255 }
}

/** bsub's own options end where the command begins. */
function splitCommand(words: readonly string[]): [readonly string[], readonly string[]] {
  let at = 0
  while (at < words.length && words[at]?.startsWith('-')) {
    const kind = submitWords[words[at] as keyof typeof submitWords]
    at += kind === 'value' ? 2 : 1
  }
  return [words.slice(0, at), words.slice(at)]
}

function bsub(machine: FakeMachine, call: Call): Answer {
  const [own, command] = splitCommand(call.words)
  const options = dashed(submitWords, own)
  if (options.fault !== undefined) {
    return { stderr: `Illegal option -- ${options.fault}\nUsage: bsub [-h]\n`, code: 255 }
  }
  const queueName = valueOf(options, '-q') ?? machine.queues[0]?.name ?? ''
  const queue = machine.queues.find((one) => one.name === queueName)
  if (!queue) return refused(`${queueName}: No such queue`)
  const wish = readWish(options)
  if (typeof wish === 'string') return refused(wish)
  const walltime = valueOf(options, '-W')
  const minutes = walltime === undefined ? undefined : readMinutes(walltime)
  if (walltime !== undefined && minutes === undefined) {
    return refused(`${walltime}: Bad run limit specification`)
  }
  if ((minutes ?? 0) * 60 > (queue.walltimeSecondsMax ?? Infinity)) {
    return refused("RUNLIMIT: Cannot exceed queue's hard limit(s)")
  }
  const title = /^([^[\]]+)(?:\[([\d,:-]+)\](?:%(\d+))?)?$/.exec(valueOf(options, '-J') ?? 'job')
  const indexes = title?.[2] === undefined ? [0] : readIndexes(title[2])
  if (!title?.[1] || !indexes) return refused('Bad job name')
  const open = machine.tasks().filter((task) => task.state !== 'ended')
  if (open.length + indexes.length > (queue.tasksMax ?? Infinity)) {
    return refused('The destination queue has reached its job limit')
  }
  const [name, array] = [title[1], title[2] !== undefined]
  const text = command.length > 0 ? command.join(' ') : call.input
  const job = machine.submit({
    name, owner: call.user, queue: queueName, nodes: 1, coresPerNode: wish.cores,
    memoryBytes: wish.memoryBytes, array, indexes,
    walltimeSeconds: minutes === undefined ? undefined : minutes * 60,
    limit: title[3] === undefined ? undefined : Number(title[3]), held: has(options, '-H'),
    walltimeSignal: 'SIGUSR2',
    command: (task) => ['/bin/sh', task.job.script],
    // Jobs get the submitter's environment.
    environment: (task) => ({
      ...call.environment, LSB_JOBID: String(task.job.id), LSB_JOBINDEX: String(task.index),
      LSB_JOBNAME: array ? `${name}[${task.index}]` : name, LSB_QUEUE: queueName,
      LSB_BATCH_JID: array ? `${task.job.id}[${task.index}]` : String(task.job.id),
    }),
    directory: valueOf(options, '-cwd') ?? call.directory,
    stdout: valueOf(options, '-o') ?? '/dev/null',
    stderr: valueOf(options, '-e') ?? valueOf(options, '-o') ?? '/dev/null',
    attributes: {},
  }, text)
  const which = valueOf(options, '-q') === undefined ? 'default queue' : 'queue'
  return { stdout: `Job <${job.id}> is submitted to ${which} <${queueName}>.\n` }
}

/** `-n`, `-R`, `-M`; words on what is wrong with them. */
function readWish(options: Options): { cores: number; memoryBytes: number } | string {
  const cores = Number(valueOf(options, '-n') ?? 1)
  if (!Number.isSafeInteger(cores) || cores < 1) return `${valueOf(options, '-n')}: Bad argument`
  let memoryBytes = 0
  for (const { value } of options.given.filter(({ name }) => name === '-R')) {
    const sections = value.replaceAll(/\d+\*\{|\}|\+/g, ' ')
    for (const section of sections.trim().split(/\s+(?=[a-z]+\[)/)) {
      const match = /^(select|rusage|span|affinity|order|same|cu)\[([^\]]*)\]$/.exec(section.trim())
      if (!match) return `Error near "${section}" : syntax error`
      const memory = /mem=(\d+)MB/.exec(match[2] ?? '')
      if (match[1] === 'rusage' && memory) memoryBytes = Number(memory[1]) * mebibyte
      if (match[1] === 'span' && !/^(hosts=1|ptile=\d+)$/.test(match[2] ?? '')) {
        return 'Error in span section'
      }
    }
  }
  const limit = valueOf(options, '-M')
  if (limit !== undefined && !/^\d+(KB?|MB?|GB?)?$/i.test(limit)) {
    return `${limit}: Bad MEMLIMIT specification`
  }
  return { cores, memoryBytes }
}

/** `90`, `1:30`, perhaps with `/host`. */
function readMinutes(text: string): number | undefined {
  const match = /^(?:(\d+):)?(\d+)(?:\/\w+)?$/.exec(text)
  return match ? Number(match[1] ?? 0) * 60 + Number(match[2]) : undefined
}

/** `1-4,7`, `1-9:2`; from 1. */
function readIndexes(text: string): number[] | undefined {
  const found: number[] = []
  for (const part of text.split(',')) {
    const match = /^(\d+)(?:-(\d+)(?::(\d+))?)?$/.exec(part)
    if (!match || Number(match[1]) < 1) return undefined
    const step = Number(match[3] ?? 1)
    for (let at = Number(match[1]); at <= Number(match[2] ?? match[1]); at += step) found.push(at)
  }
  return found
}

interface Named {
  readonly id: string
  readonly tasks: readonly FakeTask[]
}

function lookUp(machine: FakeMachine, operand: string): Named | undefined {
  machine.tasks()
  return among(machine.jobs, operand)
}

function among(jobs: ReadonlyMap<number, FakeJob>, operand: string): Named | undefined {
  const match = /^(\d+)(?:\[([\d,:-]+)\])?$/.exec(operand)
  const job = jobs.get(Number(match?.[1]))
  if (!match || !job) return undefined
  if (match[2] === undefined) return { id: operand, tasks: job.tasks }
  const indexes = readIndexes(match[2])
  const tasks = job.tasks.filter((task) => indexes?.includes(task.index))
  return tasks.length === 0 ? undefined : { id: operand, tasks }
}

/** Undefined: nothing of it can be done, for it has ended. */
type Act = (machine: FakeMachine, task: FakeTask, options: Options) => string | undefined

function each(
  machine: FakeMachine, call: Call, words: Readonly<Record<string, 'flag' | 'value'>>, act: Act,
): Answer {
  const options = dashed(words, call.words)
  if (options.fault !== undefined || options.operands.length === 0) {
    return { stderr: `Illegal option -- ${options.fault}\nUsage: ${call.program}\n`, code: 255 }
  }
  let [stdout, stderr, code] = ['', '', 0]
  for (const operand of options.operands) {
    const named = lookUp(machine, operand)
    if (!named) {
      stderr += `Job <${operand}>: No matching job found\n`
      code = 255
      continue
    }
    const done = named.tasks.map((task) => act(machine, task, options)).find((said) => said)
    if (done === undefined) {
      const over = named.tasks.every((task) => task.state === 'ended')
      const words = over ? 'Job has already finished' : 'Job has not started yet'
      stderr += `Job <${operand}>: ${words}\n`
      code = 255
    } else stdout += `Job <${operand}> is being ${done}\n`
  }
  return { stdout, stderr, code }
}

const kill: Act = (machine, task, options) => {
  if (task.state === 'ended') return undefined
  const name = valueOf(options, '-s')
  if (name !== undefined) {
    machine.signal(task, `SIG${name.replace(/^SIG/, '')}` as NodeJS.Signals)
    return 'signaled'
  }
  // SIGINT, SIGTERM and SIGKILL, JOB_TERMINATE_INTERVAL apart.
  const remark = 'TERM_OWNER: job killed by owner'
  machine.end(task, 'deleted', { signal: 'SIGINT', remark })
  machine.signal(task, 'SIGTERM')
  return 'terminated'
}

const stop: Act = (machine, task) => {
  if (task.state === 'queued') machine.hold(task)
  else if (isActive(task)) machine.suspend(task)
  else return undefined
  return 'stopped'
}

const resume: Act = (machine, task) => {
  if (task.state === 'suspended') machine.resume(task)
  else if (task.state === 'queued' && task.held) machine.release(task)
  else return undefined
  return 'resumed'
}

const requeue: Act = (machine, task) => {
  if (!isActive(task)) return undefined
  machine.requeue(task)
  return 'requeued'
}

const queryWords = {
  '-a': 'flag', '-u': 'value', '-J': 'value', '-o': 'value', '-json': 'flag', '-noheader': 'flag',
  '-w': 'flag', '-l': 'flag', '-p': 'flag', '-r': 'flag', '-d': 'flag', '-q': 'value',
  '-m': 'value', '-X': 'flag', '-UF': 'flag', '-hms': 'flag',
} as const

function bjobs(machine: FakeMachine, call: Call): Answer {
  const options = dashed(queryWords, call.words)
  const format = valueOf(options, '-o')
  if (options.fault !== undefined || !has(options, '-json') || format === undefined) {
    return { stderr: `Illegal option -- ${options.fault}\nUsage: bjobs [-h]\n`, code: 255 }
  }
  const user = valueOf(options, '-u') ?? call.user
  const name = valueOf(options, '-J')
  const tasks = machine.tasks().filter((task) =>
    (has(options, '-a') || task.state !== 'ended')
    && (user === 'all' || task.job.owner === user)
    && (name === undefined || matches(task.job.name, name)))
  const records = tasks.map((task) => {
    const shown = showTask(task)
    const lines = format.split(/\s+/).map((field) => {
      const value = shown[field.toUpperCase()]
      // The real one escapes slashes too.
      const text = JSON.stringify(value ?? '').replaceAll('/', '\\/')
      return value === undefined ? undefined : `      "${field.toUpperCase()}":${text}`
    })
    return lines.includes(undefined) ? undefined : `    {\n${lines.join(',\n')}\n    }`
  })
  if (records.includes(undefined)) {
    return { stderr: 'bjobs: invalid field name in -o option\n', code: 255 }
  }
  const rows = records.length === 0 ? '' : `${records.join(',\n')}\n`
  return {
    stdout: `{\n  "COMMAND":"bjobs",\n  "JOBS":${records.length},\n  "RECORDS":[\n${rows}  ]\n}\n`,
  }
}

/** A name may end with a star. */
function matches(name: string, pattern: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern
}

function stateOf(task: FakeTask): string {
  switch (task.state) {
    case 'queued': return task.held ? 'PSUSP' : 'PEND'
    case 'running': return 'RUN'
    case 'suspended': return 'USUSP'
    default:
      return task.ending === undefined && task.exitCode === 0 && task.signal === 0 ? 'DONE' : 'EXIT'
  }
}

function reasonOf(task: FakeTask): string {
  switch (task.ending) {
    case 'walltime': return 'TERM_RUNLIMIT: job killed after reaching LSF run time limit'
    case 'memory': return 'TERM_MEMLIMIT: job killed after reaching LSF memory usage limit'
    case 'deleted': return task.remark || 'TERM_OWNER: job killed by owner'
    case 'lost': return 'TERM_ZOMBI: job exited while LSF is not available'
    default: return ''
  }
}

/** `Nov 20 18:01`, in UTC, which is what the driver asks for. */
function dateText(epochMs: number): string {
  const [, day = '', month = '', , time = ''] = new Date(epochMs).toUTCString().split(/,? /)
  return `${month} ${String(Number(day)).padStart(2)} ${time.slice(0, 5)}`
}

function showTask(task: FakeTask): Record<string, string> {
  const { job } = task
  const ended = task.state === 'ended'
  const ran = !neverRan(task) && task.state !== 'queued'
  const code = task.signal === 0 ? task.exitCode : 128 + task.signal
  const until = ended ? task.endedMs : Date.now()
  const seconds = ran ? Math.floor((until - task.startedMs) / 1000) : 0
  return {
    JOBID: String(job.id), JOBINDEX: String(task.index), STAT: stateOf(task), USER: job.owner,
    JOB_NAME: job.array ? `${job.name}[${task.index}]` : job.name, QUEUE: job.queue,
    EXIT_CODE: ended && ran && code !== 0 ? String(code) : '',
    EXIT_REASON: ended ? reasonOf(task) : '',
    START_TIME: ran ? dateText(task.startedMs) : '',
    FINISH_TIME: ended ? dateText(task.endedMs) : '',
    RUN_TIME: `${seconds} second(s)`, CPU_USED: ran ? '0.2 second(s)' : '',
    MAX_MEM: ran ? '3 Mbytes' : '', PEND_REASON: task.state === 'queued' ? 'Job slots;' : '',
  }
}

function bacct(machine: FakeMachine, call: Call): Answer {
  const options = dashed({ '-l': 'flag', '-UF': 'flag', '-u': 'value' }, call.words)
  if (options.fault !== undefined) return { stderr: 'Usage: bacct [-h]\n', code: 255 }
  const known = new Map(machine.accounted.map((job) => [job.id, job]))
  const named = options.operands.flatMap((operand) =>
    lookUp(machine, operand)?.tasks ?? among(known, operand)?.tasks ?? [])
  const over = named.filter((task) => task.state === 'ended')
  if (over.length === 0) return { stderr: 'No matching job found\n', code: 255 }
  const shown = over.map((task) => {
    const { job } = task
    const id = job.array ? `${job.id}[${task.index}]` : String(job.id)
    const name = job.array ? `${job.name}[${task.index}]` : job.name
    const reason = reasonOf(task)
    const how = stateOf(task) === 'DONE' ? 'done' : 'exit'
    return [
      '-'.repeat(78), '',
      `Job <${id}>, Job Name <${name}>, User <${job.owner}>, Project <default>, `
        + `Status <${stateOf(task)}>, Queue <${job.queue}>, Command </bin/sh>, `
        + 'Share group charged </user>',
      `${longDate(job.submittedMs)}: Submitted from host <n1>, CWD </>;`,
      ...(neverRan(task) ? [] : [`${longDate(task.startedMs)}: Dispatched to <n1>;`]),
      `${longDate(task.endedMs)}: Completed <${how}>${reason === '' ? '' : `; ${reason}`}.`, '',
      'Accounting information about this job:',
      '     CPU_T     WAIT     TURNAROUND   STATUS     HOG_FACTOR    MEM    SWAP',
      `      0.20        1              4     ${how}         0.0500     3M      0M`, '',
    ].join('\n')
  })
  return {
    stdout: '\nAccounting information about jobs that are:\n  - submitted by users all\n'
      + shown.join(''),
  }
}

/** `Fri Nov 20 18:01:33`. */
function longDate(epochMs: number): string {
  const [weekday = '', day = '', month = '', , time = ''] =
    new Date(epochMs).toUTCString().split(/,? /)
  return `${weekday} ${month} ${String(Number(day)).padStart(2)} ${time}`
}

function bhosts(machine: FakeMachine, call: Call): Answer {
  const options = dashed({ '-o': 'value', '-json': 'flag', '-w': 'flag' }, call.words)
  if (options.fault !== undefined || !has(options, '-json')) {
    return { stderr: 'Usage: bhosts [-h]\n', code: 255 }
  }
  const records = machine.nodes.map((node) => {
    const busy = machine.coresBusy(node)
    const shown: Record<string, string> = {
      HOST_NAME: node.name, STATUS: busy >= node.cores ? 'closed_Full' : 'ok',
      MAX: String(node.cores), NJOBS: String(busy), RUN: String(busy),
      SSUSP: '0', USUSP: '0', RSV: '0',
    }
    const fields = (valueOf(options, '-o') ?? '').split(/\s+/).map((field) => field.toUpperCase())
    return `    {\n${fields.map((name) => `      "${name}":"${shown[name]}"`).join(',\n')}\n    }`
  })
  return {
    stdout: `{\n  "COMMAND":"bhosts",\n  "HOSTS":${records.length},\n  "RECORDS":[\n`
      + `${records.join(',\n')}\n  ]\n}\n`,
  }
}

function showQueue(machine: FakeMachine, queue: FakeMachine['queues'][number]): string {
  const jobs = machine.tasks().filter(({ job }) => job.queue === queue.name)
  const slots = (holds: (task: FakeTask) => boolean): number => jobs.filter(holds)
    .reduce((sum, { job }: { job: FakeJob }) => sum + job.coresPerNode, 0)
  const waiting = slots((task) => task.state === 'queued')
  const running = slots(isActive)
  const numbers = [waiting + running, waiting, running, 0, 0, 0]
    .map((value) => String(value).padStart(6)).join('')
  const minutes = (queue.walltimeSecondsMax ?? 0) / 60
  return [
    '', `QUEUE: ${queue.name}`, '  -- For normal low priority jobs.', '', 'PARAMETERS/STATISTICS',
    'PRIO NICE STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN SSUSP USUSP  RSV ',
    ` 30    0  Open:Active       -    -    -    -${numbers}`,
    'Interval for a host to accept two jobs is 0 seconds', '',
    ...(minutes === 0
      ? []
      : ['MAXIMUM LIMITS:', ' RUNLIMIT', ` ${minutes.toFixed(1)} min`, '']),
    'SCHEDULING PARAMETERS', '           r15s   r1m  r15m   ut      pg    io   ls    it    tmp',
    ' loadSched   -     -     -     -       -     -    -     -     -', '',
    'USERS: all', 'HOSTS:  all', '',
  ].join('\n')
}

function lshosts(machine: FakeMachine): Answer {
  const lines = machine.nodes.map((node) =>
    `${node.name.padEnd(24)} X86_64  Intel_E  60.0 ${String(node.cores).padStart(5)} `
    + `${String(node.memoryBytes / mebibyte)}M      -    Yes (mg)`)
  const head = 'HOST_NAME           type    model  cpuf ncpus maxmem maxswp server RESOURCES'
  return { stdout: `${head}\n${lines.join('\n')}\n` }
}
