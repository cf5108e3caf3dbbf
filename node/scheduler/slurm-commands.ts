// What we say to Slurm: argument lists. Pure functions.

import { unreachable } from '../../protocol/base/assert.ts'
import { formatIndexes, jobNameOf, plainName } from './batch-script.ts'
import type { ScriptWords } from './batch-script.ts'
import type { BatchCommand, BatchRow, QueryAsk, Target } from './batch-tongue.ts'
import type { Chunk, ControlVerb, Resources, Submission } from './driver.ts'
import { jobFields, nodeFields } from './slurm-output.ts'

const mebibyte = 1024 * 1024

export interface SubmitOptions {
  readonly partition?: string | undefined
  readonly extraArguments: readonly string[]
}

/** One sbatch for all tasks; the script comes on its standard input. */
export function submitArguments(submission: Submission, options: SubmitOptions): string[] {
  const { tag, jobName, tasks, resources } = submission
  const partition = submission.queue ?? options.partition
  return [
    '--parsable',
    `--job-name=${jobNameOf(tag)}`,
    `--comment=gridnode ${tag} ${plainName(jobName)}`,
    '--output=/dev/null', '--error=/dev/null', '--input=/dev/null', '--chdir=/',
    // A task that Slurm started again by itself would run twice under one contract.
    '--no-requeue',
    // A list of names would make Slurm load the user's login environment, which takes a second.
    '--export=ALL',
    ...(tasks.length > 1 ? [`--array=0-${tasks.length - 1}`] : []),
    ...licenceWords(resources),
    // Each kind of node is a component of a heterogeneous job, with its own resources.
    ...chunksOf(resources).flatMap((chunk, at) => [
      ...(at > 0 ? [':'] : []),
      ...chunkWords(chunk),
      `--time=${Math.ceil(resources.walltimeSeconds / 60)}`,
      ...(partition === undefined ? [] : [`--partition=${partition}`]),
      ...options.extraArguments,
    ]),
  ]
}

/** How the task lies on nodes: as it says, else all in one. */
function chunksOf(resources: Resources): readonly Chunk[] {
  if (resources.chunks && resources.chunks.length > 0) return resources.chunks
  const { coresPerTask, memoryBytesPerTask, gpusPerTask = 0 } = resources
  return [{
    nodes: 1, coresPerNode: coresPerTask, memoryBytesPerNode: memoryBytesPerTask,
    gpusPerNode: gpusPerTask,
  }]
}

function chunkWords({ nodes, coresPerNode, memoryBytesPerNode, gpusPerNode }: Chunk): string[] {
  const memoryMebibytes = Math.ceil(memoryBytesPerNode / mebibyte)
  return [
    `--nodes=${nodes}`, `--ntasks=${nodes}`,
    ...(nodes > 1 ? ['--ntasks-per-node=1'] : []),
    `--cpus-per-task=${coresPerNode}`,
    ...(memoryMebibytes > 0 ? [`--mem=${memoryMebibytes}M`] : []),
    ...(gpusPerNode > 0 ? [`--gres=gpu:${gpusPerNode}`] : []),
  ]
}

function licenceWords({ licences = [] }: Resources): string[] {
  if (licences.length === 0) return []
  return [`--licenses=${licences.map(({ name, count }) => `${name}:${count}`).join(',')}`]
}

/** What Slurm tells a job of itself. */
export const slurmScript: ScriptWords = {
  identity: [
    'position=${SLURM_ARRAY_TASK_ID:-0}',
    'job=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}',
  ],
  signals: 'sent',
  reaches: 'all',
}

/**
 * A hold is the owner's, so that owner and operator can both release it. What suspends are signals
 * to all processes: `scontrol suspend` takes an operator and gives the cores to others meanwhile.
 */
export function controlCommands(verb: ControlVerb, target: Target): BatchCommand[] {
  const name = cancelArguments(target.jobId, target.positions).join()
  const scontrol = (...words: string[]): BatchCommand => ({ argv: ['scontrol', ...words] })
  switch (verb.kind) {
    case 'hold': return [scontrol('uhold', name)]
    case 'release': return [scontrol('release', name)]
    case 'suspend': return [{ argv: ['scancel', '--full', '--signal=STOP', name] }]
    case 'resume': return [{ argv: ['scancel', '--full', '--signal=CONT', name] }]
    case 'signal': return [{ argv: ['scancel', '--batch', '--signal=USR1', name] }]
    // Never by itself (`--no-requeue`), so it is allowed for this once.
    case 'requeue': return [
      scontrol('update', `jobid=${name}`, 'requeue=1'),
      scontrol('requeue', name),
      scontrol('update', `jobid=${name}`, 'requeue=0'),
    ]
    default: return unreachable(verb)
  }
}

/** Bounds one round; the next query sees to the others. */
const startAgainMax = 20

/**
 * Slurm lets a requeued job wait for two minutes, and sets that time only once it has cleaned up
 * after the first run. No job of ours waits for a time of day otherwise.
 */
export function startAgainArguments(rows: readonly BatchRow[]): string[][] {
  return rows.filter(({ phase, reason }) => phase === 'queued' && reason === 'BeginTime')
    .slice(0, startAgainMax)
    .map(({ jobId, positions }) => [
      'update', `jobid=${cancelArguments(jobId, positions ?? 'all').join()}`, 'starttime=now',
    ])
}

export function queryArguments({ users, onlyTag }: QueryAsk): string[] {
  const only = onlyTag === undefined ? [] : [`--name=${jobNameOf(onlyTag)}`]
  return ['-h', '-t', 'all', `--user=${users.join(',')}`, '-O', jobFields, ...only]
}

export function nodesArguments(): string[] {
  return ['-h', '-N', '-O', nodeFields]
}

export function countsArguments(partition: string | undefined): string[] {
  const only = partition === undefined ? [] : [`--partition=${partition}`]
  return ['-h', '-O', 'ArrayTaskID:|,State:|', ...only]
}

/**
 * By id alone. With `--name` beside array indexes, scancel ends *all* tasks of the array that still
 * wait together (22.05), so the caller makes sure that the id is still ours.
 */
export function cancelArguments(jobId: string, positions: readonly number[] | 'all'): string[] {
  return [positions === 'all' ? jobId : `${jobId}_[${formatIndexes(positions)}]`]
}
