// The kinds of value a config file may hold, as schemas from what TOML gives (integers as bigint)
// to what the node uses. Each says what it expected and what came; money and sizes without a unit
// are refused.

import { isIPv4, isIPv6 } from 'node:net'
import * as v from 'valibot'
import { parseSiteName } from '../protocol/base/ids.ts'
import type { Outcome } from '../protocol/base/outcome.ts'
import type { SiteName } from '../protocol/base/ids.ts'
import type { Microcredits } from '../protocol/base/units.ts'
import {
  formatBytes, formatCredits, formatDuration, parseBytes, parseCredits, parseDurationSeconds,
} from '../protocol/base/units.ts'

export type Field<T> = v.GenericSchema<unknown, T>

/** `parse` gives the value, or undefined when `input` is not what `expected` says. */
function field<T>(expected: string, parse: (input: unknown) => T | undefined): Field<T> {
  return v.pipe(
    v.unknown(),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      const value = parse(dataset.value)
      if (value !== undefined) return value
      addIssue({ message: `expected ${expected}, got ${describe(dataset.value)}` })
      return NEVER
    }),
  )
}

/** A TOML value as a person would write it, cut short. */
export function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(shorten(value))
  if (typeof value === 'bigint' || typeof value === 'boolean') return String(value)
  if (typeof value === 'number') return Number.isInteger(value) ? `${value}.0` : String(value)
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  if (value === undefined) return 'nothing'
  // TOML has no other objects; no key takes a date.
  return isTable(value) ? 'a table' : 'a date'
}

function shorten(text: string): string {
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

export function isTable(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

function inRange<T extends number | bigint>(value: T, min: T, max: T): T | undefined {
  return value >= min && value <= max ? value : undefined
}

export function siteName(): Field<SiteName> {
  return field('a name of lower-case letters, digits, - and ., such as "site-a.example"', (input) =>
    typeof input === 'string' ? parseSiteName(input) : undefined)
}

/** '' is nobody. */
export function siteOrNobody(): Field<SiteName | ''> {
  return field('the name of a site, such as "c.example", or "" for nobody', (input) =>
    input === '' ? '' : typeof input === 'string' ? parseSiteName(input) : undefined)
}

export function text(expected: string, pattern: RegExp): Field<string> {
  return field(expected, (input) =>
    typeof input === 'string' && pattern.test(input) ? input : undefined)
}

export function word<const Word extends string>(...words: readonly Word[]): Field<Word> {
  const names = words.map((one) => JSON.stringify(one)).join(' or ')
  return field(names, (input) => words.find((one) => one === input))
}

export function integer(range: { readonly min: number; readonly max: number }): Field<number> {
  return field(`a whole number from ${range.min} to ${range.max}`, (input) => {
    if (typeof input === 'number' && !Number.isInteger(input)) return undefined
    if (typeof input !== 'number' && typeof input !== 'bigint') return undefined
    return inRange(Number(input), range.min, range.max)
  })
}

/** Thousandths from a number such as `1.25`. */
export function permille(range: { readonly min: number; readonly max: number }): Field<number> {
  const [least, most] = [range.min / 1_000, range.max / 1_000]
  return field(`a number from ${least} to ${most} with at most 3 decimals`, (input) => {
    if (typeof input !== 'number' && typeof input !== 'bigint') return undefined
    const scaled = Number(input) * 1_000
    const rounded = Math.round(scaled)
    if (!(Math.abs(scaled - rounded) < 1e-6)) return undefined
    return inRange(rounded, range.min, range.max)
  })
}

export function seconds(range: { readonly min: number; readonly max: number }): Field<number> {
  const bounds = `${formatDuration(range.min)} to ${formatDuration(range.max)}`
  return field(`a time with its unit such as "10m" or "1h30m", from ${bounds}`, (input) => {
    const value = typeof input === 'string' ? parseDurationSeconds(input) : undefined
    return value === undefined ? undefined : inRange(value, range.min, range.max)
  })
}

export function milliseconds(range: { readonly min: number; readonly max: number }): Field<number> {
  const bounds = `${formatMilliseconds(range.min)} to ${formatMilliseconds(range.max)}`
  return field(`a time with its unit such as "500ms" or "2s", from ${bounds}`, (input) => {
    if (typeof input !== 'string') return undefined
    const short = /^([0-9]{1,9})\s*ms$/.exec(input.trim())
    const whole = parseDurationSeconds(input)
    const value = short ? Number(short[1]) : whole === undefined ? undefined : whole * 1_000
    return value === undefined ? undefined : inRange(value, range.min, range.max)
  })
}

function formatMilliseconds(value: number): string {
  return value % 1_000 === 0 ? formatDuration(value / 1_000) : `${value}ms`
}

export function bytes(range: { readonly min: number; readonly max: number }): Field<number> {
  const bounds = `${formatBytes(range.min)} to ${formatBytes(range.max)}`
  return field(`a size with its unit such as "4GiB", from ${bounds}`, (input) => {
    const value = typeof input === 'string' ? parseBytes(input) : undefined
    return value === undefined ? undefined : inRange(value, range.min, range.max)
  })
}

/** Money; the unit has to be there, so that nobody takes credits for millionths of them. */
export function credits(max: bigint): Field<Microcredits> {
  return field(`an amount such as "12.5 cr", at most ${formatCredits(max)}`, (input) => {
    if (typeof input !== 'string' || !/cr(edits?)?\s*$/.test(input)) return undefined
    const value = parseCredits(input)
    return value === undefined ? undefined : inRange(value, 0n as Microcredits, max as Microcredits)
  })
}

/** The mode of the socket: for the owner, or for the owner's group as well; never for others. */
export function socketMode(): Field<number> {
  return field('"0600" (owner only) or "0660" (owner and group)', (input) =>
    input === '0600' ? 0o600 : input === '0660' ? 0o660 : undefined)
}

export function absolutePath(): Field<string> {
  return field('an absolute path such as "/etc/slurm/slurm.conf"', (input) =>
    typeof input === 'string' && /^\/[^\u0000]{0,4000}$/.test(input) ? input : undefined)
}

export function absolutePaths(): Field<readonly string[]> {
  return field('a list of absolute paths such as ["/opt/software"]', (input) => {
    if (!Array.isArray(input) || input.length > 64) return undefined
    const list: readonly unknown[] = input
    const fits = list.every((one) => typeof one === 'string' && /^\/[^\u0000]{0,4000}$/.test(one))
    return fits ? (list as readonly string[]) : undefined
  })
}

export interface ListenAddress {
  /** An IP address. */
  readonly host: string
  readonly port: number
}

/** Where a plain TCP service listens, if it does. */
export function listenAddress(): Field<ListenAddress | 'off'> {
  const expected = 'an IP address and a port such as "127.0.0.1:7780" or "[::1]:7780", or "off"'
  return field(expected, (input) => {
    if (input === 'off') return input
    const text = typeof input === 'string' ? input : ''
    const [, six, four = '', digits] = /^(?:\[(.+)\]|([^[\]:]+)):([0-9]{1,5})$/.exec(text) ?? []
    const [host, port] = [six ?? four, Number(digits)]
    const isAddress = six === undefined ? isIPv4(host) : isIPv6(host)
    return isAddress && port <= 65_535 ? { host, port } : undefined
  })
}

export function flag(): Field<boolean> {
  return field('true or false', (input) => (typeof input === 'boolean' ? input : undefined))
}

/** Options for a command; each is handed over as one argument. */
export function argumentList(): Field<readonly string[]> {
  return field('a list of options such as ["--account=grid"]', (input) => {
    if (!Array.isArray(input) || input.length > 64) return undefined
    const list: readonly unknown[] = input
    const fits = list.every((one) =>
      typeof one === 'string' && /^--?[^\u0000\n]{1,1000}$/.test(one))
    return fits ? (list as readonly string[]) : undefined
  })
}

/** A list of texts of one line each. */
export function words(what: string): Field<readonly string[]> {
  return field(`a list of ${what}`, (input) => {
    if (!Array.isArray(input) || input.length > 64) return undefined
    const list: readonly unknown[] = input
    const fits = list.every((one) => typeof one === 'string' && /^[^\u0000\n]{1,1000}$/.test(one))
    return fits ? (list as readonly string[]) : undefined
  })
}

/** TCP multiaddrs. A node listens on an IP address and can announce a name too. */
export function addresses(use: 'listen' | 'announce'): Field<readonly string[]> {
  const examples = use === 'listen'
    ? '"/ip4/0.0.0.0/tcp/7700" or "/ip6/::/tcp/7700"'
    : '"/dns/site-a.example/tcp/7700" or "/ip4/192.0.2.7/tcp/7700"'
  const least = use === 'listen' ? 1 : 0
  return v.pipe(
    v.unknown(),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      const input = dataset.value
      const expected = `expected a list of at most 16 addresses such as ${examples}`
      if (!Array.isArray(input) || input.length < least || input.length > 16) {
        addIssue({ message: `${expected}, got ${describe(input)}` })
        return NEVER
      }
      const list: readonly unknown[] = input
      const wrong = list.find((one) => typeof one !== 'string' || !isAddress(one, use))
      if (wrong === undefined) return input as string[]
      addIssue({ message: `${expected}, got ${describe(wrong)} in the list` })
      return NEVER
    }),
  )
}

function isAddress(text: string, use: 'listen' | 'announce'): boolean {
  const match = /^\/(ip4|ip6|dns|dns4|dns6)\/([^/\s]{1,253})\/tcp\/([0-9]{1,5})$/.exec(text)
  if (!match) return false
  const [, kind, host = '', port] = match
  if (Number(port) > 65_535 || (use === 'announce' && Number(port) === 0)) return false
  if (kind === 'ip4') return isIPv4(host)
  if (kind === 'ip6') return isIPv6(host)
  return use === 'announce' && /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(host)
}

/** A list of lines that `parse` reads one by one. */
export function lines<T>(
  what: string, parse: (line: string) => Outcome<T, { readonly detail: string }>,
): Field<readonly T[]> {
  return v.pipe(
    v.unknown(),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      const input = dataset.value
      if (!Array.isArray(input) || input.length > 10_000) {
        addIssue({ message: `expected a list of ${what}, got ${describe(input)}` })
        return NEVER
      }
      const parsed: T[] = []
      for (const line of input as readonly unknown[]) {
        const read = typeof line === 'string' ? parse(line) : undefined
        if (!read?.ok) {
          const why = read ? read.refusal.detail : `expected ${what}, got ${describe(line)}`
          addIssue({ message: why })
          return NEVER
        }
        parsed.push(read.value)
      }
      return parsed
    }),
  )
}

/** A table of the user's own keys, every value of one kind. */
export function tableOf<T>(
  what: string,
  key: { readonly expected: string; readonly ok: (key: string) => boolean; readonly max: number },
  value: Field<T>,
): Field<readonly (readonly [string, T])[]> {
  return v.pipe(
    v.unknown(),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      const input = dataset.value
      if (!isTable(input)) {
        addIssue({ message: `expected a table of ${what}, got ${describe(input)}` })
        return NEVER
      }
      const keys = Object.keys(input)
      if (keys.length > key.max) {
        addIssue({ message: `expected at most ${key.max} ${what}, got ${keys.length}` })
        return NEVER
      }
      const entries: [string, T][] = []
      let failed = false
      const complain = (name: string, message: string): void => {
        failed = true
        const value = input[name]
        const at = { type: 'object', origin: 'value', input, key: name, value } as const
        addIssue({ message, path: [at] })
      }
      for (const name of keys) {
        if (!key.ok(name)) complain(name, `expected ${key.expected} as the key`)
        const decoded = v.safeParse(value, input[name])
        if (!decoded.success) complain(name, decoded.issues[0].message)
        else entries.push([name, decoded.output])
      }
      return failed ? NEVER : entries
    }),
  )
}

export function attributeValue(): Field<string | number> {
  return field('a text of at most 256 bytes or a whole number from 0', (input) => {
    if (typeof input === 'string') return Buffer.byteLength(input) <= 256 ? input : undefined
    if (typeof input !== 'bigint') return undefined
    return inRange(Number(input), 0, Number.MAX_SAFE_INTEGER)
  })
}
