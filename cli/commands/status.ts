// `gridnode status`: the list of jobs, or one job in full.

import type { ContractRow, JobDetail, JobSummary, TaskRow } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { formatBytes, formatDuration } from '../../protocol/base/units.ts'
import { limits } from '../../protocol/base/limits.ts'
import { formatRanges, parseRanges, rangesHave, rangesOf } from '../../protocol/base/ranges.ts'
import type { AskedRow } from '../../node/http/verb-api.ts'
import type { Command, Context } from '../command.ts'
import { wrap } from '../command.ts'
import { exitCodes, usageFailure } from '../failure.ts'
import { passes } from '../job-filter.ts'
import { paintState, tasksText } from '../job-text.ts'
import { age, credits, cut, instant, jsonText, plural, printable, table } from '../output.ts'
import { warnOfQuarantine } from '../quarantine.ts'

export const status: Command = {
  usage: ['[options]', 'JOB...'],
  about:
    'Without JOB: the jobs that have not ended and those that ended lately, newest first. ' +
    'With JOB (an id, or the first 4 or more digits of one): everything about it; with tasks as ' +
    'in 3f2a[3-5] those alone; with a site as in 3f2a@b.example the job of that home.',
  options: {
    all: { kind: 'flag', short: 'a', help: 'all jobs the node remembers' },
    open: { kind: 'flag', help: 'only jobs that have not ended' },
    ended: { kind: 'flag', help: 'only jobs that have ended' },
    user: { kind: 'value', short: 'u', value: 'NAME', help: 'only jobs of this user' },
    name: { kind: 'value', value: 'NAME', help: 'only jobs of this name' },
    state: { kind: 'value', value: 'STATE', help: 'only jobs in this state: held, active, ...' },
    site: { kind: 'value', value: 'SITE', help: 'only jobs with tasks at this site' },
    home: { kind: 'value', value: 'SITE', help: 'your jobs whose home is another site' },
    limit: { kind: 'value', short: 'n', value: 'N', help: 'at most N jobs (default 20)' },
  },
  examples: [
    ['gridnode status', 'what is going on'],
    ['gridnode status 3f2a', 'one job: its tasks, contracts and money'],
    ["gridnode status --json | jq -r '.[] | .job'", 'ids for a script'],
  ],
  run: runStatus,
}

async function runStatus(context: Context): Promise<number> {
  const { args, terminal, json } = context
  if (args.words.length > 0) {
    const details: JobDetail[] = []
    // It signs what it asks, with packages that the list does not need.
    const { homeOf } = await import('../job-home.ts')
    for (const word of args.words) {
      const { detail, name } = await homeOf(context, word)
      details.push(name.tasks === undefined ? detail : onlyTasks(detail, name.tasks))
    }
    if (json) await terminal.out.write(jsonText(details.length === 1 ? details[0] : details))
    else await terminal.out.write(details.map((detail) => detailText(context, detail)).join('\n'))
    return exitCodes.done
  }
  const chosen = (['all', 'open', 'ended'] as const).filter((name) => args.flag(name))
  if (chosen.length > 1) throw usageFailure(`choose one of --${chosen.join(' and --')}`)
  const limit = args.value('limit') ?? (chosen[0] === 'all' ? '1000' : '20')
  if (!/^[1-9][0-9]{0,3}$/.test(limit) || Number(limit) > 1_000) {
    throw usageFailure(`--limit: expected a number from 1 to 1000, got '${limit}'`)
  }
  const filter = { name: args.value('name'), state: args.value('state'), site: args.value('site') }
  const isFiltered = Object.values(filter).some((value) => value !== undefined)
  const asked = { state: chosen[0] ?? 'all', limit: isFiltered ? 1_000 : Number(limit) } as const
  const home = args.value('home')
  const found = home === undefined
    ? await context.client().get<readonly JobSummary[]>(apiPaths.jobs, {
        ...asked, user: args.value('user'), limit: String(asked.limit),
      })
    : await (await import('../job-home.ts')).jobsAt<readonly JobSummary[]>(context, home, {
        ...asked, limit: Math.min(200, asked.limit),
      })
  const jobs = found.filter((job) => passes(job, filter)).slice(0, Number(limit))
  await warnOfQuarantine(context)
  await terminal.out.write(json ? jsonText(jobs) : listText(context, jobs))
  return exitCodes.done
}

/** Of the tasks that left the waiting state: these. */
function onlyTasks(detail: JobDetail, tasks: string): JobDetail {
  const ranges = parseRanges(tasks, { last: limits.taskNumberMax }) ?? []
  return { ...detail, taskRows: detail.taskRows.filter(({ task }) => rangesHave(ranges, task)) }
}

function listText(context: Context, jobs: readonly JobSummary[]): string {
  if (jobs.length === 0) return "no jobs. Hand one in with 'gridnode submit SCRIPT'.\n"
  const { style, terminal } = context
  const now = terminal.nowEpochMs()
  return table(
    [
      { title: 'JOB' },
      { title: 'NAME', shrinkTo: 8 },
      { title: 'STATE', paint: (text) => paintState(text, style) },
      { title: 'DONE', align: 'right' },
      { title: 'RUN', align: 'right' },
      { title: 'COST', align: 'right' },
      { title: 'TIME', align: 'right' },
      { title: 'SITES', shrinkTo: 6 },
    ],
    jobs.map((job) => [
      job.job,
      job.name,
      job.state,
      `${job.tasks.done}/${job.tasks.total}`,
      String(job.tasks.running),
      credits(job.spent),
      age(job.submittedEpochMs, job.endedEpochMs ?? now),
      job.sites.join(','),
    ]),
    { width: terminal.out.columns(), style },
  )
}

function detailText(context: Context, detail: JobDetail): string {
  const { style, terminal } = context
  const now = terminal.nowEpochMs()
  const width = Math.min(terminal.out.columns(), 100)
  const lines = [
    `job ${style.bold(detail.job)} ${printable(detail.name)}, of ${printable(detail.user)}: ` +
      paintState(detail.state, style),
  ]
  if (detail.note !== tasksText(detail.tasks)) {
    lines.push(...wrap(printable(detail.note), width - 2).map((line) => `  ${line}`))
  }
  const fact = (name: string, text: string): void => {
    const [first = '', ...more] = wrap(printable(text), width - 13)
    lines.push(`  ${style.dim(name.padEnd(9))}  ${first}`)
    lines.push(...more.map((line) => `${' '.repeat(13)}${line}`))
  }
  fact('tasks', tasksText(detail.tasks))
  fact('each', `${plural(detail.cores, 'core')}, ${formatBytes(detail.memoryMib * 2 ** 20)}, ` +
    `at most ${formatDuration(detail.walltimeSeconds)}`)
  const ended = detail.endedEpochMs === undefined
    ? `, ${age(detail.submittedEpochMs, now)} ago`
    : `, ended after ${age(detail.submittedEpochMs, detail.endedEpochMs)}`
  fact('submitted', `${instant(detail.submittedEpochMs)}${ended}`)
  fact('money', `${credits(detail.spent)} cr spent, ${credits(detail.held)} cr held, ` +
    `budget ${credits(detail.budget)} cr; ${detail.policy}`)
  if (detail.heldTasks !== undefined) fact('held', `tasks ${detail.heldTasks}`)
  if (detail.queue !== undefined) fact('queue', detail.queue)
  if (detail.requirements !== '') fact('requires', detail.requirements)
  if (detail.inputsBytes > 0) fact('inputs', formatBytes(detail.inputsBytes))
  if (detail.outputs.length > 0) fact('outputs', detail.outputs.join(' '))
  let text = `${lines.join('\n')}\n`
  if (detail.asked !== undefined) text += `\n${askedText(context, detail.asked)}`
  if (detail.contracts.length > 0) text += `\n${contractsText(context, detail.contracts)}`
  if (detail.taskRows.length > 0) text += `\n${taskRowsText(context, detail)}`
  return text
}

const askedShown = 5

/** What its owner asked for last, and what the sites made of it. */
function askedText(context: Context, asked: readonly AskedRow[]): string {
  const width = Math.min(context.terminal.out.columns(), 100)
  const now = context.terminal.nowEpochMs()
  const lines: string[] = []
  for (const { verb, tasks, epochMs, detail, sites } of asked.slice(-askedShown)) {
    const which = tasks === '' ? '' : ` [${tasks}]`
    const [first = '', ...more] = wrap(
      printable(`${verb}${which}, ${age(epochMs, now)} ago: ${detail}`), width - 2,
    )
    lines.push(`  ${first}`, ...more.map((line) => `    ${line}`))
    for (const site of sites) {
      if (site.state === 'done') continue
      const text = site.state === 'sent' ? 'has not answered yet' : site.words
      const words = printable(`${site.site}, tasks ${site.tasks}: ${text}`)
      lines.push(...wrap(words, width - 4).map((line) => `    ${line}`))
    }
  }
  return `${lines.join('\n')}\n`
}

function contractsText(context: Context, contracts: readonly ContractRow[]): string {
  const { style, terminal } = context
  return table(
    [
      { title: 'CONTRACT' },
      { title: 'SITE', shrinkTo: 8 },
      { title: 'STATE', paint: (text) => paintState(text, style), shrinkTo: 6 },
      { title: 'SLOTS', align: 'right' },
      { title: 'TASKS', align: 'right' },
      { title: 'HELD', align: 'right' },
      { title: 'CLAIMED', align: 'right' },
      { title: 'PAID', align: 'right' },
    ],
    contracts.map((row) => [
      row.contract, row.site, row.state, String(row.slots), String(row.tasks),
      credits(row.held), credits(row.claimed), credits(row.accepted),
    ]),
    { width: terminal.out.columns(), style },
  )
}

interface TaskGroup {
  readonly tasks: number[]
  readonly row: TaskRow
  readonly ran: string
}

/** Tasks that fared alike share a line; runs that took different time do not. */
function taskRowsText(context: Context, detail: JobDetail): string {
  const { style, terminal } = context
  const now = terminal.nowEpochMs()
  const groups = new Map<string, TaskGroup>()
  for (const row of detail.taskRows.toSorted((a, b) => a.task - b.task)) {
    const ran = row.startedEpochMs === undefined
      ? ''
      : age(row.startedEpochMs, row.endedEpochMs ?? now)
    const key = JSON.stringify([row.state, row.site, row.exitCode, row.detail, ran])
    const group = groups.get(key)
    if (group) group.tasks.push(row.task)
    else groups.set(key, { tasks: [row.task], row, ran })
  }
  return table(
    [
      { title: 'TASKS' },
      { title: 'STATE', paint: (text) => paintState(text, style) },
      { title: 'SITE', shrinkTo: 8 },
      { title: 'EXIT', align: 'right' },
      { title: 'RAN', align: 'right' },
      { title: 'DETAIL', shrinkTo: 10 },
    ],
    [...groups.values()].map(({ tasks, row, ran }) => [
      tasksCell(tasks), row.state, row.site, row.exitCode === undefined ? '' : String(row.exitCode),
      ran, row.detail ?? '',
    ]),
    { width: terminal.out.columns(), style },
  )
}

function tasksCell(tasks: readonly number[]): string {
  return cut(formatRanges(rangesOf(tasks)), 24)
}
