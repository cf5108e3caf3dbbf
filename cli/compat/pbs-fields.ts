// What qstat can say of a job in full, in one table: the attribute, as OpenPBS and Torque name it,
// and its value; in the order in which both print them.

import type { Line, LineState } from './rows.ts'
import { elapsedSeconds } from './rows.ts'
import { streamFiles } from './stream-files.ts'

export type PbsFlavour = 'pbs' | 'torque'

/** One job or subjob; an array with all its subjobs is one, too. */
export interface PbsJob {
  /** `12`, `12[]` or `12[3]`, without the server. */
  readonly number: string
  readonly lines: readonly Line[]
  /** Stands for the whole: of the line that has come least far. */
  readonly line: Line
}

export interface PbsView {
  readonly flavour: PbsFlavour
  readonly server: string
  readonly nowEpochMs: number
}

const letters: Readonly<Record<LineState, string>> = {
  waiting: 'Q', parked: 'H', held: 'H', running: 'R', suspended: 'S', returning: 'E',
  done: 'F', failed: 'F', cancelled: 'F', walltime: 'F', memory: 'F', lost: 'F',
}

/** How far a task has come, for an array that is shown as one. */
const order: readonly LineState[] = [
  'running', 'returning', 'suspended', 'waiting', 'parked', 'held', 'done', 'failed', 'cancelled',
  'walltime', 'memory', 'lost',
]

export function pbsJobs(lines: readonly Line[], subjobs: (line: Line) => boolean): PbsJob[] {
  const jobs: PbsJob[] = []
  for (const [id, all] of Map.groupBy(lines, (line) => line.id)) {
    const { row } = all[0]!
    if (!row.array) jobs.push(...all.map((line) => ({ number: id, lines: [line], line })))
    else {
      const own = all.filter(subjobs)
      for (const line of own) {
        const inner = line.task === undefined ? '' : String(line.task)
        jobs.push({ number: `${id}[${inner}]`, lines: [line], line })
      }
      if (own.length > 0) continue
      const sorted = all.toSorted((a, b) => order.indexOf(a.state) - order.indexOf(b.state))
      jobs.push({ number: `${id}[]`, lines: all, line: sorted[0]! })
    }
  }
  return jobs
}

/** One letter; a finished job is C for Torque, F for PBS; an array that has begun is B for PBS. */
export function pbsState({ line, lines, number }: PbsJob, { flavour }: PbsView): string {
  const letter = letters[line.state]
  if (letter === 'F') return flavour === 'torque' ? 'C' : 'F'
  const begun = number.endsWith('[]') && lines.some(({ state }) => letters[state] !== 'Q')
  return begun && flavour === 'pbs' && letter !== 'H' ? 'B' : letter
}

export function isOver({ line }: PbsJob): boolean {
  return letters[line.state] === 'F'
}

/** As PBS says it: 256 and the signal for what a signal ended; 271 for what was deleted. */
export function pbsExit({ lines }: PbsJob): number {
  return Math.max(...lines.map(({ state, exitCode }) =>
    state === 'cancelled' || state === 'walltime' || state === 'memory' ? 271
      : state === 'lost' ? 1 : exitCode))
}

export function pbsId(job: PbsJob, { server }: PbsView): string {
  return `${job.number}.${server}`
}

export const pbsQueue = 'gridnode'

interface Attribute {
  readonly pbs?: string
  readonly torque?: string
  /** Undefined: it is not printed. */
  value(job: PbsJob, view: PbsView): string | undefined
}

const attributes: readonly Attribute[] = [
  both('Job_Name', ({ line }) => line.row.name),
  both('Job_Owner', ({ line }, { server }) => `${line.row.user}@${server}`),
  both('resources_used.cput', (job, view) => used(job, view)),
  both('resources_used.walltime', (job, view) => used(job, view)),
  both('job_state', pbsState),
  both('queue', ({ line }) => line.row.queue || pbsQueue),
  both('server', (_, { server }) => server),
  both('ctime', ({ line }) => ctime(line.row.submittedEpochMs)),
  both('Error_Path', (job, view) => path(job, view, 'error')),
  both('exec_host', ({ line }) => line.site === '' ? undefined : `${line.site}/0`),
  both('Hold_Types', ({ line }) => line.state === 'held' ? 'u' : line.state === 'parked' ? 's'
    : 'n'),
  both('Join_Path', ({ line }) => line.record?.streams.join ? 'oe' : 'n'),
  both('mtime', ({ line }) => ctime(line.endedEpochMs ?? line.startedEpochMs ??
    line.row.submittedEpochMs)),
  both('Output_Path', (job, view) => path(job, view, 'out')),
  both('Priority', ({ line }) => String(line.row.priority - 1_024)),
  both('qtime', ({ line }) => ctime(line.row.submittedEpochMs)),
  both('Rerunable', () => 'True'),
  both('Resource_List.mem', ({ line }) => `${line.row.memoryMib}mb`),
  both('Resource_List.ncpus', ({ line }) => String(line.row.cores)),
  both('Resource_List.nodect', ({ line }) => String(line.row.nodes)),
  { torque: 'Resource_List.nodes', value: ({ line }) => `${line.row.nodes}:ppn=${line.row.cores}` },
  {
    pbs: 'Resource_List.select',
    value: ({ line: { row } }) => `1:ncpus=${row.cores}:mem=${row.memoryMib}mb`,
  },
  both('Resource_List.walltime', ({ line }) => pbsTime(line.row.walltimeSeconds)),
  both('stime', ({ line }) =>
    line.startedEpochMs === undefined ? undefined : ctime(line.startedEpochMs)),
  both('obittime', ({ line }) =>
    line.endedEpochMs === undefined ? undefined : ctime(line.endedEpochMs)),
  both('etime', ({ line }) => ctime(line.row.submittedEpochMs)),
  both('Variable_List', ({ line }, { server }) =>
    `PBS_O_WORKDIR=${line.record?.directory ?? line.row.seenAt},PBS_O_HOST=${server}`),
  both('comment', ({ line }) => line.detail === '' ? undefined : line.detail),
  { pbs: 'Exit_status', torque: 'exit_status', value: (job) =>
    isOver(job) ? String(pbsExit(job)) : undefined },
  both('array', ({ number }) => number.endsWith('[]') ? 'True' : undefined),
  both('Submit_arguments', ({ line }) => line.record?.command),
]

function both(name: string, value: Attribute['value']): Attribute {
  return { pbs: name, torque: name, value }
}

/** Names and values, in order. */
export function pbsAttributes(job: PbsJob, view: PbsView): (readonly [string, string])[] {
  return attributes.flatMap((attribute) => {
    const name = attribute[view.flavour]
    const value = name === undefined ? undefined : attribute.value(job, view)
    return name === undefined || value === undefined ? [] : [[name, oneLine(value)] as const]
  })
}

function oneLine(text: string): string {
  return text.replace(/[\r\n\t]+/g, ' ')
}

function used({ line }: PbsJob, { nowEpochMs }: PbsView): string | undefined {
  return line.startedEpochMs === undefined ? undefined : pbsTime(elapsedSeconds(line, nowEpochMs))
}

function path({ line }: PbsJob, { server }: PbsView, which: 'out' | 'error'): string | undefined {
  if (!line.record) return undefined
  const file = streamFiles(line.record, line.row, line.task ?? 0)[which]
  return `${server}:${file.startsWith('/') ? file : `${line.record.directory}/${file}`}`
}

/** `HH:MM:SS`, hours as many as there are. */
export function pbsTime(seconds: number): string {
  const two = (number: number): string => String(number).padStart(2, '0')
  return `${two(Math.floor(seconds / 3_600))}:${two(Math.floor(seconds / 60) % 60)}:` +
    two(seconds % 60)
}

/** `Fri Nov 20 18:00:00 2026`, local time. */
export function ctime(epochMs: number): string {
  const at = new Date(epochMs)
  const [day, month, date, year] = at.toDateString().split(' ')
  return `${day} ${month} ${date} ${at.toTimeString().slice(0, 8)} ${year}`
}

/** As text of XML. */
export function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
