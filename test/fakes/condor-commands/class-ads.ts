// ClassAd expressions as far as submit files and constraints of a driver use them: literals,
// attributes (perhaps after MY.), time(), parentheses, ! - + * < <= > >= == != =?= =!= && ||, with
// HTCondor's third truth value, undefined.

export type Value = number | string | boolean | undefined
export type Ad = Readonly<Record<string, Value>>

const tokenPattern = new RegExp([
  String.raw`\s*(?:(\d+(?:\.\d+)?)`, String.raw`"((?:[^"\\]|\\.)*)"`, String.raw`([A-Za-z_][\w.]*)`,
  String.raw`(=\?=|=!=|[=!<>]=|&&|\|\||[-+*<>!()]))`,
].join('|'), 'y')

type Token =
  | { readonly kind: 'value'; readonly value: Value }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'sign'; readonly sign: string }

function tokensOf(text: string): Token[] {
  const tokens: Token[] = []
  const pattern = new RegExp(tokenPattern)
  while (text.slice(pattern.lastIndex).trim() !== '') {
    const from = pattern.lastIndex
    const match = pattern.exec(text)
    if (!match) throw new Error(`Parse error of expression at ${text.slice(from)}`)
    const [, number, words, name, sign] = match
    if (number !== undefined) tokens.push({ kind: 'value', value: Number(number) })
    else if (words !== undefined) {
      tokens.push({ kind: 'value', value: words.replaceAll(/\\(.)/g, '$1') })
    } else if (name !== undefined) tokens.push({ kind: 'name', name })
    else tokens.push({ kind: 'sign', sign: sign ?? '' })
  }
  return tokens
}

/** Lowest first. */
const levels = [
  ['||'], ['&&'], ['==', '!=', '=?=', '=!='], ['<', '<=', '>', '>='], ['+', '-'], ['*'],
]

/** @throws Error when it is no expression */
export function evaluate(text: string, ad: Ad): Value {
  const tokens = tokensOf(text)
  let at = 0
  const isSign = (...signs: readonly string[]): string | undefined => {
    const token = tokens[at]
    return token?.kind === 'sign' && signs.includes(token.sign) ? token.sign : undefined
  }
  const demand = (sign: string): void => {
    if (!isSign(sign)) throw new Error(`Parse error of expression: expected ${sign} in ${text}`)
    at++
  }
  const primary = (): Value => {
    const sign = isSign('!', '-', '(')
    if (sign !== undefined) {
      at++
      if (sign === '(') {
        const value = binary(0)
        demand(')')
        return value
      }
      const value = primary()
      if (value === undefined) return undefined
      return sign === '!' ? !value : -Number(value)
    }
    const token = tokens[at++]
    if (token?.kind === 'value') return token.value
    if (token?.kind !== 'name') throw new Error(`Parse error of expression ${text}`)
    const name = token.name.toLowerCase().replace(/^my\./, '')
    if (name === 'true' || name === 'false') return name === 'true'
    if (name === 'undefined') return undefined
    if (name === 'time') {
      demand('(')
      demand(')')
      return Math.floor(Date.now() / 1000)
    }
    return Object.entries(ad).find(([key]) => key.toLowerCase() === name)?.[1]
  }
  const binary = (level: number): Value => {
    const signs = levels[level]
    if (!signs) return primary()
    let left = binary(level + 1)
    for (let sign = isSign(...signs); sign !== undefined; sign = isSign(...signs)) {
      at++
      left = combine(sign, left, binary(level + 1))
    }
    return left
  }
  const value = binary(0)
  if (at < tokens.length) throw new Error(`Parse error of expression ${text}`)
  return value
}

function combine(sign: string, a: Value, b: Value): Value {
  switch (sign) {
    case '=?=': return a === b
    case '=!=': return a !== b
    case '&&':
      if (a === false || b === false) return false
      return a === undefined || b === undefined ? undefined : Boolean(a) && Boolean(b)
    case '||':
      if (a === true || b === true) return true
      return a === undefined || b === undefined ? undefined : Boolean(a) || Boolean(b)
    default:
  }
  if (a === undefined || b === undefined) return undefined
  switch (sign) {
    // Strings compare without regard to case.
    case '==': return same(a) === same(b)
    case '!=': return same(a) !== same(b)
    case '<': return a < b
    case '<=': return a <= b
    case '>': return a > b
    case '>=': return a >= b
    case '+': return Number(a) + Number(b)
    case '-': return Number(a) - Number(b)
    default: return Number(a) * Number(b)
  }
}

function same(value: Value): Value {
  return typeof value === 'string' ? value.toLowerCase() : value
}

/** JSON as the tools print it: one ad after another in a list, two spaces deep. */
export function adsText(ads: readonly Ad[]): string {
  if (ads.length === 0) return ''
  const shown = ads.map((ad) => {
    const lines = Object.entries(ad).filter(([, value]) => value !== undefined)
      .map(([name, value]) => `  ${JSON.stringify(name)}: ${JSON.stringify(value)}`)
    return `{\n${lines.join(',\n')}\n}\n`
  })
  return `[\n${shown.join(',\n')}]\n`
}
