// `gridnode verify`: checks exported ledgers, without node or network. The checking is in
// cli/verify/.

import { resolve } from 'node:path'
import { formatDuration } from '../../protocol/base/units.ts'
import type { Command, Context } from '../command.ts'
import { exitCodes, usageFailure } from '../failure.ts'
import { bar, liveLine } from '../progress.ts'
import { readDocumentFiles } from '../verify/document-files.ts'
import type { LogFiles } from '../verify/log-files.ts'
import { findLogs } from '../verify/log-files.ts'
import { reportText } from '../verify/report-text.ts'
import type { Progress, VerifyReport } from '../verify/verify.ts'
import { verifyExitCode, verifyLogs } from '../verify/verify.ts'

export const verify: Command = {
  usage: ['[options] DIR...'],
  about:
    "Checks ledgers written by 'gridnode ledger export': every signature, number, sum and hash " +
    'of each, and all of them against one another. DIR is a ledger, or holds several.',
  options: {
    documents: {
      kind: 'list', value: 'FILE', help: 'private documents that open what the ledgers commit to',
    },
    all: { kind: 'flag', help: 'every fault and open hold, also faults that follow from others' },
  },
  examples: [
    ['gridnode verify a-ledger b-ledger', 'two sites against each other'],
    ['gridnode verify ledgers/', 'all ledgers in a directory'],
  ],
  notes: 'Exit codes: 0 all holds, 1 something does not hold, 2 an input is no ledger.',
  run: runVerify,
}

const findingsMax = 1_000
const findingsMaxWithAll = 100_000

async function runVerify(context: Context): Promise<number> {
  const { args, terminal } = context
  if (args.words.length === 0) throw usageFailure('expected at least one directory with a ledger')
  const find = () => findLogs(args.words.map((word) => resolve(terminal.cwd, word)))
  const documents = args.list('documents').map((path) => resolve(terminal.cwd, path))
  return checkLogs(context, find, { all: args.flag('all'), documents })
}

/**
 * Verifies logs wherever they come from, tells what was found, and gives the exit code. `judge` has
 * the last word on what counts.
 */
export async function checkLogs(
  context: Context,
  find: (signal: AbortSignal) => Promise<readonly LogFiles[]>,
  options: {
    readonly judge?: (report: VerifyReport) => VerifyReport
    readonly all?: boolean
    /** Files of private documents. */
    readonly documents?: readonly string[]
  } = {},
): Promise<number> {
  const { terminal, json } = context
  const { judge = (report) => report, all = false, documents = [] } = options
  const line = liveLine(terminal.err, () => terminal.nowEpochMs())
  const stop = new AbortController()
  const undo = terminal.onInterrupt(() => stop.abort(new Error('interrupted')))
  const sinceEpochMs = terminal.nowEpochMs()
  try {
    const inputs = await find(stop.signal)
    const report = judge(await verifyLogs(inputs, {
      signal: stop.signal,
      findingsMax: all ? findingsMaxWithAll : findingsMax,
      ...(documents.length > 0 && { documents: await readDocumentFiles(documents, stop.signal) }),
      onProgress: (at) => line.show(progressText(at, terminal.nowEpochMs() - sinceEpochMs)),
    }))
    line.clear()
    await terminal.out.write(json ? reportJson(report) : reportText(context, report, all))
    return verifyExitCode(report)
  } catch (error) {
    line.clear()
    if (stop.signal.aborted) return exitCodes.interrupted
    throw error
  } finally {
    undo()
  }
}

/** `[###---] 1200 of 4000 entries, 9500/s, 3s left  path` */
function progressText({ path, entries, of }: Progress, spentMs: number): string {
  const perSecond = spentMs > 0 ? Math.floor((entries * 1_000) / spentMs) : 0
  const secondsLeft = perSecond > 0 ? Math.ceil((of - entries) / perSecond) : 0
  const left = perSecond > 0 ? `, ${formatDuration(secondsLeft)} left` : ''
  return `${bar(entries, of, 26)} ${entries} of ${of} entries, ${perSecond}/s${left}  ${path}`
}

/** Amounts as decimal strings of microcredits, like everywhere in JSON. */
function reportJson(report: VerifyReport): string {
  const plain = (_: string, value: unknown): unknown =>
    typeof value === 'bigint' ? String(value) : value
  return `${JSON.stringify(report, plain, 2)}\n`
}
