// The door to child processes: answers, limits, and that nothing is left behind.

import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { openStarter, run as runByItself } from '../../node/scheduler/exec.ts'
import { readProcess } from '../../node/scheduler/process-table.ts'
import { assert, eventually, suite } from '../harness.ts'
import type { Context } from '../harness.ts'

const t = suite('exec')
const starter = openStarter()
t.after(() => starter.close())
const timeoutMs = 30_000
const codeOf = (error: Error): string => (error as { code?: string }).code ?? ''

/** By ourselves, and by a small process. */
function runs(name: string, fn: (run: typeof runByItself, ctx: Context) => Promise<void>): void {
  t(name, (ctx) => fn(runByItself, ctx))
  t(`${name}, by a starter`, (ctx) => fn(starter.run, ctx))
}

/** The parent of a process that lives. */
function parentOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
}

/** Runs a command that notes its process id and sleeps. */
async function sleeper(
  run: typeof runByItself, ctx: Context, seconds = 1_000,
): Promise<{ pid: number; ended: ReturnType<typeof runByItself> }> {
  const note = join(ctx.tmp(), 'pid')
  const ended = run(['sh', '-c', `echo $$ >'${note}'; sleep ${seconds}`], { timeoutMs })
  ended.catch(() => {})
  await eventually(() => existsSync(note) && readFileSync(note, 'utf8').endsWith('\n'))
  return { pid: Number(readFileSync(note, 'utf8')), ended }
}

runs('gives code, output and error', async (run) => {
  const script = 'cat; echo wrong >&2; exit 3'
  const answer = await run(['sh', '-c', script], { timeoutMs, input: 'given' })
  assert.equal(answer, { code: 3, stdout: 'given', stderr: 'wrong\n' })
})

runs('uses no shell of its own', async (run) => {
  const { stdout } = await run(['echo', '$HOME; ls', '`id`'], { timeoutMs })
  assert.equal(stdout, '$HOME; ls `id`\n')
})

runs('hands on exactly the environment it was given', async (run) => {
  const { stdout } = await run(['/usr/bin/env'], { timeoutMs, env: { ONLY: 'this' } })
  assert.equal(stdout, 'ONLY=this\n')
})

runs('tells a signal by 128 and its number', async (run) => {
  assert.equal((await run(['sh', '-c', 'kill -9 $$'], { timeoutMs })).code, 137)
})

runs('says that a program is missing', async (run) => {
  const error = await assert.rejects(run(['/no/such/program'], { timeoutMs }), /is it installed/)
  assert.equal(codeOf(error), 'missing')
})

runs('ends a command that takes too long, with everything it started', async (run, ctx) => {
  const note = join(ctx.tmp(), 'pid')
  const script = `trap '' TERM; sleep 1000 & echo $! >'${note}'; wait`
  const running = run(['sh', '-c', script], { timeoutMs: 300 })
  const error = await assert.rejects(running, /no answer in 300 ms/)
  assert.equal(codeOf(error), 'timeout')
  const grandchild = Number(readFileSync(note, 'utf8'))
  await eventually(() => readProcess(grandchild) === undefined)
})

runs('ends a command when the caller gives up', async (run) => {
  const caller = new AbortController()
  const running = run(['sleep', '1000'], { timeoutMs, signal: caller.signal })
  caller.abort(new Error('no longer wanted'))
  assert.equal(codeOf(await assert.rejects(running, /sleep was stopped/)), 'aborted')
})

runs('reads no more than it was allowed to', async (run) => {
  const options = { timeoutMs, outputBytesMax: 10_000 }
  const error = await assert.rejects(run(['yes'], options), /over 10000 bytes/)
  assert.equal(codeOf(error), 'malformed')
})

runs('does not mind a command that ignores its input', async (run) => {
  const answer = await run(['true'], { timeoutMs, input: 'x'.repeat(1_000_000) })
  assert.equal(answer.code, 0)
})

runs('hands on a large input and a large answer as they are', async (run) => {
  const input = 'ä€😀'.repeat(500_000)
  const { stdout } = await run(['cat'], { timeoutMs, input })
  assert.ok(stdout === input)
})

runs('answers many at once, each its own', async (run) => {
  const asked = Array.from({ length: 20 }, (_, i) => run(['echo', String(i)], { timeoutMs }))
  const said = (await Promise.all(asked)).map(({ stdout }) => Number(stdout))
  assert.equal(said, Array.from(said.keys()))
})

t('a command of a starter that is gone is unknown and ends; the next has another', async (ctx) => {
  const { pid, ended } = await sleeper(starter.run, ctx)
  const first = parentOf(pid)
  assert.ok(first !== process.pid)
  process.kill(first, 'SIGKILL')
  assert.equal(codeOf(await assert.rejects(ended, /starts commands has ended/)), 'unreachable')
  await eventually(() => readProcess(pid) === undefined)
  assert.equal((await starter.run(['true'], { timeoutMs })).code, 0)
})

t('lets a command come to its end when it is closed, and is gone then', async (ctx) => {
  const closing = openStarter()
  const { pid, ended } = await sleeper(closing.run, ctx, 1)
  const parent = parentOf(pid)
  closing.close()
  assert.equal(codeOf(await assert.rejects(ended, /waited for any more/)), 'aborted')
  assert.ok(readProcess(parent), 'it waits for the command')
  await eventually(() => readProcess(pid) === undefined && readProcess(parent) === undefined)
})

t('leaves no process when the one that asked is killed', async (ctx) => {
  const exec = join(import.meta.dirname, '../../node/scheduler/exec.ts')
  const script = `const { openStarter } = await import('${exec}')
    const starter = openStarter()
    await starter.run(['true'], { timeoutMs: 60_000 })
    starter.run(['sh', '-c', 'echo $$ >pid; sleep 1000'], { timeoutMs: 3_000, cwd: process.cwd() })`
  const directory = ctx.tmp()
  const asker = spawn(process.execPath, ['-e', script], { cwd: directory, stdio: 'ignore' })
  ctx.after(() => asker.kill('SIGKILL'))
  const note = join(directory, 'pid')
  await eventually(() => existsSync(note) && readFileSync(note, 'utf8').endsWith('\n'))
  const pid = Number(readFileSync(note, 'utf8'))
  const parent = parentOf(pid)
  asker.kill('SIGKILL')
  await eventually(() => readProcess(pid) === undefined && readProcess(parent) === undefined)
})

t('starts a process in a session of its own and tells when it ended', async (ctx) => {
  const starter = openStarter()
  ctx.after(() => starter.close())
  const told: (number | undefined)[] = []
  starter.start({
    argv: ['sh', '-c', 'sleep 0.3; exit 5'], env: {}, cwd: '/',
    onStarted: (pid) => {
      told.push(readProcess(pid)?.session === pid ? 1 : 0)
    },
    onExit: (code) => void told.push(code),
  })
  starter.start({
    argv: ['/no/such/program'], env: {}, cwd: '/',
    onStarted: () => void told.push(-1), onExit: (code) => void told.push(code),
  })
  await eventually(() => told.length === 3)
  assert.ok(told.includes(undefined), 'the program that does not exist')
  assert.equal(told.filter((one) => one !== undefined), [1, 5])
})

t('a starter that is gone says so, and the next start has a new one', async (ctx) => {
  const starter = openStarter()
  ctx.after(() => starter.close())
  const startOne = (command: string): Promise<{ pid: number; ended: Promise<unknown> }> =>
    new Promise((resolve) => {
      let tell: (code: number | undefined) => void = () => undefined
      const ended = new Promise((done) => (tell = done))
      starter.start({
        argv: ['sh', '-c', command], env: {}, cwd: '/',
        onStarted: (pid) => resolve({ pid, ended }), onExit: (code) => tell(code),
      })
    })
  const first = await startOne('sleep 60')
  ctx.after(() => process.kill(first.pid))
  process.kill(parentOf(first.pid), 'SIGKILL')
  assert.equal(await first.ended, undefined)
  assert.ok(readProcess(first.pid), 'what it has started goes on')
  const second = await startOne('exit 3')
  assert.equal(await second.ended, 3)
})
