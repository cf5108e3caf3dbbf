// Where the standard output and error of a task are put beside its results: the pattern that its
// owner gave, in the words of each scheduler, or the scheduler's own name for them.
//
// Invariant: a path that is answered is relative and does not leave its directory.

import { decimalOf } from '../base/decimal-id.ts'
import type { Dialect } from './dialect.ts'

export interface StreamFacts {
  readonly dialect: Dialect
  /** 12 hexadecimal digits. */
  readonly job: string
  readonly name: string
  readonly user: string
  readonly array: boolean
  /** Patterns; '' = by default. */
  readonly out: string
  readonly error: string
  readonly join: boolean
}

type Facts = Omit<StreamFacts, 'out' | 'error' | 'join'>

export interface StreamPaths {
  /** Undefined: it is thrown away, as /dev/null says. */
  readonly out: string | undefined
  /** Equal to `out` when both go to one file. */
  readonly error: string | undefined
}

export interface TaskPlace {
  readonly task: number
  /** Where it ran. */
  readonly site: string
}

/** @param isDirectory whether a relative path names a directory that is there */
export function streamPaths(
  facts: StreamFacts, place: TaskPlace, isDirectory: (path: string) => boolean = () => false,
): StreamPaths {
  const names = defaults(facts)
  const settle = (pattern: string, name: string): string | undefined => {
    const expanded = expandPattern(facts, place, pattern)
    if (expanded === '/dev/null') return undefined
    const path = inside(expanded)
    const named = { ...facts, name: facts.name.replaceAll('/', '_') }
    const own = inside(expandPattern(named, place, name)) || 'stdout'
    if (path === '') return own
    return expanded.endsWith('/') || isDirectory(path) ? `${path}/${own}` : path
  }
  const out = settle(facts.out === '' ? names.out : facts.out, names.out)
  if (joins(facts)) return { out, error: out }
  return { out, error: settle(facts.error === '' ? names.error : facts.error, names.error) }
}

/** Slurm and LSF put errors into the output's file unless they have one of their own. */
function joins({ dialect, out, error, join }: StreamFacts): boolean {
  if (join) return true
  if (dialect === 'slurm') return error === '' || error === out
  return dialect === 'lsf' && out !== '' && (error === '' || error === out)
}

function defaults({ dialect, array }: StreamFacts): { out: string; error: string } {
  switch (dialect) {
    case 'slurm': {
      const out = array ? 'slurm-%A_%a.out' : 'slurm-%j.out'
      return { out, error: out }
    }
    case 'pbs': return named('$PBS_JOBNAME', 'ID', array ? '.^array_index^' : '')
    case 'torque': return named('$PBS_JOBNAME', 'ID', array ? '-$PBS_ARRAYID' : '')
    case 'grid_engine': return named('$JOB_NAME', 'ID', array ? '.$TASK_ID' : '')
    case 'lsf': return array ? { out: '%I/stdout', error: '%I/stderr' }
      : { out: 'stdout', error: 'stderr' }
  }
}

function named(name: string, id: string, tail: string): { out: string; error: string } {
  return { out: `${name}.o$GN_${id}${tail}`, error: `${name}.e$GN_${id}${tail}` }
}

/** The pattern of the dialect with its facts in their places. */
export function expandPattern(
  facts: Facts, place: TaskPlace, pattern: string,
): string {
  switch (facts.dialect) {
    case 'slurm': return expandSlurm(facts, place, pattern)
    case 'lsf': return pattern.replaceAll('%J', decimalOf(facts.job))
      .replaceAll('%I', facts.array ? String(place.task) : '0')
    default: return expandVariables(facts, place, pattern)
  }
}

/** `%j` and its like, with a width of zeros as in `%4a`; a pattern with a backslash is plain. */
function expandSlurm(
  { job, name, user, array }: Facts, { task, site }: TaskPlace, pattern: string,
): string {
  if (pattern.includes('\\')) return pattern.replaceAll('\\', '')
  const id = decimalOf(job)
  const values: ReadonlyMap<string, string> = new Map([
    ['%', '%'], ['j', id], ['J', id], ['A', id], ['a', array ? String(task) : '4294967294'],
    ['x', name], ['u', user], ['N', site], ['n', '0'], ['s', 'batch'], ['t', '0'],
  ])
  return pattern.replace(/%([0-9]{0,2})(.)/g, (whole, width: string, letter: string) => {
    const value = values.get(letter)
    if (value === undefined) return whole
    return /^[0-9]+$/.test(value) ? value.padStart(Number(width), '0') : value
  })
}

/** `$NAME`, `${NAME}` and `^array_index^`, of PBS and Grid Engine. */
function expandVariables(
  { job, name, user, array, dialect }: Facts, { task, site }: TaskPlace, pattern: string,
): string {
  const id = decimalOf(job)
  const number = String(task)
  const values: ReadonlyMap<string, string> = new Map([
    ['GN_ID', id], ['HOSTNAME', site], ['HOME', '~'], ['USER', user], ['LOGNAME', user],
    ...(dialect === 'grid_engine' ? [
      ['JOB_ID', id], ['JOB_NAME', name], ['TASK_ID', array ? number : 'undefined'],
      ['SGE_TASK_ID', array ? number : 'undefined'],
    ] as const : [
      ['PBS_JOBID', array ? `${id}[${number}]` : id], ['PBS_JOBNAME', name],
      ['PBS_ARRAYID', number], ['PBS_ARRAY_INDEX', number],
    ] as const),
  ])
  const names = [...values.keys()].toSorted((a, b) => b.length - a.length || (a < b ? -1 : 1))
  const plain = new RegExp(`\\$(?:\\{([A-Z_]+)\\}|(${names.join('|')}))`, 'g')
  return pattern.replaceAll('^array_index^', number).replace(plain,
    (whole, braced?: string, bare?: string) => values.get(braced ?? bare ?? '') ?? whole)
}

/** Relative, without `..`; of a path that would leave only its last part. */
function inside(path: string): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.')
  const leaves = path.startsWith('/') || path.startsWith('~') || parts.includes('..')
  const kept = leaves ? parts.slice(-1).filter((part) => part !== '..' && part !== '~') : parts
  return kept.join('/')
}
