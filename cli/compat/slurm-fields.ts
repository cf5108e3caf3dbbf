// What squeue, sacct and scontrol can say of a job, in one table: its letter for `squeue --format`,
// its name for `squeue --Format` and `sacct --format`, its headings and widths, and the value.

import { formatBytes } from '../../protocol/base/units.ts'
import type { Line, LineState } from './rows.ts'
import { elapsedSeconds, tasksOf } from './rows.ts'

export interface SlurmField {
  /** As sacct calls it; squeue's long names are the same without regard to case. */
  readonly name: string
  /** Of `squeue --format`. */
  readonly letter?: string
  readonly squeueTitle?: string
  readonly sacctWidth?: number
  value(line: Line, nowEpochMs: number): string
  /** Where squeue shows it in another way. */
  squeueValue?(line: Line, nowEpochMs: number): string
}

interface StateWords {
  readonly short: string
  readonly long: string
}

export const slurmStates: Readonly<Record<LineState, StateWords>> = {
  waiting: { short: 'PD', long: 'PENDING' },
  parked: { short: 'PD', long: 'PENDING' },
  held: { short: 'PD', long: 'PENDING' },
  running: { short: 'R', long: 'RUNNING' },
  suspended: { short: 'S', long: 'SUSPENDED' },
  returning: { short: 'CG', long: 'COMPLETING' },
  done: { short: 'CD', long: 'COMPLETED' },
  failed: { short: 'F', long: 'FAILED' },
  cancelled: { short: 'CA', long: 'CANCELLED' },
  walltime: { short: 'TO', long: 'TIMEOUT' },
  memory: { short: 'OOM', long: 'OUT_OF_MEMORY' },
  lost: { short: 'DL', long: 'DEADLINE' },
}

export const slurmFields: readonly SlurmField[] = [
  field('JobID', 'i', 'JOBID', 18, taskId),
  field('JobIDRaw', 'A', 'JOBID', 18, taskId),
  field('ArrayJobID', 'F', 'ARRAY_JOB_ID', 12, ({ id }) => id),
  field('ArrayTaskID', 'K', 'ARRAY_TASK_ID', 12, ({ task, waiting }) =>
    task === undefined ? waiting || 'N/A' : String(task)),
  field('JobName', 'j', 'NAME', 10, ({ row }) => row.name),
  field('Name', undefined, undefined, 10, ({ row }) => row.name),
  field('User', 'u', 'USER', 9, ({ row }) => row.user),
  field('UserName', undefined, undefined, 9, ({ row }) => row.user),
  field('Account', 'a', 'ACCOUNT', 10, account),
  field('Partition', 'P', 'PARTITION', 10, partition),
  field('QOS', 'q', 'QOS', 10, () => 'normal'),
  {
    ...field('State', 'T', 'STATE', 10, (line) =>
      line.state === 'cancelled' ? `CANCELLED by ${uid()}` : slurmStates[line.state].long),
    squeueValue: (line) => slurmStates[line.state].long,
  },
  field('StateCompact', 't', 'ST', 10, (line) => slurmStates[line.state].short),
  field('ExitCode', undefined, undefined, 8, exitCode),
  field('DerivedExitCode', undefined, undefined, 15, exitCode),
  field('Elapsed', 'M', 'TIME', 10, (line, now) => sacctTime(elapsedSeconds(line, now)),
    (line, now) => squeueTime(elapsedSeconds(line, now))),
  field('ElapsedRaw', undefined, undefined, 10, (line, now) => String(elapsedSeconds(line, now))),
  field('TimeUsed', undefined, undefined, 10, (line, now) =>
    squeueTime(elapsedSeconds(line, now))),
  field('Timelimit', 'l', 'TIME_LIMIT', 10, ({ row }) => sacctTime(row.walltimeSeconds),
    ({ row }) => squeueTime(row.walltimeSeconds)),
  field('TimeLeft', 'L', 'TIME_LEFT', 10, (line, now) =>
    squeueTime(Math.max(0, line.row.walltimeSeconds - elapsedSeconds(line, now)))),
  field('Submit', 'V', 'SUBMIT_TIME', 19, ({ row }) => slurmInstant(row.submittedEpochMs)),
  field('SubmitTime', undefined, undefined, 19, ({ row }) => slurmInstant(row.submittedEpochMs)),
  field('Eligible', undefined, undefined, 19, ({ row }) => slurmInstant(row.submittedEpochMs)),
  field('Start', 'S', 'START_TIME', 19, startTime, (line) =>
    startTime(line).replace('Unknown', 'N/A')),
  field('StartTime', undefined, undefined, 19, startTime),
  field('End', 'e', 'END_TIME', 19, endTime, (line) => endTime(line).replace('Unknown', 'N/A')),
  field('EndTime', undefined, undefined, 19, endTime),
  field('AllocCPUS', undefined, undefined, 10, cpus),
  field('ReqCPUS', undefined, undefined, 8, cpus),
  field('NCPUS', undefined, undefined, 10, cpus),
  field('NumCPUs', 'C', 'CPUS', 10, cpus),
  field('MinCPUs', 'c', 'MIN_CPUS', 10, cpus),
  field('NTasks', undefined, undefined, 8, () => '1'),
  field('NNodes', 'D', 'NODES', 8, ({ row }) => String(row.nodes)),
  field('AllocNodes', undefined, undefined, 10, ({ row }) => String(row.nodes)),
  field('NumNodes', undefined, undefined, 8, ({ row }) => String(row.nodes)),
  field('ReqMem', 'm', 'MIN_MEMORY', 10, ({ row }) => memory(row.memoryMib)),
  field('MinMemory', undefined, undefined, 10, ({ row }) => memory(row.memoryMib)),
  field('NodeList', 'N', 'NODELIST', 15, ({ site }) => site || 'None assigned',
    ({ site }) => site),
  field('ReasonList', 'R', 'NODELIST(REASON)', 20, nodesOrReason),
  field('Reason', 'r', 'REASON', 22, reason),
  field('Priority', 'Q', 'PRIORITY', 10, ({ row }) => String(row.priority)),
  field('PriorityFraction', 'p', 'PRIORITY', 10, ({ row }) => (row.priority / 4_096).toFixed(10)),
  field('WorkDir', 'Z', 'WORK_DIR', 20, ({ row, record }) => record?.directory ?? row.seenAt),
  field('Command', 'o', 'COMMAND', 20, ({ record }) => record?.command ?? ''),
  field('Comment', 'k', 'COMMENT', 14, () => ''),
  field('Cluster', undefined, undefined, 10, () => 'gridnode'),
  field('UID', 'U', 'UID', 6, () => String(uid())),
  field('GID', undefined, undefined, 6, () => String(process.getgid?.() ?? 0)),
  field('Group', 'g', 'GROUP', 9, () => ''),
  field('Dependency', 'E', 'DEPENDENCY', 20, () => '(null)'),
  field('TresPerNode', 'b', 'TRES_PER_NODE', 13, ({ row }) =>
    row.gpus > 0 ? `gres:gpu:${row.gpus}` : 'N/A'),
  field('Licenses', 'W', 'LICENSES', 12, () => '(null)'),
  field('Features', 'f', 'FEATURES', 12, () => '(null)'),
  field('Reservation', 'v', 'RESERVATION', 12, () => '(null)'),
  field('OverSubscribe', 'h', 'OVER_SUBSCRIBE', 14, () => 'OK'),
  field('CPUTimeRAW', undefined, undefined, 10, (line, now) =>
    String(line.row.cores * elapsedSeconds(line, now))),
  field('CPUTime', undefined, undefined, 10, (line, now) =>
    sacctTime(line.row.cores * elapsedSeconds(line, now))),
  field('TimelimitRaw', undefined, undefined, 12, ({ row }) =>
    String(Math.ceil(row.walltimeSeconds / 60))),
  ...['AllocTRES', 'ReqTRES'].map((name) => field(name, undefined, undefined, 10, ({ row }) =>
    `billing=${row.cores},cpu=${row.cores},mem=${row.memoryMib}M,node=${row.nodes}`)),
  ...['MaxRSS', 'MaxVMSize', 'AveRSS', 'TotalCPU', 'UserCPU', 'SystemCPU', 'AveCPU',
    'MaxDiskRead', 'MaxDiskWrite', 'ConsumedEnergy'].map((name) =>
    field(name, undefined, undefined, 10, () => '')),
]

function field(
  name: string, letter: string | undefined, squeueTitle: string | undefined, sacctWidth: number,
  value: SlurmField['value'], squeueValue?: SlurmField['value'],
): SlurmField {
  return {
    name, sacctWidth, value,
    ...(letter !== undefined && { letter }),
    ...(squeueTitle !== undefined && { squeueTitle }),
    ...(squeueValue && { squeueValue }),
  }
}

export function findField(name: string): SlurmField | undefined {
  const wanted = name.toLowerCase()
  return slurmFields.find((one) => one.name.toLowerCase() === wanted)
}

export function findLetter(letter: string): SlurmField | undefined {
  return slurmFields.find((one) => one.letter === letter)
}

export function taskId({ id, task, waiting }: Line): string {
  if (task !== undefined) return `${id}_${task}`
  return waiting === '' ? id : `${id}_[${waiting}]`
}

/** `CODE:SIGNAL`; what was ended for a limit, or by its owner, never looks like success. */
export function exitCode({ state, exitCode: code }: Line): string {
  if (state === 'cancelled' || state === 'walltime') return '0:15'
  if (state === 'memory') return '0:9'
  return `${code}:0`
}

export function partition({ row }: Line): string {
  return row.queue || partitionDefault
}

export const partitionDefault = 'gridnode'

function account({ row }: Line): string {
  return row.project || row.user
}

function cpus(line: Line): string {
  return String(line.row.cores)
}

function memory(mib: number): string {
  return mib % 1_024 === 0 ? `${mib / 1_024}G` : `${mib}M`
}

function startTime(line: Line): string {
  return line.startedEpochMs === undefined ? 'Unknown' : slurmInstant(line.startedEpochMs)
}

function endTime(line: Line): string {
  return line.endedEpochMs === undefined ? 'Unknown' : slurmInstant(line.endedEpochMs)
}

export function reason({ state }: Line): string {
  switch (state) {
    case 'waiting': return 'Resources'
    case 'parked': return 'Dependency'
    case 'held': return 'JobHeldUser'
    case 'walltime': return 'TimeLimit'
    case 'memory': return 'OutOfMemory'
    case 'failed': return 'NonZeroExitCode'
    default: return 'None'
  }
}

function nodesOrReason(line: Line): string {
  const waits = line.state === 'waiting' || line.state === 'parked' || line.state === 'held'
  return waits ? `(${reason(line)})` : line.site
}

export function uid(): number {
  return process.getuid?.() ?? 0
}

/** Local time, as Slurm prints it. */
export function slurmInstant(epochMs: number): string {
  const at = new Date(epochMs)
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T` +
    `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`
}

/** `[D-]HH:MM:SS` */
export function sacctTime(seconds: number): string {
  const days = Math.floor(seconds / 86_400)
  const clock = `${two(Math.floor(seconds / 3_600) % 24)}:${two(Math.floor(seconds / 60) % 60)}:` +
    two(seconds % 60)
  return days > 0 ? `${days}-${clock}` : clock
}

/** `[[D-]H:]M:SS` */
export function squeueTime(seconds: number): string {
  const [days, hours] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3_600) % 24]
  const rest = `${Math.floor(seconds / 60) % 60}:${two(seconds % 60)}`
  if (days > 0) return `${days}-${two(hours)}:${rest.padStart(5, '0')}`
  return hours > 0 ? `${hours}:${rest.padStart(5, '0')}` : rest
}

export function two(number: number): string {
  return String(number).padStart(2, '0')
}

/** Shown where a whole job stands on one line. */
export function memoryText(line: Line): string {
  return formatBytes(line.row.memoryMib * 2 ** 20 * tasksOf(line))
}
