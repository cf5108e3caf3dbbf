// The house rules that a machine can keep, as one pure function: path and source in, sentences out.
// tidy.test.ts runs it over the tree and shows each rule to fail on a planted snippet.

import { posix } from 'node:path'
import { importViolations, rulesInOrder } from './import-rules.ts'
import { codeOf, lineAt, masked, pieces } from './source-text.ts'

const linesMax = 500
const columnsMax = 100
const headLinesMax = 12

interface Pattern {
  readonly pattern: RegExp
  readonly message: string
  /** Path prefixes the rule holds for; everywhere if left out. */
  readonly only?: readonly string[]
  /** Path prefixes it does not hold for. */
  readonly not?: readonly string[]
}

const chanceDoors = ['node/entropy.ts', 'node/identity.ts']

/** Held against code alone: comments, strings, templates and regular expressions are blank. */
const codePatterns: readonly Pattern[] = [
  {
    pattern: /(?<![.\w$])class\b(?!\s*[:(?])/g,
    message: 'no classes in protocol/: data and functions',
    only: ['protocol/'],
    not: ['protocol/base/assert.ts'],
  },
  ...pure(/(?<![.\w$])this\b/g, 'no this in protocol/'),
  ...pure(/(?<![.\w$])(async|await)\b/g, 'protocol/ is synchronous'),
  ...pure(/(?<![.\w$])(Promise|setTimeout|setInterval|setImmediate|queueMicrotask)\b/g,
    'protocol/ is synchronous'),
  ...pure(/(?<![.\w$])(Date|performance|Temporal)\b/g, 'time comes into protocol/ with the event'),
  ...pure(/(?<![.\w$])(process|globalThis|console|fetch|crypto)\b(?!\s*[:?])/g,
    'protocol/ knows nothing of the world'),
  ...pure(/\.(sort|toSorted)\(\s*\)/g, 'sort with a comparator: order reaches the wire'),
  ...pure(/(?<![\w$.])(\d[\d_]*\.\d[\d_]*|\d[\d_]*\.(?![\w.])|\.\d+|\d[\d_]*[eE]-\d+)/g,
    'no floats in what is signed or decided'),
  ...pure(/\b(parseFloat|Float(16|32|64)Array)\b/g, 'no floats in what is signed or decided'),
  ...pure(/\bMath\.(?!(floor|ceil|trunc|round|min|max|abs|sign)\b)\w+/g,
    'no floats in what is signed or decided'),
  {
    pattern: /\.localeCompare\b|\.toLocale\w+\(|(?<![.\w$])Intl\b/g,
    message: 'order and text must not depend on the locale',
    only: ['protocol/', 'node/'],
  },
  {
    pattern: /\bMath\.random\b/g,
    message: 'chance comes from node/entropy.ts; in tests from a seed that is printed',
    not: chanceDoors,
  },
  {
    pattern: /(?<![.\w$])crypto\.(randomUUID|getRandomValues|subtle)\b/g,
    message: 'chance comes from node/entropy.ts',
    only: ['node/', 'cli/'],
    not: chanceDoors,
  },
  {
    pattern: new RegExp([
      /(?<![.\w$])(setTimeout|setInterval|setImmediate)\(/,
      /\bDate\.now\b/,
      /\bnew Date\(\s*\)/,
      /(?<![.\w$])performance\.\w/,
      /\bprocess\.(hrtime|uptime)\b/,
      /\bAbortSignal\.timeout\b/,
    ].map((part) => part.source).join('|'), 'g'),
    message: 'time comes from node/clock.ts',
    only: ['node/'],
    not: ['node/clock.ts', 'node/http/web/'],
  },
  { pattern: /(?<![.\w$])export\s+default\b/g, message: 'named exports only' },
  { pattern: /(?<![.\w$])export\s*\*/g, message: 'no barrels: export what this file defines' },
  {
    pattern: /(?:\bas|[:<|&,]|=>)\s*any\b(?!\s*[(:.?])/g,
    message: 'no any: parse at the edge into a type that cannot be wrong',
  },
  { pattern: /;[ \t]*$/gm, message: 'no semicolons at the end of a line' },
]

function pure(pattern: RegExp, message: string): Pattern[] {
  return [{ pattern, message, only: ['protocol/'] }]
}

/** Held against comments alone. */
const commentPatterns: readonly Pattern[] = [
  { pattern: /@ts-(ignore|nocheck)\b/g, message: 'mend the type instead of silencing it' },
  {
    pattern: /@ts-expect-error\b/g,
    message: 'mend the type instead of silencing it; only tests may claim that a type is refused',
    not: ['test/'],
  },
  { pattern: /\b(TODO|FIXME|HACK|XXX)\b/g, message: 'finish it: nothing here is left for later' },
]

// Spelt in parts, so that this file itself passes.
const registryWords = ['regi' + 'stry', 'npm' + 'js', 'yarn' + 'pkg'].join('|')
const machineFolders = ['wo' + 'rk', 'ro' + 'ot'].join('|')

/** Held against the text of every tracked file. */
const textPatterns: readonly Pattern[] = [
  {
    pattern: new RegExp(`https?://[\\w.-]*(${registryWords})`, 'gi'),
    message: 'names the host of a package registry',
  },
  {
    pattern: new RegExp(`(?<![\\w.~-])/(${machineFolders})/\\w`, 'g'),
    message: 'names a path of one machine',
  },
  { pattern: /^(<{7}|>{7}) /gm, message: 'holds a merge conflict' },
]

const bannedNames = new Set([
  'util', 'utils', 'helper', 'helpers', 'common', 'types', 'index', 'misc',
])
const kebab = /^[a-z0-9]+(-[a-z0-9]+)*(\.(test|d))?(\.[a-z0-9]+)?$/

/** What breaks a house rule in one tracked file; one sentence each, led by path and line. */
export function violations(path: string, source: string): string[] {
  const found = [...nameViolations(path), ...against(textPatterns, path, source, source)]
  if (posix.basename(path) === 'package-lock.json') found.push(...lockViolations(path, source))
  if (!path.endsWith('.ts')) return found
  const comments = masked(source, ['string', 'template', 'regex'])
  return [
    ...found,
    ...shapeViolations(path, source),
    ...importViolations(path, source),
    ...against(codePatterns, path, codeOf(source), source),
    ...against(commentPatterns, path, commentsOf(source), comments),
    ...quoteViolations(path, source),
  ]
}

function against(
  patterns: readonly Pattern[], path: string, text: string, source: string,
): string[] {
  const starts = (prefixes: readonly string[]): boolean =>
    prefixes.some((prefix) => path.startsWith(prefix))
  return patterns
    .filter(({ only, not }) => (only === undefined || starts(only)) && !starts(not ?? []))
    .flatMap(({ pattern, message }) => [...text.matchAll(pattern)].map((match) =>
      `${path}:${lineAt(source, match.index)}: ${message} (${match[0].trim()})`))
}

function nameViolations(path: string): string[] {
  const found: string[] = []
  const name = posix.basename(path)
  const stem = name.replace(/\..*$/, '')
  const inTree = /^(protocol|node|cli|test)\//.test(path) && !path.startsWith('test/fixtures/')
  if (inTree && !path.split('/').every((part) => kebab.test(part))) {
    found.push(`${path}: file and folder names are kebab-case`)
  }
  if (path.endsWith('.ts') && bannedNames.has(stem)) {
    found.push(`${path}: name the file for the thing it decides, not '${stem}'`)
  }
  if (/^protocol\/rules\/[^/]*\.ts$/.test(path) && !rulesInOrder.includes(stem)) {
    found.push(`${path}: add '${stem}' to the walk in test/import-rules.ts, where it belongs`)
  }
  return found
}

function shapeViolations(path: string, source: string): string[] {
  const found: string[] = []
  const lines = source.replace(/\n$/, '').split('\n')
  if (lines.length > linesMax) found.push(`${path}: ${lines.length} lines, ${linesMax} are allowed`)
  lines.forEach((line, index) => {
    const where = `${path}:${index + 1}`
    const columns = [...line].length
    if (columns > columnsMax) found.push(`${where}: ${columns} columns, ${columnsMax} are allowed`)
    if (/[ \t]$/.test(line)) found.push(`${where}: blanks at the end of the line`)
    if (line.includes('\t')) found.push(`${where}: indent with two spaces, not tabs`)
  })
  const head = /^(#!.*\n)?((\/\/.*\n)+|\/\*[^]*?\*\/)/.exec(source)?.[0]
  if (head === undefined) found.push(`${path}:1: a file opens by saying what it is`)
  else if (headLines(head) > headLinesMax) {
    found.push(`${path}:1: the opening comment has at most ${headLinesMax} lines`)
  }
  if (!source.endsWith('\n')) found.push(`${path}: the last line has no end`)
  return found
}

/** Comments in place, everything else blank. */
function commentsOf(source: string): string {
  const comments = pieces(source).filter((piece) => piece.kind === 'comment')
  let result = ''
  for (const { start, end } of comments) {
    result += source.slice(result.length, start).replace(/[^\n]/g, ' ') + source.slice(start, end)
  }
  return result
}

function quoteViolations(path: string, source: string): string[] {
  return pieces(source)
    .filter(({ kind, start }) => kind === 'string' && source[start] === '"')
    .filter(({ start, end }) => !source.slice(start, end).includes("'"))
    .map(({ start }) => `${path}:${lineAt(source, start)}: single quotes`)
}

function lockViolations(path: string, source: string): string[] {
  const count = [...source.matchAll(/"resolved"\s*:\s*"(?!file:)/g)].length
  if (count === 0) return []
  return [`${path}: ${count} 'resolved' addresses of packages, which bind everybody to one server`]
}

/** Lines of an opening comment, up to the rules of docs/PROTOCOL.md that it may go on to list. */
function headLines(head: string): number {
  return (head.split(/^.*\[[A-Z]+-\d/m)[0] ?? '').trim().split('\n').length
}
