// A network of the test's own, in network namespaces of the kernel: one namespace for each site, a
// router in the middle, a line from each to it. Lines can be cut, and packets of one direction
// between two sites dropped, without anybody being told.
//
// Invariants: nothing is made outside the namespaces, whose names carry the process id, so runs at
// the same time do not meet; all of them are removed when the test is over, and those of a run
// that was killed by the next one.

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import type { Context } from '../harness.ts'

export interface Star {
  /** Where the site listens. */
  listen(site: string): string
  /** Words before a command that run it where the site is. */
  within(site: string): readonly string[]
  /** Nothing reaches the site nor leaves it. */
  cutLine(site: string): void
  mendLine(site: string): void
  /** Packets from one to the other vanish; those of the other direction pass. */
  drop(from: string, to: string): void
  pass(from: string, to: string): void
  /** All lines, all directions. */
  mendAll(): void
}

const prefix = 'gridnode-test-'
const port = 7700
const commandMs = 10_000
/** Of the range for benchmarks (RFC 2544), routed nowhere else. */
const netOf = (index: number): string => `198.18.${index + 1}`

function ip(...words: readonly string[]): string {
  const ran = spawnSync('ip', words, { encoding: 'utf8', timeout: commandMs })
  if (ran.status === 0) return ran.stdout
  const why = ran.error?.message ?? ran.stderr.trim()
  throw new Error(`ip ${words.join(' ')} ended with ${ran.status}: ${why}`)
}

/** Ends the test as skipped where namespaces cannot be made. */
export function demandNamespaces(ctx: Context): void {
  const name = `${prefix}${process.pid}-probe`
  try {
    ip('netns', 'add', name)
    ctx.after(() => removeNamespace(name))
    ip('-n', name, 'link', 'add', 'one', 'type', 'veth', 'peer', 'name', 'two')
    ip('-n', name, 'rule', 'add', 'iif', 'one', 'to', '198.18.0.0/15', 'blackhole')
  } catch (error) {
    ctx.skip(`needs root and iproute2, to make network namespaces: ${String(error)}`)
  }
}

/** @param sites at most 200 */
export function openStar(ctx: Context, sites: readonly string[]): Star {
  removeLeftovers()
  const own = `${prefix}${process.pid}`
  const hub = `${own}-hub`
  const indexOf = (site: string): number => {
    const index = sites.indexOf(site)
    if (index < 0) throw new Error(`expected one of ${sites.join(', ')}, got ${site}`)
    return index
  }
  const spaceOf = (site: string): string => `${own}-${indexOf(site)}`
  const lineOf = (site: string): string => `line${indexOf(site)}`
  const make = (name: string): void => {
    ip('netns', 'add', name)
    ctx.after(() => removeNamespace(name))
    ip('-n', name, 'link', 'set', 'lo', 'up')
  }
  make(hub)
  ip('netns', 'exec', hub, 'sysctl', '-q', '-w', 'net.ipv4.ip_forward=1')
  for (const [index, site] of sites.entries()) {
    const [space, line, net] = [spaceOf(site), lineOf(site), netOf(index)]
    make(space)
    ip('-n', hub, 'link', 'add', line, 'type', 'veth', 'peer', 'name', 'line', 'netns', space)
    ip('-n', hub, 'address', 'add', `${net}.1/24`, 'dev', line)
    ip('-n', space, 'address', 'add', `${net}.2/24`, 'dev', 'line')
    ip('-n', hub, 'link', 'set', line, 'up')
    ip('-n', space, 'link', 'set', 'line', 'up')
    ip('-n', space, 'route', 'add', 'default', 'via', `${net}.1`)
  }
  const cut = new Set<string>()
  const dropped = new Map<string, readonly string[]>()
  const star: Star = {
    listen: (site) => `/ip4/${netOf(indexOf(site))}.2/tcp/${port}`,
    within: (site) => ['ip', 'netns', 'exec', spaceOf(site)],
    cutLine(site) {
      ip('-n', hub, 'link', 'set', lineOf(site), 'down')
      cut.add(site)
    },
    mendLine(site) {
      if (!cut.delete(site)) return
      ip('-n', hub, 'link', 'set', lineOf(site), 'up')
    },
    drop(from, to) {
      if (dropped.has(`${from} ${to}`)) return
      const rule = ['iif', lineOf(from), 'to', `${netOf(indexOf(to))}.0/24`, 'blackhole']
      ip('-n', hub, 'rule', 'add', ...rule)
      dropped.set(`${from} ${to}`, rule)
    },
    pass(from, to) {
      const rule = dropped.get(`${from} ${to}`)
      if (!rule) return
      ip('-n', hub, 'rule', 'delete', ...rule)
      dropped.delete(`${from} ${to}`)
    },
    mendAll() {
      for (const site of cut) star.mendLine(site)
      for (const pair of dropped.keys()) {
        const [from = '', to = ''] = pair.split(' ')
        star.pass(from, to)
      }
    },
  }
  return star
}

/** A namespace goes when the last process in it has ended; its name goes at once. */
function removeNamespace(name: string): void {
  ip('netns', 'delete', name)
}

/** What a run that was killed could not remove. */
function removeLeftovers(): void {
  for (const line of ip('netns', 'list').split('\n')) {
    const [name = ''] = line.split(' ')
    const pid = name.startsWith(prefix) ? /^\d+/.exec(name.slice(prefix.length))?.[0] : undefined
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue
    try {
      removeNamespace(name)
    } catch {
      // Another run was quicker.
    }
  }
}
