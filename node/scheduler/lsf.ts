// IBM Spectrum LSF, by its commands: bsub once a tranche, one bjobs for all tasks, bkill, bstop,
// bresume, brequeue, bacct, bhosts, bqueues, lshosts. Written against the command reference of
// LSF 10.1; needs `bjobs -json`, so Fix Pack 2 or later.
//
// LSF counts run limits in minutes and array indexes from 1. A job script is a file that is run by
// its path: of one on its standard input, bsub would take any line that begins with #BSUB.

import { ok, refuse } from '../../protocol/base/outcome.ts'
import { BatchDriver } from './batch-driver.ts'
import type { BatchConfig } from './batch-driver.ts'
import { beyondNodes } from './batch-limits.ts'
import { formatIndexes, jobNameOf, plainName, quote } from './batch-script.ts'
import { failed, unreadable } from './batch-shell.ts'
import type { BatchCommand, JobScript, Target, Tongue } from './batch-tongue.ts'
import { SchedulerFailure } from './driver.ts'
import type { Abilities, ControlRefusal, ControlVerb, Submission } from './driver.ts'
import type { RunResult } from './exec.ts'
import {
  hostFields, isAway, jobFields, parseAccounting, parseHosts, parseJobs, parseMemory, parseQueues,
  parseShared, parseSubmitted, queueCapacity, refusalOf,
} from './lsf-output.ts'

export interface LsfConfig extends BatchConfig {
  /** The directory of lsf.conf (LSF_ENVDIR); LSF's own default when left out. */
  readonly confDirectory?: string
  /** Where tasks go that name no queue; LSF's default queue when left out. */
  readonly queue?: string
  /** Given to every bsub as they are, for example `-P`, `grid`. */
  readonly extraArguments?: readonly string[]
  /** Whether LSF ends jobs that use too much memory; false when left out. */
  readonly memoryEnforced?: boolean
  /** Whether memory is reserved for each slot (RESOURCE_RESERVE_PER_TASK) instead of each host. */
  readonly memoryPerSlot?: boolean
  /** Whether hosts have graphics processors that LSF knows (`-gpu`). */
  readonly gpus?: boolean
  /** Licences that are configured as shared resources, of these names. */
  readonly licences?: readonly string[]
}

export function lsfDriver(config: LsfConfig): BatchDriver {
  return new BatchDriver(lsfTongue(config), config)
}

const mebibyte = 1024 * 1024

export function lsfTongue(config: LsfConfig): Tongue {
  const { confDirectory } = config
  const submitEnvironment: Record<string, string> =
    confDirectory === undefined ? {} : { LSF_ENVDIR: confDirectory }
  return {
    kind: 'lsf', title: 'LSF', queue: config.queue,
    abilities: abilitiesOf(config),
    // Without a number of tries the commands wait for ever for a daemon that is away.
    environment: { ...submitEnvironment, LC_ALL: 'C', TZ: 'UTC', LSB_NTRIES: '1' },
    submitEnvironment: { ...submitEnvironment, LSB_NTRIES: '1' },
    script: {
      identity: [
        'position=$((${LSB_JOBINDEX:-0} > 0 ? LSB_JOBINDEX - 1 : 0))', 'job=$LSB_JOBID',
        // What concerns the command bsub alone is not for the task.
        'unset LSB_NTRIES',
      ],
      signals: 'looked', reaches: 'all',
    },
    scriptFile: true,
    submit: (submission, script) => ({
      argv: ['bsub', ...submitArguments(submission, script, config)],
    }),
    readSubmitted,
    refuse: (submission, capacity) => beyondNodes(submission, capacity, config.queue),
    query: ({ users, onlyTag }) => ({
      argv: [
        'bjobs', '-a', '-u', users.length === 1 ? users[0] ?? 'all' : 'all',
        '-J', onlyTag === undefined ? 'gn-*' : jobNameOf(onlyTag), '-o', jobFields, '-json',
      ],
    }),
    readRows(result) {
      if (result.code !== 0) {
        if (/no (matching |unfinished )?job found|is not found/i.test(result.stderr)) return []
        throw failure('bjobs', result)
      }
      const rows = parseJobs(result.stdout)
      if (!rows) throw unreadable('bjobs', result.stdout)
      return rows
    },
    async gone(shell, missing, signal) {
      const ids = missing.flatMap((job) => operands({ ...job, resources: nothing }))
      const argv = ['bacct', '-l', '-UF', '-u', 'all', ...ids]
      const result = await shell.run({ argv }, signal)
      return result.code === 0 ? parseAccounting(result.stdout) : []
    },
    cancel: (target) => [{ argv: ['bkill', ...operands(target)] }],
    readCancelled(result) {
      if (result.code === 0 || isOver(result.stderr)) return
      throw failure('bkill', result)
    },
    control: controlCommands,
    readControlled: controlled,
    async capacity(shell, signal) {
      const hostText = await shell.ask(['bhosts', '-o', hostFields, '-json'], signal)
      const hosts = parseHosts(hostText)
      if (!hosts) throw unreadable('bhosts', hostText)
      const queueText = await shell.ask(['bqueues', '-l'], signal)
      const queues = parseQueues(queueText)
      if (!queues) throw unreadable('bqueues', queueText)
      const memory = parseMemory(await shell.ask(['lshosts', '-w'], signal))
      const names = config.licences ?? []
      const shared = names.length === 0
        ? new Map<string, number>()
        : parseShared(await shell.ask(['bhosts', '-s', ...names], signal))
      const usable = hosts.filter((host) => host.usable)
      const sum = (of: (host: typeof usable[number]) => number): number =>
        usable.reduce((total, host) => total + of(host), 0)
      return {
        coresTotal: sum(({ cores }) => cores),
        coresFree: sum(({ cores, coresBusy }) => Math.max(0, cores - coresBusy)),
        memoryBytesTotal: sum(({ name }) => memory.get(name) ?? 0),
        // What is in use only lsload knows, of the moment; the share of idle slots stands for it.
        memoryBytesFree: sum(({ name, cores, coresBusy }) => Math.floor(
          (memory.get(name) ?? 0) * Math.max(0, cores - coresBusy) / Math.max(1, cores),
        )),
        nodesTotal: usable.length,
        licences: names.map((name) => ({ name, count: shared.get(name) ?? 0 })),
        tasksQueued: queues.reduce((total, queue) => total + queue.slotsWaiting, 0),
        tasksRunning: queues.reduce((total, queue) => total + queue.slotsRunning, 0),
        queues: queues.filter(({ usable: open, name }) =>
          open && (config.queue === undefined || name === config.queue))
          .map((queue) => queueCapacity(queue, hosts, memory)),
      }
    },
  }
}

const nothing = { coresPerTask: 1, memoryBytesPerTask: 0, walltimeSeconds: 1 }

function abilitiesOf(config: LsfConfig): Abilities {
  return {
    arrays: true, hold: true, signal: true, suspend: true, startEstimate: false,
    accounting: true, memoryEnforced: config.memoryEnforced ?? false, walltimeEnforced: true,
    requeue: true, reservations: true, gpus: config.gpus ?? false,
    licences: (config.licences ?? []).length > 0, nodes: true, chunks: true,
    accounts: process.getuid?.() === 0, seenAt: false,
  }
}

export function submitArguments(
  submission: Submission, script: JobScript, config: LsfConfig,
): string[] {
  const { tag, jobName, tasks, resources } = submission
  const queue = submission.queue ?? config.queue
  const name = jobNameOf(tag)
  return [
    '-J', tasks.length > 1 ? `${name}[1-${tasks.length}]` : name,
    '-Jd', `gridnode ${tag} ${plainName(jobName)}`,
    '-o', '/dev/null', '-i', '/dev/null', '-cwd', '/',
    // A task that LSF started again by itself would run twice under one contract.
    '-rn',
    ...needs(resources, config),
    '-W', String(Math.ceil(resources.walltimeSeconds / 60)),
    ...(queue === undefined ? [] : ['-q', queue]),
    ...(config.extraArguments ?? []),
    // LSF puts the words together and gives them to a shell.
    '/bin/sh', quote(script.path),
  ]
}

function needs(resources: Submission['resources'], config: LsfConfig): string[] {
  const chunks = resources.chunks ?? [{
    nodes: 1, coresPerNode: resources.coresPerTask,
    memoryBytesPerNode: resources.memoryBytesPerTask, gpusPerNode: resources.gpusPerTask ?? 0,
  }]
  const slots = chunks.reduce((sum, chunk) => sum + chunk.nodes * chunk.coresPerNode, 0)
  const memoryOf = (bytes: number, cores: number): number =>
    Math.ceil(bytes / mebibyte / (config.memoryPerSlot ? cores : 1))
  const parts = chunks.map(({ nodes, coresPerNode, memoryBytesPerNode }) => {
    const span = nodes === 1 ? 'span[hosts=1]' : `span[ptile=${coresPerNode}]`
    const memory = memoryOf(memoryBytesPerNode, coresPerNode)
    const text = memory > 0 ? `rusage[mem=${memory}MB] ${span}` : span
    return chunks.length === 1 ? text : `${nodes * coresPerNode}*{${text}}`
  })
  const most = Math.max(...chunks.map(({ memoryBytesPerNode }) => memoryBytesPerNode))
  const gpus = Math.max(...chunks.map(({ gpusPerNode }) => gpusPerNode))
  return [
    '-n', String(slots), '-R', parts.join('+'),
    ...(most > 0 ? ['-M', `${Math.ceil(most / mebibyte)}MB`] : []),
    ...(gpus > 0 ? ['-gpu', `num=${gpus}`] : []),
    ...(resources.licences ?? [])
      .flatMap(({ name, count }) => ['-R', `rusage[${name}=${count}]`]),
  ]
}

function readSubmitted(result: RunResult): ReturnType<Tongue['readSubmitted']> {
  const jobId = parseSubmitted(result.stdout)
  if (result.code === 0 && jobId !== undefined) return ok({ jobId })
  const refusal = refusalOf(result.stderr)
  if (refusal) return refuse(refusal)
  if (result.code !== 0) throw failure('bsub', result)
  const words = `expected a job id of bsub, got ${result.stdout.trim().slice(0, 200)}`
  throw new SchedulerFailure('malformed', words)
}

function failure(program: string, result: RunResult): SchedulerFailure {
  const said = `${program} failed: ${result.stderr.trim() || `exit code ${result.code}`}`
  return isAway(result.stderr) ? new SchedulerFailure('unreachable', said) : failed(program, result)
}

/** `12`, or `12[1-2,5]` with LSF's own numbers. */
function operands({ jobId, tasks, positions }: Target): string[] {
  if (positions === 'all' || tasks === 1) return [jobId]
  return [`${jobId}[${formatIndexes(positions.map((position) => position + 1))}]`]
}

/** All that a command complained of is that jobs have ended. */
function isOver(stderr: string): boolean {
  const lines = stderr.split('\n').filter((line) => line.trim() !== '')
  return lines.length > 0
    && lines.every((line) => /already finished|no matching job|is not found/i.test(line))
}

function controlCommands(verb: ControlVerb, target: Target): BatchCommand[] {
  // Of a whole array LSF would hold what waits and suspend what runs at once, so that every index
  // is named.
  const { tasks, positions } = target
  const all = Array.from({ length: tasks }, (_, position) => position)
  const named = operands({ ...target, positions: positions === 'all' ? all : positions })
  switch (verb.kind) {
    case 'hold': case 'suspend': return [{ argv: ['bstop', ...named] }]
    case 'release': case 'resume': return [{ argv: ['bresume', ...named] }]
    case 'requeue': return [{ argv: ['brequeue', ...named] }]
    case 'signal': return []
  }
}

function controlled(_verb: ControlVerb, result: RunResult): ControlRefusal | undefined {
  if (result.code === 0 || isOver(result.stderr)) return undefined
  const words = result.stderr.trim().replaceAll('\n', '; ')
  if (/permission|not allowed/i.test(words)) return { reason: 'refused', words }
  if (/has not started|has already started|not in|suspended/i.test(words)) {
    return { reason: 'state', words }
  }
  throw failure('the command', result)
}
