// When a job may begin, in the words of each scheduler: relative to the submission, or a local time
// of which parts may be missing. What is missing is filled in by the submitter's clock, which rules
// do not have: `nextTime` is told what time it is.

import type { Outcome } from '../base/outcome.ts'
import { ok } from '../base/outcome.ts'
import type { BadValue, BeginOption, JobOptions } from './job-options.ts'
import { badValue } from './job-options.ts'

type Read = Outcome<JobOptions, BadValue>

export interface LocalTime {
  readonly year: number
  /** 1-12. */
  readonly month: number
  readonly day: number
  readonly hour: number
  readonly minute: number
  readonly second: number
}

const unitSeconds: readonly (readonly [name: string, seconds: number])[] = [
  ['seconds', 1], ['minutes', 60], ['hours', 3_600], ['days', 86_400], ['weeks', 604_800],
]
const secondsMax = 366 * 86_400

/** Slurm: now+1hour, 16:00, noon, tomorrow, 2030-01-20T12:34:00, 01/20/30-12:34, 0120. */
export function readSlurmBegin(text: string): Read {
  const form = 'a time such as now+1hour, 16:00, tomorrow or 2030-01-20T12:34:00'
  const words = text.trim().toLowerCase()
  const relative = /^now(?:\s*\+\s*([0-9]{1,9})\s*([a-z]*))?$/.exec(words)
  if (relative) {
    const unit = relative[2] ?? ''
    const factor = unit === '' ? 1 : unitSeconds.find(([name]) => name.startsWith(unit))?.[1]
    const seconds = Number(relative[1] ?? '0') * (factor ?? secondsMax + 1)
    return seconds > secondsMax ? badValue(form, text) : ok({ begin: { kind: 'in', seconds } })
  }
  const iso = /^([0-9]{4})-([0-9]{2})-([0-9]{2})(?:t(.+))?$/.exec(words)
  if (iso) return dated(text, form, { date: [iso[1], iso[2], iso[3]], clock: iso[4] })
  const parts = words.split(/[\s-]+/)
  const clock = parts.find((part) => clockOf(part) !== undefined)
  const day = parts.find((part) => part !== clock)
  if (parts.length > 2 || (parts.length === 2 && (!clock || !day))) return badValue(form, text)
  const us = /^([0-9]{2})[./]?([0-9]{2})(?:[./]?([0-9]{2}))?$/.exec(day ?? '')
  if (us) return dated(text, form, { date: [us[3] && `20${us[3]}`, us[1], us[2]], clock })
  if (day === 'tomorrow') {
    return clock === undefined ? ok({ begin: { kind: 'in', seconds: 86_400 } })
      : badValue('a date, as tomorrow with a time cannot be told', text)
  }
  if (day === 'today' && clock === undefined) return ok({ begin: { kind: 'in', seconds: 0 } })
  if ((day === undefined || day === 'today') && clock !== undefined) {
    return ok({ begin: { kind: 'at', ...clockOf(clock)! } })
  }
  return badValue(form, text)
}

interface Dated {
  readonly date: readonly (string | undefined)[]
  readonly clock: string | undefined
}

function dated(text: string, form: string, { date, clock }: Dated): Read {
  const time = clockOf(clock ?? '00:00:00')
  const [year, month, day] = date.map((part) => part === undefined ? undefined : Number(part))
  if (!time) return badValue(form, text)
  const begin: BeginOption = {
    kind: 'at', ...(year !== undefined && { year }), ...(month !== undefined && { month }),
    ...(day !== undefined && { day }), ...time,
  }
  return checked(begin, text, form)
}

interface Clock {
  readonly hour: number
  readonly minute: number
  readonly second: number
}

const namedClocks: ReadonlyMap<string, number> =
  new Map([['midnight', 0], ['noon', 12], ['elevenses', 11], ['fika', 15], ['teatime', 16]])

function clockOf(text: string): Clock | undefined {
  const named = namedClocks.get(text)
  if (named !== undefined) return { hour: named, minute: 0, second: 0 }
  const match = /^([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?(am|pm)?$/.exec(text)
  if (!match) return undefined
  const [half, shown] = [match[4], Number(match[1])]
  if (half !== undefined && (shown < 1 || shown > 12)) return undefined
  const hour = half === undefined ? shown : (shown % 12) + (half === 'pm' ? 12 : 0)
  const clock = { hour, minute: Number(match[2]), second: Number(match[3] ?? '0') }
  return clock.hour < 24 && clock.minute < 60 && clock.second < 60 ? clock : undefined
}

/** PBS: [[[[CC]YY]MM]DD]hhmm[.SS]. */
export function readPosixBegin(text: string): Read {
  const form = 'a time such as 2030 (today or tomorrow), 06121530 or 203006121530.00'
  const match = /^((?:[0-9]{2}){2,6})(?:\.([0-9]{2}))?$/.exec(text.trim())
  if (!match) return badValue(form, text)
  const digits = match[1]!
  const pairs = digits.match(/../g)!.map(Number)
  const [minute = 0, hour = 0, day, month, years, century] = pairs.toReversed()
  const year = years === undefined ? undefined
    : century === undefined ? (years > 68 ? 1_900 : 2_000) + years : century * 100 + years
  return checked({
    kind: 'at', ...(year !== undefined && { year }), ...(month !== undefined && { month }),
    ...(day !== undefined && { day }), hour, minute, second: Number(match[2] ?? '0'),
  }, text, form)
}

/** Grid Engine: [[CC]YY]MMDDhhmm[.SS]. */
export function readGridEngineBegin(text: string): Read {
  if (/^([0-9]{2}){4,6}(\.[0-9]{2})?$/.test(text)) return readPosixBegin(text)
  return badValue('a time such as 06121530 or 203006121530.00', text)
}

/** LSF: [[[year:]month:]day:]hour:minute. */
export function readLsfBegin(text: string): Read {
  const form = '[[month:]day:]hour:minute such as 20:30 or 6:12:20:30'
  if (!/^[0-9]{1,4}(:[0-9]{1,2}){1,4}$/.test(text.trim())) return badValue(form, text)
  const [minute = 0, hour = 0, day, month, year] =
    text.trim().split(':').map(Number).toReversed()
  return checked({
    kind: 'at', ...(year !== undefined && { year }), ...(month !== undefined && { month }),
    ...(day !== undefined && { day }), hour, minute, second: 0,
  }, text, form)
}

function checked(begin: BeginOption & { kind: 'at' }, text: string, form: string): Read {
  const { year = 2_000, month = 1, day = 1, hour, minute, second } = begin
  const fits = year >= 1_970 && year < 2_200 && month >= 1 && month <= 12 && day >= 1 &&
    day <= 31 && hour < 24 && minute < 60 && second < 60
  return fits ? ok({ begin }) : badValue(form, text)
}

/**
 * The next time that is meant, `now` being the submitter's. Months and days may pass their last:
 * a calendar carries them.
 */
export function nextTime(begin: BeginOption & { readonly kind: 'at' }, now: LocalTime): LocalTime {
  const { hour, minute, second } = begin
  const clock = { hour, minute, second }
  const later = secondsOfDay(clock) > secondsOfDay(now)
  if (begin.year !== undefined) {
    const { year, month = now.month, day = now.day } = begin
    return { year, month, day, ...clock }
  }
  if (begin.month !== undefined) {
    const day = begin.day ?? now.day
    const ahead = begin.month * 32 + day - (now.month * 32 + now.day)
    const year = ahead > 0 || (ahead === 0 && later) ? now.year : now.year + 1
    return { year, month: begin.month, day, ...clock }
  }
  if (begin.day !== undefined) {
    const ahead = begin.day - now.day
    const month = ahead > 0 || (ahead === 0 && later) ? now.month : now.month + 1
    return { year: now.year, month, day: begin.day, ...clock }
  }
  return { year: now.year, month: now.month, day: later ? now.day : now.day + 1, ...clock }
}

function secondsOfDay({ hour, minute, second }: Clock): number {
  return hour * 3_600 + minute * 60 + second
}
