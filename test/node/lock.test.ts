// The lock of a data directory, held by real processes.

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { assert, eventually, suite } from '../harness.ts'
import type { Context } from '../harness.ts'
import { acquireLock, lockName } from '../../node/lock.ts'

const program = fileURLToPath(new URL('programs/hold-lock.ts', import.meta.url))

interface Runner {
  readonly child: ChildProcess
  readonly said: () => string
  readonly gone: Promise<void>
}

function start(ctx: Context, ...args: string[]): Runner {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
  let said = ''
  child.stdout?.on('data', (chunk: Buffer) => { said += chunk.toString() })
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve()))
  ctx.after(async () => {
    child.kill('SIGKILL')
    await gone
  })
  return { child, said: () => said, gone }
}

const t = suite('lock')

t('refuses a second start and names the first process', async (ctx) => {
  const directory = ctx.tmp()
  const first = start(ctx, directory)
  await eventually(() => first.said() === 'locked\n')
  const error = assert.throws(() => acquireLock(directory), /already: process \d+, since 20/)
  assert.match(error.message, `process ${first.child.pid},`)
  assert.match(error.message, `kill ${first.child.pid}`)
  const second = start(ctx, directory)
  await second.gone
  assert.equal(second.child.exitCode, 3)
})

t('is taken over after kill -9, and after a release', async (ctx) => {
  const directory = ctx.tmp()
  for (let round = 0; round < 3; round++) {
    const holder = start(ctx, directory)
    await eventually(() => holder.said() === 'locked\n')
    holder.child.kill('SIGKILL')
    await holder.gone
  }
  const lock = acquireLock(directory)
  assert.throws(() => acquireLock(directory), new RegExp(`process ${process.pid},`))
  lock.release()
  lock.release()
  acquireLock(directory).release()
  assert.equal(readdirSync(join(directory, lockName)).length, 1)
})

t('goes to one only of many that find it stale', async (ctx) => {
  const directory = ctx.tmp()
  const dead = start(ctx, directory)
  await eventually(() => dead.said() === 'locked\n')
  dead.child.kill('SIGKILL')
  await dead.gone
  const crowd = Array.from({ length: 6 }, () => start(ctx, directory, 'wait'))
  await eventually(() => crowd.every((one) => one.said() === 'ready\n'))
  for (const one of crowd) one.child.stdin?.write('go\n')
  await eventually(() => crowd.every((one) => one.said().split('\n').length === 3))
  const winners = crowd.filter((one) => one.said().includes('locked'))
  assert.equal(winners.length, 1)
  for (const one of crowd) {
    if (one !== winners[0]) assert.match(one.said(), `already: process `)
  }
})

t('is not fooled by a number that another process has now, or by another boot', async (ctx) => {
  const directory = ctx.tmp()
  const holder = start(ctx, directory)
  await eventually(() => holder.said() === 'locked\n')
  const folder = join(directory, lockName)
  const path = join(folder, readdirSync(folder).at(-1) ?? '')
  const said = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
  // A live process, but not the one that took the lock.
  writeFileSync(path, JSON.stringify({ ...said, startTicks: '1' }))
  acquireLock(directory).release()
  writeFileSync(join(folder, '50'), JSON.stringify({ ...said, bootId: 'another' }))
  acquireLock(directory).release()
  writeFileSync(join(folder, '60'), JSON.stringify(said))
  assert.throws(() => acquireLock(directory), /already/)
})

t('survives a torn lock, and says so when the directory cannot be locked', (ctx) => {
  const directory = ctx.tmp()
  mkdirSync(join(directory, lockName))
  writeFileSync(join(directory, lockName, '7'), '')
  const lock = acquireLock(directory)
  rmSync(directory, { recursive: true })
  lock.release()
  writeFileSync(directory, 'a file')
  assert.throws(() => acquireLock(directory), /cannot lock .*(ENOTDIR|EEXIST)/)
})
