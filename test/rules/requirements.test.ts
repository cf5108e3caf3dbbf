// Expressions over what sites publish: what they mean, and that nothing in them can hang, drift or
// depend on a machine.

import fc from 'fast-check'
import type { Attributes } from '../../protocol/rules/requirements.ts'
import {
  compileRank, compileRequirement, requirementAttributes, requirementBytesMax,
} from '../../protocol/rules/requirements.ts'
import type { Outcome } from '../../protocol/base/outcome.ts'
import { offerAttributes } from '../../protocol/rules/offer.ts'
import { assert, suite } from '../harness.ts'

const requirements = suite('requirements')

const site: Attributes = {
  site: 'a.example', scheduler: 'slurm', cores_total: 64, cores_free: 8, speed_permille: 1_500,
  rate_core_hour: 20_000, os: 'linux', arch: 'x86_64', software_gcc: '12.2', software_size: 7,
}

/** The refusal, whose reason must be this. */
function refusal<R extends { readonly reason: string }>(
  outcome: Outcome<unknown, R>,
  reason: R['reason'],
): R {
  if (outcome.ok) return assert.fail(`expected the refusal '${reason}', it was accepted`)
  assert.equal(outcome.refusal.reason, reason)
  return outcome.refusal
}

function meets(text: string, attributes: Attributes = site): boolean {
  return assert.accepted(assert.accepted(compileRequirement(text))(attributes))
}

requirements('compare, combine, look into maps and lists', () => {
  const holds = [
    'cores_total >= 64', 'cores_free * 8 == cores_total', '-cores_free < 0', '7 / 2 == 3',
    'os == "linux" && arch in ["x86_64", "aarch64"]', '!(cores_free > 8) || false',
    '"gcc" in software', 'software["gcc"] == "12.2"', 'software.gcc.startsWith("12.")',
    'has(software.gcc) && !has(software.python)', 'size(software) == 1', 'os.size() == 5',
    'speed_permille > 1000 ? cores_free >= 4 : cores_free >= 8', 'site.endsWith(".example")',
    'rate_core_hour <= 50000', 'scheduler.contains("lur")', 'cores_total % 10 == 4',
  ]
  for (const text of holds) assert.ok(meets(text), text)
  for (const text of holds) assert.ok(!meets(`!(${text})`), text)
})

requirements('texts are ordered as versions, and equal only letter by letter', () => {
  const attributes: Attributes = { ...site, kernel: '2.6.32', os_version: 'debian-9' }
  for (const text of [
    'kernel >= "2.6.5"', '"2.6.5" < kernel', 'kernel < "3"', 'kernel != "2.6.032"',
    'software["gcc"] > "9"', 'os_version < "debian-12"', '(kernel) <= (kernel)',
    '(cores_total + 1) * 2 > 100 && !(kernel >= "2.6.100")', '-5 < -4', '1 - 2 < 0',
    'kernel >= (cores_total > 1 ? "2.6" : "9")', '(1 < 2) == true',
  ]) assert.ok(meets(text, attributes), text)
})

requirements('numbers by name, lists, and GLUE 2 names', () => {
  const attributes: Attributes = {
    ...site, licences: { matlab: 2 }, queues: ['long', 'short'], abilities: [],
  }
  for (const text of [
    'licences["matlab"] >= 2', '"matlab" in licences', '"long" in queues', '!("gpus" in abilities)',
    'total_logical_cpus == cores_total', 'platform == "x86_64"', 'free_slots == 8',
  ]) assert.ok(meets(text, attributes), text)
  const missing = assert.accepted(compileRequirement('licences["idl"] >= 1'))
  assert.refused(missing(attributes), 'missing')
})

requirements('a rank is a whole number', () => {
  const rank = (text: string): bigint => assert.accepted(assert.accepted(compileRank(text))(site))
  assert.equal(rank('speed_permille - rate_core_hour / 100'), 1_300n)
  assert.equal(rank('software["gcc"] >= "12" ? 10 : 0'), 10n)
  refusal(compileRank('cores_total > 1'), 'type')
  refusal(compileRank('cores_totl'), 'type')
  assert.refused(assert.accepted(compileRank('gpus_total'))(site), 'missing')
})

requirements('[REQ-1] a text that is too long is refused', () => {
  const long = `cores_total > 1 ${' '.repeat(requirementBytesMax)}`
  assert.refused(compileRequirement(long), 'too_long')
})

requirements('[REQ-2] syntax errors name their place', () => {
  const cases: readonly (readonly [text: string, position: number])[] = [
    ['cores_total >', 13], ['', 0], ['(cores_total > 1', 16], ['os == "linux', 6],
    [`${'('.repeat(60)}true${')'.repeat(60)}`, 50],
  ]
  for (const [text, position] of cases) {
    const found = refusal(compileRequirement(text), 'syntax')
    assert.equal([text, found.position], [text, position])
  }
  assert.refused(compileRequirement(`1 in [${'1,'.repeat(300)}1]`), 'syntax')
  assert.refused(compileRequirement(`true${' && true'.repeat(400)}`), 'syntax')
})

requirements('[REQ-3] what may hang, drift or differ is refused', () => {
  for (const text of [
    'os.matches("(a+)+$")', 'matches(os, "a")', '[1, 2].all(x, x > 0)', '[1].exists(x, x > 0)',
    '[1].map(x, x) == [1]', 'cores_total > 1.5', 'double(cores_total) > 1', 'int("4") > 3',
    'timestamp("2026-01-01T00:00:00Z") == timestamp("2026-01-01T00:00:00Z")', '1u < 2u',
    'b"a" == b"a"', 'null == null', 'type(1) == int', 'dyn(1) == 1', 'string(1) == "1"',
    'cel.bind(x, 1, x > 0)', 'os.split("n").size() == 2', 'os.lowerAscii() == "linux"',
  ]) {
    const compiled = compileRequirement(text)
    assert.equal([text, compiled.ok], [text, false])
    if (!compiled.ok) {
      assert.ok(['forbidden', 'type', 'syntax'].includes(compiled.refusal.reason), text)
    }
  }
  const compiled = compileRequirement('true && cores_total > 1.5')
  const { position, detail } = refusal(compiled, 'forbidden')
  assert.equal([position, detail], [22, 'expected an integer, got 1.5'])
})

requirements('[REQ-4] names and types are checked before any site is looked at', () => {
  const cases: readonly (readonly [text: string, detail: string])[] = [
    ['core_total > 4', "unknown name 'core_total'; did you mean cores_total?"],
    ['frobs > 4', "unknown name 'frobs'"],
    ['cores_total == "4"', 'no such overload: int == string'],
    ['cores_total', 'expected an expression that is true or false, this one gives int'],
    ['os + 1 == "x"', 'no such overload: string + int'],
  ]
  for (const [text, detail] of cases) {
    assert.equal([text, refusal(compileRequirement(text), 'type').detail], [text, detail])
  }
})

requirements('a site that does not publish what is needed is unknown, not true or false', () => {
  const asked = assert.accepted(compileRequirement('cpu_model == "x"'))
  assert.equal(refusal(asked(site), 'missing').detail, 'no cpu_model is published')
  const key = assert.accepted(compileRequirement('software["python"] == "3"'))
  assert.equal(refusal(key(site), 'missing').detail, 'No such key: python')
  assert.ok(meets('cpu_model == "x" || cores_total > 1'), 'what is not needed may be absent')
  const wrong = assert.accepted(compileRequirement('cores_total > 1'))
  assert.refused(wrong({ cores_total: 'many' }), 'missing')
  assert.refused(wrong({ cores_total: 2 ** 60 }), 'missing')
})

requirements('arithmetic without a value is unknown', () => {
  for (const text of ['cores_total / 0 > 1', '9223372036854775807 + cores_total > 0']) {
    assert.refused(assert.accepted(compileRequirement(text))(site), 'undefined')
  }
})

requirements('names of the language\'s own machinery are plain keys of a site', () => {
  for (const name of ['__proto__', 'constructor', 'toString']) {
    assert.ok(!meets(`"${name}" in software`))
    assert.ok(meets(`"${name}" in software`, { [`software_${name}`]: '1' }))
  }
})

requirements('everything that an offer says by itself can be asked for', () => {
  const numbers = { tasks_queued: 0, tasks_running: 0, cores_total: 1, cores_free: 1 }
  const given = offerAttributes({
    ...numbers, memory_mib_total: 1, memory_mib_free: 1, cores_per_task_max: 1,
    memory_mib_per_task_max: 1, walltime_seconds_max: 1, speed_permille: 1, rate_task: 0n,
    rate_core_hour: 0n, rate_gib_hour: 0n, factor_permille: 1, site: 'a.example',
    scheduler: 'embedded', attributes: [], licences: [{ name: 'x', count: 1 }],
  } as unknown as Parameters<typeof offerAttributes>[0])
  for (const [name, value] of Object.entries(given)) {
    const kind = typeof value === 'number' ? 'integer' : typeof value === 'string' ? 'text'
      : Array.isArray(value) ? 'list' : 'integers'
    assert.equal([name, requirementAttributes[name]?.kind], [name, kind])
  }
})

requirements('any text is compiled or refused, and what compiled answers the same twice', () => {
  const piece = fc.constantFrom(
    'cores_total', 'os', 'software', 'site', '"gcc"', '4', '-1', '9223372036854775807', '1.5', ' ',
    '==', '<', '>=', '&&', '||', '!', '+', '-', '*', '/', '%', '?', ':', '(', ')', '[', ']', '.',
    ',', 'in', 'size', 'has', 'startsWith', 'matches', 'all', 'true', '{', '}', '\'', '\\', '\0',
  )
  fc.assert(fc.property(fc.array(piece, { maxLength: 14 }), (pieces) => {
    const text = pieces.join('')
    const compiled = compileRequirement(text)
    if (!compiled.ok) {
      const { position } = compiled.refusal
      assert.ok(position >= 0 && position <= text.length, 'the position is in the text')
      return
    }
    assert.equal(compiled.value(site), compiled.value(site))
  }), { numRuns: 3_000 })
})

requirements('takes every character, and never throws', () => {
  for (const [text, os] of [
    ['os == "a\u{1F600}b"', 'a\u{1F600}b'],
    [String.raw`os == "\\ud83d\\ude00"`, String.raw`\ud83d\ude00`],
    [String.raw`os == "\U0001F600"`, '\u{1F600}'],
    ['os == "\u2028\u{10FFFF}"', '\u2028\u{10FFFF}'],
  ] as const) {
    const requirement = assert.accepted(compileRequirement(text))
    assert.equal(assert.accepted(requirement({ os })), true, text)
  }
  assert.refused(compileRequirement(String.raw`os == "\ud83d\ude00"`), 'syntax')
})
