// One process a data directory. The lock is a directory, `node.lock`, of files named by a growing
// number; the file with the highest number says who holds it, and it counts only while that process
// lives.
//
// A stale lock is taken over by making the next number, which the file system grants to one process
// only. The highest number is never removed, a release only empties it: so the numbers never fall,
// whoever looked long ago cannot slip in below, there is no moment at which two hold it, and a kill
// -9 needs no cleanup. A process is known by its number together with the time it was started and
// the boot it belongs to, so that a number used again is not mistaken for the holder. A process in
// another container cannot be seen; there the lock of the database itself, which the kernel keeps,
// stands behind this one.

import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { clock } from './clock.ts'
import { createFile, replaceFile } from './files.ts'
import { messageOf, Problem, systemCode } from './problem.ts'
import { isoTime } from './report.ts'
import { readProcess } from './scheduler/process-table.ts'

export interface Lock {
  /** Idempotent. */
  release(): void
}

interface Holder {
  readonly pid: number
  /** Clock ticks since the boot at which the process was started; empty where that is unknown. */
  readonly startTicks: string
  readonly bootId: string
  readonly sinceEpochMs: number
}

export const lockName = 'node.lock'
const attemptsMax = 100

/** @throws Problem `locked`, naming the process that runs here; `system` */
export function acquireLock(directory: string): Lock {
  const folder = join(directory, lockName)
  try {
    mkdirSync(folder, { mode: 0o700, recursive: true })
    return acquire(directory, folder)
  } catch (cause) {
    if (cause instanceof Problem) throw cause
    throw new Problem('system', `cannot lock ${directory}: ${messageOf(cause)}`, cause)
  }
}

function acquire(directory: string, folder: string): Lock {
  const own: Holder = { ...ourselves(), sinceEpochMs: clock.now() }
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const highest = numbers(folder).at(-1) ?? 0
    const holder = highest > 0 ? readHolder(join(folder, String(highest))) : undefined
    if (holder && isAlive(holder)) throw heldBy(directory, holder)
    const mine = highest + 1
    const path = join(folder, String(mine))
    if (!create(path, own)) continue
    // Somebody may have looked before we came, gone past our number and removed what was below.
    const now = numbers(folder)
    if (now.at(-1) !== mine) {
      rmSync(path, { force: true })
      continue
    }
    for (const number of now) {
      if (number < mine) rmSync(join(folder, String(number)), { force: true })
    }
    return { release: () => release(path) }
  }
  throw new Problem('locked', `too many processes start on ${directory} at once; try again`)
}

function release(path: string): void {
  try {
    replaceFile(path, '{}\n', 0o600)
  } catch (error) {
    // The data directory was removed under us; then there is nothing left to lock.
    if (systemCode(error) !== 'ENOENT') throw error
  }
}

function heldBy(directory: string, { pid, sinceEpochMs }: Holder): Problem {
  return new Problem(
    'locked',
    `a node runs on ${directory} already: process ${pid}, since ${isoTime(sinceEpochMs)}. ` +
      `Use it, or stop it first (kill ${pid}), or start with another --dir.`,
  )
}

function create(path: string, holder: Holder): boolean {
  try {
    createFile(path, `${JSON.stringify(holder)}\n`, 0o600)
    return true
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false
    throw error
  }
}

function numbers(folder: string): number[] {
  const found = readdirSync(folder).filter((name) => /^[1-9][0-9]{0,14}$/.test(name)).map(Number)
  return found.sort((left, right) => left - right)
}

/** Undefined for a lock that was released, is gone, or torn as only a power cut can leave it. */
function readHolder(path: string): Holder | undefined {
  try {
    const { pid, startTicks, bootId, sinceEpochMs } = JSON.parse(readFileSync(path, 'utf8')) as
      Record<string, unknown>
    if (!Number.isSafeInteger(pid) || Number(pid) < 1) return undefined
    return {
      pid: Number(pid),
      startTicks: String(startTicks),
      bootId: String(bootId),
      sinceEpochMs: Number.isFinite(sinceEpochMs) ? Number(sinceEpochMs) : 0,
    }
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || error instanceof SyntaxError) return undefined
    throw error
  }
}

function isAlive(holder: Holder): boolean {
  const here = ourselves()
  if (holder.bootId !== here.bootId) return false
  if (holder.startTicks !== '') return startTicksOf(holder.pid) === holder.startTicks
  try {
    process.kill(holder.pid, 0)
    return true
  } catch (error) {
    return systemCode(error) === 'EPERM'
  }
}

function ourselves(): Omit<Holder, 'sinceEpochMs'> {
  return { pid: process.pid, startTicks: startTicksOf(process.pid), bootId: bootId() }
}

/** Empty when there is no such process, or no /proc to find it in. */
function startTicksOf(pid: number): string {
  return String(readProcess(pid)?.born ?? '')
}

/** The boot and, as numbers of processes mean nothing outside it, the process namespace. */
function bootId(): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return `${boot} ${readlinkSync('/proc/self/ns/pid')}`
  } catch {
    return ''
  }
}
