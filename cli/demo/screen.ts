// How the demo looks: numbered sections, prose in 80 columns, commands as they would be typed, and
// what the commands print. Everything goes to one stream, in order.

import { wrap } from '../command.ts'
import type { Style } from '../output.ts'
import { styleFor } from '../output.ts'
import type { Sink, Terminal } from '../terminal.ts'

export interface Screen {
  readonly style: Style
  /** For commands that print to the demo's own screen. */
  readonly sink: Sink
  /** The section that is shown now: where a failure happened. */
  readonly current: () => string
  section(title: string): Promise<void>
  /** A paragraph. */
  say(text: string): Promise<void>
  line(text?: string): Promise<void>
  /** A command line, as it can be typed in the demo's directory. */
  command(words: readonly string[]): Promise<void>
  /** One thing that was checked, and holds. */
  check(text: string): Promise<void>
}

const width = 80

export function openScreen(terminal: Terminal): Screen {
  const { out } = terminal
  const style = styleFor(out.colours)
  let number = 0
  let current = 'the start'
  const line = (text = ''): Promise<void> => out.write(`${text}\n`)
  return {
    style,
    // Tables stay in 80 columns, also where nobody looks at them now.
    sink: {
      write: (data) => out.write(data),
      tty: out.tty,
      colours: out.colours,
      columns: () => Math.min(width, out.columns()),
    },
    current: () => current,
    section(title) {
      number += 1
      current = `${number}. ${title}`
      const rule = '-'.repeat(Math.max(2, width - 4 - current.length))
      return line(`\n${style.bold(`-- ${current} ${rule}`)}\n`)
    },
    say: (text) => line(wrap(text, width).join('\n')),
    line,
    command: (words) => line(style.cyan(commandText(words))),
    check: (text) => {
      const [first = '', ...more] = wrap(text, width - 4)
      return line(`${style.green('ok')}  ${[first, ...more].join('\n    ')}`)
    },
  }
}

/** `$ gridnode …`, over several lines where one is too short; an option stays with its value. */
export function commandText(words: readonly string[]): string {
  const groups: string[] = []
  let option = false
  for (const word of words) {
    if (option && !word.startsWith('-')) groups.push(`${groups.pop() ?? ''} ${shellWord(word)}`)
    else groups.push(shellWord(word))
    option = word.startsWith('--') && word !== '--' && !option
  }
  const lines: string[] = []
  let line = '$ gridnode'
  for (const group of groups) {
    if (line.length + group.length + 3 > width) {
      lines.push(`${line} \\`)
      line = `    ${group}`
    } else line += ` ${group}`
  }
  return [...lines, line].join('\n')
}

/** As it can be pasted into a shell. */
export function shellWord(text: string): string {
  return /^[A-Za-z0-9_./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
