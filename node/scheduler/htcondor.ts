// HTCondor, by its commands: condor_submit once a tranche, one condor_q for all tasks, condor_rm,
// condor_hold, condor_release, condor_suspend, condor_continue, condor_vacate_job, condor_status,
// condor_history. Written against the manual and sources of HTCondor 23.
//
// HTCondor has neither queues nor limits of time, and starts a job again whose machine went away:
// the submission brings its own policy. Jobs that have ended stay in the queue for a while, so that
// the query sees them; after that condor_history tells.

import { ok, refuse } from '../../protocol/base/outcome.ts'
import { BatchDriver } from './batch-driver.ts'
import type { BatchConfig } from './batch-driver.ts'
import { beyondNodes } from './batch-limits.ts'
import { jobNameOf } from './batch-script.ts'
import { demandSuccess, failed, unreadable } from './batch-shell.ts'
import type { BatchCommand, JobScript, Target, Tongue } from './batch-tongue.ts'
import { SchedulerFailure } from './driver.ts'
import type { Abilities, ControlVerb, Submission } from './driver.ts'
import {
  jobAttributes, parseCapacity, parseJobs, parseSubmitted, refusalOf, slotAttributes,
  startsAttribute, tagAttribute,
} from './htcondor-output.ts'

export interface HtcondorConfig extends BatchConfig {
  /** CONDOR_CONFIG; HTCondor's own default when left out. */
  readonly confPath?: string
  /** What the pool is called as a queue; `condor` when left out. */
  readonly queue?: string
  /** Lines for every submit description, for example `accounting_group = grid`. */
  readonly extraLines?: readonly string[]
  /** Whether the pool puts jobs on hold that use too much memory; false when left out. */
  readonly memoryEnforced?: boolean
  /** Whether machines have graphics processors (`request_gpus`). */
  readonly gpus?: boolean
  /** Licences that are configured as concurrency limits, of these names. */
  readonly licences?: readonly string[]
}

export function htcondorDriver(config: HtcondorConfig): BatchDriver {
  return new BatchDriver(htcondorTongue(config), config)
}

const mebibyte = 1024 * 1024
/** Beyond the walltime, until HTCondor itself ends a task: the job script should have done so. */
const slackSeconds = 60
/** How long an ended job stays in the queue. */
const keepSeconds = 600

export function htcondorTongue(config: HtcondorConfig): Tongue {
  const queue = config.queue ?? 'condor'
  const environment: Record<string, string> =
    config.confPath === undefined ? {} : { CONDOR_CONFIG: config.confPath }
  return {
    kind: 'htcondor', title: 'HTCondor', queue,
    abilities: abilitiesOf(config),
    environment: { ...environment, LC_ALL: 'C' },
    submitEnvironment: environment,
    script: { identity: ['position=$1', 'job=$2'], signals: 'looked', reaches: 'all' },
    scriptFile: true,
    submit: (submission, script) => ({
      argv: ['condor_submit', '-terse'], input: submitFile(submission, script, config),
    }),
    readSubmitted(result) {
      const jobId = parseSubmitted(result.stdout)
      if (result.code === 0 && jobId !== undefined) return ok({ jobId })
      const refusal = result.code === 0 ? undefined : refusalOf(result.stderr)
      if (refusal) return refuse(refusal)
      if (result.code !== 0) throw failed('condor_submit', result)
      const words = `expected a job id of condor_submit, got ${result.stdout.trim().slice(0, 200)}`
      throw new SchedulerFailure('malformed', words)
    },
    refuse: (submission, capacity) => beyondNodes(submission, capacity, queue),
    query: ({ users, onlyTag }) => ({
      argv: [
        'condor_q', '-allusers', '-constraint', constraintOf(users, onlyTag),
        '-attributes', jobAttributes, '-json',
      ],
    }),
    readRows(result) {
      const text = demandSuccess('condor_q', result)
      const rows = parseJobs(text)
      if (!rows) throw unreadable('condor_q', text)
      return rows
    },
    async gone(shell, missing, signal) {
      const clusters = [...new Set(missing.map(({ jobId }) => jobId))]
      const argv = ['condor_history', ...clusters, '-attributes', jobAttributes, '-json']
      const result = await shell.run({ argv }, signal)
      return result.code === 0 ? parseJobs(result.stdout) ?? [] : []
    },
    cancel: (target) => [{ argv: ['condor_rm', ...operands(target)] }],
    readCancelled(result) {
      if (result.code === 0 || isOver(result.stderr)) return
      throw failed('condor_rm', result)
    },
    control: controlCommands,
    readControlled(_verb, result) {
      if (result.code === 0 || isOver(result.stderr)) return undefined
      const words = result.stderr.trim().replaceAll('\n', '; ')
      if (/permission denied/i.test(words)) return { reason: 'refused', words }
      if (/ not (held|running|in a state)|already/i.test(words)) return { reason: 'state', words }
      throw failed('the command', result)
    },
    async capacity(shell, signal) {
      const slots = await shell.ask(
        ['condor_status', '-attributes', slotAttributes, '-json'], signal,
      )
      const schedds = await shell.ask([
        'condor_status', '-schedd', '-attributes', 'Name,TotalIdleJobs,TotalRunningJobs', '-json',
      ], signal)
      const capacity = parseCapacity(slots, schedds, queue)
      if (!capacity) throw unreadable('condor_status', slots)
      const names = config.licences ?? []
      if (names.length === 0) return capacity
      const limits = await shell.ask([
        'condor_config_val', ...names.map((name) => `${name.toUpperCase()}_LIMIT`),
      ], signal)
      const counts = limits.split('\n').map((line) => Number.parseInt(line, 10) || 0)
      return { ...capacity, licences: names.map((name, at) => ({ name, count: counts[at] ?? 0 })) }
    },
  }
}

function abilitiesOf(config: HtcondorConfig): Abilities {
  return {
    arrays: true, hold: true, signal: true, suspend: true, startEstimate: false,
    accounting: true, memoryEnforced: config.memoryEnforced ?? false, walltimeEnforced: true,
    requeue: true, reservations: false, gpus: config.gpus ?? false,
    licences: (config.licences ?? []).length > 0,
    // Only its parallel universe has several machines for a job, which few pools offer.
    nodes: false, chunks: false, accounts: process.getuid?.() === 0, seenAt: false,
  }
}

export function submitFile(
  submission: Submission, script: JobScript, config: HtcondorConfig,
): string {
  const { tag, tasks, resources } = submission
  const limit = resources.walltimeSeconds + slackSeconds
  const memoryMebibytes = Math.ceil(resources.memoryBytesPerTask / mebibyte)
  const licences = (resources.licences ?? []).map(({ name, count }) => `${name}:${count}`)
  const gpus = resources.gpusPerTask ?? 0
  return [
    'universe = vanilla', 'executable = /bin/sh', 'transfer_executable = false',
    `arguments = "${argument(script.path)} $(Process) $(Cluster)"`,
    // No files are moved: only machines that share the file system are asked.
    'initialdir = /', 'should_transfer_files = NO',
    'output = /dev/null', 'error = /dev/null', 'notification = never',
    // Jobs get what this command gets; the engine gives it the inherited variables and no more.
    'getenv = true',
    `+${tagAttribute} = "${tag}"`, `+JobBatchName = "${jobNameOf(tag)}"`, `+${startsAttribute} = 1`,
    `request_cpus = ${resources.coresPerTask}`,
    ...(memoryMebibytes > 0 ? [`request_memory = ${memoryMebibytes}`] : []),
    ...(gpus > 0 ? [`request_gpus = ${gpus}`] : []),
    ...(licences.length > 0 ? [`concurrency_limits = ${licences.join(',')}`] : []),
    // Once a task has started, no machine is looked for again; what waits again is lost.
    `requirements = NumJobStarts =?= undefined || NumJobStarts < ${startsAttribute}`,
    'periodic_remove = '
      + `(JobStatus == 2 && time() - JobCurrentStartDate > ${limit})`
      + ` || (JobStatus == 1 && NumJobStarts =!= undefined && NumJobStarts >= ${startsAttribute})`
      + ' || (JobStatus == 5 && HoldReasonCode =?= 34)',
    'leave_in_queue = (JobStatus == 3 || JobStatus == 4)'
      + ` && time() - EnteredCurrentStatus < ${keepSeconds}`,
    ...(config.extraLines ?? []),
    `queue ${tasks.length}`, '',
  ].join('\n')
}

/** A word of `arguments`: quoted for its own syntax, and no macro. */
function argument(word: string): string {
  const quoted = word.replaceAll("'", "''").replaceAll('"', '""').replaceAll('$', '$(DOLLAR)')
  return `'${quoted}'`
}

function constraintOf(users: readonly string[], onlyTag: string | undefined): string {
  const which = onlyTag === undefined
    ? `${tagAttribute} =!= undefined`
    : `${tagAttribute} == "${onlyTag}"`
  const owners = users.map((user) => `Owner == "${user.replaceAll(/["\\]/g, '')}"`)
  return `${which} && (${owners.join(' || ')})`
}

/** The whole cluster, or its jobs one by one. */
function operands({ jobId, positions }: Target): string[] {
  return positions === 'all' ? [jobId] : positions.map((position) => `${jobId}.${position}`)
}

/** All that a command complained of is that jobs are no longer there. */
function isOver(stderr: string): boolean {
  const lines = stderr.split('\n').filter((line) => line.trim() !== '')
  const over = / not found|couldn't find|already marked|already (held|suspended|running)/i
  return lines.length > 0 && lines.every((line) => over.test(line))
}

function controlCommands(verb: ControlVerb, target: Target): BatchCommand[] {
  const ids = operands(target)
  const command = (program: string): BatchCommand[] => [{ argv: [program, ...ids] }]
  switch (verb.kind) {
    case 'hold': return command('condor_hold')
    case 'release': return command('condor_release')
    case 'suspend': return command('condor_suspend')
    case 'resume': return command('condor_continue')
    // Leave to start again comes first, else the job's own policy would remove it.
    case 'requeue': return [
      ...ids.map((id) => ({ argv: ['condor_qedit', id, startsAttribute, '1000000'] })),
      ...command('condor_vacate_job'),
    ]
    case 'signal': return []
  }
}
