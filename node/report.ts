// The structured log: JSON lines on stderr, or readable lines when stderr is a terminal.
//
// Invariants: one event is one line of at most `lineBytesMax`; what could be a secret never leaves
// (by the field's name, by its value, or because `conceal` named it); a line that exceeds the rate,
// or that the reader of stderr does not take, is left out and counted, and nothing here ever waits
// or throws.

import { clock } from './clock.ts'

export type Level = 'debug' | 'info' | 'warn' | 'error'
export type Fields = Readonly<Record<string, unknown>>

export interface Report {
  log(level: Level, text: string, fields?: Fields): void
  debug(text: string, fields?: Fields): void
  info(text: string, fields?: Fields): void
  warn(text: string, fields?: Fields): void
  error(text: string, fields?: Fields): void
  /** The same log with these fields on every line, such as `{ part: 'net' }`. */
  with(fields: Fields): Report
  /** From now on `secret` is shown as `[secret]` wherever it occurs. */
  conceal(secret: string): void
  /** Lines by level, and `left_out`. */
  counters(): Readonly<Record<string, number>>
}

/** What a report writes to: `process.stderr`, or a test's array. */
export interface Sink {
  write(line: string): unknown
  /** Bytes that wait to be taken. */
  readonly writableLength?: number
}

export interface ReportOptions {
  readonly sink: Sink
  readonly level: Level
  /** Lines for people instead of JSON. */
  readonly readable: boolean
  readonly linesPerSecondMax: number
  /** Epoch ms; the node's clock when left out. */
  readonly now?: () => number
}

const order: Readonly<Record<Level, number>> = { debug: 0, info: 1, warn: 2, error: 3 }
const lineBytesMax = 16 * 1024
const textBytesMax = 2 * 1024
const depthMax = 4
const membersMax = 64
/** Of the sink: beyond it nobody reads, and memory is not the place to keep lines. */
const waitingBytesMax = 4 * 1024 * 1024
const concealedMax = 64
const secretName = /secret|seed|private|password|passphrase|token|credential|authorization/i
const joinToken = /gridnode-join-v1\.[A-Za-z0-9_-]+/g

export function createReport(options: ReportOptions): Report {
  const now = options.now ?? (() => clock.now())
  const concealed: string[] = []
  const counts = { debug: 0, info: 0, warn: 0, error: 0, left_out: 0 }
  const bucket = { tokens: options.linesPerSecondMax, filledEpochMs: now(), leftOut: 0 }

  const refill = (epochMs: number): void => {
    const elapsedMs = Math.max(0, Math.min(1_000, epochMs - bucket.filledEpochMs))
    bucket.filledEpochMs = epochMs
    const earned = (elapsedMs * options.linesPerSecondMax) / 1_000
    bucket.tokens = Math.min(options.linesPerSecondMax, bucket.tokens + earned)
  }
  const write = (epochMs: number, level: Level, text: string, fields: Fields): void => {
    const shown = plain(fields, concealed, 0) as Fields
    const format = options.readable ? readableLine : jsonLine
    const line = format(epochMs, level, hide(cut(text), concealed), shown)
    try {
      options.sink.write(line)
    } catch {
      counts.left_out += 1
    }
  }
  const log = (level: Level, text: string, fields: Fields): void => {
    if (order[level] < order[options.level]) return
    counts[level] += 1
    const epochMs = now()
    refill(epochMs)
    if (bucket.tokens < 1 || (options.sink.writableLength ?? 0) > waitingBytesMax) {
      bucket.leftOut += 1
      counts.left_out += 1
      return
    }
    if (bucket.leftOut > 0) {
      write(epochMs, 'warn', 'log lines were left out', { lines: bucket.leftOut })
      bucket.leftOut = 0
    }
    bucket.tokens -= 1
    write(epochMs, level, text, fields)
  }
  const wrap = (own: Fields): Report => ({
    log: (level, text, fields = {}) => log(level, text, { ...own, ...fields }),
    debug: (text, fields = {}) => log('debug', text, { ...own, ...fields }),
    info: (text, fields = {}) => log('info', text, { ...own, ...fields }),
    warn: (text, fields = {}) => log('warn', text, { ...own, ...fields }),
    error: (text, fields = {}) => log('error', text, { ...own, ...fields }),
    with: (fields) => wrap({ ...own, ...fields }),
    conceal(secret) {
      if (secret.length >= 8 && concealed.length < concealedMax) concealed.push(secret)
    },
    counters: () => ({ ...counts }),
  })
  return wrap({})
}

/** The log of a running node. */
export function stderrReport(options: {
  readonly level: Level
  readonly linesPerSecondMax: number
}): Report {
  // A reader that has gone must not end the node.
  process.stderr.on('error', () => {})
  return createReport({
    ...options,
    sink: process.stderr,
    readable: process.stderr.isTTY,
  })
}

function jsonLine(epochMs: number, level: Level, text: string, fields: Fields): string {
  const at = isoTime(epochMs)
  const line = JSON.stringify({ at, level, text, ...renamed(fields) })
  if (Buffer.byteLength(line) <= lineBytesMax) return `${line}\n`
  return `${JSON.stringify({ at, level, text, fields: 'too long' })}\n`
}

/** The line's own keys win over fields of the same name. */
function renamed(fields: Fields): Fields {
  const own = ['at', 'level', 'text']
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [own.includes(key) ? `${key}_` : key, value]),
  )
}

function readableLine(epochMs: number, level: Level, text: string, fields: Fields): string {
  const parts = Object.entries(fields).map(([key, value]) => {
    const shown = typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
    return `${key}=${/^[^\s"=]+$/.test(shown) ? shown : JSON.stringify(shown)}`
  })
  const mark = level === 'info' ? '' : `${level}: `
  const line = [isoTime(epochMs).slice(11, 23), mark + text, ...parts].join(' ')
  const safe = line.replace(/[\u0000-\u001f\u007f-\u009f]/g, ' ')
  return `${safe.length > lineBytesMax ? `${safe.slice(0, lineBytesMax)}...` : safe}\n`
}

/** A value that can be written: bounded, without secrets, with bigints and bytes as text. */
function plain(value: unknown, concealed: readonly string[], depth: number): unknown {
  if (value === null || typeof value === 'boolean' || value === undefined) return value
  if (typeof value === 'string') return hide(cut(value), concealed)
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value)
  if (typeof value === 'bigint') return value.toString()
  if (typeof value !== 'object') return `[${typeof value}]`
  if (value instanceof Uint8Array) return `[${value.length} bytes]`
  if (depth >= depthMax) return '[...]'
  const inner = (one: unknown): unknown => plain(one, concealed, depth + 1)
  if (value instanceof Error) return plainError(value, inner)
  if (Array.isArray(value)) return value.slice(0, membersMax).map(inner)
  if (value instanceof Set) return [...value].slice(0, membersMax).map(inner)
  const entries = value instanceof Map
    ? [...value].map(([key, one]) => [String(key), one] as const)
    : Object.entries(value)
  return Object.fromEntries(
    entries.slice(0, membersMax).map(([key, one]) =>
      [key, secretName.test(key) ? '[secret]' : inner(one)]),
  )
}

function plainError(error: Error, inner: (value: unknown) => unknown): Fields {
  const code = (error as { code?: unknown }).code
  return {
    message: inner(error.message),
    ...(code === undefined ? {} : { code: inner(code) }),
    ...(error.cause === undefined ? {} : { cause: inner(error.cause) }),
    // Where it happened; the message is not repeated.
    at: inner(error.stack?.split('\n').slice(1, 6).map((line) => line.trim()).join(' < ') ?? ''),
  }
}

function cut(text: string): string {
  return text.length <= textBytesMax ? text : `${text.slice(0, textBytesMax)}...`
}

function hide(text: string, concealed: readonly string[]): string {
  let shown = text.replace(joinToken, '[secret]')
  for (const secret of concealed) shown = shown.replaceAll(secret, '[secret]')
  return shown
}

/** `2026-11-20T12:04:31.123Z`; years 1970 to 9999 (days to a civil date after Howard Hinnant). */
export function isoTime(epochMs: number): string {
  const pad = (value: number, digits = 2): string => String(value).padStart(digits, '0')
  const dayMs = 86_400_000
  const days = Math.floor(epochMs / dayMs) + 719_468
  const ms = epochMs - Math.floor(epochMs / dayMs) * dayMs
  const era = Math.floor(days / 146_097)
  const dayOfEra = days - era * 146_097
  const leaps = Math.floor(dayOfEra / 1_460) - Math.floor(dayOfEra / 36_524)
    + Math.floor(dayOfEra / 146_096)
  const yearOfEra = Math.floor((dayOfEra - leaps) / 365)
  const dayOfYear = dayOfEra
    - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153)
  const day = dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  const [hours, minutes] = [Math.floor(ms / 3_600_000), Math.floor(ms / 60_000) % 60]
  const seconds = `${pad(Math.floor(ms / 1_000) % 60)}.${pad(Math.floor(ms) % 1_000, 3)}`
  return `${pad(year, 4)}-${pad(month)}-${pad(day)}T${pad(hours)}:${pad(minutes)}:${seconds}Z`
}
