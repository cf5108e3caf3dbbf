// What we say to Slurm: argument lists. Pure functions.

import { formatIndexes, jobNameOf, plainName } from './batch-script.ts'
import type { ScriptWords } from './batch-script.ts'
import type { QueryAsk } from './batch-tongue.ts'
import type { Submission } from './driver.ts'
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
  const memoryMebibytes = Math.ceil(resources.memoryBytesPerTask / mebibyte)
  return [
    '--parsable',
    `--job-name=${jobNameOf(tag)}`,
    `--comment=gridnode ${tag} ${plainName(jobName)}`,
    '--output=/dev/null', '--error=/dev/null', '--input=/dev/null', '--chdir=/',
    '--nodes=1', '--ntasks=1', `--cpus-per-task=${resources.coresPerTask}`,
    ...(memoryMebibytes > 0 ? [`--mem=${memoryMebibytes}M`] : []),
    `--time=${Math.ceil(resources.walltimeSeconds / 60)}`,
    // A task that Slurm started again by itself would run twice under one contract.
    '--no-requeue',
    // A list of names would make Slurm load the user's login environment, which takes a second.
    '--export=ALL',
    ...(partition === undefined ? [] : [`--partition=${partition}`]),
    ...(tasks.length > 1 ? [`--array=0-${tasks.length - 1}`] : []),
    ...options.extraArguments,
  ]
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
