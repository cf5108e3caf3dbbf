// What we say to Slurm: argument lists and the batch script. Pure functions.
//
// The script does for a task what the embedded executor's supervisor does: it claims the task with
// a record made by O_EXCL, so that it runs at most once even if a submission whose answer was lost
// is repeated; it keeps the walltime to the second (Slurm's own limit counts minutes and stands
// behind it); and it records how the task ended, which is all the accounting there is where Slurm
// has no database.
//   <directory>/.gridnode/<tag>.start   `start JOB`
//   <directory>/.gridnode/<tag>.end     as the supervisor's; renamed into place, since the
//                                       directory may lie on another machine

import type { Submission } from './driver.ts'
import { jobFields, jobNameOf, nodeFields } from './slurm-output.ts'
import { taskEnvironment } from './tranche-store.ts'

/** The exit code of a job that found its task claimed by another job. */
export const claimedElsewhereCode = 121

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
    `--comment=gridnode ${tag} ${jobName.replaceAll(/[^\w. :/-]/g, '_').slice(0, 100)}`,
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

export interface ScriptOptions {
  readonly graceSeconds: number
  /**
   * A file that the script touches when a task starts or ends, as a hint; it may be out of its
   * reach.
   */
  readonly hintPath: string
}

export function batchScript(submission: Submission, options: ScriptOptions): string {
  const { tag, tasks, command, resources } = submission
  const root = commonPrefix(tasks.map((task) => task.directory))
  const places = tasks.map(({ taskIndex, directory }, position) =>
    `${position}) GRIDNODE_TASK_ID=${taskIndex} rest=${quote(directory.slice(root.length))} ;;`)
  const exports = Object.entries(taskEnvironment(submission, 0))
    .filter(([name]) => name !== 'GRIDNODE_TASK_ID')
    .map(([name, value]) => `export ${name}=${quote(value)}`)
  return `#!/bin/sh
# gridnode tranche ${tag}
case \${SLURM_ARRAY_TASK_ID:-0} in
${places.join('\n')}
*) exit ${claimedElsewhereCode} ;;
esac
directory=${quote(root)}$rest
own=$directory/.gridnode
mkdir -p "$own" && cd "$directory" || exit 126
hint() { { echo >${quote(options.hintPath)}; } 2>/dev/null; }
how= child= interrupted=
halt() {
  how=cancelled interrupted=1
  [ -z "$child" ] || kill -s TERM -- "-$child" "$child"
} 2>/dev/null
trap halt TERM
set -C
{ echo "start \${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}" >"$own/${tag}.start"; } 2>/dev/null ||
  exit ${claimedElsewhereCode}
set +C
hint
walltime=${resources.walltimeSeconds}
limit="timeout -k ${options.graceSeconds} $walltime"
command -v timeout >/dev/null || limit=
read -r up idle </proc/uptime
(
${exports.join('\n')}
export GRIDNODE_TASK_ID
exec $limit ${command.map(quote).join(' ')}
) </dev/null >>"$own/stdout" 2>>"$own/stderr" &
child=$!
[ -z "$how" ] || halt
wait "$child"
code=$?
while [ -n "$interrupted" ]; do
  interrupted=
  wait "$child"
  again=$?
  [ "$again" -eq 127 ] || code=$again
done
read -r down idle </proc/uptime
elapsed=$((\${down%.*}\${down#*.} - \${up%.*}\${up#*.}))
if [ "$elapsed" -ge $((walltime * 100)) ]; then
  case $code in 124) how=walltime code=143 ;; 137 | 143) how=walltime ;; esac
fi
until { echo "end \${how:-exited} $code $elapsed"; times; echo done; } >"$own/${tag}.end.new" &&
  mv -f "$own/${tag}.end.new" "$own/${tag}.end"; do
  # A full disk is waited for; a directory that is gone will be read by nobody.
  [ -d "$own" ] || exit "$code"
  sleep 5
done
hint
exit "$code"
`
}

export function queryArguments(user: string): string[] {
  return ['-h', '-t', 'all', `--user=${user}`, '-O', jobFields]
}

export function findArguments(user: string, tag: string): string[] {
  return [...queryArguments(user), `--name=${jobNameOf(tag)}`]
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

/** `0-3,7` */
export function formatIndexes(indexes: readonly number[]): string {
  const parts: string[] = []
  let first: number | undefined
  let last = -2
  const flush = (): void => {
    if (first !== undefined) parts.push(first === last ? `${first}` : `${first}-${last}`)
  }
  for (const index of indexes.toSorted((a, b) => a - b)) {
    if (index !== last + 1) {
      flush()
      first = index
    }
    last = index
  }
  flush()
  return parts.join(',')
}

/** One word of a POSIX shell, whatever it contains. */
export function quote(word: string): string {
  return /^[\w./:=@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}

function commonPrefix(texts: readonly string[]): string {
  let prefix = texts[0] ?? ''
  for (const text of texts) {
    while (!text.startsWith(prefix)) prefix = prefix.slice(0, -1)
  }
  return prefix
}
