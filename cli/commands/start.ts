// `gridnode start`: runs the site in the foreground. The one command that loads the node itself.

import type { Command, Context } from '../command.ts'
import { exitCodes, usageFailure } from '../failure.ts'

export const start: Command = {
  usage: ['[options]'],
  about:
    'Runs the site of the data directory until SIGTERM or Ctrl-C, and then stops in good order; ' +
    'jobs that run go on and are found again at the next start. The log goes to stderr, as JSON ' +
    'lines unless that is a terminal. When the site is up, one line on stdout says so.',
  options: {},
  examples: [
    ['gridnode start', 'the site in ~/.gridnode'],
    ['gridnode start --dir /srv/grid 2>> /var/log/gridnode.log', 'with its log in a file'],
  ],
  notes: 'Exit codes: 0 stopped when asked to, 1 could not start or could not go on.',
  run: runStart,
}

async function runStart(context: Context): Promise<number> {
  const { args, directory, json, terminal } = context
  if (args.words.length > 0) throw usageFailure(`expected no words, got ${args.words.join(' ')}`)
  const ended = Promise.withResolvers<number>()
  const undo = terminal.onStop(() => ended.resolve(exitCodes.done))
  try {
    const { start: startNode } = await import('../../node/start.ts')
    const node = await startNode({
      directory,
      onFatal: () => ended.resolve(exitCodes.failed),
    })
    const { site, socketPath, addresses } = node
    await terminal.out.write(json
      ? `${JSON.stringify({ site, pid: process.pid, socket: socketPath, addresses })}\n`
      : `site ${site} is up at ${addresses.join(', ')}\n`)
    const code = await ended.promise
    await node.stop()
    return code
  } finally {
    undo()
  }
}
