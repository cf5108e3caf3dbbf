// Pieces of work in lanes: one piece a name, so many at once, and no peer takes them all.

import type { Report } from '../../node/report.ts'
import { openLanes } from '../../node/lanes.ts'
import { assert, eventually, suite } from '../harness.ts'

const t = suite('lanes')

const report = { error: () => undefined } as unknown as Report

t('runs each name once, and no more than there are lanes', async () => {
  const lanes = openLanes(2, report)
  const ended: (() => void)[] = []
  const begun: string[] = []
  const work = (name: string) => (): Promise<void> => {
    begun.push(name)
    return new Promise((resolve) => ended.push(resolve))
  }
  for (const name of ['a', 'a', 'b', 'c']) lanes.run(name, work(name))
  assert.equal(begun, ['a', 'b'])
  ended[0]!()
  await eventually(() => begun.length === 3, { timeoutSeconds: 10 })
  assert.equal(begun, ['a', 'b', 'c'])
  for (const end of ended) end()
  await lanes.stop()
})

t('leaves room for others when one peer keeps all of its pieces waiting', async () => {
  const lanes = openLanes(4, report)
  const begun: string[] = []
  const work = (name: string) => (signal: AbortSignal): Promise<void> => {
    begun.push(name)
    return new Promise((resolve) => signal.addEventListener('abort', () => resolve()))
  }
  for (const name of ['1', '2', '3', '4', '5']) lanes.run(name, work(name), 'slow.example')
  lanes.run('other', work('other'), 'other.example')
  lanes.run('own', work('own'))
  assert.equal(begun, ['1', '2', 'other', 'own'])
  await lanes.stop()
})

t('a piece that is not wanted any more is told so, and its lane is free', async () => {
  const lanes = openLanes(1, report)
  const happened: string[] = []
  let over = (): void => undefined
  const work = (name: string) => (signal: AbortSignal): Promise<void> => {
    happened.push(`${name} begins`)
    return new Promise((resolve) => {
      signal.addEventListener('abort', () => happened.push(`${name} is told`))
      over = resolve
    })
  }
  lanes.run('first', work('first'))
  lanes.run('waits', work('waits'))
  lanes.run('last', work('last'))
  await lanes.end('nobody')
  await lanes.end('waits')
  const ended = lanes.end('first').then(() => happened.push('first is over'))
  await eventually(() => happened.length === 2)
  assert.equal(happened, ['first begins', 'first is told'], 'not before it is over')
  over()
  await ended
  assert.equal(happened.toSorted(),
    ['first begins', 'first is over', 'first is told', 'last begins'])
  const stopped = lanes.stop()
  over()
  await stopped
  assert.equal(happened.at(-1), 'last is told')
})
