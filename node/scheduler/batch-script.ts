// The job script that every command-line scheduler is given. Pure functions.
//
// It does for a task what the embedded executor's supervisor does: it claims the task with a record
// made by O_EXCL, so that it runs at most once even if a submission whose answer was lost is
// repeated; it keeps the walltime to the second (the scheduler's own limit stands behind it); and
// it records how the task ended, which is all the accounting there is at many sites.
//   <directory>/.gridnode/<tag>.start   `start JOB`
//   <directory>/.gridnode/<tag>.end     as the supervisor's: torn as long as its `done` is missing
//   <directory>/.gridnode/<tag>.again   from the driver: the task may run once more, a requeue
//   <directory>/.gridnode/<tag>.signal  from the driver: names of signals for the task, a line each

import type { Submission } from './driver.ts'
import { taskEnvironment } from './tranche-store.ts'

/** The exit code of a job that found its task claimed by another job. */
export const claimedElsewhereCode = 121

export interface ScriptWords {
  /**
   * POSIX shell lines that set `position` (the task's place in the submission, from 0) and `job`
   * (the job's id as `readSubmitted` gives it) from what the scheduler tells a job.
   */
  readonly identity: readonly string[]
  /**
   * How the task hears of `<tag>.signal`: the scheduler sends USR1 to the script, and to nothing
   * else of the job (`sent`), or the script looks for the file itself every other second
   * (`looked`). Either way the script passes the signals on to the task's processes.
   */
  readonly signals: 'sent' | 'looked'
  /**
   * Whom the scheduler ends and suspends: `all` processes of the job, or only the process `group`
   * of the script, in which the task then stays.
   */
  readonly reaches: 'all' | 'group'
  /**
   * An exit code of the script by which the scheduler puts the job back into its queue; then the
   * script, which looks for `<tag>.again`, ends its task and requeues itself.
   */
  readonly requeueCode?: number
  /** Exit codes that mean something to the scheduler; a task's own are shown to it as 1. */
  readonly reservedCodes?: readonly number[]
}

export interface ScriptOptions {
  readonly graceSeconds: number
  /**
   * A file that the script touches when a task starts or ends, as a hint; it may be out of its
   * reach.
   */
  readonly hintPath: string
}

export function batchScript(
  submission: Submission,
  words: ScriptWords,
  options: ScriptOptions,
): string {
  const { tag, tasks, resources } = submission
  const shared = words.reaches === 'group'
  const reserved = words.reservedCodes?.join(' | ')
  const root = commonPrefix(tasks.map((task) => task.directory))
  const places = tasks.map(({ taskIndex, directory }, position) =>
    `${position}) GRIDNODE_TASK_ID=${taskIndex} rest=${quote(directory.slice(root.length))} ;;`)
  return `#!/bin/sh
# gridnode tranche ${tag}
${words.identity.join('\n')}
case $position in
${places.join('\n')}
*) exit ${claimedElsewhereCode} ;;
esac
directory=${quote(root)}$rest
own=$directory/.gridnode
[ -d "$own" ] || mkdir -p "$own" || exit 126
cd "$directory" || exit 126
base=$own/${tag}
hint() { { echo >${quote(options.hintPath)}; } 2>/dev/null; }
how= child= interrupted= watcher=
${signalling}
set -C
{ echo "start $job" >"$base.start"; } 2>/dev/null || {
  mv "$base.again" "$base.used" 2>/dev/null || exit ${claimedElsewhereCode}
  rm -f "$base.end"
  echo "start $job" >|"$base.start"
}
set +C
hint
walltime=${resources.walltimeSeconds}
limit="timeout${shared ? ' --foreground' : ''} -k ${options.graceSeconds} $walltime"
command -v timeout >/dev/null || limit=
read -r up idle </proc/uptime
(
${exports(submission)}
export GRIDNODE_TASK_ID
exec $limit ${commandWords(submission).map(quote).join(' ')}
) </dev/null >>"$own/stdout" 2>>"$own/stderr" &
child=$!
group=$child
${shared ? '' : '[ -n "$limit" ] || '}own_group
[ -z "$how" ] || halt
${words.signals === 'looked' ? looking : ''}
wait "$child"
code=$?
while [ -n "$interrupted" ]; do
  interrupted=
  wait "$child"
  again=$?
  [ "$again" -eq 127 ] || code=$again
done
[ -z "$watcher" ] || kill "$watcher" 2>/dev/null
read -r down idle </proc/uptime
elapsed=$((\${down%.*}\${down#*.} - \${up%.*}\${up#*.}))
if [ "$elapsed" -ge $((walltime * 100)) ]; then
  case $code in 124) how=walltime code=143 ;; 137 | 143) how=walltime ;; esac
fi
${shared ? '[ -z "$how" ] || deliver KILL' : ''}
${words.requeueCode === undefined ? '' : `[ "$how" != again ] || exit ${words.requeueCode}`}
[ ! -e "$base.end" ] && [ ! -h "$base.end" ] || rm -rf "$base.end"
until { echo "end \${how:-exited} $code $elapsed"; times; echo done; } >"$base.end"; do
  # A full disk is waited for; a directory that is gone will be read by nobody.
  [ -d "$own" ] || exit "$code"
  sleep 5
done
hint
${reserved === undefined ? '' : `case $code in ${reserved}) code=1 ;; esac`}
exit "$code"
`
}

/**
 * TERM and INT are how schedulers end a job. The other signals must not end the script, which would
 * leave no record. Of the task's process group timeout(1) itself hears no other: most signals would
 * end it and leave the command behind.
 */
const signalling = `own_group() {
  read -r line </proc/$$/stat
  set -- \${line##*) }
  group=$3
}
deliver() {
  signal=$1
  for stat in /proc/[0-9]*/stat; do
    read -r line <"$stat" || continue
    process=\${line%% *}
    set -- \${line##*) }
    [ "$3" = "$group" ] && [ "$2" != "\${watcher:-0}" ] || continue
    case $process in $$ | "\${watcher:-0}" | "\${limit:+$child}") continue ;; esac
    kill -s "$signal" "$process" && delivered=1
  done
} 2>/dev/null
halt() {
  how=\${how:-cancelled} interrupted=1
  [ -n "$child" ] || return
  deliver TERM
  kill -s TERM "$child"
} 2>/dev/null
pass() {
  interrupted=1
  [ -n "$child" ] || return
  [ ! -f "$base.again" ] || { how=again; halt; return; }
  mv "$base.signal" "$base.taken" || return
  # The command may not have come to life yet.
  delivered=
  for try in 1 2 3 4 5; do
    while read -r name; do deliver "$name"; done <"$base.taken"
    [ -z "$delivered" ] || break
    sleep 1
  done
} 2>/dev/null
trap halt TERM INT
trap pass USR1
trap 'interrupted=1' HUP QUIT USR2 ALRM XCPU`

const looking = `(
  trap - TERM INT USR1 HUP QUIT USR2 ALRM XCPU
  while kill -0 $$; do
    [ ! -f "$base.signal" ] && [ ! -f "$base.again" ] || kill -s USR1 $$
    sleep 2
  done
) </dev/null >/dev/null 2>&1 &
watcher=$!`

function exports(submission: Submission): string {
  return Object.entries(taskEnvironment(submission, 0))
    .filter(([name]) => name !== 'GRIDNODE_TASK_ID')
    .map(([name, value]) => `export ${name}=${quote(value)}`)
    .join('\n')
}

/** What is run in the task's directory, under the walltime. */
function commandWords(submission: Submission): readonly string[] {
  return submission.command
}

/** One word of a POSIX shell, whatever it contains. */
export function quote(word: string): string {
  return /^[\w./:=@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}

/** `0-3,7` */
export function formatIndexes(indexes: readonly number[]): string {
  return ranges(indexes).map(([first, last]) => first === last ? `${first}` : `${first}-${last}`)
    .join(',')
}

/** The numbers as ranges, ascending, both ends included. */
export function ranges(indexes: readonly number[]): [first: number, last: number][] {
  const found: [number, number][] = []
  for (const index of indexes.toSorted((a, b) => a - b)) {
    const current = found.at(-1)
    if (current && index === current[1] + 1) current[1] = index
    else found.push([index, index])
  }
  return found
}

/** The job's name, by which a submission is found again: `gn-<tag>`. */
export function jobNameOf(tag: string): string {
  return `gn-${tag}`
}

/** Undefined for a job that is none of ours. */
export function tagOfName(name: string): string | undefined {
  return /^gn-([0-9a-f]{16})$/.exec(name.trim())?.[1]
}

/** The user's name for the job in characters that every scheduler takes. */
export function plainName(jobName: string): string {
  return jobName.replaceAll(/[^\w. :/-]/g, '_').slice(0, 100)
}

function commonPrefix(texts: readonly string[]): string {
  let prefix = texts[0] ?? ''
  for (const text of texts) {
    while (!text.startsWith(prefix)) prefix = prefix.slice(0, -1)
  }
  return prefix
}
