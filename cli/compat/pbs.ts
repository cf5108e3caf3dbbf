// `qsub`, `qstat`, `qselect` and `pbsnodes` as OpenPBS and Torque have them.

import type { NodeInfo, OfferRow } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import type { Context } from '../command.ts'
import { CommandFailure, exitCodes } from '../failure.ts'
import { readBatchScript } from './batch-script.ts'
import { badUsage, getopt } from './getopt.ts'
import type { PbsFlavour, PbsJob, PbsView } from './pbs-fields.ts'
import {
  escaped, isOver, pbsAttributes, pbsId, pbsJobs, pbsQueue, pbsState, pbsTime,
} from './pbs-fields.ts'
import type { Line } from './rows.ts'
import { elapsedSeconds, findLines, readId } from './rows.ts'
import { submitBatch } from './submission.ts'
import { waitForJob } from './wait.ts'

/** What the commands end with when there is no such job. */
export const unknownJobCode = 153

export function qsubOf(flavour: PbsFlavour) {
  return async (context: Context, args: readonly string[]): Promise<number> => {
    const { job, directives } = readBatchScript(context, flavour, args)
    const { site } = await context.client().get<NodeInfo>(apiPaths.info)
    const { id } = await submitBatch(context, job)
    const array = directives.options.array === undefined ? '' : '[]'
    await context.terminal.out.write(`${id}${array}.${site}\n`)
    return directives.switches.wait ? waitForJob(context, id) : exitCodes.done
  }
}

const qstatOptions: Readonly<Record<PbsFlavour, readonly string[]>> = {
  pbs: [
    'full f', 'history x', 'finished H', 'json F =', 'delimiter D =', 'subjobs t', 'parallel J',
    'all a', 'running r', 'waiting i', 'nodes n', 'comment s', 'one 1', 'user u =', 'queues Q',
    'server B', 'wide w', 'long T', 'percent p', 'gigabytes G', 'megawords M', 'limits q',
  ],
  torque: [
    'full f', 'xml x', 'subjobs t', 'all a', 'running r', 'waiting i', 'nodes n', 'one 1',
    'user u =', 'queues Q', 'server B', 'complete c', 'limits q', 'list l',
  ],
}

export function qstatOf(flavour: PbsFlavour) {
  return async (context: Context, args: readonly string[]): Promise<number> => {
    const asked = getopt(args, { command: 'qstat', options: qstatOptions[flavour] })
    const { out, err } = context.terminal
    const { site: server } = await context.client().get<NodeInfo>(apiPaths.info)
    const view: PbsView = { flavour, server, nowEpochMs: context.terminal.nowEpochMs() }
    if (asked.has('server')) return showServer(context, server)
    const ids = asked.operands.filter((word) => readId(word) !== undefined)
    const others = asked.operands.filter((word) => !ids.includes(word))
    // A queue or a server stands for all its jobs: there is one of each.
    const isPlace = (word: string): boolean => word.startsWith('@') || word === server ||
      word.split('@')[0] === pbsQueue || /^\d/.test(word) === false
    const malformed = others.filter((word) => !isPlace(word))
    const whole = asked.operands.length === 0 || others.some(isPlace)
    if (asked.has('queues')) return showQueues(context, server)
    const finished = asked.has('history') || asked.has('finished') || flavour === 'torque'
    const { lines, unknown } = await findLines(context, {
      ...(!whole && { ids }), state: finished ? 'all' : 'open', user: asked.value('user'),
    })
    const shown = pbsJobs(lines, (line) => asked.has('subjobs') || ids.some((id) =>
      readId(id)?.task === line.task && line.task !== undefined))
      .filter((job) => wanted(job, view, { asked, whole, finished }))
    if (asked.has('json') || asked.has('xml')) await out.write(structured(shown, view, asked))
    else if (asked.has('full')) await out.write(shown.map((job) => fullText(job, view)).join(''))
    else if (asked.has('all') || asked.has('user') || asked.has('nodes') || asked.has('comment')) {
      await out.write(alternative(shown, view))
    } else await out.write(table(shown, view))
    for (const id of [...unknown, ...malformed]) {
      const torque = flavour === 'torque'
      const name = id.includes('.') ? id : `${id}.${server}`
      await err.write(`qstat: Unknown Job Id ${torque ? 'Error ' : ''}${name}\n`)
    }
    return unknown.length + malformed.length > 0 ? unknownJobCode : exitCodes.done
  }
}

interface Wanted {
  readonly asked: ReturnType<typeof getopt>
  /** No job was named. */
  readonly whole: boolean
  readonly finished: boolean
}

/** Torque forgets what has ended some minutes later; a job that is named is shown. */
const keepCompletedMs = 300_000

function wanted(job: PbsJob, view: PbsView, { asked, whole, finished }: Wanted): boolean {
  const state = pbsState(job, view)
  if (asked.has('running') && !['R', 'B', 'E', 'S'].includes(state)) return false
  if (asked.has('waiting') && !['Q', 'H', 'W'].includes(state)) return false
  if (asked.has('finished') && whole) return isOver(job)
  if (!isOver(job) || !whole) return true
  const age = view.nowEpochMs - (job.line.row.endedEpochMs ?? view.nowEpochMs)
  return view.flavour === 'pbs' ? finished : age <= keepCompletedMs
}

function cell(text: string, width: number): string {
  return text.replace(/\s+/g, '_').slice(0, width).padEnd(width)
}

/** Five columns: the id, the name, the user, the time used, the state and the queue. */
function table(jobs: readonly PbsJob[], view: PbsView): string {
  if (jobs.length === 0) return ''
  const widths = view.flavour === 'torque' ? [25, 16, 15, 8, 1, 5] : [26, 16, 16, 8, 1, 5]
  const head = view.flavour === 'torque'
    ? ['Job ID', 'Name', 'User', 'Time Use', 'S', 'Queue']
    : ['Job id', 'Name', 'User', 'Time Use', 'S', 'Queue']
  const rows = jobs.map((job) => {
    const seconds = elapsedSeconds(job.line, view.nowEpochMs)
    const id = pbsId(job, view)
    return [
      id.padEnd(widths[0]!), cell(job.line.row.name, widths[1]!),
      cell(job.line.row.user, widths[2]!),
      job.line.startedEpochMs === undefined ? '0'.padStart(8) : pbsTime(seconds).padStart(8),
      pbsState(job, view), (job.line.row.queue || pbsQueue).padEnd(5),
    ].join(' ').trimEnd()
  })
  const line = head.map((text, index) => text.padEnd(widths[index]!)).join(' ').trimEnd()
  const rule = widths.map((width) => '-'.repeat(width)).join(' ')
  return `${[line, rule, ...rows].join('\n')}\n`
}

/** The format of -a, -u, -n and -s. */
function alternative(jobs: readonly PbsJob[], view: PbsView): string {
  if (jobs.length === 0) return ''
  const rows = jobs.map((job) => {
    const { row } = job.line
    return [
      pbsId(job, view).padEnd(26), cell(row.user, 8), cell(row.queue || pbsQueue, 8),
      cell(row.name, 10), '    --', String(row.nodes).padStart(3), String(row.cores).padStart(3),
      `${row.memoryMib}mb`.padStart(6), pbsTime(row.walltimeSeconds).slice(0, -3).padStart(5),
      pbsState(job, view), job.line.startedEpochMs === undefined ? '   -- '
        : pbsTime(elapsedSeconds(job.line, view.nowEpochMs)).slice(0, -3),
    ].join(' ')
  })
  return `\n${view.server}: \n${' '.repeat(63)}Req'd  Req'd   Elap\n` +
    `${'Job ID'.padEnd(26)} Username Queue    Jobname    SessID NDS TSK Memory Time  S Time\n` +
    `${'-'.repeat(26)} -------- -------- ---------- ------ --- --- ------ ----- - -----\n` +
    `${rows.join('\n')}\n`
}

/** A line is never folded: what unfolds lines reads it all the same. */
function fullText(job: PbsJob, view: PbsView): string {
  const lines = pbsAttributes(job, view).map(([name, value]) => `    ${name} = ${value}\n`)
  return `Job Id: ${pbsId(job, view)}\n${lines.join('')}\n`
}

/** `-F json` of OpenPBS, `-x` of Torque. */
function structured(
  jobs: readonly PbsJob[], view: PbsView, asked: ReturnType<typeof getopt>,
): string {
  const nested = jobs.map((job) => {
    const all: Record<string, string | Record<string, string>> = {}
    for (const [name, value] of pbsAttributes(job, view)) {
      const [outer = '', inner] = name.split('.')
      if (inner === undefined) all[outer] = value
      else all[outer] = { ...(all[outer] as Record<string, string> | undefined), [inner]: value }
    }
    return { id: pbsId(job, view), all }
  })
  if (asked.has('xml')) {
    const element = (name: string, value: string | Record<string, string>): string =>
      `<${name}>${typeof value === 'string' ? escaped(value)
        : Object.entries(value).map(([inner, text]) => element(inner, text)).join('')}</${name}>`
    const texts = nested.map(({ id, all }) =>
      `<Job>${element('Job_Id', id)}${Object.entries(all).map(([name, value]) =>
        element(name, value)).join('')}</Job>`)
    return `<Data>${texts.join('')}</Data>\n`
  }
  const format = asked.value('json')
  if (format !== 'json') throw badUsage('qstat', `-F: expected json, got '${format}'`)
  return `${JSON.stringify({
    timestamp: Math.floor(view.nowEpochMs / 1_000), pbs_version: '20.0-gridnode',
    pbs_server: view.server,
    Jobs: Object.fromEntries(nested.map(({ id, all }) => [id, all])),
  }, null, 4)}\n`
}

async function showServer(context: Context, server: string): Promise<number> {
  const { lines } = await findLines(context, { state: 'open' })
  const count = (state: Line['state']): string =>
    String(lines.filter((line) => line.state === state).length).padStart(5)
  await context.terminal.out.write(
    'Server             Max   Tot   Que   Run   Hld   Wat   Trn   Ext Status\n' +
    `${'-'.repeat(16)} ${'----- '.repeat(8)}${'-'.repeat(11)}\n` +
    `${server.slice(0, 16).padEnd(16)} ${'0'.padStart(5)} ${String(lines.length).padStart(5)} ` +
    `${count('waiting')} ${count('running')} ${count('held')} ${count('parked')} ` +
    `${'0'.padStart(5)} ${count('returning')} Active\n`)
  return exitCodes.done
}

async function showQueues(context: Context, server: string): Promise<number> {
  const { lines } = await findLines(context, { state: 'open' })
  const count = (state: Line['state']): string =>
    String(lines.filter((line) => line.state === state).length).padStart(5)
  await context.terminal.out.write(
    'Queue              Max   Tot Ena Str   Que   Run   Hld   Wat   Trn   Ext Type\n' +
    `${'-'.repeat(16)} ----- ----- --- --- ${'----- '.repeat(6)}----\n` +
    `${pbsQueue.padEnd(16)} ${'0'.padStart(5)} ${String(lines.length).padStart(5)} yes yes ` +
    `${count('waiting')} ${count('running')} ${count('held')} ${count('parked')} ` +
    `${'0'.padStart(5)} ${count('returning')} Exec\n`)
  void server
  return exitCodes.done
}

const qselectOptions = [
  'states s =', 'user u =', 'name N =', 'queue q =', 'project P =', 'history x', 'holds h =',
  'priority p =', 'rerun r =', 'account A =', 'time a =', 'resources l =', 'checkpoint c =',
  'subjobs T', 'arrays J',
]
const qselectRefused = ['priority', 'rerun', 'account', 'time', 'resources', 'checkpoint']

export function qselectOf(flavour: PbsFlavour) {
  return async (context: Context, args: readonly string[]): Promise<number> => {
    const asked = getopt(args, { command: 'qselect', options: qselectOptions })
    const refused = qselectRefused.find((name) => asked.has(name))
    if (refused) throw badUsage('qselect', `jobs cannot be chosen by ${refused} here`)
    const { site: server } = await context.client().get<NodeInfo>(apiPaths.info)
    const view: PbsView = { flavour, server, nowEpochMs: context.terminal.nowEpochMs() }
    const states = asked.value('states')
    const over = asked.has('history') || /[CF]/.test(states ?? '')
    const { lines } = await findLines(context, { state: over ? 'all' : 'open' })
    const users = asked.value('user')?.split(',').map((word) => word.split('@')[0])
    const ids = pbsJobs(lines, () => asked.has('subjobs')).filter((job) => {
      const { row, state } = job.line
      const held = state === 'held' ? 'u' : state === 'parked' ? 's' : 'n'
      return (states === undefined || states.includes(pbsState(job, view))) &&
        (!users || users.includes(row.user)) &&
        (!asked.has('name') || row.name === asked.value('name')) &&
        (!asked.has('project') || row.project === asked.value('project')) &&
        (!asked.has('holds') || (asked.value('holds') ?? '').includes(held)) &&
        (!asked.has('queue') || (row.queue || pbsQueue) === asked.value('queue')?.split('@')[0])
    })
    await context.terminal.out.write(ids.map((job) => `${pbsId(job, view)}\n`).join(''))
    return exitCodes.done
  }
}

/** The sites, as nodes. */
export function pbsnodesOf(flavour: PbsFlavour) {
  return async (context: Context, args: readonly string[]): Promise<number> => {
    if (args.includes('--version')) {
      await context.terminal.out.write(flavour === 'torque'
        ? 'Version: 6.1.3-gridnode\n' : 'pbs_version = PBSPro_20.0-gridnode\n')
      return exitCodes.done
    }
    const asked = getopt(args, { command: 'pbsnodes', options: ['all a', 'list l', 'version -'] })
    const offers = await context.client().get<readonly OfferRow[]>(apiPaths.offers)
    const names = asked.operands
    const rows = offers.filter(({ site }) => names.length === 0 || names.includes(site))
    if (rows.length === 0) {
      throw new CommandFailure(1, 'not_found', `pbsnodes: Unknown node  ${names.join(' ')}`)
    }
    await context.terminal.out.write(rows.map((row) => `${row.site}\n` +
      `     state = ${row.up ? (row.coresFree > 0 ? 'free' : 'job-exclusive') : 'down'}\n` +
      `     np = ${row.coresTotal}\n     ntype = cluster\n\n`).join(''))
    return exitCodes.done
  }
}
