// Changed documents: fields exchanged, left out and added, numbers at their ends, lists repeated,
// notes of other kinds and sites, and what all members of a federation can do: signed again with
// the real key, so that nothing but the content is wrong.

import { isKeyName, signNote } from '../../protocol/base/note.ts'
import type { Signer } from '../../protocol/base/note.ts'
import { keyFor } from '../sim/identity.ts'
import type { Random } from '../sim/random.ts'
import { mutatedCharactersMax, mutateText } from './mutate.ts'
import { isNote } from './pool.ts'
import type { Pool } from './pool.ts'

const safe = Number.MAX_SAFE_INTEGER
const ends = [
  0, 1, 2, -1, 255, 256, 999, 1_000, 1_001, 65_536, 1_000_000, 2 ** 31, 2 ** 32, 1e9, 1e12, safe,
  safe - 1, safe + 1, 8_640_000_000_000_000, 1.5, 1e21, -safe,
]
const amounts = [
  '0', '1', '-1', '01', '', '1000000', '9223372036854775807', '9223372036854775808',
  '9007199254740993', '9'.repeat(30),
]
const taskRanges = [
  '', '0', '1-4', '0-999', '0-1000', '0-99999', '0-999999999', '999999999', '0-1000000000', '4-1',
  Array.from({ length: 9_000 }, (_, at) => 2 * at).join(','),
]
const keys = ['kind', 'a', 'constructor', '__proto__', 'to_string', 'n', 'site', 'A', 'kind_']

type Parent = { [key: string]: unknown } | unknown[]
interface Place {
  readonly parent: Parent
  readonly key: string
}

/** A changed input: JSON, a note, or a text of any other form. */
export function mutateDocument(text: string, chance: Random, pool: Pool): string {
  if (isNote(text) && !/^[[{]/.test(text)) return mutateNote(text, chance, pool)
  const lines = text.split('\n')
  const at = chance.int(lines.length)
  const value = parsed(lines[at] as string)
  if (typeof value !== 'object' || value === null) {
    return mutateText(text, chance, [pool.text(chance)])
  }
  lines[at] = canonical(mutateValue(value, chance, pool))
  return lines.join('\n')
}

/** A copy with one to three changes. */
export function mutateValue(value: object, chance: Random, pool: Pool): unknown {
  const root: Parent = { value: structuredClone(value) }
  for (let left = chance.pick([1, 1, 2, 3]); left > 0; left--) {
    const places: Place[] = []
    collect(root, places)
    const place = chance.pick(places)
    changePlace(place, places, chance, pool)
  }
  return root['value']
}

const placesMax = 5_000

function collect(parent: Parent, places: Place[]): void {
  for (const key of Object.keys(parent)) {
    if (places.length >= placesMax) return
    places.push({ parent, key })
    const value = get({ parent, key })
    if (typeof value === 'object' && value !== null) collect(value as Parent, places)
  }
}

function get({ parent, key }: Place): unknown {
  return (parent as { [key: string]: unknown })[key]
}

function set({ parent, key }: Place, value: unknown): void {
  Object.defineProperty(parent, key, {
    value, writable: true, enumerable: true, configurable: true,
  })
}

function changePlace(
  place: Place, places: readonly Place[], chance: Random, pool: Pool,
): void {
  const { parent, key } = place
  const value = get(place)
  if (chance.chance(880)) {
    if (typeof value === 'string') return set(place, changedText(value, chance, pool))
    if (typeof value === 'number') return set(place, changedNumber(value, chance, pool))
    if (Array.isArray(value)) return set(place, changedList(value, chance, pool))
  }
  switch (chance.int(6)) {
    case 0:
      if (Array.isArray(parent)) parent.splice(Number(key), 1)
      else if (key !== 'value') delete parent[key]
      return undefined
    case 1:
      return set(place, chance.pick([0, '', [], {}, pool.text(chance), [value], { a: value }]))
    case 2: {
      const isRecord = typeof value === 'object' && value !== null && !Array.isArray(value)
      const into = isRecord ? value as Parent : parent
      if (Array.isArray(into)) return undefined
      return set({ parent: into, key: chance.pick(keys) }, chance.pick([1, '', pool.text(chance)]))
    }
    case 3: return set(place, nested(value, chance))
    default: {
      const other = chance.pick(places)
      const there = get(other)
      // What holds the other would hold itself.
      if (holds(value, other.parent) || holds(there, parent)) return undefined
      set(place, structuredClone(there))
      return chance.chance(500) ? set(other, structuredClone(value)) : undefined
    }
  }
}

function holds(value: unknown, inner: Parent): boolean {
  if (typeof value !== 'object' || value === null) return false
  return value === inner || Object.values(value).some((member) => holds(member, inner))
}

function nested(value: unknown, chance: Random): unknown {
  let deep = value
  for (let left = chance.pick([1, 11, 12, 13, 200]); left > 0; left--) deep = [deep]
  return deep
}

function changedNumber(value: number, chance: Random, pool: Pool): number {
  switch (chance.int(4)) {
    case 0: return value + chance.pick([-1, 1, 1_000, -1_000])
    case 1: return pool.number(chance)
    default: return chance.pick(ends)
  }
}

function changedText(value: string, chance: Random, pool: Pool): string {
  if (isNote(value)) {
    if (chance.chance(150)) return pool.note(chance)
    return chance.chance(100) ? pool.like(value, chance) : mutateNote(value, chance, pool)
  }
  if (/^[0-9]{1,19}$/.test(value) && chance.chance(600)) return chance.pick(amounts)
  if (/^[0-9,-]{0,99}$/.test(value) && chance.chance(400)) return chance.pick(taskRanges)
  switch (chance.int(5)) {
    case 0:
    case 1:
    case 2: return pool.like(value, chance)
    case 3: return value.startsWith('{') ? mutateDocument(value, chance, pool) : pool.text(chance)
    default: return mutateText(value, chance, [pool.text(chance)])
  }
}

function changedList(value: readonly unknown[], chance: Random, pool: Pool): unknown[] {
  const copy = [...value]
  switch (chance.int(6)) {
    case 0: return []
    case 1: return copy.reverse()
    case 2: return copy.length > 10_000 ? copy : [...copy, ...structuredClone(copy)]
    case 3: return [...copy, pool.text(chance)]
    case 4: return copy.slice(chance.int(copy.length + 1))
    default: {
      const most = mutatedCharactersMax / (1 + (JSON.stringify(copy)?.length ?? 0))
      const times = Math.min(chance.pick([17, 65, 300, 1_001]), copy.length * Math.ceil(most))
      // Each its own: a change of one is to be no change of all.
      return Array.from({ length: times }, (_, at) => structuredClone(copy[at % copy.length]))
    }
  }
}

/** The text changed and signed again, or the note itself changed. */
export function mutateNote(note: string, chance: Random, pool: Pool): string {
  const split = note.lastIndexOf('\n\n')
  if (split < 0 || chance.chance(150)) return mutateText(note, chance, [pool.note(chance)])
  const text = note.slice(0, split + 1)
  const signer = signerNamed(/^— (\S+) /.exec(note.slice(split + 2))?.[1] ?? '', pool)
  const changed = chance.chance(80)
    ? otherKind(text, chance, pool) : changedLines(text, chance, pool)
  const other = `site-${chance.pick(['a', 'b', 'c'])}.example/gridnode/s1`
  const by = chance.chance(60) ? signerNamed(other, pool) : signer
  if (!by || chance.chance(50)) return `${changed}${note.slice(split + 1)}`
  return signed(changed, by) ?? `${changed}${note.slice(split + 1)}`
}

function changedLines(text: string, chance: Random, pool: Pool): string {
  const lines = text.split('\n')
  const at = lines.findIndex((line) => line.startsWith('{'))
  const value = at < 0 ? undefined : parsed(lines[at] as string)
  if (typeof value !== 'object' || value === null) return mutateText(text, chance, [])
  lines[at] = canonical(mutateValue(value, chance, pool))
  return lines.join('\n')
}

/** The body of one kind under the name of another. */
function otherKind(text: string, chance: Random, pool: Pool): string {
  const other = pool.note(chance)
  const first = other.slice(0, other.indexOf('\n'))
  return first + text.slice(text.indexOf('\n'))
}

function signed(text: string, signer: Signer): string | undefined {
  const fits = text.endsWith('\n') && !/[\x00-\x09\x0b-\x1f]/.test(text) && text.isWellFormed()
  return fits ? signNote(text, signer) : undefined
}

/** The real key of one of the sites of tests, or of their user. */
function signerNamed(name: string, { signers }: Pool): Signer | undefined {
  const [owner = '', gridnode, third = '', fourth] = name.split('/')
  if (gridnode !== 'gridnode' || !signers.has(owner) || !isKeyName(name)) return undefined
  const use = fourth !== undefined ? 'log'
    : third === 'root' ? 'root' : third === 'user' ? 'user'
    : /^w[0-9]+$/.test(third) ? 'witness' : 'statement'
  return { name, key: keyFor(owner, use) }
}

const depthMax = 400

/** Undefined for what is not JSON, or nests so deep that a walk through it would end the stack. */
function parsed(text: string): unknown {
  if (!/^[[{]/.test(text) || depthOf(text) > depthMax) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function depthOf(text: string): number {
  let [depth, deepest] = [0, 0]
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === 0x5b || code === 0x7b) deepest = Math.max(deepest, ++depth)
    else if (code === 0x5d || code === 0x7d) depth--
  }
  return deepest
}

/** As `encode` writes, but of anything: keys sorted, no spaces. */
export function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  const texts = members.map(([key, member]) => `${JSON.stringify(key)}:${canonical(member)}`)
  return `{${texts.join(',')}}`
}
