// What bjobs can say of a job, in one table: the name for `-o`, its heading, its width in the
// default format, and the value.

import type { Line, LineState } from './rows.ts'
import { elapsedSeconds } from './rows.ts'
import { two } from './slurm-fields.ts'
import { streamFiles } from './stream-files.ts'

export interface LsfField {
  readonly name: string
  /** Other names of it. */
  readonly alias?: string
  readonly title: string
  readonly width: number
  value(line: Line, view: LsfView): string
}

export interface LsfView {
  readonly home: string
  readonly nowEpochMs: number
}

const stats: Readonly<Record<LineState, string>> = {
  waiting: 'PEND', parked: 'PEND', held: 'PSUSP', running: 'RUN', suspended: 'USUSP',
  returning: 'RUN', done: 'DONE', failed: 'EXIT', cancelled: 'EXIT', walltime: 'EXIT',
  memory: 'EXIT', lost: 'EXIT',
}

export function lsfStat({ state }: Line): string {
  return stats[state]
}

/** Empty for what has not ended, or ended well. */
export function lsfExit({ state, exitCode }: Line): string {
  switch (state) {
    case 'failed': case 'lost': return String(exitCode)
    case 'cancelled': return '130'
    case 'walltime': return '140'
    case 'memory': return '137'
    default: return ''
  }
}

export function lsfReason({ state }: Line): string {
  switch (state) {
    case 'cancelled': return 'TERM_OWNER: job killed by owner'
    case 'walltime': return 'TERM_RUNLIMIT: job killed after reaching LSF run time limit'
    case 'memory': return 'TERM_MEMLIMIT: job killed after reaching LSF memory usage limit'
    default: return ''
  }
}

export const lsfQueue = 'gridnode'

export function lsfId({ id, task }: Line): string {
  return task === undefined ? id : `${id}[${task}]`
}

export const lsfFields: readonly LsfField[] = [
  field('jobid', 'JOBID', 7, ({ id }) => id, 'id'),
  field('jobindex', 'JOBINDEX', 8, ({ task }) => String(task ?? 0)),
  field('user', 'USER', 7, ({ row }) => row.user),
  field('stat', 'STAT', 5, lsfStat),
  field('queue', 'QUEUE', 10, ({ row }) => row.queue || lsfQueue),
  field('from_host', 'FROM_HOST', 11, (_, { home }) => home),
  field('exec_host', 'EXEC_HOST', 11, ({ site }) => site),
  field('first_host', 'FIRST_HOST', 11, ({ site }) => site),
  field('nexec_host', 'NEXEC_HOST', 10, ({ row }) => String(row.nodes)),
  field('job_name', 'JOB_NAME', 10, ({ row, task }) =>
    task === undefined ? row.name : `${row.name}[${task}]`, 'name'),
  field('submit_time', 'SUBMIT_TIME', 12, ({ row }) => lsfTime(row.submittedEpochMs)),
  field('start_time', 'START_TIME', 12, ({ startedEpochMs }) => lsfTime(startedEpochMs)),
  field('finish_time', 'FINISH_TIME', 14, ({ endedEpochMs }) => lsfTime(endedEpochMs)),
  field('run_time', 'RUN_TIME', 15, (line, { nowEpochMs }) =>
    `${elapsedSeconds(line, nowEpochMs)} second(s)`),
  field('cpu_used', 'CPU_USED', 10, () => ''),
  field('exit_code', 'EXIT_CODE', 10, lsfExit),
  field('exit_reason', 'EXIT_REASON', 50, lsfReason),
  field('pend_reason', 'PEND_REASON', 11, ({ state, detail }) =>
    state === 'waiting' || state === 'parked' || state === 'held' ? detail : ''),
  field('job_description', 'JOB_DESCRIPTION', 17, () => ''),
  field('proj_name', 'PROJ_NAME', 11, ({ row }) => row.project || 'default', 'project'),
  field('user_group', 'USER_GROUP', 15, () => ''),
  field('slots', 'SLOTS', 5, ({ row }) => String(row.cores)),
  field('min_req_proc', 'MIN_REQ_PROC', 12, ({ row }) => String(row.cores)),
  field('max_req_proc', 'MAX_REQ_PROC', 12, ({ row }) => String(row.cores)),
  field('mem', 'MEM', 15, () => ''),
  field('max_mem', 'MAX_MEM', 15, () => ''),
  field('memlimit', 'MEMLIMIT', 10, ({ row }) => `${row.memoryMib} M`),
  field('runtimelimit', 'RUNTIMELIMIT', 15, ({ row }) => `${row.walltimeSeconds / 60} min`),
  field('priority', 'PRIORITY', 10, ({ row }) => String(row.priority)),
  field('command', 'COMMAND', 15, ({ record, row }) => record?.command ?? row.name, 'cmd'),
  field('exec_cwd', 'EXEC_CWD', 10, directory),
  field('sub_cwd', 'SUB_CWD', 10, directory),
  field('output_file', 'OUTPUT_FILE', 15, (line) => file(line, 'out')),
  field('error_file', 'ERROR_FILE', 15, (line) => file(line, 'error')),
  field('input_file', 'INPUT_FILE', 10, () => '/dev/null'),
  field('dependency', 'DEPENDENCY', 15, () => ''),
  field('job_group', 'JOB_GROUP', 10, () => ''),
]

function field(
  name: string, title: string, width: number, value: LsfField['value'], alias?: string,
): LsfField {
  return { name, title, width, value, ...(alias !== undefined && { alias }) }
}

export function findLsfField(name: string): LsfField | undefined {
  const wanted = name.toLowerCase()
  return lsfFields.find((one) => one.name === wanted || one.alias === wanted)
}

function directory({ record, row }: Line): string {
  return record?.directory ?? row.seenAt
}

function file({ record, row, task }: Line, which: 'out' | 'error'): string {
  return record ? streamFiles(record, row, task ?? 0)[which] : ''
}

/** `Nov 20 18:00`, local time. */
export function lsfTime(epochMs: number | undefined): string {
  if (epochMs === undefined) return ''
  const at = new Date(epochMs)
  const month = at.toDateString().split(' ')[1]
  return `${month} ${String(at.getDate()).padStart(2)} ${two(at.getHours())}:` +
    two(at.getMinutes())
}
