// Grid Engine, by its commands: qsub once a tranche, one qstat for all tasks, qacct for what is
// gone, qdel, qhold, qrls, qmod. Written against 8.1.9 (Son of Grid Engine).

import { ok, refuse } from '../../protocol/base/outcome.ts'
import { BatchDriver } from './batch-driver.ts'
import type { BatchConfig } from './batch-driver.ts'
import { beyondNodes } from './batch-limits.ts'
import { formatIndexes, jobNameOf } from './batch-script.ts'
import type { ScriptWords } from './batch-script.ts'
import { failed, unreadable } from './batch-shell.ts'
import type { BatchCommand, Target, Tongue } from './batch-tongue.ts'
import { SchedulerFailure } from './driver.ts'
import type { Abilities, Capacity, ControlVerb, Submission, SubmitRefusal } from './driver.ts'
import type { RunResult } from './exec.ts'
import {
  isUnreachable, parseAccounting, parseJobs, parseQueues, parseReasons, parseSubmitted,
  queueResources, refusalOf,
} from './grid-engine-output.ts'

export interface GridEngineConfig extends BatchConfig {
  /** SGE_ROOT and SGE_CELL; as the commands find them by themselves when left out. */
  readonly root?: string
  readonly cell?: string
  readonly qmasterPort?: number
  readonly execdPort?: number
  /** Where tasks go that name no queue; Grid Engine chooses when left out. */
  readonly queue?: string
  /**
   * A parallel environment that puts all slots of a task on one host (`$pe_slots`); without one a
   * task has one core.
   */
  readonly parallelEnvironment?: string
  /**
   * The complex by which memory is asked for, such as `h_vmem` or `mem_free`; none when left out.
   * It is asked for by the slot, unless it is among `perJobComplexes`.
   */
  readonly memoryComplex?: string
  /** The complex that counts graphics processors. */
  readonly gpuComplex?: string
  /** Complexes that count licences: a licence has the name of its complex. */
  readonly licenceComplexes?: readonly string[]
  /** Complexes with `consumable JOB`, which are not multiplied by the slots of a task. */
  readonly perJobComplexes?: readonly string[]
  /** Given to every qsub as they are, for example `-P`, `grid`. */
  readonly extraArguments?: readonly string[]
  /** Whether tasks that use too much memory are ended as such; false when left out. */
  readonly memoryEnforced?: boolean
}

const gridEngineScript: ScriptWords = {
  identity: [
    'case ${SGE_TASK_ID:-undefined} in undefined) position=0 ;;',
    '*) position=$((SGE_TASK_ID - 1)) ;; esac',
    'job=$JOB_ID',
  ],
  // qdel kills and qmod stops the process group of the script, and nothing but it unless the site
  // has set ENABLE_ADDGRP_KILL.
  signals: 'looked', reaches: 'group',
  // 99 puts a job back into the queue, 100 into an error state (sge_shepherd(8)).
  requeueCode: 99, reservedCodes: [99, 100],
}

const graceSecondsDefault = 10
/** Between the end by the script and the end by Grid Engine, which kills at once. */
const marginSeconds = 10

export function gridEngineDriver(config: GridEngineConfig): BatchDriver {
  return new BatchDriver(gridEngineTongue(config), config)
}

export function gridEngineTongue(config: GridEngineConfig): Tongue {
  const submitEnvironment = {
    ...(config.root === undefined ? {} : { SGE_ROOT: config.root }),
    ...(config.cell === undefined ? {} : { SGE_CELL: config.cell }),
    ...(config.qmasterPort === undefined ? {} : { SGE_QMASTER_PORT: String(config.qmasterPort) }),
    ...(config.execdPort === undefined ? {} : { SGE_EXECD_PORT: String(config.execdPort) }),
  }
  // Grid Engine ends what is over its own limit without grace, so that one lies behind ours.
  const afterSeconds = (config.graceSeconds ?? graceSecondsDefault) + marginSeconds
  return {
    kind: 'grid-engine', title: 'Grid Engine', queue: config.queue,
    abilities: abilitiesOf(config),
    environment: { ...submitEnvironment, LC_ALL: 'C', TZ: 'UTC0' },
    submitEnvironment,
    script: gridEngineScript,
    submit: (submission, script) => ({
      argv: ['qsub', ...submitArguments(submission, config, afterSeconds)],
      input: script.text,
    }),
    readSubmitted(result) {
      const jobId = result.code === 0 ? parseSubmitted(result.stdout) : undefined
      if (jobId !== undefined) return ok({ jobId })
      const refusal = result.code === 0 ? undefined : refusalOf(result.stderr || result.stdout)
      if (refusal) return refuse(refusal)
      throw failure('qsub', result)
    },
    refuse: (submission, capacity) => tooLarge(submission, config)
      ?? beyondNodes(submission, capacity, config.queue),
    query: ({ users }) => ({ argv: ['qstat', '-xml', '-s', 'prs', '-u', users.join(',')] }),
    readRows: (result) => demand('qstat', result, parseJobs),
    async gone(shell, _missing, signal) {
      // One question for all of ours: -j takes a pattern, but no list of ids.
      const result = await shell.run({ argv: ['qacct', '-d', '30', '-j', 'gn-*'] }, signal)
      return result.code === 0 ? parseAccounting(result.stdout) : []
    },
    async reasons(shell, jobIds, signal) {
      const result = await shell.run({ argv: ['qstat', '-j', jobIds.join(',')] }, signal)
      return parseReasons(result.stdout)
    },
    cancel: (target) => [{ argv: ['qdel', ...namesOf(target)] }],
    readCancelled(result) {
      const settled = /(has deleted|for deletion|does not exist|already in deletion)/
      const lines = `${result.stdout}\n${result.stderr}`.trim().split('\n')
      if (result.code === 0 || lines.every((line) => settled.test(line))) return
      throw failure('qdel', result)
    },
    control: controlCommands,
    readControlled({ kind }, result) {
      const words = `${result.stdout}\n${result.stderr}`.trim()
      if (isUnreachable(words) && result.code !== 0) throw failure(kind, result)
      if (/is already|modified hold/.test(words)) return undefined
      if (/does not exist/.test(words)) return undefined
      // qmod ends with 0 whatever it could do.
      if (result.code !== 0 || /denied|not restartable|can not be applied|no permission/i
        .test(words)) return { reason: 'refused', words }
      return undefined
    },
    async capacity(shell, signal) {
      const argv = ['qstat', '-f', '-F', queueResources, '-u', '*', '-xml']
      const result = await shell.run({ argv }, signal)
      const seen = demand('qstat', result, (text) => parseQueues(text, config.queue))
      return offered(seen, config, afterSeconds)
    },
  }
}

function abilitiesOf(config: GridEngineConfig): Abilities {
  return {
    arrays: true, hold: true, signal: true, suspend: true, startEstimate: false,
    accounting: true, memoryEnforced: config.memoryEnforced ?? false, walltimeEnforced: true,
    requeue: true, reservations: false, gpus: config.gpuComplex !== undefined,
    licences: (config.licenceComplexes ?? []).length > 0, nodes: false, chunks: false,
    accounts: process.getuid?.() === 0, seenAt: false,
  }
}

/** Complexes that are load values as Grid Engine comes; `-w e` finds no queue that has any. */
const loadValues = ['mem_free', 'mem_total', 'virtual_free', 'virtual_total', 'swap_free']

/** `-w e`: what no queue could ever run is refused instead of waiting for ever. */
function submitArguments(
  submission: Submission,
  config: GridEngineConfig,
  afterSeconds: number,
): string[] {
  const { tag, tasks, resources } = submission
  const cores = resources.coresPerTask
  const queue = submission.queue ?? config.queue
  const asked = requests(submission, config, afterSeconds)
  const { parallelEnvironment } = config
  return [
    '-terse', '-N', jobNameOf(tag), '-S', '/bin/sh', '-b', 'n',
    // No directives: the script holds the words of a stranger's command.
    '-C', '',
    '-o', '/dev/null', '-e', '/dev/null', '-wd', '/', '-m', 'n',
    '-w', asked.some(([name]) => loadValues.includes(name)) ? 'n' : 'e',
    // A task that Grid Engine started again by itself would run twice under one contract.
    '-r', 'n',
    '-l', asked.map(([name, value]) => `${name}=${value}`).join(','),
    ...(cores > 1 && parallelEnvironment !== undefined
      ? ['-pe', parallelEnvironment, String(cores), '-R', 'y']
      : []),
    ...(queue === undefined ? [] : ['-q', queue]),
    ...(tasks.length > 1 ? ['-t', `1-${tasks.length}`] : []),
    ...(config.extraArguments ?? []),
  ]
}

function requests(
  { resources }: Submission,
  config: GridEngineConfig,
  afterSeconds: number,
): [complex: string, value: string][] {
  const { coresPerTask, memoryBytesPerTask, gpusPerTask = 0, licences = [] } = resources
  const perTask = (complex: string, amount: number): number =>
    config.perJobComplexes?.includes(complex) ? amount : Math.ceil(amount / coresPerTask)
  const found: [string, string][] = [['h_rt', String(resources.walltimeSeconds + afterSeconds)]]
  const { memoryComplex, gpuComplex } = config
  if (memoryComplex !== undefined && memoryBytesPerTask > 0) {
    const kibibytes = perTask(memoryComplex, Math.ceil(memoryBytesPerTask / 1024))
    found.push([memoryComplex, `${kibibytes}K`])
  }
  if (gpuComplex !== undefined && gpusPerTask > 0) {
    found.push([gpuComplex, String(perTask(gpuComplex, gpusPerTask))])
  }
  for (const { name, count } of licences) found.push([name, String(perTask(name, count))])
  return found
}

/** What Grid Engine would read otherwise than it was meant, or not at all. */
function tooLarge(
  { resources }: Submission,
  config: GridEngineConfig,
): SubmitRefusal | undefined {
  const { coresPerTask, gpusPerTask = 0, licences = [], chunks } = resources
  const no = (words: string): SubmitRefusal => ({ reason: 'tooLarge', words })
  if (coresPerTask > 1 && config.parallelEnvironment === undefined) {
    return no(`expected 1 core a task, got ${coresPerTask}; no parallel environment is configured`)
  }
  if (chunks && chunks.reduce((sum, chunk) => sum + chunk.nodes, 0) > 1) {
    return no('expected a task that fits one node; this driver places no task on several')
  }
  const odd = (complex: string, amount: number): boolean =>
    !(config.perJobComplexes ?? []).includes(complex) && amount % coresPerTask !== 0
  if (gpusPerTask > 0) {
    const { gpuComplex } = config
    if (gpuComplex === undefined) return no('no complex is configured for graphics processors')
    if (odd(gpuComplex, gpusPerTask)) {
      return no(`${gpuComplex} is counted by the slot: ${gpusPerTask} for ${coresPerTask} cores`
        + ' cannot be asked for; ask for a multiple of the cores')
    }
  }
  for (const { name, count } of licences) {
    if (!(config.licenceComplexes ?? []).includes(name)) return no(`no licence ${name} is counted`)
    if (odd(name, count)) {
      return no(`${name} is counted by the slot: ${count} for ${coresPerTask} cores cannot be`
        + ' asked for; ask for a multiple of the cores')
    }
  }
  return undefined
}

function offered(seen: Capacity, config: GridEngineConfig, afterSeconds: number): Capacity {
  const cores = config.parallelEnvironment === undefined ? 1 : Number.MAX_SAFE_INTEGER
  return {
    ...seen,
    queues: seen.queues.map((queue) => ({
      ...queue,
      walltimeSecondsMax: Math.max(0, queue.walltimeSecondsMax - afterSeconds),
      coresPerNodeMax: Math.min(queue.coresPerNodeMax, cores),
    })),
  }
}

/** `12`, or `12.1-3 12.7`; array tasks count from 1. */
function namesOf({ jobId, tasks, positions }: Target): string[] {
  if (positions === 'all' || tasks === 1) return [jobId]
  return formatIndexes(positions.map((position) => position + 1)).split(',')
    .map((range) => `${jobId}.${range}`)
}

function controlCommands(verb: ControlVerb, target: Target): BatchCommand[] {
  const names = namesOf(target)
  switch (verb.kind) {
    case 'hold': return [{ argv: ['qhold', ...names] }]
    case 'release': return [{ argv: ['qrls', ...names] }]
    case 'suspend': return [{ argv: ['qmod', '-sj', ...names] }]
    case 'resume': return [{ argv: ['qmod', '-usj', ...names] }]
    // The job script does both: see batch-script.ts.
    default: return []
  }
}

function demand<Read>(
  program: string,
  result: RunResult,
  read: (text: string) => Read | undefined,
): Read {
  if (result.code !== 0) throw failure(program, result)
  const found = read(result.stdout)
  if (found === undefined) throw unreadable(program, result.stdout)
  return found
}

function failure(program: string, result: RunResult): SchedulerFailure {
  const plain = failed(program, result)
  if (!isUnreachable(`${result.stderr}\n${result.stdout}`)) return plain
  return new SchedulerFailure('unreachable', plain.message)
}
