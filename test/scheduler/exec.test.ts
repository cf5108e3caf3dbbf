// The door to child processes: answers, limits, and that nothing is left behind.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { openStarter, run } from '../../node/scheduler/exec.ts'
import { readProcess } from '../../node/scheduler/process-table.ts'
import { assert, eventually, suite } from '../harness.ts'

const t = suite('exec')
const timeoutMs = 30_000
const codeOf = (error: Error): string => (error as { code?: string }).code ?? ''

t('gives code, output and error', async () => {
  const script = 'cat; echo wrong >&2; exit 3'
  const answer = await run(['sh', '-c', script], { timeoutMs, input: 'given' })
  assert.equal(answer, { code: 3, stdout: 'given', stderr: 'wrong\n' })
})

t('uses no shell of its own', async () => {
  const { stdout } = await run(['echo', '$HOME; ls', '`id`'], { timeoutMs })
  assert.equal(stdout, '$HOME; ls `id`\n')
})

t('hands on exactly the environment it was given', async () => {
  const { stdout } = await run(['/usr/bin/env'], { timeoutMs, env: { ONLY: 'this' } })
  assert.equal(stdout, 'ONLY=this\n')
})

t('tells a signal by 128 and its number', async () => {
  assert.equal((await run(['sh', '-c', 'kill -9 $$'], { timeoutMs })).code, 137)
})

t('says that a program is missing', async () => {
  const error = await assert.rejects(run(['/no/such/program'], { timeoutMs }), /is it installed/)
  assert.equal(codeOf(error), 'missing')
})

t('ends a command that takes too long, with everything it started', async (ctx) => {
  const note = join(ctx.tmp(), 'pid')
  const script = `trap '' TERM; sleep 1000 & echo $! >'${note}'; wait`
  const running = run(['sh', '-c', script], { timeoutMs: 300 })
  const error = await assert.rejects(running, /no answer in 300 ms/)
  assert.equal(codeOf(error), 'timeout')
  const grandchild = Number(readFileSync(note, 'utf8'))
  await eventually(() => readProcess(grandchild) === undefined)
})

t('ends a command when the caller gives up', async () => {
  const caller = new AbortController()
  const running = run(['sleep', '1000'], { timeoutMs, signal: caller.signal })
  caller.abort(new Error('no longer wanted'))
  assert.equal(codeOf(await assert.rejects(running, /sleep was stopped/)), 'aborted')
})

t('reads no more than it was allowed to', async () => {
  const options = { timeoutMs, outputBytesMax: 10_000 }
  const error = await assert.rejects(run(['yes'], options), /over 10000 bytes/)
  assert.equal(codeOf(error), 'malformed')
})

t('does not mind a command that ignores its input', async () => {
  const answer = await run(['true'], { timeoutMs, input: 'x'.repeat(1_000_000) })
  assert.equal(answer.code, 0)
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
  const stat = readFileSync(`/proc/${first.pid}/stat`, 'latin1')
  process.kill(Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]), 'SIGKILL')
  assert.equal(await first.ended, undefined)
  assert.ok(readProcess(first.pid), 'what it has started goes on')
  const second = await startOne('exit 3')
  assert.equal(await second.ended, 3)
})
