// Splits TypeScript source into code, comments, strings, templates and regular expressions, without
// a parser, so that the rules of tidy.test.ts look at code only. Positions are kept: what is masked
// becomes blanks, line breaks stay. Where a slash could be either, the token before it decides.

export type PieceKind = 'comment' | 'string' | 'template' | 'regex'

export interface Piece {
  readonly kind: PieceKind
  readonly start: number
  /** One past the last character. */
  readonly end: number
}

export interface Import {
  readonly specifier: string
  readonly line: number
  /** `import(…)`, which loads only when it is reached. */
  readonly dynamic: boolean
}

/** What is no code, in order. The `${…}` of a template is code and lies between two pieces. */
export function pieces(source: string): Piece[] {
  const found: Piece[] = []
  const braces: ('block' | 'template')[] = []
  let last = ''
  let at = 0
  const take = (kind: PieceKind, end: number): void => {
    found.push({ kind, start: at, end })
    if (kind !== 'comment') last = kind === 'template' ? '`' : '"'
    at = end
  }
  while (at < source.length) {
    const char = source[at] ?? ''
    const next = source[at + 1]
    if (char === '/' && next === '/') take('comment', orEnd(source, source.indexOf('\n', at)))
    else if (at === 0 && char === '#' && next === '!') take('comment', source.indexOf('\n'))
    else if (char === '/' && next === '*') take('comment', blockEnd(source, at))
    else if (char === "'" || char === '"') take('string', stringEnd(source, at))
    else if (char === '/' && regexMayFollow(last)) take('regex', regexEnd(source, at))
    else if (char === '`' || (char === '}' && braces.at(-1) === 'template')) {
      if (char === '}') braces.pop()
      const end = templateEnd(source, at + 1)
      if (source[end - 1] === '{') braces.push('template')
      take('template', end)
      if (source[end - 1] === '{') last = '{'
    } else {
      if (char === '{') braces.push('block')
      if (char === '}') braces.pop()
      const word = /[\w$]+/y
      word.lastIndex = at
      const token = word.exec(source)?.[0] ?? char
      if (/\S/.test(token)) last = token
      at += token.length
    }
  }
  return found
}

/** The source with every piece of the kinds blanked out. Quotes stay, what is between them goes. */
export function masked(source: string, kinds: readonly PieceKind[]): string {
  let result = ''
  let at = 0
  for (const piece of pieces(source)) {
    if (!kinds.includes(piece.kind)) continue
    const inner = piece.kind === 'comment' ? 0 : 1
    const text = source.slice(piece.start + inner, piece.end - inner)
    result += source.slice(at, piece.start + inner) + text.replace(/[^\n]/g, ' ')
    at = Math.max(piece.start + inner, piece.end - inner)
  }
  return result + source.slice(at)
}

/** Code alone: comments, strings, templates and regular expressions are blank. */
export function codeOf(source: string): string {
  return masked(source, ['comment', 'string', 'template', 'regex'])
}

const importForms = [
  /(?<![.\w$])import\s+(?:[\w$*{}\s,]+?\s*from\s*)?(['"])/g,
  /(?<![.\w$])export\s+(?:type\s+)?(?:\*(?:\s+as\s+[\w$]+)?|\{[\w$\s,]*\})\s*from\s*(['"])/g,
  /(?<![.\w$])(?:import|require)\s*\(\s*(['"`])/g,
]

/** Every module that the source names: imports, re-exports, `import()`. */
export function importsOf(source: string): Import[] {
  const code = codeOf(source)
  return importForms.flatMap((form, index) => [...code.matchAll(form)].map((match) => {
    const start = match.index + match[0].length
    const end = code.indexOf(match[1] ?? "'", start)
    return {
      specifier: source.slice(start, end),
      line: lineAt(source, match.index),
      dynamic: index === 2,
    }
  })).toSorted((left, right) => left.line - right.line)
}

export function lineAt(source: string, position: number): number {
  return source.slice(0, position).split('\n').length
}

function orEnd(source: string, position: number): number {
  return position < 0 ? source.length : position
}

function blockEnd(source: string, at: number): number {
  const end = source.indexOf('*/', at + 2)
  return end < 0 ? source.length : end + 2
}

function stringEnd(source: string, at: number): number {
  const quote = source[at]
  for (let end = at + 1; end < source.length; end += 1) {
    if (source[end] === '\\') end += 1
    else if (source[end] === quote) return end + 1
    else if (source[end] === '\n') return end
  }
  return source.length
}

/** Up to and with the closing backtick, or the `${` that opens code. */
function templateEnd(source: string, at: number): number {
  for (let end = at; end < source.length; end += 1) {
    if (source[end] === '\\') end += 1
    else if (source[end] === '`') return end + 1
    else if (source[end] === '$' && source[end + 1] === '{') return end + 2
  }
  return source.length
}

function regexEnd(source: string, at: number): number {
  let inClass = false
  for (let end = at + 1; end < source.length; end += 1) {
    const char = source[end]
    if (char === '\\') end += 1
    else if (char === '[') inClass = true
    else if (char === ']') inClass = false
    else if (char === '\n') return at + 1
    else if (char === '/' && !inClass) {
      const flags = /[a-z]*/y
      flags.lastIndex = end + 1
      return end + 1 + (flags.exec(source)?.[0].length ?? 0)
    }
  }
  return at + 1
}

const beforeRegex = new Set(['return', 'typeof', 'case', 'in', 'of', 'delete', 'void', 'throw',
  'new', 'else', 'do', 'yield', 'await', 'default', ''])

/** After a value a slash divides; after anything else it opens a regular expression. */
function regexMayFollow(last: string): boolean {
  return beforeRegex.has(last) || !/^[\w$)\]"'`]/.test(last)
}
