// Times, sizes and lists as the schedulers write them. Each reader names its dialect's rule; all
// work in integers.

import { limits } from '../base/limits.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok } from '../base/outcome.ts'
import { divUp } from '../base/units.ts'
import type { BadValue, EnvironmentOption, JobOptions } from './job-options.ts'
import {
  badValue, integerIn, memoryMibMax, readArray, readJobOption, readLabel, secondsMax,
} from './job-options.ts'

type Read = Outcome<JobOptions, BadValue>

export function walltime(seconds: number, text: string): Read {
  if (seconds === 0) return unlimited(text)
  if (seconds > secondsMax) return badValue('at most 366 days', text)
  return ok({ walltimeSeconds: seconds })
}

export function unlimited(text: string): Outcome<never, BadValue> {
  return badValue('a limit: without one no site can say when it is free again', text)
}

/** Slurm: M, M:S, H:M:S, D-H, D-H:M, D-H:M:S; fields may pass 59; up to a whole minute. */
export function readSlurmTime(text: string): Read {
  if (/^(infinite|unlimited|-1)$/i.test(text)) return unlimited(text)
  const match = /^(?:([0-9]{1,6})-)?([0-9]{1,9})(?::([0-9]{1,9}))?(?::([0-9]{1,9}))?$/.exec(text)
  if (!match) {
    return badValue('a time such as 30 (minutes), 1:30:00 or 2-12:00 (days-hours:minutes)', text)
  }
  const [, days, a = '0', b, c] = match
  const [x, y, z] = [Number(a), Number(b ?? '0'), Number(c ?? '0')]
  let seconds: number
  if (days !== undefined) seconds = Number(days) * 86_400 + x * 3_600 + y * 60 + z
  else if (c !== undefined) seconds = x * 3_600 + y * 60 + z
  else seconds = x * 60 + y
  return walltime(divUp(seconds, 60) * 60, text)
}

/** PBS: S, M:S, H:M:S, with a fraction that is rounded; Torque also D:H:M:S. */
export function readPbsTime(text: string, days: boolean): Read {
  const form = `seconds, M:S${days ? ', H:M:S or D:H:M:S' : ' or H:M:S'} such as 24:00:00`
  const match = /^((?:[0-9]{1,9}:){0,3}[0-9]{1,9})(?:\.([0-9]{0,9}))?$/.exec(text)
  const fields = match?.[1]!.split(':').map(Number) ?? []
  if (!match || fields.length > (days ? 4 : 3)) return badValue(form, text)
  const factors = [1, 60, 3_600, 86_400]
  let seconds = (match[2] ?? '').padEnd(3, '0').slice(0, 3) >= '500' ? 1 : 0
  fields.toReversed().forEach((field, i) => {
    seconds += field * factors[i]!
  })
  return walltime(seconds, text)
}

/** LSF: minutes or H:M, with the host whose speed is meant, which is left out. */
export function readLsfTime(text: string): Read {
  const match = /^([0-9]{1,7})(?::([0-9]{1,7}))?(?:\/.*)?$/.exec(text.trim())
  if (!match) return badValue('minutes or hours:minutes such as 90 or 1:30', text)
  const minutes = match[2] === undefined ? Number(match[1])
    : Number(match[1]) * 60 + Number(match[2])
  return walltime(minutes * 60, text)
}

/** Grid Engine: S or H:M:S; a field may be empty. */
export function readGridEngineTime(text: string): Read {
  if (/^infinity$/i.test(text)) return unlimited(text)
  if (!/^([0-9]{1,9}|[0-9]{0,9}:[0-9]{0,9}:[0-9]{0,9})$/.test(text)) {
    return badValue('seconds or H:M:S such as 24:00:00', text)
  }
  const fields = text.split(':').map(Number)
  let seconds = 0
  for (const field of fields) seconds = seconds * 60 + field
  return walltime(seconds, text)
}

const slurmUnits: Readonly<Record<string, number>> = { M: 1, G: 2 ** 10, T: 2 ** 20 }

/** Slurm: integers, MiB without a unit, K rounded up; 0 = all of a node's. */
export function slurmMib(text: string): Outcome<number, BadValue> {
  const match = /^([0-9]{1,12})([KMGT]?)B?$/i.exec(text)
  const unit = (match?.[2] || 'M').toUpperCase()
  const count = Number(match?.[1] ?? '0')
  const mib = unit === 'K' ? divUp(count, 1024) : count * slurmUnits[unit]!
  if (match && mib >= 1 && mib <= memoryMibMax) return ok(mib)
  if (match && count === 0) {
    return badValue('a size: all the memory of a node cannot be asked for, as nodes differ', text)
  }
  return badValue('an integer with K, M, G or T (M without one) such as 4G', text)
}

const binary: Readonly<Record<string, number>> = {
  '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40, p: 2 ** 50,
}

function mibOf(bytes: number, text: string, form: string): Outcome<number, BadValue> {
  const mib = Number.isSafeInteger(bytes) ? divUp(bytes, 2 ** 20) : 0
  return mib >= 1 && mib <= memoryMibMax ? ok(mib) : badValue(form, text)
}

/** PBS: an integer with b, kb, mb, gb, tb, of 1024; w for words of eight bytes. */
export function pbsMib(text: string): Outcome<number, BadValue> {
  const form = 'an integer with b, kb, mb, gb or tb such as 4gb'
  const match = /^([0-9]{1,15})([kmgtp]?)([bw]?)$/i.exec(text)
  if (!match) return badValue(form, text)
  const unit = binary[match[2]!.toLowerCase()]! * (match[3]!.toLowerCase() === 'w' ? 8 : 1)
  return mibOf(Number(match[1]) * unit, text, form)
}

/**
 * LSF: in the unit of the option (KB for -M, MB for rusage) unless one is written; a part after the
 * point is rounded up.
 */
export function lsfMib(text: string, unitBytes: number): Outcome<number, BadValue> {
  const form = 'a number with K, M, G or T such as 4G or 4000MB'
  const match = /^([0-9]{1,12})(?:\.([0-9]{1,6}))?\s*([kmgt]?)b?$/i.exec(text.trim())
  if (!match) return badValue(form, text)
  const letter = match[3]!.toLowerCase()
  return mibOf(scaled(match, letter === '' ? unitBytes : binary[letter]!), text, form)
}

/** Grid Engine: k, m, g of 1000, K, M, G of 1024, bytes without one. */
export function gridEngineMib(text: string): Outcome<number, BadValue> {
  const form = 'a size such as 4G or 500M'
  const match = /^([0-9]{1,15})(?:\.([0-9]{0,6}))?([kKmMgGtT]?)$/.exec(text)
  if (!match) return badValue(form, text)
  const letter = match[3]!
  const power = 'kmgt'.indexOf(letter.toLowerCase()) + 1
  const unit = letter === '' ? 1 : (letter === letter.toLowerCase() ? 1_000 : 1_024) ** power
  return mibOf(scaled(match, unit), text, form)
}

/** `12.5` of a unit in integers, upwards. */
function scaled(match: readonly string[], unit: number): number {
  const fraction = match[2] ?? ''
  const parts = fraction === '' ? 0 : Number(fraction)
  const whole = Number(match[1]) * unit
  return parts === 0 ? whole : whole + Math.ceil((parts * unit) / 10 ** fraction.length)
}

/** `A`, `A=1` separated by commas; a value may hold commas in quotes or after a backslash. */
export function readVariables(text: string): Read {
  const environment: EnvironmentOption[] = []
  for (const part of splitList(text)) {
    if (part === '') continue
    const read = readJobOption('env', part)
    if (!read.ok) return read
    for (const variable of read.value.environment!) environment.push(variable)
  }
  return ok(environment.length === 0 ? {} : { environment })
}

/** Parts between commas; quotes and backslashes protect them and are taken away. */
export function splitList(text: string): string[] {
  const parts: string[] = []
  let part = ''
  let quote = ''
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!
    if (character === '\\' && at + 1 < text.length) {
      part += text[++at]!
    } else if (quote !== '') {
      if (character === quote) quote = ''
      else part += character
    } else if (character === '"' || character === "'") {
      quote = character
    } else if (character === ',') {
      parts.push(part)
      part = ''
    } else {
      part += character
    }
  }
  parts.push(part)
  return parts
}

/** A queue of the home. */
export function readQueue(text: string): Read {
  return readLabel(text, 'queue', (queue) => ({ queue }))
}

/** Of several any would do: the first. */
export function readFirstQueue(text: string): Read {
  return readQueue(text.trim().split(/[\s,]/)[0]!)
}

export function readProject(text: string): Read {
  return readLabel(text, 'project', (project) => ({ project }))
}

export function readPath(text: string, make: (path: string) => JobOptions): Read {
  if (text !== '' && text.length <= limits.pathBytes && !/[\u0000-\u001f]/.test(text)) {
    return ok(make(text))
  }
  return badValue(`a path of at most ${limits.pathBytes} characters`, text)
}

/** Where PBS and Grid Engine count from: 0 stands in the middle of what a document can say. */
export function readPriority(text: string): Read {
  const value = /^[+-]?[0-9]{1,4}$/.test(text) ? Number(text) : 9_999
  if (value < -1_024 || value > 1_024) return badValue('a priority from -1024 to 1023', text)
  return ok({ priority: Math.min(2_047, 1_024 + value) })
}

/** `n[-m[:s]]`, one run only, as in PBS Pro and Grid Engine. */
export function readRun(text: string, atOnce: number): Read {
  if (!/^[0-9]+(-[0-9]+(:[0-9]+)?)?$/.test(text)) {
    return badValue('task numbers such as 1-100 or 1-99:2', text)
  }
  const read = readArray(text)
  if (!read.ok) return read
  return ok({ array: { tasks: read.value.array!.tasks, atOnce } })
}

export function countIn(text: string, max: number): number | undefined {
  return integerIn(text, { min: 1, max })
}
