// `squeue` and `sacct`: jobs in the columns that were asked for, as Slurm prints them.

import type { Context } from '../command.ts'
import { CommandFailure, exitCodes } from '../failure.ts'
import { userName } from '../user-key.ts'
import type { Parsed } from './getopt.ts'
import { badUsage, getopt, idWords } from './getopt.ts'
import type { Line } from './rows.ts'
import { endedStates, findLines } from './rows.ts'
import type { SlurmField } from './slurm-fields.ts'
import { findField, findLetter, partition, slurmStates } from './slurm-fields.ts'

/** Slurm forgets a job of its queue so long after its end; sacct knows it for longer. */
const minJobAgeMs = 300_000

const squeueOptions = [
  'noheader h', 'format o =', 'Format O =', 'jobs j =', 'user u =', 'me -', 'states t =',
  'partition p =', 'name n =', 'array r', 'long l', 'account A =', 'sort S =', 'all a', 'steps s ?',
  'start -', 'hide -', 'verbose v', 'clusters M =', 'local -', 'noconvert -', 'nodelist w =',
  'qos q =', 'priority P', 'array-unique -', 'iterate i =',
]
const squeueFormat = '%.18i %.9P %.8j %.8u %.2t %.10M %.6D %R'
const squeueLong = '%.18i %.9P %.8j %.8u %.8T %.10M %.9l %.6D %R'
const squeueRefused = ['steps', 'start', 'clusters', 'iterate']

export async function squeue(context: Context, args: readonly string[]): Promise<number> {
  const asked = getopt(args, { command: 'squeue', options: squeueOptions })
  refuseSome('squeue', asked, squeueRefused)
  const now = context.terminal.nowEpochMs()
  const named = asked.has('jobs') ? idWords(asked.values('jobs')) : undefined
  const states = statesAsked(asked.value('states'))
  const { lines, unknown } = await findLines(context, {
    ...(named && { ids: named }), state: states === undefined ? 'open' : 'all',
  })
  const young = lines.filter((line) => now - (line.row.endedEpochMs ?? now) <= minJobAgeMs)
  if (named && (unknown.length > 0 || young.length === 0) && named.length === 1) {
    const message = 'slurm_load_jobs error: Invalid job id specified'
    throw new CommandFailure(1, 'not_found', message)
  }
  const shown = expandArrays(young, asked.has('array'))
    .filter((line) => isAsked(line, asked, states, context))
  const columns = asked.has('Format')
    ? longColumns(asked.value('Format')!)
    : letterColumns(asked.value('format') ?? (asked.has('long') ? squeueLong : squeueFormat))
  const text = shown.map((line) => columns.line((field) =>
    (field.squeueValue ?? field.value)(line, now)))
  const head = asked.has('noheader') ? [] : [columns.line((field) =>
    field.squeueTitle ?? field.name.toUpperCase())]
  if (asked.has('long') && !asked.has('noheader')) head.unshift(dateLine(now))
  await context.terminal.out.write([...head, ...text].map((one) => `${one}\n`).join(''))
  return exitCodes.done
}

function refuseSome(command: string, asked: Parsed, names: readonly string[]): void {
  const found = names.find((name) => asked.has(name))
  if (found) throw badUsage(command, `--${found} is not answered by gridnode`)
}

/** Undefined: those that have not ended. */
function statesAsked(text: string | undefined): ReadonlySet<string> | 'all' | undefined {
  if (text === undefined) return undefined
  const words = text.toUpperCase().split(',').map((word) => word.trim())
  return words.includes('ALL') ? 'all' : new Set(words)
}

function isAsked(
  line: Line, asked: Parsed, states: ReadonlySet<string> | 'all' | undefined, context: Context,
): boolean {
  const among = (name: string, value: string): boolean =>
    !asked.has(name) || asked.values(name).some((text) => text.split(',').includes(value))
  const { short, long } = slurmStates[line.state]
  const inState = states === 'all' || (states === undefined
    ? !endedStates.has(line.state) : states.has(short) || states.has(long))
  const mine = !asked.has('me') || line.record !== undefined ||
    line.row.user === userName(context.terminal)
  return inState && mine && among('user', line.row.user) && among('name', line.row.name) &&
    among('partition', partition(line))
}

/** `-r`: a line for each task that waits. */
function expandArrays(lines: readonly Line[], expand: boolean): readonly Line[] {
  if (!expand) return lines
  return lines.flatMap((line) => line.waiting === '' ? line
    : line.waiting.split(',').flatMap((range) => {
      const [first = 0, last = first] = range.split('-').map(Number)
      return Array.from({ length: last - first + 1 }, (_, index): Line =>
        ({ ...line, waiting: '', task: first + index }))
    }))
}

interface Columns {
  line(cell: (field: SlurmField) => string): string
}

/** `%i`, `%.18i` (right), `%-8j`, with any text between. */
function letterColumns(format: string): Columns {
  const parts = [...format.matchAll(/%(\.?)(-?\d*)([A-Za-z%])|([^%]+|%)/g)].map((match) => {
    const [whole, right, width, letter, text] = match
    if (text !== undefined || letter === '%') return { text: text ?? '%' }
    const field = findLetter(letter ?? '')
    if (!field) throw badUsage('squeue', `Invalid job format specification: ${whole}`)
    return { field, width: Number(width), right: right === '.' }
  })
  return {
    line: (cell) => parts.map((part) => 'text' in part ? part.text
      : fitted(cell(part.field), part.width, part.right)).join(''),
  }
}

/** `jobid,state:20,name:.30` */
function longColumns(format: string): Columns {
  const parts = format.split(',').filter((word) => word.trim() !== '').map((word) => {
    const [name = '', size = ''] = word.trim().split(':')
    const field = findField(name)
    if (!field) throw badUsage('squeue', `Invalid job format specification: ${name}`)
    const match = /^(\.?)(\d*)/.exec(size)
    return { field, width: Number(match?.[2] || 20), right: match?.[1] === '.' }
  })
  return {
    line: (cell) => parts.map(({ field, width, right }) =>
      fitted(cell(field), width, right)).join(''),
  }
}

/** Cut or filled up to a width; 0 = as it is. */
function fitted(text: string, width: number, right: boolean): string {
  if (width === 0) return text
  const cut = text.slice(0, Math.abs(width))
  return right ? cut.padStart(width) : cut.padEnd(Math.abs(width))
}

const sacctOptions = [
  'noheader n', 'format o =', 'jobs j =', 'parsable p', 'parsable2 P', 'delimiter - =',
  'starttime S =', 'endtime E =', 'user u =', 'uid - =', 'allusers a', 'allocations X', 'state s =',
  'name - =', 'brief b', 'long l', 'units - =', 'duplicates D', 'array -', 'partition r =',
  'truncate T', 'noconvert -', 'completion c', 'clusters M =', 'accounts A =', 'helpformat e',
  'local-db -', 'wckeys W =', 'cluster L',
]
const sacctRefused = ['completion']
const sacctFormat = 'JobID,JobName,Partition,Account,AllocCPUS,State,ExitCode'

export async function sacct(context: Context, args: readonly string[]): Promise<number> {
  const asked = getopt(args, { command: 'sacct', options: sacctOptions })
  refuseSome('sacct', asked, sacctRefused)
  if (asked.values('clusters').some((name) => name !== 'all')) {
    throw badUsage('sacct', '--clusters: there is one, and -M all means it')
  }
  const now = context.terminal.nowEpochMs()
  const named = asked.has('jobs')
    ? idWords(asked.values('jobs')).map((id) => id.replace(/\.(batch|extern|\d+)$/, ''))
    : undefined
  const states = statesAsked(asked.value('state'))
  const mine = !named && !asked.has('user') && !asked.has('allusers')
  const { lines } = await findLines(context, {
    ...(named && { ids: named }), state: 'all', ...(mine && { user: userName(context.terminal) }),
  })
  const from = instantOf(asked.value('starttime'), named ? 0 : midnight(now), now)
  const until = instantOf(asked.value('endtime'), Infinity, now)
  const shown = expandArrays(lines, asked.has('array')).filter((line) =>
    (line.row.endedEpochMs ?? Infinity) >= from && line.row.submittedEpochMs <= until &&
    isAsked(line, asked, states ?? 'all', context))
  const format = asked.has('brief') ? 'JobID,State,ExitCode' : asked.value('format') ?? sacctFormat
  const columns = format.split(',').filter((word) => word.trim() !== '').map((word) => {
    const [name = '', width] = word.trim().split('%')
    const field = findField(name)
    if (!field) throw badUsage('sacct', `fatal: Invalid field requested: "${name}"`)
    const wide = width === undefined ? field.sacctWidth ?? 10 : Number(width)
    return { field, title: field.name, width: wide }
  })
  const parsable = asked.has('parsable2') || asked.has('parsable')
  const between = asked.value('delimiter') ?? '|'
  const tail = asked.has('parsable') && !asked.has('parsable2') ? between : ''
  const print = (cells: readonly string[]): string => parsable
    ? `${cells.join(between)}${tail}\n`
    : `${cells.map((cell, index) => {
        const { width } = columns[index]!
        const cut = cell.length > Math.abs(width)
          ? `${cell.slice(0, Math.abs(width) - 1)}+` : cell
        return width < 0 ? cut.padEnd(-width) : cut.padStart(width)
      }).join(' ')} \n`
  let text = ''
  if (!asked.has('noheader')) {
    text += print(columns.map(({ title }) => title))
    if (!parsable) text += print(columns.map(({ width }) => '-'.repeat(Math.abs(width))))
  }
  for (const line of shown) text += print(columns.map(({ field }) => field.value(line, now)))
  await context.terminal.out.write(text)
  return exitCodes.done
}

function midnight(now: number): number {
  return new Date(now).setHours(0, 0, 0, 0)
}

/** `2026-11-20[T10:00[:00]]`, `now`, `now-2days`, `10:00`; local time. */
function instantOf(text: string | undefined, otherwise: number, now: number): number {
  if (text === undefined) return otherwise
  if (text === 'now') return now
  if (text === 'today' || text === 'midnight') return midnight(now)
  const ago = /^now-(\d{1,9})(second|minute|hour|day|week)?s?$/.exec(text)
  if (ago) {
    const unit = { second: 1, minute: 60, hour: 3_600, day: 86_400, week: 604_800 }[
      (ago[2] ?? 'second') as 'second']
    return now - Number(ago[1]) * unit * 1_000
  }
  const date = /^(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d(?::\d\d)?))?$/.exec(text)
  const at = date ? new Date(`${date[1]}T${date[2] ?? '00:00'}`).getTime() : Number.NaN
  if (Number.isNaN(at)) {
    throw badUsage('sacct', `Invalid time specification: ${text}; ` +
      'expected YYYY-MM-DD, YYYY-MM-DDTHH:MM:SS or now-Ndays')
  }
  return at
}

/** As ctime(3) writes it: `Fri Nov 20 19:50:17 2026`, the day with a blank before it. */
function dateLine(epochMs: number): string {
  const [weekday, month, day = '', year, time] = new Date(epochMs).toString().split(' ')
  return [weekday, month, day.replace(/^0/, ' '), time, year].join(' ')
}
