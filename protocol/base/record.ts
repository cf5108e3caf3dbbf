// Texts for our own store: JSON that brings back bigints and bytes. Not canonical, never signed.
//
// Invariants: `unpack(pack(value))` equals `value`. A bigint travels as {"$n":"-12"}, bytes as
// {"$b":"<base64>"}; an object's own key that starts with `$` gets a second one. Undefined, Map,
// Set, other classes, NaN and infinities are refused: they would come back as something else.

import { assert } from './assert.ts'
import { fromBase64, toBase64 } from './crypto.ts'

/** Takes null, booleans, finite numbers, texts, bigints, bytes, lists and plain objects of them. */
export function pack(value: unknown): string {
  return JSON.stringify(tagged(value, 0))
}

/** What `pack` was given. Throws on a text that `pack` cannot have written: a damaged store. */
export function unpack(text: string): unknown {
  const value: unknown = JSON.parse(text)
  return text.includes('"$') ? untagged(value) : value
}

/** Records nest a few levels; a cycle would nest for ever. */
const depthMax = 64

function tagged(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'number':
      assert(Number.isFinite(value) && !Object.is(value, -0), `a number JSON can hold: ${value}`)
      return value
    case 'bigint':
      return { $n: value.toString() }
    case 'object':
      if (value === null) return value
      return taggedObject(value, depth)
    default:
      throw new TypeError(`cannot store a value of type ${typeof value}`)
  }
}

function taggedObject(value: object, depth: number): unknown {
  assert(depth < depthMax, `records nest at most ${depthMax} deep`)
  if (value instanceof Uint8Array) return { $b: toBase64(value) }
  if (Array.isArray(value)) return Array.from(value, (item) => tagged(item, depth + 1))
  const prototype: unknown = Object.getPrototypeOf(value)
  assert(prototype === Object.prototype || prototype === null, 'only plain objects are stored')
  const copy: Record<string, unknown> = {}
  for (const [key, member] of Object.entries(value)) {
    assert(key !== '__proto__', 'a record has no key __proto__')
    copy[key.startsWith('$') ? `$${key}` : key] = tagged(member, depth + 1)
  }
  return copy
}

function untagged(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(untagged)
  const members = Object.entries(value)
  const [only, content] = members[0] ?? []
  if (members.length === 1 && only === '$n') return BigInt(String(content))
  if (members.length === 1 && only === '$b') {
    const bytes = fromBase64(String(content))
    assert(bytes, 'stored bytes are base64')
    return bytes
  }
  const copy: Record<string, unknown> = {}
  for (const [key, member] of members) {
    assert(!key.startsWith('$') || key.startsWith('$$'), `a stored key is escaped: ${key}`)
    copy[key.startsWith('$') ? key.slice(1) : key] = untagged(member)
  }
  return copy
}
