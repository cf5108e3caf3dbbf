// What a job waits for, as each scheduler writes it. Jobs are named as their submitter knows them
// (a decimal alias, an id of this federation, a name where the dialect has names): who submits
// resolves them.

import type { Outcome } from '../base/outcome.ts'
import { ok } from '../base/outcome.ts'
import type { BadValue, DependencyOption, JobOptions } from './job-options.ts'
import { badValue, integerIn } from './job-options.ts'

type Read = Outcome<JobOptions, BadValue>
type Kind = DependencyOption['kind']

const dependenciesMax = 256
const textMax = 4_096
const jobPattern = /^[A-Za-z0-9_.[\]-]{1,128}$/

function made(
  list: readonly DependencyOption[], { any }: { readonly any: boolean }, text: string,
): Read {
  if (list.length > dependenciesMax) return badValue(`at most ${dependenciesMax} jobs`, text)
  return ok(list.length === 0 ? {} : { dependencies: { any, list } })
}

const slurmKinds: ReadonlyMap<string, Kind> = new Map([
  ['after', 'after'], ['afterok', 'afterok'], ['afternotok', 'afternotok'],
  ['afterany', 'afterany'], ['aftercorr', 'aftercorr'],
])

/** Slurm: `afterok:1:2,afterany:3` all, `…?…` any, `after:1+10` minutes, `singleton`, `1:2`. */
export function readSlurmDependency(text: string): Read {
  const form = 'a list such as afterok:12:13,afterany:14 (or with ? for any), or singleton'
  const any = text.includes('?')
  if (any && text.includes(',')) return badValue('either commas (all) or ? (any), not both', text)
  const list: DependencyOption[] = []
  for (const part of text.split(any ? '?' : ',')) {
    if (part.toLowerCase() === 'singleton') {
      list.push({ kind: 'singleton', job: '', delaySeconds: 0 })
      continue
    }
    const [word = '', ...named] = part.split(':')
    const isOld = /^[0-9]+$/.test(word)
    const kind = isOld ? 'afterany' : slurmKinds.get(word.toLowerCase())
    const jobs = isOld ? [word, ...named] : named
    if (kind === undefined || jobs.length === 0) return badValue(form, text)
    for (const one of jobs) {
      const match = /^([^+]+)(?:\+([0-9]{1,6}))?$/.exec(one)
      const minutes = Number(match?.[2] ?? '0')
      const fits = match && jobPattern.test(match[1]!) && minutes <= 366 * 1_440
      if (!fits) return badValue(form, text)
      list.push({ kind, job: match[1]!, delaySeconds: minutes * 60 })
    }
  }
  return made(list, { any }, text)
}

const pbsKinds: ReadonlyMap<string, Kind> = new Map([
  ['after', 'after'], ['afterok', 'afterok'], ['afternotok', 'afternotok'],
  ['afterany', 'afterany'], ['afterstart', 'after'],
  ['afterokarray', 'afterok'], ['afternotokarray', 'afternotok'], ['afteranyarray', 'afterany'],
  ['afterstartarray', 'after'],
])

/** PBS: `afterok:1.server:2,afterany:3`. What other jobs wait for (before…, on) is not taken. */
export function readPbsDependency(text: string): Read {
  const list: DependencyOption[] = []
  for (const part of text.split(',')) {
    const [word = '', ...jobs] = part.trim().split(':')
    const kind = pbsKinds.get(word.toLowerCase())
    if (kind === undefined && /^(before|on$|synccount|syncwith|runone)/i.test(word)) {
      return badValue('afterok, afterany, afternotok or after: what other jobs wait for is ' +
        'said by them', text)
    }
    const fits = kind !== undefined && jobs.length > 0 && jobs.every((job) => jobPattern.test(job))
    if (!fits) return badValue('a list such as afterok:12.server:13,afterany:14', text)
    for (const job of jobs) list.push({ kind, job: withoutServer(job), delaySeconds: 0 })
  }
  return made(list, { any: false }, text)
}

function withoutServer(job: string): string {
  return /^[0-9]+(\[[0-9]*\])?/.exec(job)?.[0] ?? job
}

/** Grid Engine: ids, names or patterns separated by commas; by task with -hold_jid_ad. */
export function readHoldJid(text: string, byTask: boolean): Read {
  const kind: Kind = byTask ? 'aftercorr' : 'afterany'
  const jobs = text.split(',').filter((job) => job !== '')
  if (jobs.length === 0 || !jobs.every((job) => jobPattern.test(job))) {
    return badValue('job ids or names separated by commas, without wildcards', text)
  }
  return made(jobs.map((job) => ({ kind, job, delaySeconds: 0 })), { any: false }, text)
}

const lsfKinds: ReadonlyMap<string, Kind> = new Map([
  ['done', 'afterok'], ['ended', 'afterany'], ['exit', 'afternotok'], ['started', 'after'],
])

/** LSF: conditions joined by && alone or || alone, such as `done(12) && ended("name")`. */
export function readLsfDependency(text: string): Read {
  const form = 'conditions such as done(12) && ended(13), all with && or all with ||'
  if (text.length > textMax) return badValue(`at most ${textMax} characters`, text.slice(0, 60))
  const any = text.includes('||')
  if (any && text.includes('&&')) return badValue(form, text)
  const bare = withoutParentheses(text.trim())
  const list: DependencyOption[] = []
  for (const part of bare.split(any ? '||' : '&&')) {
    const one = withoutParentheses(part.trim())
    const match = /^(?:([a-z_]+)\s*\(\s*)?(?:"([^"]+)"|'([^']+)'|([^\s,()"']+))\s*\)?$/i.exec(one)
    const job = match?.[2] ?? match?.[3] ?? match?.[4]
    const called = match?.[1]
    const closed = one.endsWith(')') === (called !== undefined)
    const kind = called === undefined ? 'afterok' : lsfKinds.get(called.toLowerCase())
    if (!match || job === undefined || kind === undefined || !closed || !jobPattern.test(job)) {
      return badValue(form, text)
    }
    list.push({ kind, job, delaySeconds: 0 })
  }
  return made(list, { any }, text)
}

/** One pair that encloses all of it. */
function withoutParentheses(text: string): string {
  if (!text.startsWith('(') || !text.endsWith(')')) return text
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '(') depth++
    if (text[at] === ')' && --depth === 0 && at < text.length - 1) return text
  }
  return withoutParentheses(text.slice(1, -1).trim())
}

/** Licences `name` or `name:count` (Slurm, `@server` is part of a name), all of them. */
export function readLicences(text: string): Read {
  const counts = new Map<string, number>()
  for (const part of text.split(/[,;]/)) {
    const match = /^([A-Za-z0-9._@-]{1,64})(?:[:=]([0-9]{1,5}))?$/.exec(part.trim())
    const count = match && integerIn(match[2] ?? '1', { min: 1, max: 65_536 })
    if (!match || !count) return badValue('licences such as matlab:2,ansys', text)
    counts.set(match[1]!, (counts.get(match[1]!) ?? 0) + count)
  }
  if (counts.size > 16) return badValue('at most 16 kinds of licences', text)
  return ok({ licences: [...counts].map(([name, count]) => ({ name, count })) })
}
