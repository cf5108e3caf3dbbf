// A job's note: what is read back, the bounds of each field, and every reason to refuse it in its
// order of precedence.

import { keyPairFromSeed, sha256, sha256Hex } from '../../protocol/base/crypto.ts'
import type { Value } from '../../protocol/base/encoding.ts'
import { seal } from '../../protocol/base/envelope.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import { limits } from '../../protocol/base/limits.ts'
import type { Signer } from '../../protocol/base/note.ts'
import { signNote } from '../../protocol/base/note.ts'
import { shaped, unshape } from '../../protocol/base/shape.ts'
import { microcredits, microcreditsMax } from '../../protocol/base/units.ts'
import type { JobDocument, JobRefusal } from '../../protocol/rules/job.ts'
import {
  jobDocumentShape, jobIdOf, jobNoteBytesMax, readJob, signJob, userSignerName,
} from '../../protocol/rules/job.ts'
import { assert, suite } from '../harness.ts'

const t = suite('job')

const key = keyPairFromSeed(sha256('ada'))
const owner: Signer = { name: userSignerName('ada'), key }
const stranger: Signer = { name: owner.name, key: keyPairFromSeed(sha256('eve')) }

const good: JobDocument = {
  name: 'a job', user: 'ada', key: Buffer.from(key.publicKey).toString('hex'),
  nonce: '00'.repeat(16), script: '#!/bin/sh\nexit 0\n', args: ['-v', 'é'],
  environment: [{ name: 'A', value: '1' }, { name: 'B', value: '' }], tasks: '0', array: 0,
  tasks_at_once: 0, cores: 1, memory_mib: 64, walltime_seconds: 60, inputs: '', inputs_bytes: 0,
  outputs: ['out/*.txt'], requirements: '', policy: 'balanced', budget: microcredits(5n),
  place: 'anywhere', sites: ['site-a.example' as SiteName], start_within_seconds: 3_600,
}

/** The note of the document with some members changed, to values of any kind; signed by Ada. */
function noteWith(change: Readonly<Record<string, unknown>>, signer = owner): string {
  const members = { ...unshape(good) as Readonly<Record<string, Value>> }
  for (const [name, value] of Object.entries(change)) {
    if (value === undefined) delete members[name]
    else members[name] = value as Value
  }
  return seal('job', members, signer).note
}

/** Refused for this reason; gives what is said of it. */
function refusedAs(note: string, reason: JobRefusal['reason']): string {
  const outcome = readJob(note)
  assert.refused(outcome, reason)
  return outcome.ok ? '' : outcome.refusal.detail
}

const many = <T>(count: number, of: (at: number) => T): T[] => Array.from({ length: count },
  (_, at) => of(at))

t('what its owner signed is read back, with its id, its sid and its tasks', () => {
  const document: JobDocument = { ...good, tasks: '1-16,20', array: 1 }
  const { note, sid } = signJob(document, owner)
  const job = assert.accepted(readJob(note))
  assert.equal(job, { id: sid.slice(0, 12), sid, note, document, tasks: [[1, 16], [20, 20]] })
  assert.equal(jobIdOf(sid), job.id)
  assert.equal(sid, sha256Hex(note.slice(0, note.indexOf('\n\n') + 1)))
  assert.equal(readJob(note), readJob(note), 'again the same')
})

t('each job has an id of its own by its nonce', () => {
  const other = signJob({ ...good, nonce: '01'.repeat(16) }, owner)
  assert.notEqual(other.sid, signJob(good, owner).sid)
  assert.notEqual(jobIdOf(other.sid), jobIdOf(signJob(good, owner).sid))
})

/** For each field values that are just within its bounds, and such as are not. */
const bounds: {
  readonly [K in keyof JobDocument]: readonly [fit: readonly unknown[], wrong: readonly unknown[]]
} = {
  name: [['x', 'x'.repeat(128), 'ü 😀'], ['', 'x'.repeat(129), 'ü'.repeat(65), 'a\nb', '\u007f', 1]],
  user: [['A.b_c-9'], ['', 'a'.repeat(65), 'a b', 'a/b', 'é', 'a\n', 1]],
  key: [[], ['', good.key.slice(2), `${good.key}00`, good.key.toUpperCase(), 'g'.repeat(64)]],
  nonce: [['f'.repeat(32)], ['', '0'.repeat(31), '0'.repeat(34), 'F'.repeat(32), 0]],
  script: [['', 'x'.repeat(100_000)], [0, []]],
  args: [[[], many(256, String), ['x'.repeat(4_096)], ['']],
    [many(257, String), ['x'.repeat(4_097)], [1], 'a', {}]],
  environment: [
    [[], many(512, (at) => ({ name: `_${at}`, value: '' })), [{ name: 'x'.repeat(256), value: '' }],
      [{ name: 'a', value: 'x'.repeat(32_768) }]],
    [many(513, (at) => ({ name: `_${at}`, value: '' })), [{ name: 'x'.repeat(257), value: '' }],
      [{ name: 'a', value: 'x'.repeat(32_769) }], [{ name: '', value: '' }],
      [{ name: '1a', value: '' }], [{ name: 'a-b', value: '' }], [{ name: 'a=b', value: '' }],
      [{ name: 'a' }], [{ name: 'a', value: 1 }], [{ name: 'a', value: '', more: '' }], 'A=1'],
  ],
  tasks: [['999999999'], [0, [0], '0,'.repeat(32_769)]],
  array: [[0, 1], [-1, 2, '0']],
  tasks_at_once: [[0, 1, 100_000], [-1, 100_001, '1']],
  cores: [[1, 65_536], [0, -1, 65_537, '1']],
  memory_mib: [[1, 2 ** 32], [0, 2 ** 32 + 1, '1']],
  walltime_seconds: [[1, 366 * 86_400], [0, 366 * 86_400 + 1, '60']],
  inputs: [['', 'ab'.repeat(32)], ['ab', 'AB'.repeat(32), 'ab'.repeat(33), `${'ab'.repeat(32)}\n`]],
  inputs_bytes: [[0, Number.MAX_SAFE_INTEGER], [-1, '0']],
  outputs: [[[], many(256, String), ['x'.repeat(1_024)]],
    [many(257, String), ['x'.repeat(1_025)], [1], 'a']],
  requirements: [['', 'x'.repeat(4_096)], ['x'.repeat(4_097), 1]],
  policy: [['cheapest', 'soonest', 'balanced'], ['', 'best', 'Cheapest', 0]],
  budget: [['0', String(microcreditsMax)],
    [5, '-1', '01', '1.5', '', String(microcreditsMax + 1n)]],
  place: [['anywhere', 'home', 'remote'], ['', 'away', 0]],
  sites: [[[], many(64, (at) => `site-${at}`)],
    [many(65, (at) => `site-${at}`), ['Site'], [''], '']],
  allocation: [['a', 'physics-2026', 'x'.repeat(63)], ['', 'A', '-a', 'a b', 'x'.repeat(64)]],
  start_within_seconds: [[1, 366 * 86_400], [0, 366 * 86_400 + 1, '1']],
  gpus: [[1, 65_536], [0, 65_537, '1']],
  chunks: [
    // Its sums are those of the job.
    [[{ nodes: 1, cores: 1, memory_mib: 64, gpus: 0 }]],
    [[], many(17, () => ({ nodes: 1, cores: 1, memory_mib: 1, gpus: 0 })), [{ nodes: 1 }],
      [{ nodes: 0, cores: 1, memory_mib: 1, gpus: 0 }]],
  ],
  licences: [[[{ name: 'matlab@host:1', count: 1 }]],
    [[], [{ name: '', count: 1 }], [{ name: 'a b', count: 1 }], [{ name: 'a', count: 0 }]]],
  rank: [['', 'x'.repeat(4_096)], ['x'.repeat(4_097), 1]],
  after: [
    [[{ kind: 'afterok', job: 'ab'.repeat(6), delay_seconds: 0 }],
      many(256, () => ({ kind: 'singleton', job: '', delay_seconds: 366 * 86_400 }))],
    [[], [{ kind: 'before', job: 'ab'.repeat(6), delay_seconds: 0 }],
      [{ kind: 'after', job: 'ab', delay_seconds: 0 }], [{ kind: 'after', job: '' }]],
  ],
  after_any: [[0, 1], [2, '0']],
  hold: [[0, 1], [2, '0']],
  begin_ms: [[0, Number.MAX_SAFE_INTEGER], [-1, '0']],
  priority: [[0, 2_047], [-1, 2_048, '0']],
  queue: [['a', 'Long.queue_1-x', 'x'.repeat(63)], ['', 'a b', 'x'.repeat(64), 1]],
  project: [['a', 'Phys.42_x-y', 'x'.repeat(63)], ['', 'a b', 'x'.repeat(64), 1]],
  rerun: [[0, 1], [2, '0']],
  dialect: [['slurm', 'pbs', 'torque', 'lsf', 'grid_engine'], ['', 'sge', 0]],
  streams: [[{ out: '', error: '', join: 0 }, { out: 'x'.repeat(1_024), error: 'a b', join: 1 }],
    [{}, { out: '', error: '' }, { out: 'x'.repeat(1_025), error: '', join: 0 }, '']],
  seen_at: [['/', '/a b', `/${'x'.repeat(1_023)}`], ['', 'a', `/${'x'.repeat(1_024)}`, '/a\0']],
}

/** Which a job need not have. */
const free = new Set([
  // Whoever pays on the home's credit names no allocation.
  'allocation', 'gpus', 'chunks', 'licences', 'rank', 'after', 'after_any', 'hold', 'begin_ms',
  'priority', 'queue', 'project', 'rerun', 'dialect', 'streams', 'seen_at',
])

t('[JOB-1] every field has its bounds, and just within them it is taken', () => {
  for (const [field, [fit, wrong]] of Object.entries(bounds)) {
    for (const value of fit) {
      const signer = field === 'user' ? { ...owner, name: userSignerName(value as string) } : owner
      const { document } = assert.accepted(readJob(noteWith({ [field]: value }, signer)))
      const member = unshape(document[field as keyof JobDocument])
      assert.equal(member, value, field)
    }
    for (const value of wrong) {
      const detail = refusedAs(noteWith({ [field]: value }), 'malformed')
      assert.ok(detail.startsWith(field), `${field} is named: ${detail}`)
    }
  }
})

t('[JOB-1] a job has exactly its fields', () => {
  assert.equal(Object.keys(jobDocumentShape.fields).toSorted(), Object.keys(bounds).toSorted())
  for (const field of Object.keys(bounds).filter((name) => !free.has(name))) {
    const detail = refusedAs(noteWith({ [field]: undefined }), 'malformed')
    assert.match(detail, `${field}: expected a value, got nothing`)
  }
  const detail = refusedAs(noteWith({ more: 1 }), 'malformed')
  assert.match(detail, 'more: expected no such key')
})

t('[JOB-1] a job is one encoding, of its kind, with one signature', () => {
  const { note } = signJob(good, owner)
  const line = note.slice(note.indexOf('— '))
  const body = note.slice(note.indexOf('{'), note.indexOf('\n\n'))
  const wrong: readonly (readonly [string, string])[] = [
    ['', 'no empty line'], ['{}', 'no empty line'], [note.slice(0, -1), ''], [`${note}\n`, ''],
    [`${note}${line}`, 'expected one signature, got 2'],
    [seal('offer', unshape(good), owner).note, 'expected a job, got offer'],
    [seal('job', [], owner).note, 'expected a record'],
    [signNote(`gridnode/v1/job\n${body.replace(':', ': ')}\n`, owner), 'not canonical'],
    [signNote(`gridnode/v2/job\n${body}\n`, owner), 'first line'],
  ]
  for (const [text, expected] of wrong) {
    const detail = refusedAs(text, 'malformed')
    assert.ok(detail.includes(expected), `${JSON.stringify(text)}: ${detail}`)
  }
})

/** A note of exactly so many bytes. */
function noteOfBytes(bytes: number, change: Readonly<Record<string, unknown>> = {}): string {
  const script = 'x'.repeat(bytes - Buffer.byteLength(noteWith({ ...change, script: '' })))
  const note = noteWith({ ...change, script })
  assert.equal(Buffer.byteLength(note), bytes)
  return note
}

t('[JOB-2] a note may be as long as a text of a message, and no longer', () => {
  assert.equal(jobNoteBytesMax, limits.jsonStringBytes)
  assert.accepted(readJob(noteOfBytes(jobNoteBytesMax)))
  const detail = refusedAs(noteOfBytes(jobNoteBytesMax + 1), 'too_large')
  assert.match(detail, 'at most 1 MiB')
  assert.match(detail, 'bring data as input files')
})

t('[JOB-2] the length counts bytes, not characters', () => {
  const note = noteWith({ script: 'é'.repeat(jobNoteBytesMax / 2) })
  assert.ok(note.length < jobNoteBytesMax)
  assert.refused(readJob(note), 'too_large')
})

t('[JOB-3] only the key that it names, under the name of its user, has signed it', () => {
  const foreign = [
    noteWith({}, stranger),
    noteWith({}, { ...owner, name: 'ada/gridnode/users' }),
    noteWith({}, { ...owner, name: userSignerName('eve') }),
    noteWith({ user: 'eve' }),
    noteWith({ key: Buffer.from(stranger.key.publicKey).toString('hex') }),
    noteWith({ key: '00'.repeat(32) }),
    noteWith({ key: 'ff'.repeat(32) }),
    signJob(good, owner).note.replace('"cores":1', '"cores":2'),
  ]
  for (const note of foreign) {
    const detail = refusedAs(note, 'bad_signature')
    assert.match(detail, /not signed by the key of (ada|eve)/)
  }
})

t('[JOB-4] tasks are 1 to 100,000 numbers below 10^9 as canonical ranges', () => {
  const cases: readonly (readonly [string, number])[] = [
    ['0', 1], ['7', 1], ['0-1', 2], ['1-100000', 100_000], ['0,2-99999,999999999', 100_000],
  ]
  for (const [tasks, size] of cases) {
    const job = assert.accepted(readJob(noteWith({ tasks, array: 1 })))
    assert.equal(job.tasks.reduce((sum, [a, b]) => sum + b - a + 1, 0), size)
  }
  const wrong = [
    '', '0-100000', '1-100000,200000', '0-999999999', '1000000000', '2,1', '1,2', '1-1', '01', '-1',
    '1 ', 'all',
  ]
  for (const tasks of wrong) {
    const detail = refusedAs(noteWith({ tasks, array: 1 }), 'bad_tasks')
    assert.match(detail, 'sorted ranges such as 1-16,20')
  }
})

t('[JOB-4] only an array has more than one task', () => {
  for (const tasks of ['0-1', '0,2', '1-100000']) {
    const detail = refusedAs(noteWith({ tasks, array: 0 }), 'bad_tasks')
    assert.equal(detail, 'only an array has more than one task')
    assert.accepted(readJob(noteWith({ tasks, array: 1 })))
  }
  for (const array of [0, 1]) assert.accepted(readJob(noteWith({ tasks: '5', array })))
})

t('[JOB-5] a variable is set once', () => {
  const twice = [{ name: 'A', value: '1' }, { name: 'B', value: '2' }, { name: 'A', value: '1' }]
  assert.refused(readJob(noteWith({ environment: twice })), 'bad_environment')
  const cases = [{ name: 'A', value: '1' }, { name: 'a', value: '1' }]
  assert.accepted(readJob(noteWith({ environment: cases })))
})

t('of several reasons the first in order is given', () => {
  const environment = [{ name: 'A', value: '' }, { name: 'A', value: '' }]
  const wrong = [
    ['bad_environment', { environment }, owner],
    ['bad_tasks', { tasks: '2,1' }, owner],
    ['bad_signature', {}, stranger],
    ['malformed', { cores: 0 }, owner],
  ] as const
  for (let among = 1; among < 2 ** (wrong.length + 1); among++) {
    const chosen = wrong.filter((_, at) => (among & (1 << at)) !== 0)
    const large = among >= 2 ** wrong.length
    const change = Object.assign({}, ...chosen.map(([, members]) => members)) as object
    const signer = chosen.some(([reason]) => reason === 'bad_signature') ? stranger : owner
    const note = large
      ? noteWith({ ...change, script: 'x'.repeat(jobNoteBytesMax) }, signer)
      : noteWith({ ...change }, signer)
    const expected = large ? 'too_large' : chosen.at(-1)?.[0] ?? 'malformed'
    assert.refused(readJob(note), expected)
  }
})

t('the document of a job that was read decodes to itself', () => {
  const { document } = assert.accepted(readJob(noteWith({})))
  assert.equal(document, good)
  assert.equal(assert.accepted(shaped(jobDocumentShape, unshape(document))), good)
})
