// What the commands that change a job have in common: which jobs are meant (by name or by filter),
// the signed request, and waiting a while for what the hosts make of it.

import type { JobDetail, JobSummary } from '../node/http/api.ts'
import { apiPaths } from '../node/http/api.ts'
import type { AskedRow } from '../node/http/verb-api.ts'
import type { JobRequest } from '../protocol/rules/request.ts'
import type { OptionTable } from './arguments.ts'
import type { Context } from './command.ts'
import { wrap } from './command.ts'
import { CommandFailure, exitCodes, usageFailure } from './failure.ts'
import type { Filter } from './job-filter.ts'
import { passes } from './job-filter.ts'
import type { JobHome } from './job-home.ts'
import { askVerb, homeOf } from './job-home.ts'
import { jsonText, printable } from './output.ts'
import { freshNonce, userName } from './user-key.ts'

export const filterOptions: OptionTable = {
  name: { kind: 'value', value: 'NAME', help: 'every open job of this name' },
  user: { kind: 'value', short: 'u', value: 'NAME', help: 'every open job of this user' },
  state: {
    kind: 'value', value: 'STATE', help: 'every job in this state: waiting, held, active, ...',
  },
  site: { kind: 'value', value: 'SITE', help: 'every open job with tasks at this site' },
  queue: { kind: 'value', short: 'q', value: 'NAME', help: 'every open job of this queue' },
}

export const verbOptions: OptionTable = {
  operator: { kind: 'flag', help: 'as an operator of this site: jobs of all its users' },
  wait: {
    kind: 'value', value: 'SECONDS', help: 'how long to wait for the sites (default 10)',
  },
}

export type Wish = Partial<Pick<JobRequest, 'signal' | 'sites' | 'change'>>

export function filterOf(context: Context): Filter {
  const { args } = context
  return {
    name: args.value('name'), user: args.value('user'), state: args.value('state'),
    site: args.value('site'), queue: args.value('queue'),
  }
}

/** The jobs that are meant: words, or all that pass the filter (one's own unless it says whose). */
export async function jobsMeant(context: Context, words: readonly string[]): Promise<string[]> {
  const filter = filterOf(context)
  const isFiltered = Object.values(filter).some((value) => value !== undefined)
  if (words.length > 0 && isFiltered) {
    throw usageFailure('name jobs, or choose them by options; not both')
  }
  if (words.length > 0) return [...words]
  if (!isFiltered) throw usageFailure("expected a job's id; 'gridnode status' lists them")
  const user = filter.user ?? userName(context.terminal)
  const jobs = await context.client().get<readonly JobSummary[]>(apiPaths.jobs, {
    state: 'open', user, limit: 1_000,
  })
  return jobs.filter((job) => passes(job, filter)).map(({ job }) => job)
}

interface Said {
  readonly job: string
  readonly detail: string
  readonly sites: AskedRow['sites']
  readonly now: JobDetail
}

/** Asks for each job; one that refuses does not keep the others from being asked. */
export async function runVerb(
  context: Context, verb: JobRequest['verb'], words: readonly string[], wish: Wish = {},
): Promise<number> {
  const { terminal, json } = context
  const seconds = context.args.value('wait') ?? '10'
  if (!/^[0-9]{1,5}$/.test(seconds)) {
    throw usageFailure(`--wait: expected a number of seconds, got '${seconds}'`)
  }
  const untilMs = terminal.nowEpochMs() + Number(seconds) * 1_000
  const said: Said[] = []
  let firstRefusal: CommandFailure | undefined
  const meant = await jobsMeant(context, words)
  if (meant.length === 0) {
    await terminal.out.write(json ? jsonText([]) : 'no open job is like that\n')
    return exitCodes.done
  }
  for (const word of meant) {
    try {
      said.push(await askOne(context, { verb, word, wish, untilMs }))
      if (!json) await terminal.out.write(saidText(context, said.at(-1)!))
    } catch (error) {
      if (!(error instanceof CommandFailure) || error.exitCode !== exitCodes.failed) throw error
      firstRefusal ??= error
      if (meant.length > 1) await terminal.err.write(`job ${word}: ${printable(error.message)}\n`)
    }
  }
  const shown = words.length === 1 ? said[0] : said
  if (json && said.length > 0) await terminal.out.write(jsonText(shown))
  if (firstRefusal && meant.length === 1) throw firstRefusal
  const isRefused = said.some(({ sites }) => sites.some(({ state }) => state === 'refused'))
  return firstRefusal || isRefused ? exitCodes.failed : exitCodes.done
}

interface One {
  readonly verb: JobRequest['verb']
  readonly word: string
  readonly wish: Wish
  readonly untilMs: number
}

async function askOne(context: Context, { verb, word, wish, untilMs }: One): Promise<Said> {
  const home = await homeOf(context, word)
  const nonce = freshNonce()
  const { tasks } = home.name
  const isOperator = context.args.flag('operator')
  const answer = await askVerb(context, home, {
    verb, nonce, isOperator, ...wish, ...(tasks !== undefined && { tasks }),
  })
  const now = await settled(context, home, { now: answer.job, nonce, untilMs })
  return { job: home.job, detail: answer.detail, sites: sitesOf(now, nonce), now }
}

function sitesOf(job: JobDetail, nonce: string): AskedRow['sites'] {
  return job.asked?.find((row) => row.nonce === nonce)?.sites ?? []
}

/** Until every site has answered, or it has taken long enough. */
async function settled(
  context: Context, home: JobHome,
  { now, nonce, untilMs }: { now: JobDetail; nonce: string; untilMs: number },
): Promise<JobDetail> {
  const { terminal } = context
  const isOpen = (job: JobDetail): boolean =>
    sitesOf(job, nonce).some(({ state }) => state === 'sent')
  let latest = now
  for (let pauseMs = 50; isOpen(latest) && terminal.nowEpochMs() < untilMs; pauseMs *= 2) {
    await terminal.sleep(Math.min(1_000, pauseMs))
    latest = await home.look()
  }
  return latest
}

function saidText(context: Context, { job, detail, sites }: Said): string {
  const width = Math.min(context.terminal.out.columns(), 100)
  const lines = wrap(`job ${job} ${printable(detail)}`, width)
  for (const { site, tasks, state, words } of sites) {
    const which = `tasks ${tasks} at ${site}`
    const text = state === 'refused' ? `${which}: refused: ${words}`
      : state === 'sent' ? `${which}: no answer yet; it is told again until there is one`
      : state === 'void' ? `${which}: ${words}` : undefined
    if (text === undefined) continue
    lines.push(...wrap(printable(text), width - 2).map((line) => `  ${line}`))
  }
  return `${lines.join('\n')}\n`
}
