// Where a task's output goes: the pattern that the user gave, in the words of each scheduler.

import { decimalOf } from '../../protocol/base/decimal-id.ts'
import type { BatchRow } from '../../node/http/batch-api.ts'
import type { JobRecord } from './records.ts'

interface Names {
  readonly id: string
  readonly task: number
  readonly array: boolean
  readonly name: string
  readonly user: string
  readonly site: string
}

/** Paths as they were meant; '' = nowhere. Equal when both streams go to one file. */
export function streamFiles(
  record: JobRecord, row: BatchRow, task: number,
): { readonly out: string; readonly error: string } {
  const names: Names = {
    id: decimalOf(row.job),
    task,
    array: row.array,
    name: record.name,
    user: row.user,
    site: row.taskRows.find((one) => one.task === task)?.site ?? '',
  }
  const expand = expansions[record.dialect]
  const { out, error, join } = record.streams
  const first = expand(out, names)
  return { out: first, error: join || error === out ? first : expand(error, names) }
}

const expansions: Readonly<Record<JobRecord['dialect'], (text: string, names: Names) => string>> = {
  slurm: expandSlurm,
  lsf: (text, { id, task, array }) => text
    .replaceAll('%J', id).replaceAll('%I', array ? String(task) : '0'),
  grid_engine: expandGridEngine,
  pbs: expandPbs,
  torque: expandPbs,
}

/** `%j` and the like, with a width of zeros as in `%4a`; a pattern with a backslash is plain. */
function expandSlurm(text: string, { id, task, array, name, user, site }: Names): string {
  if (text.includes('\\')) return text.replaceAll('\\', '')
  const values: Readonly<Record<string, string>> = {
    '%': '%', j: id, J: id, A: id, a: array ? String(task) : '4294967294', x: name, u: user,
    N: site, n: '0', s: 'batch', t: '0',
  }
  return text.replace(/%(\d{0,2})(.)/g, (whole, width: string, letter: string) => {
    const value = Object.hasOwn(values, letter) ? values[letter]! : undefined
    if (value === undefined) return whole
    return /^\d+$/.test(value) ? value.padStart(Number(width), '0') : value
  })
}

function expandGridEngine(text: string, { id, task, array, name, user, site }: Names): string {
  const values: Readonly<Record<string, string>> = {
    JOB_ID: id, TASK_ID: array ? String(task) : 'undefined', JOB_NAME: name, USER: user,
    HOSTNAME: site,
  }
  const path = text.replace(/^[A-Za-z0-9.-]*:(?=\/)/, '')
  return path.replace(/\$(?:\{([A-Z_]+)\}|(JOB_ID|TASK_ID|JOB_NAME|USER|HOSTNAME))/g,
    (whole, braced?: string, plain?: string) => values[braced ?? plain ?? ''] ?? whole)
}

/** The number of a job of PBS, without its server and its task. */
export const sequence = '${PBS_SEQUENCE}'

function expandPbs(text: string, { id, task, array }: Names): string {
  const path = text.replace(/^[A-Za-z0-9.-]*:(?=\/)/, '')
  return path.replaceAll(sequence, id).replace(/\^array_index\^/g, String(task))
    .replace(/\$\{?(?:PBS_JOBID)\}?/g, array ? `${id}[${task}]` : id)
    .replace(/\$\{?(?:PBS_ARRAYID|PBS_ARRAY_INDEX)\}?/g, String(task))
}
