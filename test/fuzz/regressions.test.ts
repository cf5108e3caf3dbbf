// What fuzzing has found, each as the smallest input that showed it.

import { encode } from '../../protocol/base/encoding.ts'
import { parseNote } from '../../protocol/base/note.ts'
import { record, shaped, text, union } from '../../protocol/base/shape.ts'
import { readDirectives } from '../../protocol/rules/directives.ts'
import { readJobOption } from '../../protocol/rules/job-options.ts'
import { formatJoinToken, parseJoinToken } from '../../protocol/rules/membership.ts'
import { compileRequirement } from '../../protocol/rules/requirements.ts'
import { treatSbatchOption } from '../../protocol/rules/sbatch.ts'
import { apiPaths } from '../../node/http/api.ts'
import { routes } from '../../node/http/handlers.ts'
import type { LocalNode } from '../../node/http/local-node.ts'
import {
  parseExit, parseIndexes, parseNodes, parseTimeLimit,
} from '../../node/scheduler/slurm-output.ts'
import { parseEnd, parseTimes } from '../../node/scheduler/supervisor.ts'
import { assert, suite } from '../harness.ts'
import { identityOf } from '../sim/identity.ts'
import { bytesKept } from './memory.ts'

const t = suite('found by fuzzing')

t('a token has one text: no byte order mark, no bytes that are no UTF-8', () => {
  const token = formatJoinToken({
    federation: 'ab'.repeat(32) as never, name: 'name', sponsor: identityOf(0).site,
    key: 'cd'.repeat(32), addresses: [], secret: '5e'.repeat(16), expires: 9,
  })
  assert.ok(parseJoinToken(token).ok)
  const at = token.indexOf('.') + 1
  const bytes = Buffer.from(token.slice(at), 'base64url')
  const said = (changed: Uint8Array): string =>
    token.slice(0, at) + Buffer.from(changed).toString('base64url')
  assert.refused(parseJoinToken(said(Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), bytes]))),
    'malformed')
  bytes[bytes.indexOf('name"', bytes.indexOf('name"') + 1)] = 0xff
  assert.refused(parseJoinToken(said(bytes)), 'malformed')
})

t('a script of the largest size is read, whatever its directives are', () => {
  const scripts = [
    `#GRID${' a'.repeat(500_000)}`, `#SBATCH -${'H'.repeat(1_000_000)}`,
    `#GRID${' --in=a'.repeat(140_000)}`, `#SBATCH --export=${'a,'.repeat(400_000)}a`,
  ]
  // In proportion, too, where lines are joined, quotes left open and lists nested.
  const others = [
    '#PBS -N x\\\n'.repeat(90_000), `#PBS ${'"a '.repeat(300_000)}`, '#BSUB \\\n'.repeat(100_000),
    `#BSUB${' -a"'.repeat(250_000)}`, `#BSUB -w ${'('.repeat(900_000)}`,
    `#BSUB -R ${'a'.repeat(900_000)}`, `#$ -l "${' '.repeat(900_000)}a`, '#$ -cwd\n'.repeat(90_000),
  ]
  for (const script of others) assert.ok(readDirectives(script).ok !== undefined)
  for (const script of scripts) {
    const read = readDirectives(`#!/bin/sh\n${script}\n`)
    if (read.ok) assert.ok(Object.keys(read.value.options).length > 0)
    else assert.equal(read.refusal.reason, 'bad_script')
  }
})

t('long lists of an option take time in proportion', () => {
  const numbers = Array.from({ length: 100_000 }, (_, at) => 2 * at).join(',')
  assert.equal(assert.accepted(readJobOption('array', numbers)).array?.tasks.length, 100_000)
  const again = Array.from({ length: 50_000 }, () => '0-199998:2').join(',')
  assert.refused(readJobOption('array', again), 'bad_value')
  const names = Array.from({ length: 100_000 }, (_, at) => `a${at}`)
  assert.refused(readJobOption('sites', names.join(',')), 'bad_value')
  assert.ok(treatSbatchOption('export', names.join(',')).ok)
})

t('what Slurm prints makes no count that is none', () => {
  assert.equal(parseIndexes(Array.from({ length: 1_000 }, () => '0-999999').join(',')), null)
  assert.equal(parseIndexes('0-999999:1')?.length, 1_000_000)
  assert.equal(parseNodes('n|p|idle|1/1/1/3|N/A|x|1:00|\n'), undefined)
  assert.equal(parseNodes(`n|p|idle|1/${'9'.repeat(30)}/1/3|1|0|1:00|\n`), undefined)
  assert.equal(parseTimeLimit('9'.repeat(30)), undefined)
  assert.ok(parseExit('3:11111111111111111') <= 255)
})

t('a supervisor\'s record holds no exit code or time that a report cannot carry', () => {
  assert.equal(parseEnd('end exited 256 5\n\n\ndone\n', 7), undefined)
  assert.equal(parseEnd('end exited -7 5\n\n\ndone\n', 7), undefined)
  assert.equal(parseEnd(`end exited 0 ${'9'.repeat(15)}\n\n\ndone\n`, 7), undefined)
  assert.ok(Number.isSafeInteger(parseTimes(`${'9'.repeat(20)}m1s`)))
})

t('what JSON can say and no statement can hold stops at the door of the local API', async () => {
  const node = new Proxy({} as LocalNode, {
    get: () => () => {
      throw new Error('the node was asked')
    },
  })
  const words = [
    '{"verb":"dispute","hold":"abcd","contested":"1","reason":"\\ud800","doc":""}',
    '{"verb":"settle","site":"a","amount":"5","payer":"us","reference":"\\udc00"}',
    '{"verb":"forgive_balance","site":"a","amount":"5","reference":"x\\ud800x"}',
  ]
  const asked = words.map((word) => [apiPaths.ledgerWord, word] as const)
  const policy = '{"witnesses":["b"],"quorum":-0,"authorities":[]}'
  for (const [path, body] of [...asked, [apiPaths.policy, policy] as const]) {
    const handled = await routes.find((route) => route.path === path)!.handle({
      node, name: '', query: new URLSearchParams(), body: Buffer.from(body), isAdmin: true,
      signal: new AbortController().signal,
    })
    assert.refused(handled, 'malformed')
  }
})

t('what is quoted of a wrong value can be said back', () => {
  const shape = union('kind', { a: record({ b: text({ bytesMax: 8 }) }) })
  for (const wrong of [{ kind: `${'x'.repeat(63)}\u{1f600}` }, { kind: '\ud800' },
    { kind: 'a', b: 'x', [`${'x'.repeat(63)}\u{1f600}`]: 1 }, { kind: 'a', b: '\ud800' }]) {
    const { detail } = assert.refused(shaped(shape, wrong), 'malformed')
    encode({ detail })
  }
})

t('a name that was seen does not keep the note that it stood in', () => {
  const before = bytesKept()
  for (let at = 0; at < 40; at++) {
    const note = `${'x'.repeat(1_000_000)}\n\n— a-name-of-many-${at}.example/gridnode/s1 AAAAAAAA\n`
    assert.ok(parseNote(note, { bytesMax: 2_000_000 }).ok)
  }
  assert.ok(bytesKept() - before < 20_000_000)
})

t('half of a character in an expression is refused, not met when it is evaluated', () => {
  for (const text of ['os == "\udfff"', 'size(os) > 9 || os.startsWith("\ud800")']) {
    assert.refused(compileRequirement(text), 'syntax')
  }
})
