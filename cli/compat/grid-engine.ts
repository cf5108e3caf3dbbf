// The commands of Grid Engine: `qsub`, `qstat`, `qacct`, `qdel`, `qhold`, `qrls`, `qalter`, `qmod`,
// `qconf` and `qselect`, in the form that its callers read.

import type { NodeInfo, OfferRow } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { formatRanges } from '../../protocol/base/ranges.ts'
import { describeFault, readArguments } from '../../protocol/rules/directives.ts'
import type { Context } from '../command.ts'
import { CommandFailure, exitCodes } from '../failure.ts'
import { userName } from '../user-key.ts'
import type { Asks } from './asking.ts'
import { askEach } from './asking.ts'
import { readBatchScript, refused } from './batch-script.ts'
import { badUsage, getopt, idWords } from './getopt.ts'
import { changeOf } from './pbs-control.ts'
import { ctime, escaped } from './pbs-fields.ts'
import type { Line, LineState } from './rows.ts'
import { elapsedSeconds, endedStates, findLines } from './rows.ts'
import { slurmInstant, two } from './slurm-fields.ts'
import { streamFiles } from './stream-files.ts'
import { submitBatch } from './submission.ts'
import { waitForJob } from './wait.ts'

const queueName = 'gridnode'

export async function qsub(context: Context, args: readonly string[]): Promise<number> {
  const terse = args.includes('-terse')
  const { job, directives } = readBatchScript(context, 'grid_engine', args)
  const { out } = context.terminal
  const { id } = await submitBatch(context, job)
  const { array } = directives.options
  const tasks = array === undefined ? '' : `.${stepped(array.tasks)}`
  const kind = array === undefined ? 'job' : 'job-array'
  await out.write(terse ? `${id}${tasks}\n`
    : `Your ${kind} ${id}${tasks} ("${job.fallbackName}") has been submitted\n`)
  if (!directives.switches.wait) return exitCodes.done
  const code = await waitForJob(context, id)
  if (!terse) await out.write(`Job ${id} exited with exit code ${code}.\n`)
  return code
}

/** `1-9:2` */
function stepped(tasks: readonly (readonly [number, number])[]): string {
  const [first, second] = tasks
  if (!first) return '1-1:1'
  if (tasks.length === 1) return `${first[0]}-${first[1]}:1`
  const step = second![0] - first[0]
  const even = tasks.every(([from, to], index) => from === to && from === first[0] + index * step)
  return even ? `${first[0]}-${tasks.at(-1)![1]}:${step}` : `${formatRanges(tasks)}:1`
}

const states: Readonly<Record<LineState, string>> = {
  waiting: 'qw', parked: 'hqw', held: 'hqw', running: 'r', suspended: 's', returning: 'r',
  done: 'z', failed: 'z', cancelled: 'z', walltime: 'z', memory: 'z', lost: 'Eqw',
}

const qstatOptions = [
  'j - ?', 'u - =', 's - =', 'q - =', 'r -', 'f -', 'ext -', 'g - =', 'xml -', 'pri -', 'urg -',
  't -', 'ne -', 'l - =', 'pe - =', 'F -', 'help -',
]

export async function qstat(context: Context, args: readonly string[]): Promise<number> {
  // -j takes a list of ids or none.
  const at = args.indexOf('-j')
  const rest = at < 0 ? args : args.filter((_, index) => index < at || index > at + 1)
  const asked = getopt(rest, { command: 'qstat', options: qstatOptions, words: true })
  const refusedOption = ['F', 'l', 'pe'].find((name) => asked.has(name))
  if (refusedOption) throw badUsage('qstat', `-${refusedOption} is not answered by gridnode`)
  if (at >= 0) return showJobs(context, idWords([args[at + 1] ?? '']))
  const users = asked.values('u').flatMap((text) => text.split(','))
  if (users.length === 0) users.push(userName(context.terminal))
  const everybody = users.includes('*')
  const { lines } = await findLines(context, { state: 'open' })
  const kinds = asked.value('s') ?? 'prs'
  const shown = lines.filter((line) => !endedStates.has(line.state) &&
    (everybody || users.includes(line.row.user)) && isOfKind(line, kinds))
  if (asked.has('xml')) await context.terminal.out.write(xmlOf(shown))
  else if (shown.length > 0) await context.terminal.out.write(table(shown))
  return exitCodes.done
}

/** `p`ending, `r`unning, `s`uspended, `h`eld, `z` ended, `a`ll. */
function isOfKind({ state }: Line, kinds: string): boolean {
  const is = (letter: string): boolean => kinds.includes(letter) || kinds.includes('a')
  if (state === 'running' || state === 'returning') return is('r')
  if (state === 'suspended') return is('s')
  return is('p') || (state !== 'waiting' && is('h'))
}

function table(lines: readonly Line[]): string {
  const head = 'job-ID  prior   name       user         state submit/start at     ' +
    'queue                          slots ja-task-ID '
  const rows = lines.map((line) => {
    const { row } = line
    const since = line.startedEpochMs ?? row.submittedEpochMs
    const queue = line.site === '' ? '' : `${queueName}@${line.site}`
    const task = line.task === undefined ? line.waiting.replace(/^(.+)$/, '$1:1')
      : String(line.task)
    return [
      line.id.padStart(7), (row.priority / 2_048).toFixed(5), word(row.name, 10),
      word(row.user, 12), states[line.state].padEnd(5), instant(since), queue.padEnd(30),
      String(row.cores).padStart(5), task,
    ].join(' ')
  })
  return `${[head, '-'.repeat(head.length), ...rows].join('\n')}\n`
}

/** What runs is in `queue_info`, what waits in `job_info`. */
function xmlOf(lines: readonly Line[]): string {
  const element = (name: string, text: string): string =>
    `      <${name}>${escaped(text)}</${name}>\n`
  const job = (line: Line): string => {
    const { row } = line
    const runs = line.startedEpochMs !== undefined
    const since = slurmInstant(line.startedEpochMs ?? row.submittedEpochMs)
    const tasks = line.task === undefined ? line.waiting : String(line.task)
    return `    <job_list state="${runs ? 'running' : 'pending'}">\n` +
      element('JB_job_number', line.id) + element('JAT_prio', (row.priority / 2_048).toFixed(5)) +
      element('JB_name', row.name) + element('JB_owner', row.user) +
      element('state', states[line.state]) +
      element(runs ? 'JAT_start_time' : 'JB_submission_time', since) +
      element('queue_name', runs ? `${queueName}@${line.site}` : '') +
      element('slots', String(row.cores)) + (tasks === '' ? '' : element('tasks', tasks)) +
      '    </job_list>\n'
  }
  const [run, wait] = [true, false].map((runs) => lines
    .filter(({ startedEpochMs }) => (startedEpochMs !== undefined) === runs).map(job).join(''))
  return `<?xml version='1.0'?>\n<job_info>\n  <queue_info>\n${run}  </queue_info>\n` +
    `  <job_info>\n${wait}  </job_info>\n</job_info>\n`
}

function word(text: string, width: number): string {
  return text.replace(/\s+/g, '_').slice(0, width).padEnd(width)
}

/** `11/20/2026 18:00:00`, local time. */
function instant(epochMs: number): string {
  const at = new Date(epochMs)
  return `${two(at.getMonth() + 1)}/${two(at.getDate())}/${at.getFullYear()} ` +
    at.toTimeString().slice(0, 8)
}

/** Of jobs that have not ended; those that have are qacct's. */
async function showJobs(context: Context, ids: readonly string[]): Promise<number> {
  const { lines } = await findLines(context, {
    ...(ids.length > 0 && { ids }), state: 'open',
  })
  const open = lines.filter(({ state }) => !endedStates.has(state))
  const byJob = Map.groupBy(open, ({ id }) => id)
  const gone = ids.filter((id) => !byJob.has(id.replace(/\..*/, '')))
  if (gone.length > 0) {
    throw new CommandFailure(1, 'not_found', `Following jobs do not exist: \n${gone.join(', ')}`)
  }
  const now = context.terminal.nowEpochMs()
  for (const [id, own] of byJob) {
    const [first] = own
    const { row, record } = first!
    const facts: readonly (readonly [string, string])[] = [
      ['job_number', id],
      ['exec_file', record?.command ?? 'NONE'],
      ['submission_time', ctime(row.submittedEpochMs)],
      ['owner', row.user],
      ['uid', String(process.getuid?.() ?? 0)],
      ['sge_o_workdir', record?.directory ?? row.seenAt],
      ['account', 'sge'],
      ['cwd', record?.directory ?? row.seenAt],
      ['hard resource_list', `h_rt=${row.walltimeSeconds},h_vmem=${row.memoryMib}M`],
      ['job_name', row.name],
      ['stdout_path_list', record?.streams.out ?? ''],
      ['priority', String(row.priority - 1_024)],
      ['env_list', 'TERM=NONE'],
      ...own.filter(({ startedEpochMs }) => startedEpochMs !== undefined).map((line) =>
        [`usage    ${line.task ?? 1}`,
          `wallclock=${elapsedSeconds(line, now)}s`] as const),
    ]
    await context.terminal.out.write(`${'='.repeat(62)}\n` +
      facts.map(([name, value]) => `${`${name}:`.padEnd(28)}${value}\n`).join(''))
  }
  return exitCodes.done
}

export async function qacct(context: Context, args: readonly string[]): Promise<number> {
  const asked = getopt(args, { command: 'qacct', options: ['j - =', 't - ='], words: true })
  const [id, ...others] = idWords(asked.values('j'))
  if (id === undefined || others.length > 0) throw badUsage('qacct', 'expected -j and one job id')
  const { lines } = await findLines(context, { ids: [id], state: 'all' })
  const task = asked.value('t')
  const ended = lines.filter((line) => endedStates.has(line.state) &&
    (task === undefined || String(line.task ?? 'undefined') === task))
  if (ended.length === 0) {
    const open = lines.length > 0 ? ' (it has not ended)' : ''
    throw new CommandFailure(1, 'not_found', `error: job id ${id} not found${open}`)
  }
  for (const line of ended) await context.terminal.out.write(account(line))
  return exitCodes.done
}

const failures: Readonly<Partial<Record<LineState, string>>> = {
  cancelled: '100 : assumedly after job', memory: '100 : assumedly after job',
  walltime: '37  : qmaster enforced h_rt, h_cpu, or h_vmem limit',
  lost: '26  : opening input/output file',
}

function account(line: Line): string {
  const { row, record, state } = line
  const code = state === 'cancelled' || state === 'walltime' || state === 'memory' ? 137
    : line.exitCode
  const seconds = elapsedSeconds(line, line.endedEpochMs ?? 0)
  const files = record && streamFiles(record, row, line.task ?? 0)
  const at = (epochMs: number | undefined): string =>
    epochMs === undefined ? '-/-' : ctime(epochMs)
  const facts: readonly (readonly [string, string])[] = [
    ['qname', queueName], ['hostname', line.site || 'unknown'], ['group', row.user],
    ['owner', row.user], ['project', row.project || 'NONE'], ['department', 'defaultdepartment'],
    ['jobname', row.name], ['jobnumber', line.id],
    ['taskid', line.task === undefined ? 'undefined' : String(line.task)], ['account', 'sge'],
    ['priority', String(row.priority - 1_024)], ['cwd', record?.directory ?? row.seenAt],
    ['submit_cmd', record?.command ?? ''], ['qsub_time', at(row.submittedEpochMs)],
    ['start_time', at(line.startedEpochMs)], ['end_time', at(line.endedEpochMs)],
    ['granted_pe', 'NONE'], ['slots', String(row.cores)], ['failed', failures[state] ?? '0'],
    ['exit_status', String(code)], ['ru_wallclock', String(seconds)],
    ['stdout_path', files?.out ?? ''],
  ]
  return `${'='.repeat(62)}\n${facts.map(([name, value]) =>
    `${name.padEnd(13)}${value}\n`).join('')}`
}

function asksOf(command: string, verb: Asks['verb'], done: Asks['done'] & {}): Asks {
  return {
    command, verb, done, unknownCode: 1,
    unknown: (text) => `denied: job "${text}" does not exist`,
  }
}

export async function qdel(context: Context, args: readonly string[]): Promise<number> {
  const asked = getopt(args, {
    command: 'qdel', options: ['f -', 'u - =', 't - ='], words: true,
  })
  const user = userName(context.terminal)
  const asks = asksOf('qdel', 'cancel', (id) => `${user} has registered the job ${id} for deletion`)
  if (asked.has('u')) {
    const { lines } = await findLines(context, { state: 'open', user: asked.value('u') })
    return askEach(context, [...new Set(lines.map(({ id }) => id))], asks)
  }
  const tasks = asked.value('t')?.split(',')
  const ids = idWords(asked.operands)
  if (ids.length === 0) throw badUsage('qdel', 'expected the id of a job')
  return askEach(context, tasks ? ids.flatMap((id) => tasks.map((task) => `${id}.${task}`)) : ids,
    asks)
}

export function qholdOf(verb: 'hold' | 'release') {
  return async (context: Context, args: readonly string[]): Promise<number> => {
    const command = verb === 'hold' ? 'qhold' : 'qrls'
    const asked = getopt(args, { command, options: ['h - =', 't - =', 'u - ='], words: true })
    return askEach(context, idWords(asked.operands),
      asksOf(command, verb, (id) => `modified hold of job ${id}`))
  }
}

/** `-sj`, `-usj` and `-rj`: suspends, resumes and starts jobs again. */
export async function qmod(context: Context, args: readonly string[]): Promise<number> {
  const [option = '', ...words] = args
  const verb = { '-sj': 'suspend', '-usj': 'resume', '-rj': 'requeue' }[option] as
    'suspend' | 'resume' | 'requeue' | undefined
  if (!verb) throw badUsage('qmod', `'${option}' is not done by gridnode; -sj, -usj and -rj are`)
  return askEach(context, idWords(words), asksOf('qmod', verb, (id) => `job ${id}: ${verb}`))
}

export async function qalter(context: Context, args: readonly string[]): Promise<number> {
  const read = readArguments('grid_engine', args)
  if (!read.ok) throw refused('qalter', read.refusal.faults.map(describeFault))
  const { options, operands } = read.value
  const change = changeOf('qalter', options, context.terminal.nowEpochMs())
  let worst = 0
  if (Object.keys(change).length > 0) {
    const asks = asksOf('qalter', 'alter', (id) => `modified job ${id}`)
    worst = await askEach(context, idWords(operands), { ...asks, wish: { change } })
  }
  if (options.hold === undefined) return worst
  const verb = options.hold ? 'hold' : 'release'
  return Math.max(worst, await askEach(context, idWords(operands),
    asksOf('qalter', verb, (id) => `modified hold of job ${id}`)))
}

/** Settings that are asked for before a submission: queues, parallel environments, hosts. */
export async function qconf(context: Context, args: readonly string[]): Promise<number> {
  const [option = '', name = ''] = args
  const { out } = context.terminal
  switch (option) {
    case '-sql':
      await out.write(`${queueName}\n`)
      return exitCodes.done
    case '-spl':
      await out.write('smp\n')
      return exitCodes.done
    case '-sp':
      if (name !== 'smp') throw badUsage('qconf', `parallel environment "${name}" does not exist`)
      await out.write('pe_name            smp\nslots              999\n' +
        'allocation_rule    $pe_slots\ncontrol_slaves     FALSE\n')
      return exitCodes.done
    case '-sss': case '-sh': case '-ss': case '-sel': {
      const { site } = await context.client().get<NodeInfo>(apiPaths.info)
      const offers = await context.client().get<readonly OfferRow[]>(apiPaths.offers)
      const names = option === '-sel' ? offers.map((row) => row.site) : [site]
      await out.write(`${names.join('\n')}\n`)
      return exitCodes.done
    }
    default:
      throw badUsage('qconf', `'${option}' is not answered by gridnode; -sql, -spl, -sp, -ss, ` +
        '-sh, -sel and -sss are')
  }
}

export async function qselect(context: Context, args: readonly string[]): Promise<number> {
  getopt(args, { command: 'qselect', options: ['q - =', 'l - =', 'pe - =', 's - =', 'U - ='],
    words: true })
  const offers = await context.client().get<readonly OfferRow[]>(apiPaths.offers)
  await context.terminal.out.write(offers.map(({ site }) => `${queueName}@${site}\n`).join(''))
  return exitCodes.done
}
