// OpenPBS and PBS Pro, by their commands: qsub once a tranche, one qstat for all tasks, qdel,
// qhold, qrls, qsig, qrerun, pbsnodes. Written against the sources of OpenPBS 23.06; needs the JSON
// of qstat, so PBS Pro 14 or later.
//
// A job's id is its sequence number, without the server's name; an array's has brackets. What has
// ended is in the query only where the server keeps history (job_history_enable); elsewhere the
// records of the job scripts tell.

import { ok, refuse } from '../../protocol/base/outcome.ts'
import { BatchDriver } from './batch-driver.ts'
import type { BatchConfig } from './batch-driver.ts'
import { beyondNodes } from './batch-limits.ts'
import { formatIndexes, jobNameOf } from './batch-script.ts'
import { failed, unreadable } from './batch-shell.ts'
import type {
  BatchCommand, BatchRow, BatchShell, KnownJob, Target, Tongue,
} from './batch-tongue.ts'
import { SchedulerFailure } from './driver.ts'
import type { Abilities, Capacity, ControlRefusal, ControlVerb, Submission } from './driver.ts'
import type { RunResult } from './exec.ts'
import {
  parseId, parsePbsJson, pbsNodes, pbsQueues, pbsRefusal, pbsRows, queueCapacity, resourceAt,
  textAt,
} from './pbs-output.ts'
import type { Attributes, PbsJob, PbsNode, PbsQueue } from './pbs-output.ts'

export interface PbsConfig extends BatchConfig {
  /** The server's name, or its `pbs.conf`'s when left out. */
  readonly server?: string
  /** Where tasks go that name no queue; the server's default queue when left out. */
  readonly queue?: string
  /** Given to every qsub as they are, for example `-A`, `grid`. */
  readonly extraArguments?: readonly string[]
  /** Whether the site ends jobs that use too much memory; false when left out. */
  readonly memoryEnforced?: boolean
  /**
   * Whether the node's user is an operator or manager of the server, who may suspend and requeue;
   * false when left out.
   */
  readonly operator?: boolean
  /** Whether graphics processors are configured as `ngpus` (Torque: `gpus`). */
  readonly gpus?: boolean
  /** Licences that are configured as resources of the server, of these names; not for Torque. */
  readonly licences?: readonly string[]
}

export function pbsDriver(config: PbsConfig): BatchDriver {
  return new BatchDriver(pbsTongue(config), config)
}

const mebibyte = 1024 * 1024

export function pbsTongue(config: PbsConfig): Tongue {
  // Whether the server keeps what has ended, as `capacity` saw it last. Asked for history that it
  // does not keep, qstat shows no job at all.
  let history = false
  return {
    ...pbsCommon(config), kind: 'pbs', title: 'PBS',
    abilities: { ...pbsAbilities(config), chunks: true },
    script: {
      identity: ['position=${PBS_ARRAY_INDEX:-0}', 'job=${PBS_JOBID%%[!0-9]*}'],
      signals: 'looked', reaches: 'all',
    },
    submit: (submission, script) => ({
      argv: ['qsub', ...submitArguments(submission, config)], input: script.text,
    }),
    query: ({ jobs }) => ({
      argv: ['qstat', ...(history ? ['-x'] : []), ...statusWords, ...jobs.map(idOf)],
    }),
    readRows,
    async gone(shell, missing, signal) {
      const argv = ['qstat', '-x', ...statusWords, ...missing.map(idOf)]
      const result = await shell.run({ argv }, signal)
      return /not configured to maintain/i.test(result.stderr) ? [] : readRows(result)
    },
    cancel: (target) => [{ argv: ['qdel', ...operands(target)] }],
    capacity: async (shell, signal) => {
      const nodes = await section(shell, ['pbsnodes', '-a', '-v', '-F', 'json'], 'nodes', signal)
      const queues = await section(shell, ['qstat', '-Q', '-f', '-F', 'json'], 'Queue', signal)
      const [server] = await section(shell, ['qstat', '-B', '-f', '-F', 'json'], 'Server', signal)
      const attributes: Attributes = server?.attributes ?? new Map<string, string>()
      history = /^true$/i.test(textAt(attributes, 'job_history_enable') ?? '')
      const licences = (config.licences ?? []).map((name) => ({
        name, count: Number(resourceAt(attributes, 'resources_available', name) ?? 0),
      }))
      return { ...pbsCapacity(pbsNodes(nodes), pbsQueues(queues), config.queue), licences }
    },
  }
}

/** Subjobs too, in one request to the server, as JSON. */
const statusWords = ['-t', '-E', '-f', '-F', 'json']

/** What OpenPBS and Torque have in common. */
export function pbsCommon(config: PbsConfig): Pick<
  Tongue,
  'environment' | 'submitEnvironment' | 'queue' | 'readSubmitted' | 'find' | 'readCancelled'
  | 'control' | 'readControlled' | 'refuse'
> {
  const submitEnvironment: Record<string, string> = config.server === undefined
    ? {}
    : { PBS_SERVER: config.server, PBS_DEFAULT: config.server }
  return {
    queue: config.queue,
    environment: { ...submitEnvironment, LC_ALL: 'C', TZ: 'UTC' },
    submitEnvironment,
    readSubmitted(result) {
      if (result.code !== 0) {
        const refusal = pbsRefusal(result.stderr)
        if (refusal) return refuse(refusal)
        throw failed('qsub', result)
      }
      const jobId = parseId(result.stdout.trim())?.number
      if (jobId !== undefined) return ok({ jobId })
      const words = `expected a job id of qsub, got ${result.stdout.trim().slice(0, 200)}`
      throw new SchedulerFailure('malformed', words)
    },
    // PBS takes what no node could ever give, and lets it wait.
    refuse: (submission, capacity) => beyondNodes(submission, capacity, config.queue),
    async find(shell, { tag, users }, signal) {
      const argv = ['qselect', '-u', users.join(','), '-N', jobNameOf(tag)]
      const text = await shell.ask(argv, signal)
      const numbers = new Set(text.split('\n').flatMap((line) => parseId(line)?.number ?? []))
      return [...numbers].toSorted((a, b) => Number(a) - Number(b))
    },
    readCancelled(result) {
      if (result.code === 0 || isOver(result.stderr)) return
      throw failed('qdel', result)
    },
    control: controlCommands,
    readControlled: controlled,
  }
}

export function pbsAbilities(config: PbsConfig): Abilities {
  const operator = config.operator ?? false
  return {
    arrays: true, hold: true, signal: true, suspend: operator, startEstimate: false,
    accounting: true, memoryEnforced: config.memoryEnforced ?? false, walltimeEnforced: true,
    requeue: operator, reservations: true, gpus: config.gpus ?? false,
    licences: (config.licences ?? []).length > 0, nodes: true, chunks: false,
    accounts: process.getuid?.() === 0, seenAt: false,
  }
}

export function submitArguments(submission: Submission, config: PbsConfig): string[] {
  const { tag, tasks, resources } = submission
  const queue = submission.queue ?? config.queue
  const licences = (resources.licences ?? [])
    .flatMap(({ name, count }) => ['-l', `${name}=${count}`])
  const select = selectOf(resources)
  return [
    '-N', jobNameOf(tag), '-S', '/bin/sh', '-o', '/dev/null', '-e', '/dev/null', '-m', 'n',
    // Jobs get what this command gets; the engine gives it the inherited variables and no more.
    '-V',
    // A task that PBS started again by itself would run twice. Of an array it insists on the right
    // to, and an operator's qrerun needs it; then the script's claim stops a second run.
    '-r', tasks.length > 1 || config.operator ? 'y' : 'n',
    '-l', `select=${select}`,
    ...(select.includes('+') || !select.startsWith('1:') ? ['-l', 'place=scatter'] : []),
    '-l', `walltime=${resources.walltimeSeconds}`,
    ...licences,
    ...(queue === undefined ? [] : ['-q', queue]),
    ...(tasks.length > 1 ? ['-J', `0-${tasks.length - 1}`] : []),
    ...(config.extraArguments ?? []),
  ]
}

function selectOf(resources: Submission['resources']): string {
  const chunks = resources.chunks ?? [{
    nodes: 1, coresPerNode: resources.coresPerTask,
    memoryBytesPerNode: resources.memoryBytesPerTask, gpusPerNode: resources.gpusPerTask ?? 0,
  }]
  return chunks.map(({ nodes, coresPerNode, memoryBytesPerNode, gpusPerNode }) => [
    String(nodes), `ncpus=${coresPerNode}`,
    ...(memoryBytesPerNode > 0 ? [`mem=${Math.ceil(memoryBytesPerNode / mebibyte)}mb`] : []),
    ...(gpusPerNode > 0 ? [`ngpus=${gpusPerNode}`] : []),
  ].join(':')).join('+')
}

export function idOf({ jobId, tasks }: KnownJob): string {
  return tasks > 1 ? `${jobId}[]` : jobId
}

/** The whole job, or ranges of its subjobs. */
function operands(target: Target): string[] {
  const { jobId, tasks, positions } = target
  if (positions === 'all' || tasks === 1) return [idOf(target)]
  return formatIndexes(positions).split(',').map((range) => `${jobId}[${range}]`)
}

function readRows(result: RunResult): BatchRow[] {
  // That jobs are not known, or have ended, is an answer too; with -E it comes only if that is true
  // of all that were asked for.
  if (result.code !== 0 && !isOver(result.stderr)) throw failed('qstat', result)
  const jobs = parsePbsJson(result.stdout, 'Jobs')
  const rows = jobs && pbsRows(jobs)
  if (!rows) throw unreadable('qstat', result.stdout)
  return rows
}

/** All that a command complained of is that jobs have ended. */
export function isOver(stderr: string): boolean {
  const lines = stderr.split('\n').filter((line) => line.trim() !== '')
  const over =
    /unknown job id|has finished|finished array subjob|nonexistent job|invalid for state/i
  return lines.length > 0 && lines.every((line) => over.test(line))
}

function controlCommands(verb: ControlVerb, target: Target): BatchCommand[] {
  // Arrays are held and released as a whole, subjobs that run go on; of some subjobs PBS says no.
  const held = target.allSuited ? [idOf(target)] : operands(target)
  switch (verb.kind) {
    case 'hold': return [{ argv: ['qhold', '-h', 'u', ...held] }]
    case 'release': return [{ argv: ['qrls', '-h', 'u', ...held] }]
    case 'suspend': return [{ argv: ['qsig', '-s', 'suspend', ...operands(target)] }]
    case 'resume': return [{ argv: ['qsig', '-s', 'resume', ...operands(target)] }]
    case 'requeue': return [{ argv: ['qrerun', ...operands(target)] }]
    case 'signal': return []
  }
}

function controlled({ kind }: ControlVerb, result: RunResult): ControlRefusal | undefined {
  const words = result.stderr.trim().replaceAll('\n', '; ')
  if (result.code === 0) return undefined
  if ((kind === 'hold' || kind === 'release') && /invalid request/i.test(words)) {
    return { reason: 'unable', words: `${words}; PBS can ${kind} an array only as a whole` }
  }
  if (/unauthori[sz]ed|not rerunnable|permission/i.test(words)) return { reason: 'refused', words }
  if (/invalid for state|invalid request/i.test(words)) return { reason: 'state', words }
  if (isOver(result.stderr)) return undefined
  throw failed('the command', result)
}

async function section(
  shell: BatchShell, argv: readonly string[], name: string, signal: AbortSignal,
): Promise<PbsJob[]> {
  const text = await shell.ask(argv, signal)
  const found = parsePbsJson(text, name)
  if (!found) throw unreadable(argv[0] ?? '', text)
  return found
}

/** `only` leaves out all other queues. */
export function pbsCapacity(
  nodes: readonly PbsNode[], queues: readonly PbsQueue[], only: string | undefined,
): Capacity {
  const usable = nodes.filter((node) => node.usable)
  const sum = (of: (node: PbsNode) => number): number =>
    usable.reduce((total, node) => total + of(node), 0)
  return {
    coresTotal: sum((node) => node.cores),
    coresFree: sum((node) => Math.max(0, node.cores - node.coresBusy)),
    memoryBytesTotal: sum((node) => node.memoryBytes),
    memoryBytesFree: sum((node) => Math.max(0, node.memoryBytes - node.memoryBytesBusy)),
    nodesTotal: usable.length,
    gpusTotal: sum((node) => node.gpus),
    gpusFree: sum((node) => Math.max(0, node.gpus - node.gpusBusy)),
    tasksQueued: queues.reduce((total, queue) => total + queue.queued, 0),
    tasksRunning: new Set(nodes.flatMap((node) => node.jobs)).size,
    queues: queues.filter((queue) => queue.usable && (only === undefined || queue.name === only))
      .map((queue) => queueCapacity(queue, nodes)),
  }
}
