// Changed texts: what a broken disk, a bad connection or a stranger makes of a valid input. Bytes
// travel as texts of the characters 0-255. Everything follows from the stream of chance.

import type { Random } from '../sim/random.ts'

/** No mutation makes a text longer than this, whatever it started from. */
export const mutatedCharactersMax = 6 * 1024 * 1024

const tokens = [
  '\n', '\n\n', '\r\n', '\0', ' ', '\t', ',', ':', '"', '\\', '\\u0000', '\\ud800', '/', '..', '-',
  '— ', '=', '+', '[', ']', '{', '}', '{}', '[]', 'null', 'true', '""', '"__proto__"',
  '"constructor"', 'toString', '%', '#', '$n', '"$b"', '%s', "'", '`', ';', '|', '*', '**', '?',
]
const numbers = [
  '0', '1', '-1', '-0', '00', '01', '1.5', '1e3', '1e999', '255', '256', '65535', '65536',
  '2147483647', '2147483648', '4294967295', '4294967296', '9007199254740991', '9007199254740992',
  '9223372036854775807', '9223372036854775808', '18446744073709551616', '1'.repeat(400), 'NaN',
]
/** Marks, halves of pairs, look-alikes, what folds or normalises into something else. */
const oddCharacters = [
  '\ufeff', '\ud800', '\udfff', '\ufffd', '\uffff', '\u2028', '\u0085', '\u00a0', '\u200d',
  '\u202e', '\u0301', 'e\u0301', '\u00e9', '\uff11', '\u0661', '\u0430', '\u0131', '\u212a',
  '\u{1f600}', '\u{10ffff}', '\u007f', '\u001b[2J',
]

/** `text` with one to four changes; `others` are inputs that pieces are taken from. */
export function mutateText(text: string, chance: Random, others: readonly string[]): string {
  let changed = text
  for (let left = chance.pick([1, 1, 1, 2, 3, 4]); left > 0; left--) {
    changed = changeOnce(changed, chance, others)
    if (changed.length > mutatedCharactersMax) changed = changed.slice(0, mutatedCharactersMax)
  }
  return changed
}

/** The same for bytes: nothing but the characters 0-255 comes out. */
export function mutateBytes(text: string, chance: Random, others: readonly string[]): string {
  const changed = mutateText(text, chance, others)
  return /^[\0-\xff]*$/.test(changed) ? changed : Buffer.from(changed).toString('latin1')
}

function changeOnce(text: string, chance: Random, others: readonly string[]): string {
  const at = chance.int(text.length + 1)
  const end = Math.min(text.length, at + 1 + spanOf(chance, text.length))
  const put = (piece: string): string => text.slice(0, at) + piece + text.slice(at)
  const replace = (piece: string): string => text.slice(0, at) + piece + text.slice(end)
  switch (chance.int(15)) {
    case 0: return flipBit(text, chance)
    case 1: return flipBit(text, chance)
    case 2: return text.slice(0, at)
    case 3: return text.slice(at)
    case 4: return replace('')
    case 5: return put(text.slice(at, end))
    case 6: return put(chance.pick(tokens))
    case 7: return replace(chance.pick(tokens))
    case 8: return put(chance.pick(oddCharacters))
    case 9: return changeNumber(text, chance)
    case 10: return changeNumber(text, chance)
    case 11: return splice(text, chance, others)
    case 12: return brokenUtf8(text, chance)
    case 13: return chance.chance(60) ? oversize(text, chance, at) : flipBit(text, chance)
    default: return swapLines(text, chance)
  }
}

function spanOf(chance: Random, length: number): number {
  return chance.int(Math.max(1, chance.pick([1, 4, 16, 64, length >> 1])))
}

function flipBit(text: string, chance: Random): string {
  if (text === '') return String.fromCharCode(chance.int(256))
  const at = chance.int(text.length)
  const bit = 1 << chance.pick([0, 1, 2, 3, 4, 5, 6, 7, 7, 12])
  const code = text.charCodeAt(at) ^ bit
  return text.slice(0, at) + String.fromCharCode(code) + text.slice(at + 1)
}

function changeNumber(text: string, chance: Random): string {
  const start = text.slice(0, 65_536)
  const found = [...start.matchAll(/-?[0-9]+/g)]
  if (found.length === 0) return chance.pick(numbers)
  const { 0: digits, index } = chance.pick(found)
  const value = chance.chance(300) && digits.length < 15
    ? String(Number(digits) + chance.pick([-1, 1, 10])) : chance.pick(numbers)
  return text.slice(0, index) + value + text.slice(index + digits.length)
}

function splice(text: string, chance: Random, others: readonly string[]): string {
  if (others.length === 0) return text
  const other = chance.pick(others)
  const [here, there] = [chance.int(text.length + 1), chance.int(other.length + 1)]
  return chance.chance(500)
    ? text.slice(0, here) + other.slice(there)
    : text.slice(0, here) + other.slice(there, there + 200) + text.slice(here)
}

function brokenUtf8(text: string, chance: Random): string {
  const bytes = Buffer.from(text)
  if (bytes.length === 0) return '\ufffd'
  const at = chance.int(bytes.length)
  bytes[at] = chance.pick([0x80, 0xbf, 0xc0, 0xc1, 0xe0, 0xed, 0xf4, 0xf5, 0xff, 0xfe])
  return bytes.toString(chance.chance(500) ? 'utf8' : 'latin1')
}

/** Something again and again, or nested. */
function oversize(text: string, chance: Random, at: number): string {
  const times = chance.pick([50, 1_000, 20_000, 200_000])
  switch (chance.int(5)) {
    case 0: return `${'['.repeat(times)}${text}${']'.repeat(times)}`
    case 1: return `${'{"a":'.repeat(times)}1${'}'.repeat(times)}`
    case 2: return text.slice(0, at) + '[('.repeat(times) + text.slice(at)
    default: {
      const piece = chance.chance(500) ? chance.pick([...tokens, ' a', '9,', '\n ', '-H'])
        : text.slice(at, at + 1 + chance.int(40))
      return text.slice(0, at) + piece.repeat(times) + text.slice(at)
    }
  }
}

function swapLines(text: string, chance: Random): string {
  const lines = text.split('\n')
  if (lines.length < 2) return text + text
  const [one, two] = [chance.int(lines.length), chance.int(lines.length)]
  const line = lines[one] as string
  lines[one] = lines[two] as string
  lines[two] = line
  return lines.join('\n')
}
