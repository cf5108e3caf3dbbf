// `gridnode help`: the list of commands, the help of one, or a page on a subject.

import type { Command, Context } from '../command.ts'
import { helpText } from '../command.ts'
import { commandTable } from '../command-table.ts'
import { exitCodes, usageFailure } from '../failure.ts'
import { helpPages } from '../help-pages.ts'
import { nearest } from '../../protocol/base/nearest.ts'
import { jsonText } from '../output.ts'

export const help: Command = {
  usage: ['[COMMAND | SUBJECT]'],
  about: 'Without a word: the commands and subjects. With one: all about it.',
  options: {},
  examples: [
    ['gridnode help submit', 'how to hand in a job'],
    ['gridnode help directives', 'what a script can ask for'],
  ],
  run: runHelp,
}

async function runHelp(context: Context): Promise<number> {
  const { args, terminal, json } = context
  const [word, ...more] = args.words
  if (more.length > 0) {
    throw usageFailure(`expected one command or subject, got ${args.words.length}`)
  }
  if (word === undefined) {
    const names = Object.entries(commandTable).map(([name, { summary }]) => ({ name, summary }))
    await terminal.out.write(json ? jsonText(names) : overview(context))
    return exitCodes.done
  }
  const entry = Object.hasOwn(commandTable, word) ? commandTable[word] : undefined
  const page = word === 'demo' ? { text: (await import('../demo.ts')).demoHelp }
    : Object.hasOwn(helpPages, word) ? helpPages[word] : undefined
  if (!entry && !page) {
    const near = nearest(word, [...Object.keys(commandTable), ...Object.keys(helpPages)])
    const hint = near === undefined ? '' : ` Did you mean '${near}'?`
    throw usageFailure(`there is no help on '${word}'.${hint} 'gridnode help' lists the subjects.`)
  }
  const text = entry ? helpText(word, await entry.load()) : page!.text
  await terminal.out.write(json ? jsonText({ text }) : text)
  return exitCodes.done
}

function overview(context: Context): string {
  const { style } = context
  const groups = new Map<string, string[]>()
  for (const [name, { group, summary }] of Object.entries(commandTable)) {
    const lines = groups.get(group) ?? []
    groups.set(group, [...lines, `  ${name.padEnd(10)} ${summary}`])
  }
  const subjects = Object.entries(helpPages).map(([name, { summary }]) =>
    `  ${name.padEnd(12)} ${summary}`)
  const parts = [
    'gridnode: batch jobs over many clusters, with no master.\n\n' +
      'Usage: gridnode COMMAND [options]',
    ...[...groups].map(([group, lines]) => `${style.bold(group)}\n${lines.join('\n')}`),
    `${style.bold('Subjects')}\n${subjects.join('\n')}`,
    "'gridnode help COMMAND' or 'gridnode COMMAND --help' shows options and examples.\n" +
      "New here? 'gridnode demo' runs a federation of three sites on this machine.",
  ]
  return `${parts.join('\n\n')}\n`
}
