// Strict decoding: a shape turns an untrusted value into a type that cannot be wrong, or names the
// place where it is not what was expected.
//
// Invariants: every key is known and every known key is there (unless optional); every text, number
// and list has a bound; the result shares no object with the input. `unshape` is the way back: for
// each shape, decoding `unshape(value)` gives `value` again.

import type { Malformed, Value } from './encoding.ts'
import { exceedsBytes, isKey, malformed } from './encoding.ts'
import { parseContractId, parseHash, parseJobId, parseSiteName, parseTrancheId } from './ids.ts'
import type { ContractId, Hash, JobId, SiteName, TrancheId } from './ids.ts'
import { limits } from './limits.ts'
import { ok } from './outcome.ts'
import type { Outcome } from './outcome.ts'
import { parseAmount } from './units.ts'
import type { Microcredits } from './units.ts'

export interface Shape<T> {
  /** The value as a T; throws what `shaped` alone catches. `path` is the place in the document. */
  readonly decode: (value: unknown, path: string) => T
}

/** What a shape decodes to. */
export type Shaped<S> = S extends Shape<infer T> ? T : never

/** A member of a record that may be absent. */
export interface Optional<T> {
  readonly optional: Shape<T>
}

type Fields = { readonly [key: string]: Shape<unknown> | Optional<unknown> }
type Flat<T> = { [K in keyof T]: T[K] } & {}
type FieldsShaped<F extends Fields> = Flat<
  { readonly [K in keyof F as F[K] extends Shape<unknown> ? K : never]: Shaped<F[K]> } & {
    readonly [K in keyof F as F[K] extends Optional<unknown> ? K : never]?: F[K] extends Optional<
      infer T
    >
      ? T
      : never
  }
>

export interface RecordShape<T> extends Shape<T> {
  readonly fields: Fields
}

/** Decodes at the edge: the value, or a refusal with the place and what was expected there. */
export function shaped<T>(shape: Shape<T>, value: unknown): Outcome<T, Malformed> {
  try {
    return ok(shape.decode(value, ''))
  } catch (error) {
    if (!isShapeError(error)) throw error
    return malformed(error.message)
  }
}

/** The canonical value of decoded data: bigints as decimal strings, undefined members left out. */
export function unshape(value: unknown): Value {
  if (typeof value === 'bigint') return value.toString()
  if (Array.isArray(value)) return value.map(unshape)
  if (typeof value !== 'object' || value === null) return value as Value
  const members: Record<string, Value> = {}
  for (const [key, member] of Object.entries(value)) {
    if (member !== undefined) members[key] = unshape(member)
  }
  return members
}

/**
 * Well-formed Unicode of at most `bytesMax` UTF-8 bytes (limits.jsonStringBytes unless told),
 * matching `pattern` if given. JSON that is not canonical can name half a surrogate pair.
 */
export function text(
  options: { readonly bytesMax?: number; readonly pattern?: RegExp } = {},
): Shape<string> {
  const { bytesMax = limits.jsonStringBytes, pattern } = options
  return {
    decode(value, path) {
      if (typeof value !== 'string') throw mismatch(path, 'a text', value)
      if (exceedsBytes(value, bytesMax)) {
        throw mismatch(path, `at most ${bytesMax} bytes`, `${Buffer.byteLength(value)} bytes`)
      }
      if (!value.isWellFormed()) throw mismatch(path, 'whole characters', 'half a surrogate pair')
      if (pattern && value.search(pattern) < 0) throw mismatch(path, `${pattern}`, value)
      return value
    },
  }
}

export function integer(bounds: { readonly min: number; readonly max: number }): Shape<number> {
  const { min, max } = bounds
  return {
    decode(value, path) {
      const isWhole = Number.isSafeInteger(value) && !Object.is(value, -0)
      if (isWhole && (value as number) >= min && (value as number) <= max) return value as number
      throw mismatch(path, `an integer from ${min} to ${max}`, value)
    },
  }
}

/** Microcredits as a decimal string, from 0 to below 2^63. */
export const amount = (): Shape<Microcredits> =>
  parsed('an amount: a decimal string of microcredits', parseAmount)
export const siteName = (): Shape<SiteName> => parsed('a site name', parseSiteName)
export const hash = (): Shape<Hash> => parsed('64 hexadecimal digits', parseHash)
export const jobId = (): Shape<JobId> => parsed('a job id: 12 hexadecimal digits', parseJobId)
export const contractId = (): Shape<ContractId> =>
  parsed('a contract id: 16 hexadecimal digits', parseContractId)
export const trancheId = (): Shape<TrancheId> =>
  parsed('a tranche id: 16 hexadecimal digits', parseTrancheId)

/** Exactly `bytes` bytes in lower-case hexadecimal. */
export function hex(size: { readonly bytes: number }): Shape<string> {
  const pattern = new RegExp(`^[0-9a-f]{${size.bytes * 2}}$`)
  return parsed(`${size.bytes} bytes in hexadecimal`, (value) =>
    pattern.test(value) ? value : undefined,
  )
}

export function oneOf<const T extends string>(...values: readonly T[]): Shape<T> {
  const known: ReadonlySet<string> = new Set(values)
  return parsed(`one of ${values.join(', ')}`, (value) =>
    known.has(value) ? (value as T) : undefined,
  )
}

export function literal<const T extends string | number>(expected: T): Shape<T> {
  return {
    decode(value, path) {
      if (value !== expected) throw mismatch(path, JSON.stringify(expected), value)
      return expected
    },
  }
}

export function list<T>(
  shape: Shape<T>,
  bound: { readonly max: number; readonly min?: number },
): Shape<readonly T[]> {
  const { max, min = 0 } = bound
  return {
    decode(value, path) {
      if (!Array.isArray(value)) throw mismatch(path, 'a list', value)
      if (value.length > max) throw mismatch(path, `at most ${max} items`, `${value.length} items`)
      if (value.length < min) throw mismatch(path, `at least ${min} items`, `${value.length} items`)
      const items: T[] = []
      for (const [at, item] of value.entries()) items.push(shape.decode(item, `${path}[${at}]`))
      return items
    },
  }
}

/** Inside `record`: the key may be absent, and is then absent from the result. */
export function optional<T>(shape: Shape<T>): Optional<T> {
  return { optional: shape }
}

export function record<const F extends Fields>(fields: F): RecordShape<FieldsShaped<F>> {
  const required = Object.entries(fields).flatMap(([key, field]) =>
    'optional' in field ? [] : [{ key, shape: field }],
  )
  const optionals = Object.entries(fields).flatMap(([key, field]) =>
    'optional' in field ? [{ key, shape: field.optional }] : [],
  )
  return {
    fields,
    decode(value, path) {
      const members = asMembers(value, path)
      const result: Record<string, unknown> = {}
      let count = required.length
      for (const { key, shape } of required) {
        if (!Object.hasOwn(members, key)) throw mismatch(join(path, key), 'a value', 'nothing')
        result[key] = shape.decode(members[key], join(path, key))
      }
      for (const { key, shape } of optionals) {
        if (!Object.hasOwn(members, key)) continue
        result[key] = shape.decode(members[key], join(path, key))
        count++
      }
      const keys = Object.keys(members)
      if (keys.length !== count) throw unknownKey(path, keys, fields)
      return result as FieldsShaped<F>
    },
  }
}

type Variants = { readonly [kind: string]: RecordShape<unknown> }
type UnionShaped<Tag extends string, V extends Variants> = {
  [K in keyof V & string]: Flat<{ readonly [T in Tag]: K } & Shaped<V[K]>>
}[keyof V & string]

/** A record whose member `tag` says which one; the variants need not list the tag themselves. */
export function union<const Tag extends string, const V extends Variants>(
  tag: Tag,
  variants: V,
): Shape<UnionShaped<Tag, V>> {
  const shapes = new Map<unknown, Shape<unknown>>()
  for (const [kind, { fields }] of Object.entries(variants)) {
    shapes.set(kind, record({ [tag]: literal(kind), ...fields }))
  }
  const expected = `one of ${Object.keys(variants).join(', ')}`
  return {
    decode(value, path) {
      const members = asMembers(value, path)
      const kind = Object.hasOwn(members, tag) ? members[tag] : undefined
      const shape = shapes.get(kind)
      if (!shape) throw mismatch(join(path, tag), expected, kind ?? 'nothing')
      return shape.decode(members, path) as UnionShaped<Tag, V>
    },
  }
}

/** A plain object from any canonical key to T; look keys up with Object.hasOwn. */
export function mapOf<T>(
  shape: Shape<T>,
  bound: { readonly max: number },
): Shape<{ readonly [key: string]: T }> {
  return {
    decode(value, path) {
      const members = asMembers(value, path)
      const keys = Object.keys(members)
      if (keys.length > bound.max) {
        throw mismatch(path, `at most ${bound.max} keys`, `${keys.length} keys`)
      }
      const result: Record<string, T> = {}
      for (const key of keys) {
        if (!isKey(key)) throw mismatch(path, 'keys of a-z, 0-9 and _', key)
        result[key] = shape.decode(members[key], join(path, key))
      }
      return result
    },
  }
}

interface ShapeError extends Error {
  readonly code: 'ERR_SHAPE'
}

function isShapeError(error: unknown): error is ShapeError {
  return error instanceof Error && 'code' in error && error.code === 'ERR_SHAPE'
}

function mismatch(path: string, expected: string, came: unknown): ShapeError {
  const message = `${path === '' ? 'document' : path}: expected ${expected}, got ${described(came)}`
  return Object.assign(new Error(message), { code: 'ERR_SHAPE' as const })
}

function unknownKey(path: string, keys: readonly string[], fields: Fields): ShapeError {
  const key = keys.find((candidate) => !Object.hasOwn(fields, candidate)) ?? ''
  return mismatch(join(path, key.slice(0, 64).toWellFormed()), 'no such key', 'one')
}

function described(came: unknown): string {
  // Cut text may end in half a pair, and what came may hold one: neither could be sent back.
  if (typeof came === 'string') {
    return came.length > 64 ? `${came.slice(0, 64).toWellFormed()}…` : came.toWellFormed()
  }
  if (typeof came === 'number') return String(came)
  if (Array.isArray(came)) return 'a list'
  return typeof came === 'object' && came !== null ? 'a record' : String(came)
}

function join(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`
}

function asMembers(value: unknown, path: string): { readonly [key: string]: unknown } {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw mismatch(path, 'a record', value)
  }
  return value as { readonly [key: string]: unknown }
}

function parsed<T>(expected: string, parse: (value: string) => T | undefined): Shape<T> {
  return {
    decode(value, path) {
      const result = typeof value === 'string' ? parse(value) : undefined
      if (result === undefined) throw mismatch(path, expected, value)
      return result
    },
  }
}
