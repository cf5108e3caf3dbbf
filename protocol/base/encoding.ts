// Canonical JSON: every value has exactly one text, and only that text is read back. What is
// signed, hashed, stored and sent are the same bytes, so nobody ever rebuilds them.
//
// Invariants: objects, arrays, strings and safe integers only. Keys are 1-64 of [a-z0-9_], sorted
// bytewise and unique; `__proto__` and `constructor` are refused, so a plain object is a safe map
// of what was read. Strings are well-formed Unicode in the shortest escapes (those of RFC 8785 and
// JSON.stringify). Nesting is at most limits.jsonDepth and a string at most limits.jsonStringBytes,
// for writer and reader alike.

import { assert } from './assert.ts'
import { compareBytes } from './ids.ts'
import { limits } from './limits.ts'
import { ok, refuse } from './outcome.ts'
import type { Outcome } from './outcome.ts'

export type Value = string | number | readonly Value[] | { readonly [key: string]: Value }

/** Input that is not what it has to be; `detail` says where, what was expected and what came. */
export interface Malformed {
  readonly reason: 'malformed'
  readonly detail: string
}

export function malformed(detail: string): { readonly ok: false; readonly refusal: Malformed } {
  return refuse({ reason: 'malformed', detail })
}

/** The one text of `value`. A value outside the canonical form is our own bug, never input. */
export function encode(value: Value): string {
  const fault: Fault = { detail: undefined }
  const text = write(value, 0, fault)
  assert(fault.detail === undefined, `encodable value: ${fault.detail}`)
  return text
}

/** Reads a text of at most `bytesMax` UTF-8 bytes; refuses whatever does not encode to itself. */
export function decode(
  text: string,
  bound: { readonly bytesMax: number },
): Outcome<Value, Malformed> {
  if (exceedsBytes(text, bound.bytesMax)) return malformed(`more than ${bound.bytesMax} bytes`)
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return malformed('not JSON')
  }
  const fault: Fault = { detail: undefined }
  const canonical = write(parsed, 0, fault)
  if (fault.detail !== undefined) return malformed(fault.detail)
  if (canonical !== text) {
    return malformed('not canonical: keys sorted and unique, no spaces, shortest escapes')
  }
  return ok(parsed as Value)
}

/** Whether `text` takes more than `bytesMax` bytes as UTF-8; counts only in case of doubt. */
export function exceedsBytes(text: string, bytesMax: number): boolean {
  if (text.length > bytesMax) return true
  return text.length * 3 > bytesMax && Buffer.byteLength(text) > bytesMax
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The text of bytes from outside; undefined unless UTF-8, so no two byte strings read alike. */
export function fromUtf8(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes)
  } catch {
    return undefined
  }
}

interface Fault {
  detail: string | undefined
}

const keyPattern = /^[a-z0-9_]{1,64}$/
/** Strings of these characters alone are their own escape; all else goes through JSON.stringify. */
const plainPattern = /^[ !#-[\]-~]*$/

/** Keys that were found good: few, and they come in every document. */
const knownKeys = new Set<string>()
const knownKeysMax = 1_024

function learnKey(key: string): boolean {
  if (!isKey(key)) return false
  if (knownKeys.size < knownKeysMax) knownKeys.add(key)
  return true
}

/** Whether `key` may name a member of a canonical object. */
export function isKey(key: string): boolean {
  return keyPattern.test(key) && key !== '__proto__' && key !== 'constructor'
}

/** Writes any value; the first thing that is not canonical goes to `fault` and ends the work. */
function write(value: unknown, depth: number, fault: Fault): string {
  if (typeof value === 'string') return writeString(value, fault)
  if (typeof value === 'number') {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) return String(value)
    return fail(fault, 'a number that is not a safe integer')
  }
  if (typeof value !== 'object' || value === null) {
    return fail(fault, value === null ? 'null' : `a ${typeof value}`)
  }
  if (depth >= limits.jsonDepth) return fail(fault, `nesting deeper than ${limits.jsonDepth}`)
  return Array.isArray(value) ? writeList(value, depth, fault) : writeObject(value, depth, fault)
}

function writeString(value: string, fault: Fault): string {
  if (exceedsBytes(value, limits.jsonStringBytes)) {
    return fail(fault, `a string of more than ${limits.jsonStringBytes} bytes`)
  }
  if (plainPattern.test(value)) return `"${value}"`
  if (!value.isWellFormed()) return fail(fault, 'a string with half a surrogate pair')
  return JSON.stringify(value)
}

function writeList(value: readonly unknown[], depth: number, fault: Fault): string {
  let text = '['
  for (let at = 0; at < value.length && fault.detail === undefined; at++) {
    if (at > 0) text += ','
    text += write(value[at], depth + 1, fault)
  }
  return `${text}]`
}

function writeObject(value: object, depth: number, fault: Fault): string {
  const members = value as { readonly [key: string]: unknown }
  const keys = Object.keys(value)
  if (!isSorted(keys)) keys.sort(compareBytes)
  let text = '{'
  for (const key of keys) {
    if (fault.detail !== undefined) break
    if (!knownKeys.has(key) && !learnKey(key)) {
      return fail(fault, `the key ${JSON.stringify(key.slice(0, 80))}`)
    }
    if (text.length > 1) text += ','
    text += `"${key}":${write(members[key], depth + 1, fault)}`
  }
  return `${text}}`
}

function isSorted(keys: readonly string[]): boolean {
  for (let at = 1; at < keys.length; at++) {
    if ((keys[at - 1] as string) >= (keys[at] as string)) return false
  }
  return true
}

function fail(fault: Fault, detail: string): string {
  fault.detail ??= detail
  return ''
}
