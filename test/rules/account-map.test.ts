// Which account runs whose job: rules as they are written, in their order, and the pool.

import type { SiteName } from '../../protocol/base/ids.ts'
import type { AccountRules, Owner } from '../../protocol/rules/account-map.ts'
import {
  accountFor, mayGo, parseExportRule, parseMapRule,
} from '../../protocol/rules/account-map.ts'
import { assert, suite } from '../harness.ts'

const t = suite('account map')
const [a, b] = ['a.example' as SiteName, 'b.example' as SiteName]

function rules(map: readonly string[], more: {
  readonly pool?: readonly string[]
  readonly exported?: readonly string[]
} = {}): AccountRules {
  return {
    map: map.map((line) => assert.accepted(parseMapRule(line))),
    pool: more.pool ?? [],
    export: (more.exported ?? ['* * = *']).map((line) => assert.accepted(parseExportRule(line))),
  }
}

function owner(user: string, project = '', home = a): Owner {
  return { home, user, project }
}

const nobodyElse = { had: undefined, taken: new Set<string>() }

function account(from: AccountRules, whose: Owner, pool = nobodyElse): string {
  const outcome = accountFor(from, whose, pool)
  return outcome.ok ? outcome.value : outcome.refusal.detail
}

t('[ACCOUNT-1] the first rule that matches counts', () => {
  const map = rules([
    'a.example ada * = ada_at_a', '* eve * = none', '* * physics = phys', 'b.example * * = {user}',
  ])
  assert.equal(account(map, owner('ada', 'physics')), 'ada_at_a')
  const refused = 'eve of a.example, physics has no account here'
  assert.equal(account(map, owner('eve', 'physics')), refused)
  assert.equal(account(map, owner('bob', 'physics')), 'phys')
  assert.equal(account(map, owner('bob', '', b)), 'bob')
  assert.equal(account(map, owner('root', '', b)), 'root is no name of an account here')
  assert.equal(account(map, owner('A.b', '', b)), 'A.b is no name of an account here')
  assert.equal(account(map, owner('bob')), 'bob of a.example has no account here')
})

t('[ACCOUNT-3] an account of the pool has one owner at a time', () => {
  const map = rules(['* * * = pool'], { pool: ['g1', 'g2'] })
  assert.equal(account(map, owner('ada')), 'g1')
  assert.equal(account(map, owner('ada'), { had: undefined, taken: new Set(['g1']) }), 'g2')
  assert.equal(account(map, owner('ada'), { ...nobodyElse, taken: new Set(['g1', 'g2']) }),
    'all accounts of the pool are in use')
})

t('[ACCOUNT-2] the home says who may go where', () => {
  const map = rules([], { exported: ['ada * = b.example', 'eve * = none', '* physics = *'] })
  const who = (user: string, project = ''): { user: string; project: string } => ({ user, project })
  assert.ok(mayGo(map, who('ada'), b))
  assert.ok(!mayGo(map, who('ada'), a))
  assert.ok(!mayGo(map, who('eve', 'physics'), b))
  assert.ok(mayGo(map, who('bob', 'physics'), a))
  assert.ok(!mayGo(map, who('bob'), a))
  assert.ok(mayGo(undefined, who('bob'), a))
})

t('what is no rule is refused with what was expected', () => {
  for (const [line, expected] of [
    ['', 'expected HOME USER PROJECT = ACCOUNT'], ['* * = x', 'expected HOME USER PROJECT'],
    ['A_B * * = x', 'the name of a site'], ['* a/b * = x', 'a user'], ['* * a/b = x', 'a project'],
    ['* * * = Root:', 'an account'], ['* * * = root', 'other than root'],
  ] as const) {
    const outcome = parseMapRule(line)
    assert.refused(outcome, 'bad_rule')
    assert.match(outcome.ok ? '' : outcome.refusal.detail, expected)
  }
  for (const line of ['', '* = *', '* * = UPPER CASE', 'a b = c d', 'a/b * = *']) {
    assert.refused(parseExportRule(line), 'bad_rule')
  }
})
