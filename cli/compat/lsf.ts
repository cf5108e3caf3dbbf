// The commands of LSF: `bsub`, `bjobs`, `bkill`, `bstop`, `bresume`, `bparams`, `bqueues`,
// `bhosts`, `bhist` and `lsid`, in the form that their callers read.

import type { NodeInfo, OfferRow } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import type { Context } from '../command.ts'
import { CommandFailure, exitCodes } from '../failure.ts'
import { userName } from '../user-key.ts'
import type { Asks } from './asking.ts'
import { askEach } from './asking.ts'
import { readBatchScript } from './batch-script.ts'
import type { Parsed } from './getopt.ts'
import { badUsage, getopt } from './getopt.ts'
import type { LsfField, LsfView } from './lsf-fields.ts'
import {
  findLsfField, lsfExit, lsfFields, lsfId, lsfQueue, lsfReason, lsfStat,
} from './lsf-fields.ts'
import { ctime } from './pbs-fields.ts'
import type { Line } from './rows.ts'
import { elapsedSeconds, endedStates, findLines, readId } from './rows.ts'
import { signalOf } from './slurm-control.ts'
import { submitBatch } from './submission.ts'
import { waitForJob } from './wait.ts'

const unknownCode = 255

export async function bsub(context: Context, args: readonly string[]): Promise<number> {
  const { job, directives } = readBatchScript(context, 'lsf', args)
  const { out } = context.terminal
  const { id } = await submitBatch(context, job)
  const { queue } = directives.options
  await out.write(queue === undefined
    ? `Job <${id}> is submitted to default queue <${lsfQueue}>.\n`
    : `Job <${id}> is submitted to queue <${queue}>.\n`)
  if (!directives.switches.wait) return exitCodes.done
  await out.write('<<Waiting for dispatch ...>>\n')
  let said = false
  const code = await waitForJob(context, id, async (lines) => {
    const site = lines.find((line) => line.site !== '')?.site
    if (said || site === undefined) return
    said = true
    await out.write(`<<Starting on ${site}>>\n`)
  })
  await out.write('<<Job is finished>>\n')
  return code
}

const bjobsOptions = [
  'json -', 'o - =', 'noheader -', 'w -', 'W -', 'l -', 'a -', 'd -', 'r -', 'p -', 's -', 'u - =',
  'q - =', 'J - =', 'UF -', 'X -', 'm - =', 'A -', 'P - =', 'G - =', 'x -', 'hms -',
]

export async function bjobs(context: Context, args: readonly string[]): Promise<number> {
  const asked = getopt(args, { command: 'bjobs', options: bjobsOptions, words: true })
  const { out, err } = context.terminal
  const ids = asked.operands.filter((word) => word !== '0')
  const { lines, unknown } = await findLines(context, {
    ...(ids.length > 0 && { ids }), state: asked.has('a') || asked.has('d') ? 'all' : 'open',
  })
  const owner = asked.value('u') ?? (ids.length > 0 ? 'all' : userName(context.terminal))
  const shown = lines.filter((line) => (owner === 'all' || line.row.user === owner) &&
    isAsked(line, asked, ids.length > 0))
  const { site: home } = await context.client().get<NodeInfo>(apiPaths.info)
  const view: LsfView = { home, nowEpochMs: context.terminal.nowEpochMs() }
  if (asked.has('json')) {
    await out.write(jsonOf(shown, unknown, { asked, view }))
    return unknown.length > 0 && shown.length === 0 ? unknownCode : exitCodes.done
  }
  if (asked.has('l')) await out.write(shown.map((line) => longText(line, view)).join(''))
  else if (shown.length > 0) await out.write(tableOf(shown, asked, view))
  for (const id of unknown) await err.write(`Job <${id}> is not found\n`)
  if (shown.length === 0 && unknown.length === 0) {
    await err.write(asked.has('a') ? 'No job found\n' : 'No unfinished job found\n')
  }
  return unknown.length > 0 ? unknownCode : exitCodes.done
}

function isAsked(line: Line, asked: Parsed, named: boolean): boolean {
  const ended = endedStates.has(line.state)
  const stat = lsfStat(line)
  const filters: readonly (readonly [string, boolean])[] = [
    ['r', stat === 'RUN'], ['p', stat === 'PEND' || stat === 'PSUSP'], ['d', ended],
    ['s', stat.endsWith('SUSP')],
  ]
  const chosen = filters.filter(([name]) => asked.has(name))
  return (chosen.length > 0 ? chosen.some(([, is]) => is) : named || asked.has('a') || !ended) &&
    (!asked.has('q') || (line.row.queue || lsfQueue) === asked.value('q')) &&
    (!asked.has('J') || line.row.name === asked.value('J')) &&
    (!asked.has('m') || line.site === asked.value('m')) &&
    (!asked.has('P') || (line.row.project || 'default') === asked.value('P'))
}

interface Column {
  readonly field: LsfField
  /** Undefined: as wide as it is; negative: to the left. */
  readonly width: number | undefined
}

interface Format {
  readonly columns: readonly Column[]
  readonly delimiter: string | undefined
}

/** `jobid:10 stat: queue:-8 delimiter='|'` */
function formatOf(text: string): Format {
  const delimiter = /delimiter=(?:'([^']*)'|"([^"]*)"|(\S+))/.exec(text)
  const words = text.replace(/delimiter=(?:'[^']*'|"[^"]*"|\S+)/, '').trim().split(/\s+/)
  const columns = words.filter((word) => word !== '').flatMap((word): Column[] => {
    const [name = '', width] = word.split(':')
    if (name === 'all') return lsfFields.map((field) => ({ field, width: field.width }))
    const field = findLsfField(name)
    if (!field) throw badUsage('bjobs', `"${name}" is not a field name. Job not displayed.`)
    return [{ field, width: width === undefined ? field.width : Number(width || 0) || undefined }]
  })
  return { columns, delimiter: delimiter?.[1] ?? delimiter?.[2] ?? delimiter?.[3] }
}

function jsonOf(
  lines: readonly Line[], unknown: readonly string[],
  { asked, view }: { readonly asked: Parsed; readonly view: LsfView },
): string {
  if (!asked.has('o')) throw badUsage('bjobs', '-json: say the fields with -o')
  const { columns } = formatOf(asked.value('o')!)
  const records = lines.map((line) => Object.fromEntries(columns.map(({ field }) =>
    [field.title, field.value(line, view)])))
  const missing = unknown.map((id) => ({ JOBID: id, ERROR: `Job <${id}> is not found` }))
  const document = {
    COMMAND: 'bjobs', JOBS: records.length, RECORDS: [...records, ...missing],
  }
  return `${JSON.stringify(document, null, 2)}\n`
}

const usualNames = [
  'jobid', 'user', 'stat', 'queue', 'from_host', 'exec_host', 'job_name', 'submit_time',
]

function tableOf(lines: readonly Line[], asked: Parsed, view: LsfView): string {
  const wide = asked.has('w') || asked.has('W') || asked.has('UF')
  const own = asked.value('o')
  const format: Format = own === undefined
    ? {
        columns: usualNames.map((name) => {
          const field = findLsfField(name)!
          return { field, width: field.width }
        }),
        delimiter: undefined,
      }
    : formatOf(own)
  const rows = lines.map((line) => format.columns.map(({ field }) => field.value(line, view)))
  const head = format.columns.map(({ field }) => field.title)
  const all = asked.has('noheader') ? rows : [head, ...rows]
  const print = (cells: readonly string[]): string => {
    if (format.delimiter !== undefined) return cells.map(dash).join(format.delimiter)
    return cells.map((text, index) => {
      const { width, field } = format.columns[index]!
      const most = Math.max(...all.map((row) => row[index]!.length))
      const room = width === undefined || wide || field.name === 'jobid'
        ? Math.max(most, Math.abs(width ?? 0)) : Math.abs(width)
      const cut = text.length > room ? `*${text.slice(text.length - room + 1)}` : text
      return (own === undefined ? cut : dash(cut)).padEnd(room)
    }).join(' ').trimEnd()
  }
  return all.map((cells) => `${print(cells)}\n`).join('')
}

function dash(text: string): string {
  return text === '' ? '-' : text
}

/** Its history as LSF tells it, in sentences. */
function longText(line: Line, { home }: LsfView): string {
  const { row, record, state } = line
  const at = (epochMs: number): string => ctime(epochMs).replace(/ \d{4}$/, '')
  const code = lsfExit(line)
  const end = line.endedEpochMs ?? row.endedEpochMs
  const reason = lsfReason(line)
  return [
    '',
    `Job <${lsfId(line)}>, Job Name <${row.name}>, User <${row.user}>, ` +
      `Project <${row.project || 'default'}>, Status <${lsfStat(line)}>, ` +
      `Queue <${row.queue || lsfQueue}>, Command <${record?.command ?? row.name}>`,
    `${at(row.submittedEpochMs)}: Submitted from host <${home}>, ` +
      `CWD <${record?.directory ?? row.seenAt}>;`,
    ...(line.startedEpochMs === undefined ? [] : [
      `${at(line.startedEpochMs)}: Started ${row.cores} Task(s) on Host(s) <${line.site}>;`,
    ]),
    ...(state === 'done' && end !== undefined ? [
      `${at(end)}: Done successfully. The CPU time used is unknown.`,
    ] : []),
    ...(code !== '' && end !== undefined ? [
      `${at(end)}: Exited with exit code ${code}. The CPU time used is unknown.`,
      `${at(end)}: Completed <exit>${reason === '' ? '' : `; ${reason}`}.`,
    ] : []),
    ...(state === 'waiting' || state === 'parked' || state === 'held' ? [
      ' PENDING REASONS:', ` ${line.detail};`,
    ] : []),
    '', '',
  ].join('\n')
}

function asksOf(command: string, verb: Asks['verb'], does: string): Asks {
  return {
    command, verb, unknownCode,
    unknown: (text) => `Job <${text}>: No matching job found`,
    done: (text) => `Job <${text}> is being ${does}`,
  }
}

/** The ids that are named, or with `0` and without any: all of one's own that pass. */
async function meantBy(context: Context, asked: Parsed): Promise<readonly string[]> {
  const named = asked.operands.filter((word) => word !== '0')
  if (named.length > 0) return named
  const { lines } = await findLines(context, { state: 'open' })
  return [...new Set(lines.filter((line) =>
    (asked.has('u') ? asked.value('u') === line.row.user : line.record !== undefined) &&
    (!asked.has('J') || line.row.name === asked.value('J')) &&
    (!asked.has('q') || (line.row.queue || lsfQueue) === asked.value('q')))
    .map(({ id }) => id))]
}

const chooseOptions = ['J - =', 'u - =', 'q - =', 'm - =', 'g - =']

export async function bkill(context: Context, args: readonly string[]): Promise<number> {
  const asked = getopt(args, {
    command: 'bkill', words: true, options: [...chooseOptions, 's - =', 'd -', 'r -', 'b -', 'l -'],
  })
  const ids = await meantBy(context, asked)
  const name = asked.value('s')?.replace(/^SIG/, '')
  if (name === undefined || name === 'KILL' || name === '9') {
    return askEach(context, ids, asksOf('bkill', 'cancel', 'terminated'))
  }
  const asks = asksOf('bkill', 'signal', 'signaled')
  return askEach(context, ids, { ...asks, wish: { signal: signalOf('bkill', name) } })
}

/** What waits is held, what runs is suspended. */
export function bstopOf(stop: boolean) {
  return async (context: Context, args: readonly string[]): Promise<number> => {
    const command = stop ? 'bstop' : 'bresume'
    const asked = getopt(args, { command, words: true, options: [...chooseOptions, 'a -', 'd -'] })
    const ids = await meantBy(context, asked)
    const { lines } = await findLines(context, { ids, state: 'open' })
    let worst = 0
    for (const id of ids) {
      const named = readId(id)
      const own = lines.filter(({ row }) => row.job === named?.job)
      const placed = own.some(({ state }) => state === 'running' || state === 'suspended')
      const verb = stop ? (placed ? 'suspend' : 'hold') : placed ? 'resume' : 'release'
      worst = Math.max(worst, await askEach(context, [id],
        asksOf(command, verb, stop ? 'stopped' : 'resumed')))
    }
    return worst
  }
}

export async function bparams(context: Context, args: readonly string[]): Promise<number> {
  const asked = getopt(args, { command: 'bparams', words: true, options: ['a -', 'l -'] })
  const rows = asked.has('a') || asked.has('l') ? [
    ['DEFAULT_QUEUE', lsfQueue], ['CLEAN_PERIOD', '3600'], ['MAX_JOB_ARRAY_SIZE', '100000'],
    ['RESOURCE_RESERVE_PER_SLOT', 'N'], ['MBD_SLEEP_TIME', '1 (seconds)'],
  ].map(([name, value]) => `    ${name} = ${value}`) : [`Default Queues:  ${lsfQueue}`]
  await context.terminal.out.write(`${rows.join('\n')}\n`)
  return exitCodes.done
}

export async function bqueues(context: Context, args: readonly string[]): Promise<number> {
  getopt(args, { command: 'bqueues', words: true, options: ['l -', 'w -', 'u - =', 'm - ='] })
  const { lines } = await findLines(context, { state: 'open' })
  const count = (...stats: readonly string[]): string =>
    String(lines.filter((line) => stats.includes(lsfStat(line))).length).padStart(5)
  await context.terminal.out.write(
    'QUEUE_NAME      PRIO STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN  SUSP \n' +
    `${lsfQueue.padEnd(15)} ${'30'.padStart(3)}  ${'Open:Active'.padEnd(14)}   -    -    -    - ` +
    `${count('PEND', 'PSUSP', 'RUN', 'USUSP')} ${count('PEND')} ${count('RUN')} ` +
    `${count('PSUSP', 'USUSP')} \n`)
  return exitCodes.done
}

export async function bhosts(context: Context, args: readonly string[]): Promise<number> {
  const asked = getopt(args, { command: 'bhosts', words: true, options: ['l -', 'w -', 'X -'] })
  const offers = await context.client().get<readonly OfferRow[]>(apiPaths.offers)
  const rows = offers.filter(({ site }) =>
    asked.operands.length === 0 || asked.operands.includes(site))
  if (rows.length === 0) {
    throw new CommandFailure(unknownCode, 'not_found', `${asked.operands.join(' ')}: Bad host name`)
  }
  const head = 'HOST_NAME          STATUS       JL/U    MAX  NJOBS    RUN  SSUSP  USUSP    RSV \n'
  await context.terminal.out.write(head + rows.map((row) => {
    const busy = String(row.coresTotal - row.coresFree).padStart(6)
    const status = !row.up ? 'unavail' : row.coresFree === 0 ? 'closed_Full' : 'ok'
    return `${row.site.padEnd(18)} ${status.padEnd(14)} -${String(row.coresTotal).padStart(7)} ` +
      `${busy} ${busy}      0      0      0\n`
  }).join(''))
  return exitCodes.done
}

export async function bhist(context: Context, args: readonly string[]): Promise<number> {
  const asked = getopt(args, {
    command: 'bhist', words: true,
    options: ['l -', 'a -', 'd -', 'r -', 'p -', 'w -', 'u - =', 'n - =', 'J - =', 'q - ='],
  })
  const ids = asked.operands.filter((word) => word !== '0')
  const { lines, unknown } = await findLines(context, {
    ...(ids.length > 0 && { ids }), state: asked.has('a') || asked.has('d') ? 'all' : 'open',
  })
  if (unknown.length > 0) {
    throw new CommandFailure(unknownCode, 'not_found', 'No matching job found')
  }
  const { site: home } = await context.client().get<NodeInfo>(apiPaths.info)
  const now = context.terminal.nowEpochMs()
  const { out } = context.terminal
  if (asked.has('l')) {
    await out.write(lines.map((line) => longText(line, { home, nowEpochMs: now })).join(''))
    return exitCodes.done
  }
  const rows = lines.map((line) => {
    const ran = elapsedSeconds(line, now)
    const whole = Math.floor(((line.endedEpochMs ?? now) - line.row.submittedEpochMs) / 1_000)
    return [lsfId(line).padEnd(7), line.row.user.slice(0, 7).padEnd(7),
      line.row.name.slice(0, 9).padEnd(9), ...[whole - ran, 0, ran, 0, 0, 0, whole]
        .map((seconds) => String(Math.max(0, seconds)).padEnd(7))].join(' ').trimEnd()
  })
  await out.write('Summary of time in seconds spent in various states:\n' +
    'JOBID   USER    JOB_NAME  PEND    PSUSP   RUN     USUSP   SSUSP   UNKWN   TOTAL\n' +
    rows.map((row) => `${row}\n`).join(''))
  return exitCodes.done
}

/** By its version callers tell whether bjobs can print JSON. */
export async function lsid(context: Context): Promise<number> {
  const { site, federationName } = await context.client().get<NodeInfo>(apiPaths.info)
  await context.terminal.out.write(
    'IBM Spectrum LSF Standard 10.1.0.12, in the words of gridnode\n' +
    `\nMy cluster name is ${federationName}\nMy master name is ${site}\n`)
  return exitCodes.done
}
