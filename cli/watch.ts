// What `--wait` shows: each thing that happens to a job as one plain line, or in one live line on
// a terminal. Ctrl-C ends the watching, never the job. A node that is restarted meanwhile is
// waited for.

import type { JobDetail, JobEvent, JobSummary, WhyAnswer } from '../node/http/api.ts'
import { apiPaths } from '../node/http/api.ts'
import { formatBytes, formatDuration } from '../protocol/base/units.ts'
import type { Context } from './command.ts'
import { wrap } from './command.ts'
import { CommandFailure, exitCodes } from './failure.ts'
import { fetchResults } from './fetch-results.ts'
import { endedText, failedTasksText } from './job-text.ts'
import { credits, plural, printable } from './output.ts'
import type { LiveLine } from './progress.ts'
import { bar, liveLine, transferText } from './progress.ts'
import type { Terminal } from './terminal.ts'
import { bidText } from './why-text.ts'

export interface Watch {
  readonly job: string
  readonly fetchInto: string | undefined
  /** With --json: whether the first line says what was submitted. */
  readonly announce: boolean
  readonly quiet: boolean
}

const returnSecondsMax = 300
const retryEveryMs = 1_000
/** Of one state, in plain lines. */
const newsEveryMs = 2_000

/** Gives the job's exit code. */
export async function watchJob(context: Context, watch: Watch): Promise<number> {
  const { terminal, json } = context
  const interrupted = new AbortController()
  const undo = terminal.onInterrupt(() => interrupted.abort(new Error('interrupted')))
  const line = liveLine(terminal.err, () => terminal.nowEpochMs())
  const showing: Showing = {
    watch, line, said: new Map(), startedEpochMs: terminal.nowEpochMs(), status: undefined,
    saidState: '', saidStateEpochMs: 0,
  }
  const stopped = new AbortController()
  if (json && watch.announce) {
    await terminal.out.write(`${JSON.stringify({ kind: 'submitted', job: watch.job })}\n`)
  }
  try {
    void keepTime(context, showing, stopped.signal)
    const summary = await follow(context, showing, interrupted.signal)
    stopped.abort()
    line.clear()
    undo()
    return await finish(context, watch, summary)
  } catch (error) {
    line.clear()
    if (!interrupted.signal.aborted) throw error
    await terminal.err.write(
      `${terminal.err.tty ? '\n' : ''}job ${watch.job} keeps running. Next:\n` +
        `  ${context.suggest('status', watch.job)}   its state\n` +
        `  ${context.suggest('logs', watch.job)}     its output\n` +
        `  ${context.suggest('fetch', watch.job)}    its results, when it is done\n` +
        `  ${context.suggest('cancel', watch.job)}   end it\n`,
    )
    return exitCodes.interrupted
  } finally {
    stopped.abort()
    undo()
  }
}

interface Showing {
  readonly watch: Watch
  readonly line: LiveLine
  /** What was said last about each subject, so that nothing is said twice. */
  readonly said: Map<string, string>
  readonly startedEpochMs: number
  /** The live line without its time; undefined until the first state is known. */
  status: string | undefined
  saidState: string
  saidStateEpochMs: number
}

/** The time in the live line goes on while nothing happens. */
async function keepTime(context: Context, showing: Showing, signal: AbortSignal): Promise<void> {
  const { terminal, json } = context
  if (!terminal.err.tty || json || showing.watch.quiet) return
  try {
    for (;;) {
      await terminal.sleep(1_000, signal)
      showStatus(context, showing)
    }
  } catch {
    // The watching has ended.
  }
}

function showStatus({ terminal }: Context, showing: Showing): void {
  if (showing.status === undefined) return
  const time = formatDuration(elapsedSeconds(terminal, showing))
  showing.line.show(`${showing.status}, ${time}`, true)
}

function elapsedSeconds(terminal: Terminal, { startedEpochMs }: Showing): number {
  return Math.max(0, Math.floor((terminal.nowEpochMs() - startedEpochMs) / 1_000))
}

/** Follows the events to the last one, over restarts of the node. */
async function follow(
  context: Context,
  showing: Showing,
  signal: AbortSignal,
): Promise<JobSummary> {
  const { terminal, json } = context
  const { watch, line } = showing
  let lostEpochMs: number | undefined
  for (;;) {
    let loss: unknown = new Error(`the node does not say how job ${watch.job} ended`)
    try {
      const events = context.client().lines<JobEvent>(apiPaths.events(watch.job), {}, signal)
      for await (const event of events) {
        lostEpochMs = undefined
        if (json) await terminal.out.write(`${JSON.stringify(event)}\n`)
        else if (!watch.quiet) await showEvent(context, event, showing)
        if (event.kind === 'end') return event.summary
      }
    } catch (error) {
      if (signal.aborted || !isLoss(error)) throw error
      loss = error
    }
    const now = terminal.nowEpochMs()
    if (lostEpochMs === undefined && !json && !watch.quiet) {
      line.print('the node is gone; waiting for it to come back (the job is kept)')
    }
    lostEpochMs ??= now
    if (now - lostEpochMs > returnSecondsMax * 1_000) throw loss
    await terminal.sleep(retryEveryMs, signal)
  }
}

function isLoss(error: unknown): boolean {
  return error instanceof CommandFailure && error.exitCode === exitCodes.unreachable
}

async function showEvent(context: Context, event: JobEvent, showing: Showing): Promise<void> {
  const { terminal } = context
  const { line, watch } = showing
  const say = (subject: string, text: string): void => sayOnce(terminal, showing, subject, text)
  switch (event.kind) {
    case 'state': {
      const { state, tasks, spent } = event.summary
      sayState(terminal, showing, event.summary)
      const running = tasks.running > 0 ? `, ${tasks.running} running` : ''
      showing.status = `${bar(tasks.done, tasks.total, 22)} ${state}, ` +
        `${tasks.done}/${tasks.total} done${running}, ${credits(spent)} cr`
      return showStatus(context, showing)
    }
    case 'award':
      await sayBids(context, watch.job, say)
      return say(
        `award ${event.contract} ${event.tasks}`,
        `awarded: ${taskNumbersText(event.tasks)} to ${event.site}`,
      )
    case 'transfer': {
      const whole = event.bytesDone >= event.bytesTotal
      const what = event.direction === 'in' ? `inputs to ${event.site}` : `results of ${event.site}`
      if (!whole) return line.show(transferText(what, event.bytesDone, event.bytesTotal))
      say(`${event.direction} ${event.site}`, `${what}: ${formatBytes(event.bytesTotal)}`)
      return
    }
    case 'end':
      return
  }
}

function sayOnce(terminal: Terminal, showing: Showing, subject: string, text: string): void {
  if (showing.said.get(subject) === text) return
  showing.said.set(subject, text)
  const time = formatDuration(elapsedSeconds(terminal, showing)).padStart(6)
  const lines = wrap(printable(text), terminal.err.columns() - 9)
  showing.line.print(`${time}  ${lines.join(`\n${' '.repeat(10)}`)}`)
}

/** A new state at once; news of the same state now and then, none where the live line has them. */
function sayState(terminal: Terminal, showing: Showing, summary: JobSummary): void {
  const { state, note, tasks } = summary
  const now = terminal.nowEpochMs()
  if (state === showing.saidState) {
    const live = terminal.err.tty && state === 'active'
    if (live || now - showing.saidStateEpochMs < newsEveryMs) return
  }
  showing.saidState = state
  showing.saidStateEpochMs = now
  sayOnce(terminal, showing, 'state', `${state}, ${tasks.done}/${tasks.total} done: ${note}`)
}

function taskNumbersText(tasks: string): string {
  return /^[0-9]+$/.test(tasks) ? `task ${tasks}` : `tasks ${tasks}`
}

/** The bids and refusals behind an award, each round once. */
async function sayBids(
  context: Context,
  job: string,
  say: (subject: string, text: string) => void,
): Promise<void> {
  const why = await context.client().get<WhyAnswer>(apiPaths.why(job))
  for (const round of why.rounds) {
    for (const row of round.rows) say(`bid ${round.round} ${row.site}`, bidText(row))
  }
}

async function finish(context: Context, watch: Watch, summary: JobSummary): Promise<number> {
  const { terminal, json, style } = context
  if (!json && !watch.quiet) await terminal.out.write(`${endedText(summary, style)}\n`)
  let detail: JobDetail | undefined
  if (summary.state !== 'done') {
    detail = await context.client().get<JobDetail>(apiPaths.job(watch.job))
    if (!json) await terminal.err.write(failedTasksText(context, detail))
  }
  if (watch.fetchInto !== undefined) {
    const whole = detail ?? await context.client().get<JobDetail>(apiPaths.job(watch.job))
    const fetched = await fetchResults(context, {
      detail: whole, into: watch.fetchInto, force: false,
    })
    const text = json
      ? `${JSON.stringify({ kind: 'fetched', ...fetched })}\n`
      : `${plural(fetched.files, 'file')} in ${watch.fetchInto}\n`
    await terminal.out.write(watch.quiet && !json ? '' : text)
  } else if (!json && !watch.quiet && summary.sites.length > 0) {
    await terminal.err.write(`results: ${context.suggest('fetch', watch.job)}\n`)
  }
  return detail ? exitCodeOf(detail) : exitCodes.done
}

/** Of the first failed task that has one, so that scripts can tell failures apart. */
export function exitCodeOf(detail: JobDetail): number {
  if (detail.state === 'done') return exitCodes.done
  const failed = detail.taskRows
    .filter((row) => row.state === 'failed' && row.exitCode !== undefined)
    .filter((row) => row.exitCode! >= 1 && row.exitCode! <= 255)
    .toSorted((a, b) => a.task - b.task)
  return failed[0]?.exitCode ?? exitCodes.failed
}
