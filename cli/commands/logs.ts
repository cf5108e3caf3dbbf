// `gridnode logs`: what tasks write, as it appears.

import type { JobDetail } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import type { Command, Context } from '../command.ts'
import { CommandFailure, exitCodes, failure, usageFailure } from '../failure.ts'
import { homeOf, unlessUnknown } from '../job-home.ts'
import { jobName } from '../job-word.ts'
import { plural, printable } from '../output.ts'

export const logs: Command = {
  usage: ['[options] JOB'],
  about:
    'Prints the standard output of a job, byte for byte. Of an array, name the task; without ' +
    '--task the tasks that have started are printed one after the other, each with a heading.',
  options: {
    task: { kind: 'value', short: 't', value: 'N', help: 'this task of an array' },
    stream: { kind: 'value', short: 's', value: 'NAME', help: 'stdout (default) or stderr' },
    follow: { kind: 'flag', short: 'f', help: 'go on until the task has ended' },
  },
  examples: [
    ['gridnode logs 3f2a --follow', 'watch it'],
    ['gridnode logs 3f2a --task 7 --stream stderr', 'why task 7 failed'],
  ],
  notes: 'With --json each piece is one line: {"task":7,"stream":"stdout","text":"..."}.',
  run: runLogs,
}

interface Wanted {
  readonly job: string
  readonly stream: string
  readonly follow: boolean
}

async function runLogs(asked: Context): Promise<number> {
  const { args, terminal } = asked
  const [word, ...more] = args.words
  if (more.length > 0) throw usageFailure(`expected one job, got ${args.words.length}`)
  const name = jobName(word)
  const stream = args.value('stream') ?? 'stdout'
  if (stream !== 'stdout' && stream !== 'stderr') {
    throw usageFailure(`--stream: expected stdout or stderr, got '${stream}'`)
  }
  const task = args.value('task') ?? name.tasks
  if (task !== undefined && !/^[0-9]{1,9}$/.test(task)) {
    throw usageFailure(`--task: expected a task's number, got '${task}'`)
  }
  const follow = args.flag('follow')
  if (task !== undefined && name.site === undefined) {
    const here = await unlessUnknown(oneTask(asked, { job: name.id, stream, follow }, Number(task)))
    if (!(here instanceof CommandFailure)) return here
  }
  const { context, detail, site } = await homeOf(asked, word)
  const wanted = { job: site === '' ? name.id : detail.job, stream, follow }
  if (task !== undefined) return oneTask(context, wanted, Number(task))
  const tasks = detail.taskRows.map((row) => row.task).toSorted((a, b) => a - b)
  if (detail.tasks.total === 1) {
    if (tasks.length === 0) throw notStarted(detail)
    return oneTask(context, wanted, tasks[0]!)
  }
  if (wanted.follow) {
    throw usageFailure(
      `job ${detail.job} has ${plural(detail.tasks.total, 'task')}; say which to follow: --task N`,
    )
  }
  if (tasks.length === 0) throw notStarted(detail)
  for (const [index, one] of tasks.entries()) {
    if (!context.json) {
      await terminal.out.write(`${index === 0 ? '' : '\n'}==> task ${one} <==\n`)
    }
    await oneTask(context, wanted, one)
  }
  return exitCodes.done
}

function notStarted(detail: JobDetail): Error {
  return failure('not_started', `no task of ${detail.job} has started: ${printable(detail.note)}`)
}

async function oneTask(context: Context, wanted: Wanted, task: number): Promise<number> {
  const { terminal, json } = context
  const stop = new AbortController()
  const undo = terminal.onInterrupt(() => stop.abort(new Error('interrupted')))
  const query = { task, stream: wanted.stream, follow: wanted.follow ? 1 : 0 }
  // Text may be cut anywhere: a piece of a character waits for its rest.
  const decoder = new TextDecoder()
  const writeText = async (text: string): Promise<void> => {
    if (text === '') return
    await terminal.out.write(`${JSON.stringify({ task, stream: wanted.stream, text })}\n`)
  }
  try {
    const pieces = context.client().bytes(apiPaths.log(wanted.job), query, stop.signal)
    for await (const piece of pieces) {
      if (json) await writeText(decoder.decode(piece, { stream: true }))
      else await terminal.out.write(piece)
    }
    if (json) await writeText(decoder.decode())
    return exitCodes.done
  } catch (error) {
    if (stop.signal.aborted) return exitCodes.interrupted
    throw error
  } finally {
    undo()
  }
}
