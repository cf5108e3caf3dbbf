// Drafts and tentative views against plain maps: random writes, removals, looks and nestings of a
// fixed seed, after each of which everything that can be seen is what the maps say.

import type { Draft, Tables, View, Write } from '../../protocol/base/tables.ts'
import { applyWrites, draft, tentative } from '../../protocol/base/tables.ts'
import { assert, suite } from '../harness.ts'
import type { Random } from '../sim/random.ts'
import { random } from '../sim/random.ts'

interface Rows { fruits: number, roots: number, leaves: number }
type Name = keyof Rows
/** What a view shows, by `table/key`. */
type Model = Map<string, number>

const seed = 1
const names: readonly Name[] = ['fruits', 'roots', 'leaves']
const keys = ['a', 'b', 'c', 'd', '__proto__']
const none: ReadonlySet<string> = new Set()

const t = suite('tables')

function tablesOf(model: Model): Tables {
  const tables: Tables = new Map()
  for (const [place, value] of model) {
    const [table = '', key = ''] = place.split('/')
    tables.set(table, (tables.get(table) ?? new Map<string, unknown>()).set(key, value))
  }
  return tables
}

function modelOf(tables: Tables): Model {
  const model: Model = new Map()
  for (const [table, rows] of tables) {
    for (const [key, value] of rows) model.set(`${table}/${key}`, value as number)
  }
  return model
}

/** Everything that the view shows is what the model says, each record once. */
function shows(view: View<Rows>, model: Model, at: string): void {
  let count = 0
  for (const table of names) {
    for (const key of keys) assert.equal(view.get(table, key), model.get(`${table}/${key}`), at)
    for (const [key, value] of view.entries(table)) {
      assert.equal(value, model.get(`${table}/${key}`), `${at}: ${table}/${key}`)
      count++
    }
  }
  assert.equal(count, model.size, `${at}: as many records`)
}

/** One random write or removal, in both. */
function change(view: View<Rows>, model: Model, chance: Random): string {
  const [table, key] = [chance.pick(names), chance.pick(keys)]
  if (chance.chance(400)) {
    view.remove(table, key)
    model.delete(`${table}/${key}`)
  } else {
    const value = chance.int(100)
    view.put(table, key, value)
    model.set(`${table}/${key}`, value)
  }
  return `${table}/${key}`
}

function filled(chance: Random): Model {
  const model: Model = new Map()
  for (const table of names) {
    for (const key of keys) if (chance.chance(500)) model.set(`${table}/${key}`, chance.int(100))
  }
  return model
}

/** The writes, one by one, make the first model the second. */
function replayed(from: Model, writes: readonly Write[]): Model {
  const model = new Map(from)
  for (const { table, key, value } of writes) {
    if (value === undefined) model.delete(`${table}/${key}`)
    else model.set(`${table}/${key}`, value as number)
  }
  return model
}

t('a draft shows its own writes over the tables, which stay as they are', () => {
  for (let round = 0; round < 500; round++) {
    const chance = random(seed, `draft ${round}`)
    const before = filled(chance)
    const tables = tablesOf(before)
    const trial = draft<Rows>(tables)
    const model = new Map(before)
    shows(trial, model, `round ${round}`)
    const touched = new Set<string>()
    for (let turn = 0; turn < 12; turn++) {
      touched.add(change(trial, model, chance))
      shows(trial, model, `seed ${seed}, round ${round}, turn ${turn}`)
    }
    assert.equal(modelOf(tables), before, 'the tables stay untouched')
    const writes = trial.writes()
    assert.equal(new Set(writes.map(({ table, key }) => `${table}/${key}`)), touched)
    assert.equal(writes.length, touched.size, 'each key once')
    assert.equal(replayed(before, writes), model)
    applyWrites(tables, writes, none)
    assert.equal(modelOf(tables), model, 'applied, the tables are what the draft showed')
    applyWrites(tables, writes, none)
    assert.equal(modelOf(tables), model, 'applied again, nothing changes')
  }
})

t('writes come table by table, each key in the order of its first writing', () => {
  const trial = draft<Rows>(new Map())
  trial.put('roots', 'b', 1)
  trial.put('fruits', 'z', 2)
  trial.put('roots', 'a', 3)
  trial.remove('roots', 'b')
  trial.put('fruits', 'z', 4)
  assert.equal(trial.writes(), [
    { table: 'roots', key: 'b', value: undefined },
    { table: 'roots', key: 'a', value: 3 },
    { table: 'fruits', key: 'z', value: 4 },
  ])
  assert.equal(draft<Rows>(new Map()).writes(), [])
})

t('what a draft gave as its writes is not changed by what is written later', () => {
  const trial = draft<Rows>(new Map())
  trial.put('roots', 'a', 1)
  const writes = trial.writes()
  trial.put('roots', 'a', 2)
  trial.put('roots', 'b', 3)
  assert.equal(writes, [{ table: 'roots', key: 'a', value: 1 }])
})

t('cold tables are written and never kept', () => {
  const tables: Tables = new Map()
  const trial = draft<Rows>(tables)
  trial.put('leaves', 'a', 1)
  trial.put('roots', 'a', 2)
  trial.remove('leaves', 'b')
  assert.equal(trial.get('leaves', 'a'), 1, 'the draft itself shows them')
  assert.equal(trial.writes().length, 3)
  applyWrites(tables, trial.writes(), new Set(['leaves']))
  assert.equal(tables, new Map([['roots', new Map([['a', 2]])]]))
})

/** Looks into nested tentative views while they are written, kept and let go. */
function nest(
  outer: View<Rows>, model: Model, chance: Random, depth: number, at: string,
): void {
  const { view, keep } = tentative(outer)
  const own = new Map(model)
  for (let turn = chance.int(6); turn > 0; turn--) {
    if (depth > 0 && chance.chance(300)) nest(view, own, chance, depth - 1, `${at}.${turn}`)
    else change(view, own, chance)
    shows(view, own, at)
    shows(outer, model, `${at}, from outside`)
  }
  if (chance.chance(500)) return
  keep()
  if (chance.chance(200)) keep()
  shows(view, own, `${at}, kept`)
  model.clear()
  for (const [place, value] of own) model.set(place, value)
  shows(outer, model, `${at}, kept, from outside`)
}

t('tentative writes are all kept or none, however deep they are nested', () => {
  for (let round = 0; round < 600; round++) {
    const chance = random(seed, `tentative ${round}`)
    const before = filled(chance)
    const tables = tablesOf(before)
    const trial: Draft<Rows> = draft<Rows>(tables)
    const model = new Map(before)
    for (let turn = 0; turn < 4; turn++) {
      if (chance.chance(300)) change(trial, model, chance)
      nest(trial, model, chance, 3, `seed ${seed}, round ${round}.${turn}`)
    }
    assert.equal(modelOf(tables), before)
    assert.equal(replayed(before, trial.writes()), model)
  }
})

t('what is let go leaves no write behind', () => {
  const tables = tablesOf(new Map([['roots/a', 1]]))
  const trial = draft<Rows>(tables)
  const dropped = tentative<Rows>(trial)
  dropped.view.put('roots', 'b', 2)
  dropped.view.remove('roots', 'a')
  const inner = tentative(dropped.view)
  inner.view.put('leaves', 'c', 3)
  inner.keep()
  assert.equal(dropped.view.get('leaves', 'c'), 3)
  assert.equal(trial.writes(), [])
  shows(trial, new Map([['roots/a', 1]]), 'nothing happened')
})

t('a record may be removed while all are looked at', () => {
  const tables = tablesOf(new Map([['roots/a', 1], ['roots/b', 2], ['roots/c', 3]]))
  for (const kept of [false, true]) {
    const trial = draft<Rows>(tables)
    const attempt = tentative<Rows>(trial)
    const view = kept ? attempt.view : trial
    const seen: string[] = []
    for (const [key] of view.entries('roots')) {
      seen.push(key)
      view.remove('roots', key)
    }
    assert.equal(seen.toSorted(), ['a', 'b', 'c'])
    attempt.keep()
    assert.equal([...trial.entries('roots')], [])
  }
})
