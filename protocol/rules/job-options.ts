// What a person may ask for a job, in the words that `#GRID` lines and the command line share.
// Each option has one reader; a value that cannot be honoured is refused with what was expected
// and what came.

import { exceedsBytes } from '../base/encoding.ts'
import type { SiteName } from '../base/ids.ts'
import { parseSiteName } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import type { Ranges } from '../base/ranges.ts'
import { addRanges, rangesOf, rangesSize } from '../base/ranges.ts'
import type { Microcredits } from '../base/units.ts'
import { divUp, parseBytes, parseCredits, parseDurationSeconds } from '../base/units.ts'
import { grantNamePattern } from './statement.ts'

export interface ArrayOption {
  readonly tasks: Ranges
  /** 0 = no limit. */
  readonly atOnce: number
}

export interface InputOption {
  readonly path: string
  /** Where it lies in the job's directory; undefined = as it is called. */
  readonly name?: string
}

export interface EnvironmentOption {
  readonly name: string
  /** Undefined = as it is where the job is submitted. */
  readonly value?: string
}

export interface JobOptions {
  readonly name?: string
  readonly cores?: number
  readonly memoryMib?: number
  /** In place of `memoryMib`. */
  readonly memoryMibPerCore?: number
  readonly walltimeSeconds?: number
  readonly array?: ArrayOption
  readonly inputs?: readonly InputOption[]
  readonly outputs?: readonly string[]
  readonly environment?: readonly EnvironmentOption[]
  readonly budget?: Microcredits
  readonly allocation?: string
  readonly policy?: 'cheapest' | 'soonest' | 'balanced'
  readonly requirements?: string
  readonly rank?: string
  readonly place?: 'anywhere' | 'home' | 'remote'
  readonly sites?: readonly SiteName[]
  readonly startWithinSeconds?: number
  readonly gpus?: number
  /** The kind of its GPUs, as sites publish it: `gpu_model`. */
  readonly gpuModel?: string
  /** Nodes of a task, each giving so much; in place of `cores`, `memoryMib` and `gpus`. */
  readonly chunks?: readonly ChunkOption[]
  readonly licences?: readonly { readonly name: string; readonly count: number }[]
  readonly dependencies?: DependenciesOption
  readonly hold?: boolean
  readonly begin?: BeginOption
  /** 0 to 2047, 1024 when nothing is said; the larger, the sooner. */
  readonly priority?: number
  readonly queue?: string
  readonly project?: string
  readonly rerun?: boolean
  /** Where the streams go, as patterns of the script's dialect. */
  readonly stdoutPath?: string
  readonly stderrPath?: string
  /** Both streams in one file. */
  readonly joinStreams?: boolean
  /** The whole environment where the job is submitted, as far as it can travel. */
  readonly wholeEnvironment?: boolean
  /** What the scheduler would set from its options, for the time of the run. */
  readonly runVariables?: readonly { readonly name: string; readonly value: string }[]
  /** The interpreter of the script, in place of its first line. */
  readonly shell?: string
  /** The directory that the job believes to be in: '.' = where it was submitted. */
  readonly workDirectory?: string
}

export interface ChunkOption {
  readonly nodes: number
  readonly cores: number
  /** Of each node; 0 = nothing was said. */
  readonly memoryMib: number
  readonly gpus: number
}

export interface DependenciesOption {
  /** Any one of them is enough. */
  readonly any: boolean
  readonly list: readonly DependencyOption[]
}

export interface DependencyOption {
  readonly kind: 'after' | 'afterok' | 'afternotok' | 'afterany' | 'aftercorr' | 'singleton'
  /** As written: an id in either form, or a name where the dialect has names; '' for singleton. */
  readonly job: string
  readonly delaySeconds: number
}

/** A moment, or one in so many seconds. Fields that are missing are those of the next such time. */
export type BeginOption =
  | { readonly kind: 'in'; readonly seconds: number }
  | {
    readonly kind: 'at'
    readonly year?: number
    /** 1-12. */
    readonly month?: number
    readonly day?: number
    readonly hour: number
    readonly minute: number
    readonly second: number
  }

export interface BadValue {
  readonly reason: 'bad_value'
  readonly detail: string
}

type Read = Outcome<JobOptions, BadValue>

export const coresMax = 65_536
export const memoryMibMax = 2 ** 32
export const secondsMax = 366 * 86_400
const nameBytesMax = 128

const readers = {
  name: readName,
  cores: readCores,
  memory: readMemory,
  walltime: (text) => readSeconds(text, (walltimeSeconds) => ({ walltimeSeconds })),
  array: readArray,
  in: readInput,
  out: (text) =>
    text === '' ? bad('a path or pattern such as results/*.csv', text) : ok({ outputs: [text] }),
  env: readEnvironment,
  budget: readBudget,
  allocation: (text) => grantNamePattern.test(text) ? ok({ allocation: text })
    : bad('the name of an allocation, such as physics-2026', text),
  policy: (text) => readWord(text, ['cheapest', 'soonest', 'balanced'], (policy) => ({ policy })),
  require: (text) =>
    text.trim() === ''
      ? bad("an expression such as 'cores_total >= 64'", text)
      : ok({ requirements: text }),
  rank: (text) =>
    text.trim() === '' ? bad("an expression such as 'speed_permille'", text) : ok({ rank: text }),
  place: (text) => readWord(text, ['anywhere', 'home', 'remote'], (place) => ({ place })),
  sites: readSites,
  'start-within': (text) =>
    readSeconds(text, (startWithinSeconds) => ({ startWithinSeconds })),
  gpus: (text) => readCount(text, coresMax, (gpus) => ({ gpus })),
  queue: (text) => readLabel(text, 'queue', (queue) => ({ queue })),
  project: (text) => readLabel(text, 'project', (project) => ({ project })),
  priority: (text) => readCount(text, 2_047, (priority) => ({ priority })),
} satisfies Record<string, (text: string) => Read>

export type JobOptionName = keyof typeof readers
export const jobOptionNames = Object.keys(readers) as readonly JobOptionName[]

export function isJobOptionName(name: string): name is JobOptionName {
  return Object.hasOwn(readers, name)
}

export function readJobOption(name: JobOptionName, text: string): Read {
  return readers[name](text)
}

/** Options of one source, in their order: lists grow, of everything else the last wins. */
export function joinJobOptions(all: readonly JobOptions[]): JobOptions {
  let joined: JobOptions = {}
  const lists = { inputs: all.flatMap(listOf('inputs')), outputs: all.flatMap(listOf('outputs')),
    environment: all.flatMap(listOf('environment')) }
  for (const { inputs: _in, outputs: _out, environment: _env, ...rest } of all) {
    joined = { ...withoutRivals(joined, rest), ...rest }
  }
  return {
    ...joined,
    ...(lists.inputs.length > 0 && { inputs: lists.inputs }),
    ...(lists.outputs.length > 0 && { outputs: lists.outputs }),
    ...(lists.environment.length > 0 && { environment: lists.environment }),
  }
}

/** A stronger source over a weaker one: it replaces, lists too; variables replace by name. */
export function overrideJobOptions(weaker: JobOptions, stronger: JobOptions): JobOptions {
  const set = new Set(stronger.environment?.map((variable) => variable.name))
  const kept = weaker.environment?.filter((variable) => !set.has(variable.name)) ?? []
  const environment = [...kept, ...(stronger.environment ?? [])]
  return {
    ...withoutRivals(weaker, stronger),
    ...stronger,
    ...(environment.length === 0 ? {} : { environment }),
  }
}

/**
 * Memory of a task and memory of a core say the same thing in two ways; cores of a task take the
 * place of its nodes.
 */
function withoutRivals(weaker: JobOptions, stronger: JobOptions): JobOptions {
  let kept = weaker
  if (stronger.memoryMib !== undefined || stronger.memoryMibPerCore !== undefined) {
    const { memoryMib, memoryMibPerCore, ...rest } = kept
    kept = rest.chunks === undefined ? rest
      : { ...rest, chunks: rest.chunks.map((chunk) => ({ ...chunk, memoryMib: 0 })) }
  }
  if (stronger.cores !== undefined) {
    const { chunks, runVariables, ...rest } = kept
    kept = rest
  }
  if (stronger.chunks !== undefined) {
    const { cores, gpus, runVariables, ...rest } = kept
    kept = rest
  }
  return kept
}

function listOf<K extends 'inputs' | 'outputs' | 'environment'>(
  key: K,
): (options: JobOptions) => NonNullable<JobOptions[K]> | readonly never[] {
  return (options) => options[key] ?? []
}

interface Bad {
  readonly ok: false
  readonly refusal: BadValue
}

function bad(expected: string, text: string): Bad {
  return refuse({ reason: 'bad_value', detail: `expected ${expected}, got '${text}'` })
}

function readName(text: string): Read {
  const fits = new RegExp(`^[^\\u0000-\\u001f\\u007f]{1,${nameBytesMax}}$`)
  if (fits.test(text) && !exceedsBytes(text, nameBytesMax)) return ok({ name: text })
  return bad(`a name of 1 to ${nameBytesMax} bytes without control characters`, text)
}

function readCores(text: string): Read {
  const cores = integerIn(text, { min: 1, max: coresMax })
  return cores === undefined ? bad(`a number of cores from 1 to ${coresMax}`, text) : ok({ cores })
}

function readCount(text: string, max: number, make: (count: number) => JobOptions): Read {
  const count = integerIn(text, { min: 1, max })
  return count === undefined ? bad(`a number from 1 to ${max}`, text) : ok(make(count))
}

export function readLabel(text: string, what: string, make: (label: string) => JobOptions): Read {
  if (/^[A-Za-z0-9._-]{1,63}$/.test(text)) return ok(make(text))
  return bad(`the name of a ${what}: letters, digits, point, _ and -`, text)
}

function readMemory(text: string): Read {
  const bytes = parseBytes(text)
  const memoryMib = bytes === undefined ? 0 : divUp(bytes, 2 ** 20)
  if (memoryMib >= 1 && memoryMib <= memoryMibMax) return ok({ memoryMib })
  return bad('a size with its unit such as 512MiB or 4GiB', text)
}

/** A duration with units, or `H:M:S`, which means the same everywhere. */
function readSeconds(text: string, make: (seconds: number) => JobOptions): Read {
  const clock = /^([0-9]{1,6}):([0-5]?[0-9]):([0-5]?[0-9])$/.exec(text)
  const seconds = clock
    ? Number(clock[1]) * 3_600 + Number(clock[2]) * 60 + Number(clock[3])
    : parseDurationSeconds(text)
  if (seconds !== undefined && seconds >= 1 && seconds <= secondsMax) return ok(make(seconds))
  return bad('a duration with its unit such as 90s, 15m, 1h30m or 2d, or H:M:S, up to 366d', text)
}

/** `0-15`, `1-9:2`, `1,5,7-9`, with `%N` for at most N tasks at once, with brackets as in Slurm. */
export function readArray(text: string): Read {
  const match = /^(\[)?([0-9,:-]+)(\])?(?:%([0-9]+))?(\])?$/.exec(text)
  const form = 'task numbers such as 0-15, 1-9:2 or 1,5,7-9, and %4 for at most 4 at once'
  if (!match) return bad(form, text)
  const [, open, list = '', closeInner, limit, closeOuter] = match
  const closed = (closeInner === undefined ? 0 : 1) + (closeOuter === undefined ? 0 : 1)
  if (closed !== (open === undefined ? 0 : 1)) return bad(form, text)
  const parts: (readonly [number, number])[] = []
  let size = 0
  for (const part of list.split(',')) {
    const found = readArrayPart(part)
    if (!found) return bad(form, text)
    // What is named twice counts twice: so nobody can write down more work than tasks.
    size += found === 'too_many' ? limits.tasksPerJob + 1 : rangesSize(found)
    if (found === 'too_many' || size > limits.tasksPerJob) return tooMany(text)
    for (const range of found) parts.push(range)
  }
  const tasks = addRanges(parts, [])
  const atOnce = limit === undefined ? 0 : Number(limit)
  if (limit !== undefined && (atOnce < 1 || atOnce > limits.tasksPerJob)) {
    return bad(`after % a number from 1 to ${limits.tasksPerJob}`, text)
  }
  return ok({ array: { tasks, atOnce } })
}

function tooMany(text: string): Bad {
  return bad(`at most ${limits.tasksPerJob} tasks`, text)
}

function readArrayPart(part: string): Ranges | 'too_many' | undefined {
  const match = /^([0-9]{1,9})(?:-([0-9]{1,9})(?::([0-9]{1,9}))?)?$/.exec(part)
  if (!match) return undefined
  const first = Number(match[1])
  const last = match[2] === undefined ? first : Number(match[2])
  const step = match[3] === undefined ? 1 : Number(match[3])
  if (last < first || step < 1) return undefined
  if (step === 1) return [[first, last]]
  const count = Math.floor((last - first) / step) + 1
  if (count > limits.tasksPerJob) return 'too_many'
  return rangesOf(Array.from({ length: count }, (_, i) => first + i * step))
}

/** `PATH` or `PATH=NAME`, split at the last `=`. */
function readInput(text: string): Read {
  const at = text.lastIndexOf('=')
  const path = at < 0 ? text : text.slice(0, at)
  const name = at < 0 ? undefined : text.slice(at + 1)
  if (path === '' || name === '') return bad('a path, or PATH=NAME to rename it', text)
  return ok({ inputs: [name === undefined ? { path } : { path, name }] })
}

function readEnvironment(text: string): Read {
  const match = /^([A-Za-z_][A-Za-z0-9_]{0,255})(?:=([^]*))?$/.exec(text)
  if (!match) return bad('NAME or NAME=VALUE, the name of letters, digits and _', text)
  const [, name = '', value] = match
  return ok({ environment: [value === undefined ? { name } : { name, value }] })
}

function readBudget(text: string): Read {
  const budget = parseCredits(text)
  if (budget !== undefined) return ok({ budget })
  return bad('credits with at most 6 decimals such as 12 or 0.5', text)
}

function readSites(text: string): Read {
  const sites: SiteName[] = []
  for (const part of text.split(',')) {
    const site = parseSiteName(part.trim())
    if (!site) return bad('site names separated by commas such as a.example,b.example', text)
    if (!sites.includes(site)) sites.push(site)
    if (sites.length > 64) return bad('at most 64 sites', text)
  }
  return ok({ sites })
}

function readWord<const T extends string>(
  text: string,
  words: readonly T[],
  make: (word: T) => JobOptions,
): Read {
  const word = words.find((one) => one === text)
  return word === undefined ? bad(`one of ${words.join(', ')}`, text) : ok(make(word))
}

/** A plain decimal number within the bounds; undefined for anything else. */
export function integerIn(
  text: string,
  bounds: { readonly min: number; readonly max: number },
): number | undefined {
  if (!/^[0-9]{1,15}$/.test(text)) return undefined
  const value = Number(text)
  return value >= bounds.min && value <= bounds.max ? value : undefined
}

/** A refusal in the words of all readers. */
export function badValue(expected: string, text: string): Outcome<never, BadValue> {
  return bad(expected, text)
}
