// How results look: tables that fit the terminal, colours only where they are wanted, and the few
// formats (credits, ages, durations) that all commands share. Text only, no writing.

import { formatCredits } from '../protocol/base/units.ts'
import { formatDuration } from '../protocol/base/units.ts'

export interface Style {
  bold(text: string): string
  dim(text: string): string
  green(text: string): string
  yellow(text: string): string
  red(text: string): string
  cyan(text: string): string
}

export function styleFor(colours: boolean): Style {
  const paint = (open: number, close: number) => (text: string) =>
    colours ? `\u001b[${open}m${text}\u001b[${close}m` : text
  return {
    bold: paint(1, 22),
    dim: paint(2, 22),
    green: paint(32, 39),
    yellow: paint(33, 39),
    red: paint(31, 39),
    cyan: paint(36, 39),
  }
}

export interface Column {
  readonly title: string
  readonly align?: 'right'
  /** Cut with an ellipsis, down to this width, when the table is wider than the terminal. */
  readonly shrinkTo?: number
  /** Applied after the widths are settled. */
  readonly paint?: (text: string, row: number) => string
}

/** A table with a heading; every line ends in a newline. Cells must be one line each. */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  layout: { readonly width: number; readonly style: Style; readonly indent?: number },
): string {
  const clean = rows.map((row) => row.map(printable))
  const indent = ' '.repeat(layout.indent ?? 0)
  const widths = columns.map((column, i) =>
    Math.max(displayWidth(column.title), ...clean.map((row) => displayWidth(row[i] ?? ''))))
  shrink(columns, widths, layout.width - indent.length)
  const line = (cells: readonly string[], paint?: number): string => {
    const parts = columns.map((column, i) => {
      const text = cut(cells[i] ?? '', widths[i]!)
      const pad = ' '.repeat(Math.max(0, widths[i]! - displayWidth(text)))
      const painted = paint === undefined || !column.paint ? text : column.paint(text, paint)
      const last = i === columns.length - 1
      return column.align === 'right' ? pad + painted : last ? painted : painted + pad
    })
    return `${indent}${parts.join('  ').trimEnd()}\n`
  }
  const heading = layout.style.bold(line(columns.map((column) => column.title)).trimEnd())
  return `${heading}\n${clean.map((row, i) => line(row, i)).join('')}`
}

function shrink(columns: readonly Column[], widths: number[], width: number): void {
  const total = (): number => widths.reduce((sum, one) => sum + one, 0) + 2 * (widths.length - 1)
  while (total() > width) {
    let widest = -1
    columns.forEach((column, i) => {
      const room = widths[i]! - (column.shrinkTo ?? widths[i]!)
      if (room > 0 && (widest < 0 || widths[i]! > widths[widest]!)) widest = i
    })
    if (widest < 0) return
    widths[widest]! -= 1
  }
}

/** Controls, and what changes the direction of a line. */
const steering =
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/** Text that came from elsewhere must not steer the terminal. */
export function printable(text: string): string {
  return text.replace(steering, '?')
}

export function cut(text: string, width: number): string {
  if (displayWidth(text) <= width) return text
  return `${[...text].slice(0, Math.max(0, width - 1)).join('')}…`
}

function displayWidth(text: string): number {
  return [...text].length
}

/** Credits of a decimal string of microcredits, which may be negative. */
export function credits(amount: string): string {
  return formatCredits(BigInt(amount)).replace(' cr', '')
}

/** `2m`, `3h10m`; never negative. */
export function age(sinceEpochMs: number, nowEpochMs: number): string {
  return formatDuration(Math.max(0, Math.floor((nowEpochMs - sinceEpochMs) / 1000)))
}

/** `2026-11-20 11:51:43Z` */
export function instant(epochMs: number): string {
  return `${new Date(epochMs).toISOString().slice(0, 19).replace('T', ' ')}Z`
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`
}

/** One document, as --json prints it. */
export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
