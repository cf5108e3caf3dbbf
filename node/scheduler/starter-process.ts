// Starts processes for a node and tells how they end: a process of its own because it is small. To
// start a process is to copy the map of one's memory, so what takes a large process milliseconds,
// in which it does nothing else, takes this one a fraction of one.
//
// Invariants: what was started to go on outlives us; a command that was run ends before us, by
// itself or at its time limit; when the node is gone and no command runs any more, so are we.

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { SchedulerFailure } from './driver.ts'
import { run } from './exec.ts'
import type { StartOrder, StartNews } from './exec.ts'

const running = new Map<number, AbortController>()

function obey(order: StartOrder): void {
  if (order.kind === 'start') start(order)
  else if (order.kind === 'run') void answer(order)
  else running.get(order.id)?.abort()
}

function start({ id, argv, env, cwd }: StartOrder & { kind: 'start' }): void {
  const [program = '', ...rest] = argv
  let child: ChildProcess
  try {
    child = spawn(program, rest, { detached: true, stdio: 'ignore', env, cwd })
  } catch {
    return tell({ id, kind: 'failed' })
  }
  child.on('error', () => {})
  if (child.pid === undefined) return tell({ id, kind: 'failed' })
  child.on('exit', (code, signal) => tell({ id, kind: 'ended', code, signal }))
  tell({ id, kind: 'started', pid: child.pid })
}

async function answer({ id, argv, ...limits }: StartOrder & { kind: 'run' }): Promise<void> {
  const caller = new AbortController()
  running.set(id, caller)
  const onStarted = (pid: number): void => tell({ id, kind: 'started', pid })
  try {
    const result = await run(argv, { ...limits, signal: caller.signal, onStarted })
    tell({ id, kind: 'answer', result })
  } catch (cause) {
    const code = cause instanceof SchedulerFailure ? cause.code : 'missing'
    tell({ id, kind: 'noAnswer', code, words: String((cause as Error).message) })
  }
  running.delete(id)
  if (!process.connected && running.size === 0) process.exit()
}

function tell(news: StartNews): void {
  // Who would hear it may have gone meanwhile.
  if (process.connected) process.send?.(news, undefined, undefined, () => {})
}

process.on('message', obey)
process.on('disconnect', () => {
  if (running.size === 0) process.exit()
})
