// Which process is which, from Linux' /proc (proc(5)). A process is its id, its start time in ticks
// after boot and the boot: an id that was given to another program is never taken for ours.

import { readdirSync, readFileSync } from 'node:fs'

export interface ProcessIdentity {
  readonly pid: number
  readonly born: number
  readonly boot: string
}

interface Seen {
  readonly pid: number
  readonly session: number
  readonly born: number
}

/** Undefined when there is no such process, or only its exit code is left of it. */
export function identify(pid: number): ProcessIdentity | undefined {
  const seen = look(pid)
  return seen && { pid, born: seen.born, boot: bootId() }
}

export function isAlive({ pid, born, boot }: ProcessIdentity): boolean {
  return look(pid)?.born === born && boot === bootId()
}

/** Signals this very process; nothing happens when it has gone. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): void {
  if (!isAlive(identity)) return
  try {
    process.kill(identity.pid, signal)
  } catch {
    // It has ended meanwhile.
  }
}

/**
 * What the sites in `directory` run: the supervisors of tasks, known by the record that each was
 * given on its command line, and everything in their sessions.
 */
export function taskProcesses(directory: string): {
  readonly supervisors: ProcessIdentity[]
  readonly all: ProcessIdentity[]
} {
  const boot = bootId()
  const seen = readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .flatMap((name) => look(Number(name)) ?? [])
  const ours = new Set(seen.filter(({ pid }) => isSupervisor(pid, directory)).map(({ pid }) => pid))
  const identities = (some: Seen[]): ProcessIdentity[] =>
    some.map(({ pid, born }) => ({ pid, born, boot }))
  return {
    supervisors: identities(seen.filter(({ pid }) => ours.has(pid))),
    all: identities(seen.filter(({ session }) => ours.has(session))),
  }
}

function isSupervisor(pid: number, directory: string): boolean {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
    const record = words[words.indexOf('gridnode-task') + 1]
    return words.includes('gridnode-task') && record?.startsWith(`${directory}/`) === true
  } catch {
    return false
  }
}

function look(pid: number): Seen | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The command's name stands in parentheses and may contain anything: count from the last one.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined
    return { pid, session: Number(fields[3]), born: Number(fields[19]) }
  } catch {
    return undefined
  }
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
}
