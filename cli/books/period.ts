// A period as a person names it: a month, or days with the last one included, all UTC.

import type { Period } from '../../protocol/rules/invoice.ts'
import { usageFailure } from '../failure.ts'

export interface NamedPeriod extends Period {
  /** `2026-03`, `2026-03-01..2026-03-14`, or `all`. */
  readonly name: string
}

const dayMs = 86_400_000

/** Everything that a log can hold. */
export const allTime: NamedPeriod = {
  name: 'all', fromEpochMs: 0, untilEpochMs: Number.MAX_SAFE_INTEGER,
}

/** Throws a usage failure that says what was expected. */
export function parsePeriod(text: string | undefined): NamedPeriod {
  if (text === undefined) return allTime
  const month = /^([0-9]{4})-([0-9]{2})$/.exec(text)
  if (month) {
    const [year, number] = [Number(month[1]), Number(month[2])]
    if (year >= 1970 && number >= 1 && number <= 12) {
      const [fromEpochMs, untilEpochMs] = [
        Date.UTC(year, number - 1, 1), Date.UTC(year, number, 1),
      ]
      return { name: text, fromEpochMs, untilEpochMs }
    }
  }
  const [first, last, more] = text.split('..')
  const [fromEpochMs, lastEpochMs] = [parseDay(first), parseDay(last)]
  if (fromEpochMs !== undefined && lastEpochMs !== undefined && more === undefined) {
    if (lastEpochMs < fromEpochMs) {
      throw usageFailure(`--period: ${last} is before ${first}; expected the earlier day first`)
    }
    return { name: text, fromEpochMs, untilEpochMs: lastEpochMs + dayMs }
  }
  throw usageFailure('--period: expected a month such as 2026-03 or days such as ' +
    `2026-03-01..2026-03-14, got '${text}'`)
}

/** The first millisecond of a day that exists. */
export function parseDay(text: string | undefined): number | undefined {
  const parts = /^([0-9]{4})-([0-9]{2})-([0-9]{2})$/.exec(text ?? '')
  if (!parts) return undefined
  const [year = 0, month = 0, day = 0] = parts.slice(1).map(Number)
  const epochMs = Date.UTC(year, month - 1, day)
  return year >= 1970 && new Date(epochMs).toISOString().startsWith(text ?? '')
    ? epochMs : undefined
}

/** `2026-03-01 to 2026-03-31`, the last day included. */
export function periodText({ name, fromEpochMs, untilEpochMs }: NamedPeriod): string {
  if (name === allTime.name) return 'all of the ledger'
  const day = (epochMs: number): string => new Date(epochMs).toISOString().slice(0, 10)
  return `${day(fromEpochMs)} to ${day(untilEpochMs - 1)}`
}
