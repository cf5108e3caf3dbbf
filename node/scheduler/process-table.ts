// What runs on this machine, read from Linux' /proc (proc(5)). A process is known by its id *and*
// its start time in clock ticks after boot, so that a reused id is never taken for it.

import { readFileSync, readdirSync } from 'node:fs'

export interface ProcessInfo {
  readonly pid: number
  readonly parent: number
  readonly session: number
  /** Start time, in ticks after boot. */
  readonly born: number
  readonly residentBytes: number
}

/** Linux' page size on the platforms we run on (x86-64; arm64 as distributions configure it). */
const pageBytes = 4096

/** The process `pid`; undefined when there is none or it has ended and only waits to be reaped. */
export function readProcess(pid: number): ProcessInfo | undefined {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1')
  } catch {
    return undefined
  }
  // The command's name stands in parentheses and may contain anything, so count from the last one.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  if (fields[0] === 'Z' || fields[0] === 'X') return undefined
  return {
    pid,
    parent: Number(fields[1]),
    session: Number(fields[3]),
    born: Number(fields[19]),
    residentBytes: Number(fields[21]) * pageBytes,
  }
}

export function isAlive(pid: number, born: number): boolean {
  return readProcess(pid)?.born === born
}

/** Every process of one of `sessions`, by session. */
export function readSessions(sessions: ReadonlySet<number>): Map<number, ProcessInfo[]> {
  const found = new Map<number, ProcessInfo[]>()
  for (const pid of processIds()) {
    const info = readProcess(pid)
    if (!info || !sessions.has(info.session)) continue
    const members = found.get(info.session)
    if (members) members.push(info)
    else found.set(info.session, [info])
  }
  return found
}

/** Every process that `root` or a descendant of it has started, also in sessions of their own. */
export function readDescendants(root: number): number[] {
  const all = processIds().flatMap((pid) => readProcess(pid) ?? [])
  const children = Map.groupBy(all, ({ parent }) => parent)
  // What has lost its parent still has its session.
  const left = [root, ...all.filter(({ session }) => session === root).map(({ pid }) => pid)]
  const found = new Set<number>()
  for (let pid = left.pop(); pid !== undefined; pid = left.pop()) {
    if (found.has(pid)) continue
    found.add(pid)
    left.push(...(children.get(pid) ?? []).map((child) => child.pid))
  }
  found.delete(root)
  return [...found]
}

/**
 * Memory of these processes together, shared pages counted once. Slower than adding up
 * `residentBytes`, which counts them once for each process.
 */
export function proportionalBytes(processes: readonly ProcessInfo[]): number {
  let bytes = 0
  for (const { pid, residentBytes } of processes) {
    try {
      const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1')
      bytes += Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? residentBytes / 1024) * 1024
    } catch {
      // It ended meanwhile and uses nothing any more.
    }
  }
  return bytes
}

/** The process with exactly these last arguments, if there is one. */
export function findByArguments(endOfArguments: readonly string[]): ProcessInfo | undefined {
  const wanted = `\0${endOfArguments.join('\0')}\0`
  for (const pid of processIds()) {
    try {
      if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(wanted)) return readProcess(pid)
    } catch {
      // It ended meanwhile.
    }
  }
  return undefined
}

/**
 * Kills what is left of a session whose leader is gone. The kernel gives a session's id to no new
 * process while members live; `leaderBorn` excludes a session that was made after that.
 */
export function killSession(session: number, leaderBorn: number): void {
  if (readProcess(session)) return
  for (const { pid, born } of readSessions(new Set([session])).get(session) ?? []) {
    if (born >= leaderBorn) sendSignal(pid, 'SIGKILL')
  }
}

/** False when there is no such process any more. */
export function sendSignal(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal)
    return true
  } catch {
    return false
  }
}

/** Changes with every start of the machine (random(4)). */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
}

function processIds(): number[] {
  return readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name)).map(Number)
}
