// `gridnode exec` and `gridnode shell`: a process of one's own beside a task that runs.

import { fromBase64, toBase64 } from '../../protocol/base/crypto.ts'
import type { Exec } from '../../protocol/rules/request.ts'
import type { OptionTable } from '../arguments.ts'
import type { Command, Context } from '../command.ts'
import { exitCodes, usageFailure } from '../failure.ts'
import type { JobHome } from '../job-home.ts'
import { askTask, homeOf } from '../job-home.ts'
import { taskMeant } from '../task-meant.ts'
import { freshNonce } from '../user-key.ts'

const task: OptionTable = {
  task: { kind: 'value', short: 't', value: 'N', help: 'this task of an array' },
}

export const exec: Command = {
  usage: ['[options] JOB -- COMMAND [ARG...]'],
  about:
    'Runs a command where a task runs: in its directory, with its environment, inside what the ' +
    "scheduler gave it. Its output comes as one; its exit code is this command's.",
  options: {
    ...task,
    input: { kind: 'flag', short: 'i', help: 'hand on what is piped in here' },
  },
  examples: [
    ['gridnode exec 3f2a -- ps ax', 'what it is doing'],
    ['gridnode exec 3f2a --task 7 -- kill -USR1 42', 'in task 7'],
  ],
  run: runExec,
}

export const shell: Command = {
  usage: ['[options] JOB'],
  about:
    'Opens a shell on a terminal where a task runs, until it is left (exit, Ctrl-D) or the task ' +
    'ends. Keys go there, Ctrl-C too.',
  options: task,
  examples: [['gridnode shell 3f2a', 'look around']],
  run: runShell,
}

async function runExec(context: Context): Promise<number> {
  const { words, rest = [] } = context.args
  const [word, ...more] = words
  if (more.length > 0 || rest.length === 0) {
    throw usageFailure("expected a job, '--' and a command, such as 3f2a -- ps ax")
  }
  const home = await homeOf(context, word)
  const number = taskMeant(home, context.args.value('task'))
  const isFed = context.args.flag('input')
  return converse(context, home, { task: number, command: rest, terminal: 0, isFed })
}

async function runShell(context: Context): Promise<number> {
  const { args, terminal } = context
  const [word, ...more] = args.words
  if (more.length > 0) throw usageFailure(`expected one job, got ${args.words.length} words`)
  const home = await homeOf(context, word)
  const number = taskMeant(home, args.value('task'))
  const isTyped = terminal.keyboard?.tty === true
  terminal.keyboard?.raw(isTyped)
  try {
    return await converse(context, home, {
      task: number, command: ['/bin/sh', '-i'], terminal: 1, isFed: true,
    })
  } finally {
    terminal.keyboard?.raw(false)
  }
}

interface Wanted {
  readonly task: number
  readonly command: readonly string[]
  readonly terminal: 0 | 1
  readonly isFed: boolean
}

interface Said {
  readonly bytes: string
  /** Bytes of input that have arrived. */
  readonly taken: number
  readonly over: number
  readonly code: number
}

const inputBytesMax = 48 * 1024
/** Ctrl-D. */
const endOfInput = Buffer.from([4])

/**
 * Asks again and again; each question brings what was typed since, and waits a moment for output:
 * of a terminal so short a one that nobody who types notices.
 */
async function converse(context: Context, home: JobHome, wanted: Wanted): Promise<number> {
  const { terminal } = context
  const session = freshNonce()
  const keyboard = wanted.isFed ? terminal.keyboard : undefined
  let typed = Buffer.alloc(0)
  let isEnd = keyboard === undefined
  const undo = keyboard?.onBytes((bytes) => {
    typed = Buffer.concat([typed, bytes])
  }, () => {
    // On a terminal the end is a key: a shell reads what was typed before it.
    if (wanted.terminal === 1) typed = Buffer.concat([typed, endOfInput])
    else isEnd = true
  })
  let [offset, before, isFirst] = [0, 0, true]
  const ask = (input: Uint8Array, at: number): Promise<Said> => {
    const asked: Exec = {
      session, task: wanted.task, command: isFirst ? [...wanted.command] : [],
      terminal: wanted.terminal, rows: keyboard?.rows() ?? 0, columns: keyboard?.columns() ?? 0,
      input: toBase64(input), before,
      end: isEnd && input.length === typed.length ? 1 : 0,
    }
    const args = { offset: at }
    return askTask<Said>(context, home, { verb: 'exec', wish: { exec: asked }, args })
  }
  try {
    for (;;) {
      const input = typed.subarray(0, inputBytesMax)
      const said = await ask(input, offset)
      isFirst = false
      const taken = Math.max(0, said.taken - before)
      before += taken
      typed = typed.subarray(taken)
      const bytes = fromBase64(said.bytes) ?? new Uint8Array()
      offset += bytes.length
      if (bytes.length > 0) await terminal.out.write(bytes)
      if (said.over === 1) return said.code === 0 ? exitCodes.done : said.code
    }
  } finally {
    undo?.()
  }
}
