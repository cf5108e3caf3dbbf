// `gridnode peek`: the files of a task while it runs.

import { fromBase64 } from '../../protocol/base/crypto.ts'
import { formatBytes } from '../../protocol/base/units.ts'
import type { Command, Context } from '../command.ts'
import { exitCodes, failure, usageFailure } from '../failure.ts'
import type { JobHome } from '../job-home.ts'
import { askTask, homeOf } from '../job-home.ts'
import { age, jsonText, table } from '../output.ts'
import { taskMeant } from '../task-meant.ts'

export const peek: Command = {
  usage: ['[options] JOB [PATH]'],
  about:
    'Looks into the directory of a task that runs: lists it, or a directory in it, or prints a ' +
    'file as far as it is written. Links are not followed.',
  options: {
    task: { kind: 'value', short: 't', value: 'N', help: 'this task of an array' },
    follow: { kind: 'flag', short: 'f', help: 'go on printing until the task has ended' },
  },
  examples: [
    ['gridnode peek 3f2a', 'what is there'],
    ['gridnode peek 3f2a result/part-1.csv >part-1.csv', 'bring one file'],
  ],
  run: runPeek,
}

type Seen =
  | { readonly kind: 'file'; readonly bytes: string; readonly size: number }
  | { readonly kind: 'directory'; readonly entries: string }

interface Entry {
  readonly name: string
  readonly kind: string
  readonly sizeBytes: number
  readonly modifiedEpochMs: number
}

const followMs = 500

async function runPeek(context: Context): Promise<number> {
  const { args, terminal, json } = context
  const [word, path = '', ...more] = args.words
  if (more.length > 0) {
    throw usageFailure(`expected a job and a path, got ${args.words.length} words`)
  }
  const home = await homeOf(context, word)
  const task = taskMeant(home, args.value('task'))
  const clean = path.replace(/^\.?\/+/, '').replace(/\/+$/, '')
  const seen = await look(context, home, { task, path: clean, offset: 0 })
  if (seen.kind === 'directory') {
    const entries = JSON.parse(seen.entries) as Entry[]
    await terminal.out.write(json ? jsonText(entries) : listText(context, entries))
    return exitCodes.done
  }
  return printFile(context, home, { task, path: clean, first: seen })
}

function look(
  context: Context, home: JobHome,
  args: { readonly task: number; readonly path: string; readonly offset: number },
): Promise<Seen> {
  return askTask<Seen>(context, home, { verb: 'peek', args })
}

async function printFile(
  context: Context, home: JobHome,
  { task, path, first }: { task: number; path: string; first: Extract<Seen, { kind: 'file' }> },
): Promise<number> {
  const { args, terminal } = context
  let seen: Seen = first
  for (let offset = 0; ;) {
    if (seen.kind !== 'file') throw failure('conflict', `${path} is a directory now`)
    const bytes = fromBase64(seen.bytes) ?? new Uint8Array()
    offset += bytes.length
    if (bytes.length > 0) await terminal.out.write(bytes)
    const isAll = bytes.length === 0 || offset >= seen.size
    if (isAll && !args.flag('follow')) return exitCodes.done
    if (isAll) {
      await terminal.sleep(followMs)
      const { state } = await home.look()
      if (!['active', 'waiting', 'auctioning'].includes(state)) return exitCodes.done
    }
    seen = await look(context, home, { task, path, offset })
  }
}

function listText({ terminal, style }: Context, entries: readonly Entry[]): string {
  if (entries.length === 0) return 'nothing is there yet\n'
  const now = terminal.nowEpochMs()
  return table([{ title: 'SIZE', align: 'right' }, { title: 'CHANGED' }, { title: 'NAME' }],
    entries.map((entry) => [
      entry.kind === 'file' ? formatBytes(entry.sizeBytes) : '',
      `${age(entry.modifiedEpochMs, now)} ago`,
      entry.name + (entry.kind === 'directory' ? '/' : ''),
    ]), { width: terminal.out.columns(), style })
}
