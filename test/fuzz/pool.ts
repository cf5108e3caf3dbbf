// What valid inputs are made of, sorted by what it looks like: ids, names, amounts, notes of each
// kind. A field that is exchanged for another of its kind passes every check of form.

import type { Random } from '../sim/random.ts'

export interface Pool {
  /** Another text of the same look, if there is one. */
  like(text: string, chance: Random): string
  /** Any text, number or list that a document has held. */
  text(chance: Random): string
  number(chance: Random): number
  note(chance: Random): string
  /** Whose keys sign changed notes. */
  readonly signers: ReadonlySet<string>
}

const perLookMax = 400

export function lookOf(text: string): string {
  if (isNote(text)) return `note ${text.slice(0, text.indexOf('\n'))}`
  if (/^[0-9a-f]+$/.test(text) && text.length >= 12) return `hex ${text.length}`
  if (/^[0-9]+$/.test(text)) return 'digits'
  if (/^[a-z0-9.-]+\.example$/.test(text)) return 'site'
  if (text.startsWith('{')) return 'json'
  return text.length < 24 ? 'word' : 'other'
}

export function isNote(text: string): boolean {
  return text.includes('\n\n— ')
}

const everybody: ReadonlySet<string> = new Set([
  ...'abcdefgh'.split('').map((letter) => `site-${letter}.example`), 'ada',
])

/** All that stands in `inputs`, which are JSON texts, notes, or neither. */
export function poolOf(inputs: readonly string[], signers = everybody): Pool {
  const looks = new Map<string, Set<string>>()
  const numbers = new Set<number>([0])
  const addText = (text: string): void => {
    const look = lookOf(text)
    const known = looks.get(look) ?? new Set()
    looks.set(look, known)
    if (known.size >= perLookMax || known.has(text)) return
    known.add(text)
    if (look === 'json') addJson(text)
    if (look.startsWith('note ')) for (const line of text.split('\n')) addJson(line)
  }
  const addJson = (text: string): void => {
    if (!/^[[{]/.test(text)) return
    try {
      addValue(JSON.parse(text))
    } catch {
      // Not JSON after all.
    }
  }
  const addValue = (value: unknown): void => {
    if (typeof value === 'string') addText(value)
    else if (typeof value === 'number' && numbers.size < perLookMax) numbers.add(value)
    else if (typeof value === 'object' && value !== null) {
      for (const member of Object.values(value)) addValue(member)
    }
  }
  for (const input of inputs) {
    addText(input)
    addJson(input)
  }
  const all = [...looks].map(([look, texts]) => ({ look, texts: [...texts] }))
  const byLook = new Map(all.map(({ look, texts }) => [look, texts]))
  const notes = all.filter(({ look }) => look.startsWith('note '))
  const allNumbers = [...numbers]
  return {
    signers,
    like: (text, chance) => chance.pick(byLook.get(lookOf(text)) ?? [text]),
    text: (chance) => all.length === 0 ? '' : chance.pick(chance.pick(all).texts),
    number: (chance) => chance.pick(allNumbers),
    note: (chance) => notes.length === 0 ? '' : chance.pick(chance.pick(notes).texts),
  }
}
