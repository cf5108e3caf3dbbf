// `gridnode alter`: other wishes for a job that was handed in.

import type { SiteName } from '../../protocol/base/ids.ts'
import { parseSiteName } from '../../protocol/base/ids.ts'
import { limits } from '../../protocol/base/limits.ts'
import { parseCredits, parseDurationSeconds } from '../../protocol/base/units.ts'
import { readSlurmDependency } from '../../protocol/rules/dependency-words.ts'
import type { JobChange } from '../../protocol/rules/request.ts'
import type { Command, Context } from '../command.ts'
import { usageFailure } from '../failure.ts'
import { homeOf } from '../job-home.ts'
import { filterOptions, runVerb, verbOptions } from '../verb-command.ts'

export const alter: Command = {
  usage: ['[options] JOB...'],
  about:
    'Changes what a job asks for. What a site was awarded does not change: walltime, ' +
    'requirements, sites, dependencies and begin are those of tasks that wait.',
  options: {
    rename: { kind: 'value', value: 'NAME', help: 'another name' },
    priority: { kind: 'value', short: 'p', value: 'N', help: '0 to 2047 among your own jobs' },
    walltime: { kind: 'value', short: 't', value: 'TIME', help: 'of a task, such as 2h30m' },
    budget: { kind: 'value', short: 'b', value: 'CREDITS', help: 'for the whole job' },
    'at-once': { kind: 'value', value: 'N', help: 'tasks at once over all sites; 0: no limit' },
    begin: { kind: 'value', value: 'WHEN', help: 'not before now+2h, or 2030-01-20T12:00:00' },
    after: {
      kind: 'value', value: 'LIST', help: "such as afterok:3f2a91c0b7d4; 'none' waits for no job",
    },
    require: { kind: 'value', short: 'r', value: 'EXPR', help: 'of the sites; empty: any' },
    sites: { kind: 'value', value: 'SITE,...', help: 'only these; empty: any' },
    'to-queue': { kind: 'value', value: 'NAME', help: 'another queue of the home' },
    ...filterOptions,
    ...verbOptions,
  },
  examples: [
    ['gridnode alter 3f2a --walltime 4h --budget 20', 'more of both'],
    ['gridnode alter 3f2a --after none', 'wait for nothing any more'],
  ],
  async run(context) {
    return runVerb(context, 'alter', context.args.words, { change: await changeOf(context) })
  },
}

async function changeOf(context: Context): Promise<JobChange> {
  const { args, terminal } = context
  const one = <T>(
    option: string, read: (text: string) => T | undefined, form: string,
  ): T | undefined => {
    const text = args.value(option)
    if (text === undefined) return undefined
    const value = read(text)
    if (value !== undefined) return value
    throw usageFailure(`--${option}: expected ${form}, got '${text}'`)
  }
  const count = (most: number) => (text: string): number | undefined =>
    /^[0-9]{1,6}$/.test(text) && Number(text) <= most ? Number(text) : undefined
  const after = await afterOf(context, args.value('after'))
  const change: { -readonly [K in keyof JobChange]: JobChange[K] | undefined } = {
    name: args.value('rename'),
    priority: one('priority', count(2_047), 'a number from 0 to 2047'),
    walltime_seconds: one('walltime', parseDurationSeconds, 'a time such as 90m or 1:30:00'),
    budget: one('budget', parseCredits, 'credits such as 12.50'),
    tasks_at_once: one('at-once', count(limits.tasksPerJob), 'a number, or 0 for no limit'),
    begin_ms: one('begin', (text) => beginMs(text, terminal.nowEpochMs()),
      'a time such as now+2h or 2030-01-20T12:00:00'),
    ...after,
    requirements: args.value('require'),
    sites: one('sites', sitesIn, 'names of sites with commas between them'),
    queue: args.value('to-queue'),
  }
  const given = Object.entries(change).filter(([, value]) => value !== undefined)
  if (given.length === 0) throw usageFailure('say what to alter; gridnode help alter lists it')
  return Object.fromEntries(given) as JobChange
}

function sitesIn(text: string): SiteName[] | undefined {
  if (text === '') return []
  const sites = text.split(',').map(parseSiteName)
  return sites.every((site) => site !== undefined) ? sites : undefined
}

function beginMs(text: string, nowMs: number): number | undefined {
  const relative = /^now(?:\+(.+))?$/.exec(text)
  if (relative) {
    const seconds = relative[1] === undefined ? 0 : parseDurationSeconds(relative[1])
    return seconds === undefined ? undefined : nowMs + seconds * 1_000
  }
  const at = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?Z?)?$/.test(text) ? Date.parse(text) : NaN
  return Number.isSafeInteger(at) ? at : undefined
}

/** Jobs are named as everywhere: whole, or by their first digits. */
async function afterOf(
  context: Context, text: string | undefined,
): Promise<Pick<JobChange, 'after' | 'after_any'>> {
  if (text === undefined) return {}
  if (text === 'none' || text === '') return { after: [], after_any: 0 }
  const read = readSlurmDependency(text)
  if (!read.ok || !read.value.dependencies) {
    throw usageFailure(`--after: expected a list such as afterok:3f2a,afterany:41bb, got '${text}'`)
  }
  const { any, list } = read.value.dependencies
  const after: NonNullable<JobChange['after']>[number][] = []
  for (const { kind, job, delaySeconds } of list) {
    const whole = kind === 'singleton' ? '' : (await homeOf(context, job)).job
    after.push({ kind, job: whole, delay_seconds: delaySeconds })
  }
  return { after, after_any: any ? 1 : 0 }
}
