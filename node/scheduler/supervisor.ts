// The embedded executor's supervisor: a small POSIX shell program, one a task, that outlives the
// node. It claims the task, runs the command under timeout(1) in a process group of its own, and
// records how it ended.
//
// Two records a task, each closed so that a reader can tell a whole one from a torn one:
//   <base>.start  `start PID BORN BOOT`, made with O_EXCL: whoever makes it owns the task, so that
//                 it runs at most once however often a supervisor is started
//   <base>.end    `end HOW CODE CENTISECONDS`, the output of times(1), `done`
// The node itself claims a queued task that was cancelled with a start record that says
// `cancelled`. Durations come from /proc/uptime and times of day from the records' modification
// times, so a changed clock cannot lengthen a task and the supervisor needs no process of its own
// to ask for the time.

import { closeSync, constants, fstatSync, openSync, readSync, writeFileSync } from 'node:fs'
import type { EndedHow } from './driver.ts'

const script = `
base=$1 directory=$2 walltime=$3 grace=$4 streams=$5
shift 5
ulimit -c 0
out=/dev/null error=/dev/null
[ -z "$streams" ] || { out=$streams/stdout error=$streams/stderr; }
how= child= interrupted=
halt() {
  interrupted=1
  [ -n "$how" ] || { how=$1 signal=$2; }
  [ -z "$child" ] || kill -s "$2" -- "-$child" "$child"
} 2>/dev/null
trap 'halt cancelled TERM' TERM
trap 'halt memory KILL' USR1
trap 'interrupted=1' HUP INT
pick_born() { born=\${20}; }
read -r stat </proc/$$/stat
pick_born \${stat##*) }
read -r boot </proc/sys/kernel/random/boot_id
read -r up idle </proc/uptime
set -C
{ echo "start $$ $born $boot" >"$base.start"; } 2>/dev/null || exit 120
set +C
if cd "$directory"; then
  timeout -k "$grace" "$walltime" "$@" </dev/null >>"$out" 2>>"$error" &
  child=$!
  [ -z "$how" ] || halt "$how" "$signal"
  wait "$child"
  code=$?
  while [ -n "$interrupted" ]; do
    interrupted=
    wait "$child"
    again=$?
    [ "$again" -eq 127 ] || code=$again
  done
  kill -s KILL -- "-$child" 2>/dev/null
else
  how=exited code=126
fi
read -r down idle </proc/uptime
elapsed=$((\${down%.*}\${down#*.} - \${up%.*}\${up#*.}))
if [ -z "$how" ]; then
  how=exited
  if [ "$elapsed" -ge $((walltime * 100)) ]; then
    case $code in 124) how=walltime code=143 ;; 137) how=walltime ;; esac
  fi
fi
until { echo "end $how $code $elapsed"; times; echo done; } 2>/dev/null >"$base.end"; do
  # A full disk is waited for; records that are gone will be read by nobody.
  [ -d "\${base%/*}" ] || exit 121
  sleep 5
done
`

export interface SupervisorStart {
  /** Path of the task's records without their extensions. */
  readonly base: string
  readonly directory: string
  readonly walltimeSeconds: number
  readonly graceSeconds: number
  /** Below the directory; '' when the command opens its streams itself. */
  readonly streams: '.gridnode' | ''
  readonly command: readonly string[]
}

export function supervisorArgv(start: SupervisorStart): string[] {
  return [
    'sh', '-c', script, 'gridnode-task',
    start.base, start.directory, String(start.walltimeSeconds), String(start.graceSeconds),
    start.streams, ...start.command,
  ]
}

/** The arguments by which a supervisor is recognised among all processes. */
export function supervisorMark(base: string, directory: string): string[] {
  return ['gridnode-task', base, directory]
}

export type StartRecord =
  | { readonly kind: 'absent' }
  /** Made but not written: its maker is between two system calls, or died there. */
  | { readonly kind: 'torn'; readonly epochMs: number }
  | { readonly kind: 'cancelled'; readonly epochMs: number }
  /** By a batch job, `start JOB`: see batch-script.ts. */
  | { readonly kind: 'claimed'; readonly job: string; readonly epochMs: number }
  | {
      readonly kind: 'started'
      readonly pid: number
      readonly born: number
      readonly boot: string
      readonly epochMs: number
    }

export function readStart(base: string): StartRecord {
  const file = readRecord(`${base}.start`)
  if (!file) return { kind: 'absent' }
  const { text, epochMs } = file
  if (text === 'cancelled\n') return { kind: 'cancelled', epochMs }
  // It becomes an argument of commands, and the job can write here: never an option.
  const job = /^start (\w[\w.[\]@#-]{0,199})\n$/.exec(text)?.[1]
  if (job !== undefined) return { kind: 'claimed', job, epochMs }
  const match = /^start (\d+) (\d+) ([0-9a-f-]+)\n$/.exec(text)
  if (!match) return { kind: 'torn', epochMs }
  return {
    kind: 'started', pid: Number(match[1]), born: Number(match[2]), boot: match[3] ?? '', epochMs,
  }
}

/** False when a supervisor was quicker. */
export function claimCancelled(base: string): boolean {
  try {
    writeFileSync(`${base}.start`, 'cancelled\n', { flag: 'wx' })
    return true
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw cause
  }
}

export interface EndRecord {
  readonly how: EndedHow
  readonly exitCode: number
  readonly durationMs: number
  readonly cpuMs: number
  readonly epochMs: number
}

/** Undefined as long as the record is absent or torn. */
export function readEnd(base: string): EndRecord | undefined {
  const file = readRecord(`${base}.end`)
  if (!file) return undefined
  return parseEnd(file.text, file.epochMs)
}

export function parseEnd(text: string, epochMs: number): EndRecord | undefined {
  const lines = text.split('\n')
  if (lines.at(-1) !== '' || lines.at(-2) !== 'done') return undefined
  const match = /^end (exited|walltime|memory|cancelled|lost) (-1|\d{1,3}) (\d{1,12})$/
    .exec(lines[0] ?? '')
  const exitCode = Number(match?.[2])
  if (!match || exitCode > 255) return undefined
  return {
    how: match[1] as EndedHow,
    exitCode,
    durationMs: Number(match[3]) * 10,
    cpuMs: parseTimes(lines[2] ?? ''),
    epochMs,
  }
}

/**
 * Writes what a supervisor no longer can: that it is gone without having said how its task ended.
 */
export function recordLost(base: string): void {
  writeFileSync(`${base}.end`, 'end lost -1 0\n\n\ndone\n')
}

/** Milliseconds from a line of the shell's `times`: user and system time, `0m1.25s 0m0.03s`. */
export function parseTimes(line: string): number {
  let ms = 0
  for (const [, minutes, seconds] of line.matchAll(/(\d{1,9})m(\d{1,9}(?:\.\d{1,9})?)s/g)) {
    ms += Number(minutes) * 60_000 + Math.round(Number(seconds) * 1000)
  }
  return ms
}

const recordBytesMax = 4_096

/**
 * A batch job's records lie where the job can put anything in their place: a pipe that nobody
 * writes, a link to a device without end. What is no small plain file is no record.
 */
function readRecord(path: string): { text: string; epochMs: number } | undefined {
  const { O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants
  let handle: number
  try {
    handle = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)
  } catch (cause) {
    if (absent.has((cause as NodeJS.ErrnoException).code ?? '')) return undefined
    throw cause
  }
  try {
    const stats = fstatSync(handle)
    if (!stats.isFile()) return undefined
    const bytes = Buffer.alloc(recordBytesMax)
    const read = readSync(handle, bytes, 0, recordBytesMax, 0)
    const epochMs = Math.floor(stats.mtimeMs)
    return { text: bytes.toString('utf8', 0, read), epochMs }
  } finally {
    closeSync(handle)
  }
}

/** Nothing, a link, a socket, or something else than a directory on the way. */
const absent: ReadonlySet<string> = new Set(['ENOENT', 'ELOOP', 'ENXIO', 'ENOTDIR'])
