// The lines of a script as the schedulers look at them: where the first command stands, which lines
// are joined by a backslash, how a directive is split into words.

/** The number of the first line that is neither blank nor a comment; 0 = there is none. */
export function firstCommandLine(script: string): number {
  return script.split('\n').findIndex((text) => /^\s*[^\s#]/.test(text)) + 1
}

/** For PBS a line that begins with a colon is no command either. */
export function firstPbsCommandLine(script: string): number {
  return script.split('\n').findIndex(isPbsCommand) + 1
}

export function isPbsCommand(text: string): boolean {
  return /^\s*[^\s#]/.test(text) && !text.startsWith(':')
}

/**
 * Words as sbatch splits them, who knows no empty words; undefined when a quote is not closed.
 */
export function sbatchWords(text: string): string[] | undefined {
  return splitWords(text)?.filter((word) => word !== '')
}

/** Words between blanks, with quotes and backslashes; undefined when a quote is not closed. */
export function splitWords(text: string): string[] | undefined {
  const words: string[] = []
  let word: string | undefined
  let quote = ''
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!
    if (character === '\\') {
      word = (word ?? '') + (text[++at] ?? '')
    } else if (quote !== '') {
      if (character === quote) quote = ''
      else word += character
    } else if (character === '"' || character === "'") {
      quote = character
      word ??= ''
    } else if (character === '#') {
      break
    } else if (/\s/.test(character)) {
      if (word !== undefined) words.push(word)
      word = undefined
    } else {
      word = (word ?? '') + character
    }
  }
  if (quote !== '') return undefined
  if (word !== undefined) words.push(word)
  return words
}

/** A line with those that a backslash at its end joins to it, and how many they are. */
export function continued(
  lines: readonly string[], index: number,
): { readonly text: string; readonly more: number } {
  const parts = [lines[index]!]
  while (parts.at(-1)!.endsWith('\\') && index + parts.length < lines.length) {
    parts.push(lines[index + parts.length]!)
  }
  const more = parts.length - 1
  return { text: parts.map((part, i) => i < more ? part.slice(0, -1) : part).join(''), more }
}
