// How the real commands read their words: getopt(3) of short options, and the dashed words of LSF
// and HTCondor. A word that the real command does not know is refused, as it would be.

export interface Options {
  /** In order; the value is '' for an option without one. */
  readonly given: readonly { readonly name: string; readonly value: string }[]
  readonly operands: readonly string[]
  /** What getopt prints of the first word it does not take; undefined when it took all. */
  readonly fault: string | undefined
}

/** `letters` as for getopt(3): `ab:` means -a, and -b with a value. Options may follow operands. */
export function getopt(program: string, letters: string, words: readonly string[]): Options {
  const given: { name: string; value: string }[] = []
  const operands: string[] = []
  const queue = [...words]
  while (queue.length > 0) {
    const word = queue.shift() ?? ''
    if (word === '--') {
      operands.push(...queue)
      break
    }
    if (!word.startsWith('-') || word === '-') {
      operands.push(word)
      continue
    }
    let rest = word.slice(1)
    while (rest !== '') {
      const letter = rest.charAt(0)
      rest = rest.slice(1)
      const at = letter === ':' ? -1 : letters.indexOf(letter)
      if (at < 0) {
        return { given, operands, fault: `${program}: invalid option -- '${letter}'\n` }
      }
      if (letters.charAt(at + 1) !== ':') {
        given.push({ name: letter, value: '' })
        continue
      }
      const value = rest === '' ? queue.shift() : rest
      if (value === undefined) {
        const fault = `${program}: option requires an argument -- '${letter}'\n`
        return { given, operands, fault }
      }
      given.push({ name: letter, value })
      rest = ''
    }
  }
  return { given, operands, fault: undefined }
}

/** Options that are whole words, such as `-json`; `known` says which take a value. */
export function dashed(
  known: Readonly<Record<string, 'flag' | 'value'>>,
  words: readonly string[],
): Options {
  const given: { name: string; value: string }[] = []
  const operands: string[] = []
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? ''
    if (!word.startsWith('-') || word === '-') {
      operands.push(word)
      continue
    }
    const kind = known[word]
    if (kind === undefined) return { given, operands, fault: word }
    if (kind === 'flag') {
      given.push({ name: word, value: '' })
      continue
    }
    const value = words[++at]
    if (value === undefined) return { given, operands, fault: word }
    given.push({ name: word, value })
  }
  return { given, operands, fault: undefined }
}

export function valueOf(options: Options, name: string): string | undefined {
  return options.given.findLast((option) => option.name === name)?.value
}

export function has(options: Options, name: string): boolean {
  return options.given.some((option) => option.name === name)
}
