// Where each key of a TOML text stands, for errors that name a line. The text has been parsed
// before by a real parser, so this only has to find keys in valid TOML: tables, arrays of tables,
// dotted and quoted keys, and statements whose values span lines. Keys inside an inline table are
// at their statement's line.

export interface TomlLines {
  /**
   * 1-based line of the key or of the nearest thing above it that has a line; 1 when nothing has.
   */
  lineOf(path: readonly string[]): number
}

export function tomlLines(text: string): TomlLines {
  const lines = new Map<string, number>()
  const note = (path: readonly string[], line: number): void => {
    for (let length = 1; length <= path.length; length++) {
      const key = JSON.stringify(path.slice(0, length))
      if (!lines.has(key)) lines.set(key, line)
    }
  }
  let table: string[] = []
  for (const statement of statements(text)) {
    const header = /^\[\[?(.*?)\]?\]\s*(#.*)?$/s.exec(statement.text)
    if (header && !isAssignment(statement.text)) {
      table = keyPath(header[1] ?? '').path
      note(table, statement.line)
      lines.set(JSON.stringify(table), statement.line)
    } else {
      note([...table, ...keyPath(statement.text).path], statement.line)
    }
  }
  return {
    lineOf(path) {
      for (let length = path.length; length > 0; length--) {
        const line = lines.get(JSON.stringify(path.slice(0, length)))
        if (line !== undefined) return line
      }
      return 1
    },
  }
}

function isAssignment(text: string): boolean {
  return !text.startsWith('[')
}

/** A dotted key at the start of `text`: bare, "basic" or 'literal' parts. */
function keyPath(text: string): { path: string[] } {
  const path: string[] = []
  let rest = text.trimStart()
  for (;;) {
    const part = /^(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*/.exec(rest)
    if (!part) return { path }
    path.push(part[1] !== undefined ? unescape(part[1]) : (part[2] ?? part[3] ?? ''))
    rest = rest.slice(part[0].length)
    if (!rest.startsWith('.')) return { path }
    rest = rest.slice(1).trimStart()
  }
}

function unescape(quoted: string): string {
  try {
    return String(JSON.parse(`"${quoted}"`))
  } catch {
    return quoted
  }
}

interface Statement {
  readonly line: number
  readonly text: string
}

/**
 * Headers and assignments, each with the line it starts on; comments and blank lines are left out.
 */
function* statements(text: string): Iterable<Statement> {
  let line = 1
  let at = 0
  while (at < text.length) {
    const end = statementEnd(text, at)
    const piece = text.slice(at, end)
    const trimmed = piece.trim()
    if (trimmed !== '' && !trimmed.startsWith('#')) yield { line, text: trimmed }
    line += piece.split('\n').length
    at = end + 1
  }
}

/**
 * The newline that ends the statement at `from`: not within a string, a list or an inline table.
 */
function statementEnd(text: string, from: number): number {
  let depth = 0
  let at = from
  while (at < text.length) {
    const char = text[at]
    if (char === '#') at = until(text, at, '\n') - 1
    else if (char === '"' || char === "'") at = stringEnd(text, at) - 1
    else if (char === '[' || char === '{') depth++
    else if (char === ']' || char === '}') depth--
    else if (char === '\n' && depth <= 0) return at
    at++
  }
  return text.length
}

function until(text: string, from: number, what: string): number {
  const found = text.indexOf(what, from)
  return found < 0 ? text.length : found
}

/** Just after the string that opens at `from`. */
function stringEnd(text: string, from: number): number {
  const quote = text[from]!
  const fence = text.startsWith(quote.repeat(3), from) ? quote.repeat(3) : quote
  let at = from + fence.length
  while (at < text.length) {
    if (quote === '"' && text[at] === '\\') at += 2
    else if (text.startsWith(fence, at)) {
      at += fence.length
      // A multi-line string may end in one or two quotes of its own.
      while (fence.length === 3 && text[at] === quote) at++
      return at
    } else at++
  }
  return text.length
}
