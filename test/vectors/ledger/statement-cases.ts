// Cases of statements: each kind as docs/LEDGER.md shows it, then changed in ways that no signature
// may cover (the text is another one) and in ways that a signature does not mend ([LEDGER-1],
// [LEDGER-2]).

import { decode, encode } from '../../../protocol/base/encoding.ts'
import type { Value } from '../../../protocol/base/encoding.ts'
import { parseNote, signNote } from '../../../protocol/base/note.ts'
import type { Signer } from '../../../protocol/base/note.ts'
import { parseStatement } from '../../../protocol/rules/statement.ts'
import { ledgerExamples } from '../../ledger-examples.ts'
import type { Example } from '../../ledger-examples.ts'
import { spoiledNotes } from './note-cases.ts'
import { invalid, seededKey, textOrBase64, valid, vkeyOf } from './vector-case.ts'
import type { VectorCase, VectorFile } from './vector-case.ts'

type Body = Readonly<Record<string, Value>>

/** Fields that every statement has; what a kind says itself is more worth changing. */
const place = new Set(['at', 'e', 'fed', 'from', 'n', 'prev', 'to'])

export function statementVectors(): VectorFile {
  const examples = ledgerExamples().filter(({ note }) => parseStatement(note).ok)
  const usage = examples.find(({ kind }) => kind === 'usage') as Example
  return {
    check: 'statement',
    about: 'docs/LEDGER.md: the note is a statement in its one encoding [LEDGER-1], signed by the '
      + 'key vkey under the one name that may [LEDGER-2]; gives its sid and kind. Which key is '
      + 'valid in a log, and whether it lets the statement in, is not part of the check',
    cases: [
      ...examples.flatMap(ofKind),
      ...spoiledUsages(usage),
      ...bounds(examples),
    ],
  }
}

function textOf(note: string): string {
  const open = parseNote(note, { bytesMax: 16_384 })
  if (!open.ok) throw new Error(open.refusal.detail)
  return open.value.text
}

function bodyOf(note: string): Body {
  const body = decode(textOf(note).split('\n')[1] ?? '', { bytesMax: 16_384 })
  if (!body.ok) throw new Error(body.refusal.detail)
  return body.value as Body
}

function domainOf(note: string): string {
  return note.slice(0, note.indexOf('\n'))
}

function ofKind({ kind, note, signer }: Example): VectorCase[] {
  const parsed = parseStatement(note)
  if (!parsed.ok) throw new Error(`${kind}: ${parsed.refusal.reason}`)
  const { sid, statement } = parsed.value
  const vkey = vkeyOf(signer)
  const body = bodyOf(note)
  const own = Object.keys(body).filter((name) => !place.has(name)).at(-1) ?? ''
  const { [own]: _left, ...less } = body
  const sealed = (changed: Body) => signNote(`${domainOf(note)}\n${encode(changed)}\n`, signer)
  const other = { name: signer.name, key: seededKey('a stranger') }
  return [
    valid(kind, 'the example of docs/LEDGER.md', {
      note, vkey, gives: { sid, kind: statement.kind },
    }),
    invalid(`${kind}: tampered`, 'the text is not what was signed', {
      note: note.replace(/"at":\d+/, `"at":${statement.at + 1}`), vkey,
    }),
    invalid(`${kind}: for another key`, 'somebody else has signed', { note, vkey: vkeyOf(other) }),
    invalid(`${kind}: without ${own}`, 'every field of a kind is there', {
      note: sealed(less), vkey,
    }),
    invalid(`${kind}: a field more`, 'no other field is there', {
      note: sealed({ ...body, zzz: 1 }), vkey,
    }),
    invalid(`${kind}: ${own} is a list`, 'fields have the types of their kind', {
      note: sealed({ ...body, [own]: [[]] }), vkey,
    }),
  ]
}

/** One statement in every form that is not the one form. */
function spoiledUsages({ note, signer }: Example): VectorCase[] {
  const vkey = vkeyOf(signer)
  const text = textOf(note)
  const bad = (name: string, why: string, changed: string, by: Signer = signer) =>
    invalid(`usage: ${name}`, why, { note: signNote(changed, by), vkey: vkeyOf(by) })
  const site = signer.name.split('/')[0] ?? ''
  const named = (name: string): Signer => ({ name, key: signer.key })
  const line = note.slice(text.length + 1)
  const amount = /"amount":"(\d+)"/.exec(text)?.[0] ?? ''
  const [first = '', second = ''] = text.split('\n')
  return [
    ...spoiledNotes(text, signer).map((one) => ({ ...one, name: `usage: ${one.name}` })),
    invalid('usage: two signatures', 'a statement has exactly one', { note: note + line, vkey }),
    bad('a space', 'canonical JSON has none', text.replace('"n":', '"n": ')),
    bad('keys in another order', 'keys are sorted bytewise',
      text.replace(`${amount},`, '').replace(/\}\n$/, `,${amount}}\n`)),
    bad('a key twice', 'keys are unique', text.replace('{', '{"amount":"1",')),
    bad('an escape too many', 'strings have the shortest escapes',
      text.replace('host.example', '\\u0068ost.example')),
    bad('an escaped slash', 'strings have the shortest escapes',
      text.replace('host.example', 'host\\/example')),
    bad('half a surrogate pair', 'strings are Unicode',
      text.replace('host.example', '\\ud800')),
    bad('a fraction', 'numbers are integers', text.replace('"final":1', '"final":1.0')),
    bad('an exponent', 'numbers have one form', text.replace('"final":1', '"final":1e0')),
    bad('minus zero', 'numbers have one form', text.replace('"final":1', '"final":-0')),
    bad('a boolean', 'there are none', text.replace('"final":1', '"final":true')),
    bad('null', 'there is none', text.replace('"final":1', '"final":null')),
    bad('a number as text', 'fields have the types of their kind',
      text.replace('"final":1', '"final":"1"')),
    bad('an amount as number', 'amounts are decimal strings',
      text.replace(amount, amount.replace(/"(\d+)"/, '$1'))),
    bad('an amount with a leading zero', 'amounts have one form',
      text.replace(amount, amount.replace(':"', ':"0'))),
    bad('a negative amount', 'amounts are not negative',
      text.replace(amount, amount.replace(':"', ':"-'))),
    bad('an amount of 2^63', 'amounts are below 2^63',
      text.replace(amount, '"amount":"9223372036854775808"')),
    bad('a name in capitals', 'names of sites are in lower case',
      text.replace('host.example', 'Host.example')),
    bad('an empty label', 'names of sites are labels',
      text.replace('host.example', 'host..example')),
    bad('to everybody', 'a usage has an addressee',
      text.replace('"to":"home.example"', '"to":"*"')),
    bad('a hash in capitals', 'hashes are in lower case',
      text.replace(/"hold":"([0-9a-f]+)"/, (_, hash: string) => `"hold":"${hash.toUpperCase()}"`)),
    bad('a short hash', 'hashes have 64 digits', text.replace(/"hold":"[0-9a-f]{2}/, '"hold":"')),
    bad('another version', 'the first line names the version', text.replace('/v1/', '/v2/')),
    bad('an unknown kind', 'a verifier knows all kinds', text.replace('v1/usage', 'v1/usages')),
    bad('the name of an object\'s member', 'a verifier knows all kinds',
      text.replace('v1/usage', 'v1/constructor')),
    bad('of another kind', 'fields are those of the kind', text.replace('v1/usage', 'v1/accept')),
    bad('a third line', 'a statement has two lines', `${text}more\n`),
    bad('one line', 'a statement has two lines', `${first}\n`),
    bad('no first line', 'the first line says what it is', `${second}\n`),
    bad('an empty line in the text', 'a statement has two lines', `${first}\n\n${second}\n`),
    bad('a list', 'the body is an object', `${first}\n[${second}]\n`),
    bad('too deep', 'JSON is at most 12 levels deep',
      `${first}\n${'['.repeat(13)}${']'.repeat(13)}\n`),
    bad('17 KiB', 'a statement has at most 16 KiB',
      text.replace('{', `{"a":"${'a'.repeat(17 * 1_024)}",`)),
    bad('signed as root', 'the statement key signs usages', text, named(`${site}/gridnode/root`)),
    bad('signed for another epoch', 'the name has the epoch of the statement', text,
      named(`${site}/gridnode/s2`)),
    bad('signed by the addressee', 'the author signs', text, named('home.example/gridnode/s1')),
    invalid('usage: not UTF-8', 'a text is UTF-8', {
      ...textOrBase64('note', Buffer.from(note.replace('host.', 'h\xffst.'), 'latin1')),
      vkey,
    }),
  ]
}

/** Values just within and just beyond the bounds of docs/LEDGER.md. */
function bounds(examples: readonly Example[]): VectorCase[] {
  const cases: VectorCase[] = []
  const both = (
    heading: string, field: string, values: { readonly good: Value[], readonly bad: Value[] },
  ): void => {
    const { note, signer } = examples.find(({ kind }) => kind === heading) as Example
    const say = (value: Value) => signNote(
      `${domainOf(note)}\n${encode({ ...bodyOf(note), [field]: value })}\n`, signer)
    const named = (value: Value) => `${heading}: ${field} ${brief(encode(value))}`
    for (const value of values.good) {
      const parsed = parseStatement(say(value))
      if (!parsed.ok) throw new Error(`${named(value)} is refused`)
      const gives = { sid: parsed.value.sid, kind: parsed.value.statement.kind }
      const inputs = { note: say(value), vkey: vkeyOf(signer), gives }
      cases.push(valid(named(value), 'within its bounds', inputs))
    }
    for (const value of values.bad) {
      const inputs = { note: say(value), vkey: vkeyOf(signer) }
      cases.push(invalid(named(value), 'beyond its bounds', inputs))
    }
  }
  const long = (length: number): string => 'a'.repeat(length)
  both('usage', 'n', { good: [1, 1_000_000_000], bad: [0, 1_000_000_001, -1] })
  both('usage', 'at', { good: [0, 8_640_000_000_000_000], bad: [-1, 8_640_000_000_000_001] })
  both('usage', 'core_s', { good: [0, Number.MAX_SAFE_INTEGER], bad: [-1] })
  both('usage', 'final', { good: [0], bad: [2, -1] })
  both('usage', 'amount', {
    good: ['0', '9223372036854775807'], bad: ['', '00', '1 ', '+1', '1.0'],
  })
  both('usage', 'prev', { good: ['', long(64)], bad: [long(63), long(65)] })
  both('credit', 'to', { good: [long(63), 'a-b.c'], bad: [long(64), '-a', 'a-', 'a_b', ''] })
  both('declined', 'reason', {
    good: ['', long(256), 'é'.repeat(128), '\u0001\u007f\u2028"\\\b\f\n\r\t', '\u{1f600}'],
    bad: [long(257), 'é'.repeat(129)],
  })
  both('contract, the offer', 'auction', { good: ['0', 'a.:-'], bad: ['', '.a', 'A', long(65)] })
  both('contract, the offer', 'factor_permille', { good: [1, 1_000_000], bad: [0, 1_000_001] })
  both('contract, the offer', 'exposure_permille', { good: [1, 1_000], bad: [0, 1_001] })
  both('contract, the offer', 'auto_permille', { good: [0, 1_000], bad: [-1, 1_001] })
  both('contract, the offer', 'arbiter', { good: ['', 'a'], bad: ['A', '-'] })
  both('federation', 'name', { good: ['a', 'a.-b', long(63)], bad: ['', '-a', 'a.', long(64)] })
  both('federation', 'nonce', { good: ['0'.repeat(32)], bad: ['0'.repeat(31), 'g'.repeat(32)] })
  both('tariff', 'rounding', { good: ['down'], bad: ['up', ''] })
  return cases
}

function brief(text: string): string {
  return text.length <= 40 ? text : `${text.slice(0, 20)}… of ${text.length}`
}
