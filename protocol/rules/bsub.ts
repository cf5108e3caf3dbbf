// An LSF script (`#BSUB`) and the words of a bsub command line, read as bsub reads them: `# BSUB`
// with any blanks, followed by an option, on any line of the script; all lines one list, which a
// word that belongs to no option ends; a word that begins with # ends its line. A value may be
// joined to its option. The command line counts over the script, of -n, -W, -M and their like the
// first; several -R are merged.

import { resolveLsf } from './bsub-resources.ts'
import { treatLsfOption } from './bsub-options.ts'
import type { Ask, DialectInput, OptionWord, Reading } from './dialect.ts'
import { faultOf, firstWins, ignore, newReading, unknownOption, writtenAs } from './dialect.ts'
import { continued } from './script-lines.ts'

/** Options of bsub 10.1; those with a value have a colon. */
const options: ReadonlyMap<string, boolean> = new Map(
  ('a: alloc_flags: app: ar B b: C: c: clusters: cn_cu: cn_mem: core_isolation: csm: cwd: D: ' +
    'data: datagrp: datachk E: Ep: e: env: eo: eptl: F: f: freq: G: g: gpu: H h hl hostfile: I ' +
    'IS ISp ISs IX Ip Is i: is: J: Jd: jobaff: jsm: json: K k: L: Lp: ln_mem: ln_slots: M: m: ' +
    'mig: N Ne n: network: nnodes: notify: o: oo: outdir: P: p: pack: ptl: Q: q: R: r rcacct: ' +
    'rn rnc: S: s: sla: smt: sp: stage: step_cgroup: T: t: ti tty U: u: ul v: V W: We: w: wa: ' +
    'wt: XF x yaml: Zs')
    .split(' ').map((word) => [word.replace(':', ''), word.endsWith(':')] as const),
)

/** The longest first, as `-oofile` is -oo. */
const byLength = [...options.keys()].toSorted((a, b) => b.length - a.length || (a < b ? -1 : 1))

const ofNodes = /^(n|R|M|gpu|x|hl)$/

export function readLsf(input: DialectInput): Reading {
  const reading = newReading()
  const command = input.args === undefined ? [] : commandAsks(reading, input.args)
  const script = input.script === undefined ? [] : scriptAsks(reading, input.script)
  const isList = (name: string): boolean => /^(R|f|a)$/.test(name)
  // bsub takes the script's options only where its command line was silent.
  const said = new Set(command.filter(({ name }) => !isList(name)).map(({ name }) => name))
  const silent = script.filter((ask) => {
    if (said.has(ask.name)) ignore(reading, ask, 'the command line says otherwise, and counts')
    return !said.has(ask.name)
  })
  const nodes: Ask[] = []
  for (const ask of firstWins(reading, [...command, ...silent], isList)) {
    if (ofNodes.test(ask.name)) nodes.push(ask)
    else treatLsfOption(reading, ask)
  }
  resolveLsf(reading, nodes)
  return reading
}

function scriptAsks(reading: Reading, script: string): Ask[] {
  const words: OptionWord[] = []
  const lines = script.split('\n')
  for (let index = 0; index < lines.length; index++) {
    const line = index + 1
    const first = lines[index]!
    // Only a line that begins with # and names BSUB goes on after a backslash.
    const goesOn = first.startsWith('#') && first.includes('BSUB')
    const { text, more } = goesOn ? continued(lines, index) : { text: first, more: 0 }
    index += more
    const match = /^\s*#\s*BSUB\s*(?=-)/.exec(text)
    if (!match) continue
    for (const word of lsfWords(text.slice(match[0].length))) words.push({ text: word, line })
  }
  return readWords(reading, words).asks
}

function commandAsks(reading: Reading, args: readonly string[]): Ask[] {
  const { asks, rest } = readWords(reading, args.map((text) => ({ text, line: 0 })))
  reading.operands = rest.map(({ text }) => text)
  return asks
}

/** Words between blanks; one that begins with a quote goes on to the next; # ends the line. */
function lsfWords(text: string): string[] {
  const words: string[] = []
  const last = { '"': text.lastIndexOf('"'), "'": text.lastIndexOf("'") }
  let at = 0
  while (at < text.length) {
    if (/\s/.test(text[at]!)) {
      at++
      continue
    }
    if (text[at] === '#') break
    let end = at
    while (end < text.length && !/[\s"']/.test(text[end]!)) end++
    const quote = text[end]
    const opens = (quote === '"' || quote === "'") && end < last[quote] &&
      (end === at || (text[at] === '-' && /[A-Za-z_]/.test(text[end - 1]!)))
    if (opens) {
      const close = text.indexOf(quote, end + 1)
      words.push(text.slice(at, end) + text.slice(end + 1, close))
      at = close + 1
    } else {
      while (end < text.length && !/\s/.test(text[end]!)) end++
      words.push(text.slice(at, end))
      at = end
    }
  }
  return words
}

function readWords(
  reading: Reading, words: readonly OptionWord[],
): { asks: Ask[]; rest: readonly OptionWord[] } {
  const asks: Ask[] = []
  for (let at = 0; at < words.length; at++) {
    const { text, line } = words[at]!
    if (!/^-./.test(text)) {
      if (line > 0) strayWord(reading, words.slice(at))
      return { asks, rest: words.slice(at) }
    }
    if (text === '--') return { asks, rest: words.slice(at + 1) }
    const word = text.slice(1)
    const exact = options.has(word)
    const name = exact ? word : byLength.find((one) => word.startsWith(one) && options.get(one))
    const written = writtenAs('#BSUB', line, name === undefined ? text : `-${name}`)
    if (name === undefined) {
      const known = [...options.keys()].map((one) => `-${one}`)
      unknownOption(reading, { line, written }, text, known)
      // Whatever follows may be its value.
      if (words[at + 1]?.line === line && !words[at + 1]!.text.startsWith('-')) at++
      continue
    }
    if (options.get(name) === false) {
      asks.push({ name, value: '', line, written })
      continue
    }
    const value = exact ? words[++at]?.text : word.slice(name.length)
    if (value !== undefined) asks.push({ name, value, line, written })
    else faultOf(reading, { line, written }, 'missing_value', 'a value is missing')
  }
  return { asks, rest: [] }
}

/** bsub stops reading there, without a word. */
function strayWord(reading: Reading, rest: readonly OptionWord[]): void {
  const [first, ...others] = rest
  const { line, text } = first!
  if (!others.some((word) => word.text.startsWith('-'))) {
    reading.ignored.push({ line, option: '#BSUB', why: `'${text}' belongs to no option` })
    return
  }
  const detail = `'${text}' belongs to no option: bsub would read none of the options after it`
  faultOf(reading, { line, written: '#BSUB' }, 'stray_word', detail)
}
