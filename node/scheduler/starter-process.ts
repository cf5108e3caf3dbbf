// Starts processes for a node and tells how they end: a process of its own because it is small. To
// start a process is to copy the map of one's memory, so what takes a large process milliseconds,
// in which it does nothing else, takes this one a fraction of one.
//
// Invariants: what was started outlives us; when the node is gone, so are we.

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import type { StartOrder, StartNews } from './exec.ts'

function start({ id, argv, env, cwd }: StartOrder): void {
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

function tell(news: StartNews): void {
  // Who would hear it may have gone meanwhile.
  if (process.connected) process.send?.(news, undefined, undefined, () => {})
}

process.on('message', start)
process.on('disconnect', () => process.exit())
