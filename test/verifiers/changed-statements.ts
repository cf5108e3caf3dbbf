// Statements changed at random and signed again, with gridnode's own verdict on each: what other
// verifiers must say too. Most changes break the form, some do not.

import type { Value } from '../../protocol/base/encoding.ts'
import { decode } from '../../protocol/base/encoding.ts'
import { signNote } from '../../protocol/base/note.ts'
import type { Signer } from '../../protocol/base/note.ts'
import { parseStatement } from '../../protocol/rules/statement.ts'
import { ledgerExamples } from '../ledger-examples.ts'
import { vkeyOf } from '../vectors/ledger/vector-case.ts'
import type { VectorCase } from '../vectors/ledger/vector-case.ts'
import { runVector } from './vector-checks.ts'

type Pick = (below: number) => number

export async function changedStatements(seed: number, count: number): Promise<VectorCase[]> {
  const pick = pickFrom(seed)
  const examples = ledgerExamples().filter(({ note }) => parseStatement(note).ok)
  const cases: VectorCase[] = []
  while (cases.length < count) {
    const example = examples[pick(examples.length)]
    if (!example) continue
    const { note, signer } = example
    const [first = '', body = ''] = note.split('\n')
    const changed = pick(2) === 0 ? withValue(body, pick) : withBytes(body, pick)
    const name = `${cases.length} of seed ${seed}`
    cases.push(await judged(name, `${first}\n${changed}\n`, signer))
  }
  return cases
}

async function judged(name: string, text: string, signer: Signer): Promise<VectorCase> {
  const note = signNote(text, signer)
  const inputs = { name, why: 'a random change', note, vkey: vkeyOf(signer) }
  const verdict = await runVector('statement', { ...inputs, expect: 'invalid' })
  const parsed = parseStatement(note)
  if (verdict !== 'valid' || !parsed.ok) return { ...inputs, expect: 'invalid' }
  const { sid, statement } = parsed.value
  return { ...inputs, expect: 'valid', gives: { sid, kind: statement.kind } }
}

/** What fields may be set to: many are good for one field and bad for the next. */
const values: readonly string[] = [
  '0', '1', '2', '-1', '1000', '1001', '1000000', '1000001', '1000000000', '1000000001',
  '9007199254740991', '9007199254740992', '8640000000000000', '1e3', '1.5', '-0', '01', 'true',
  'null', '""', '"*"', '"a"', '"A"', '"a.b"', '"a..b"', '"down"', '"offer"', '"agree"', '"close"',
  '"0"',
  '"00"', '"-1"', '"9223372036854775807"', '"9223372036854775808"', '"99999999999999999999"',
  `"${'0'.repeat(64)}"`, `"${'f'.repeat(63)}"`, `"${'a'.repeat(63)}"`, `"${'a'.repeat(64)}"`,
  `"${'é'.repeat(128)}"`, '"\\u0000"', '"\\u001f"', '"\\u001F"', '"\\u000a"', '"\\n"', '"\\/"',
  '"\\t\\b"', '"\\u007f"', '"\u007f\u0080"', '"\\ud83d\\ude00"', '"\u{1f600}"', '"\u2028"',
  '"\ufffd"', '"\ufeff"',
  '"a\\""', '"\\\\"', '[]', '{}', '[[]]', '[{}]', '["a"]', '[1]', '{"site":"a"}',
  '[{"n":1,"site":"a"}]', '[{"site":"a","n":1}]', '[{"n":0,"site":"a"}]',
  '[{"issued":1,"received":2,"site":"a"}]',
]

/** One field has another value, or is left out, or comes twice. */
function withValue(body: string, pick: Pick): string {
  const decoded = decode(body, { bytesMax: 16_384 })
  if (!decoded.ok) return body
  const fields = Object.entries(decoded.value as Readonly<Record<string, Value>>)
    .map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`)
  const at = pick(fields.length)
  const [name = ''] = fields[at]?.split(':') ?? []
  const change = pick(12)
  if (change === 0) fields.splice(at, 1)
  else if (change === 1) fields.splice(at, 0, fields[at] ?? '')
  else if (change === 2) fields.push(fields.shift() ?? '')
  else fields[at] = `${name}:${values[pick(values.length)]}`
  return `{${fields.join(',')}}`
}

/** One character is left out, doubled, exchanged with the next, or another one. */
function withBytes(body: string, pick: Pick): string {
  const at = pick(body.length)
  const [before, here, after] = [body.slice(0, at), body.charAt(at), body.slice(at + 1)]
  const others = '0129azAZ._-:*,"[]{}\\/ é\u007f'
  switch (pick(4)) {
    case 0: return before + after
    case 1: return before + here + here + after
    case 2: return before + after.charAt(0) + here + after.slice(1)
    default: return before + others.charAt(pick(others.length)) + after
  }
}

function pickFrom(seed: number): Pick {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return (state >>> 8) % below
  }
}
