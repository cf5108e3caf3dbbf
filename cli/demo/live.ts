// What happens to a job, as it happens: awards, transfers, and the output of every task with the
// task and its site before each line.

import type { JobEvent, JobSummary } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { formatBytes } from '../../protocol/base/units.ts'
import type { Client } from '../client.ts'
import type { Style } from '../output.ts'
import { plural, printable } from '../output.ts'
import { siteNames } from './federation.ts'
import type { Screen } from './screen.ts'
import { within } from './waiting.ts'

const jobSeconds = 180
const lastOutputSeconds = 30

/** Follows the job to its end, from its beginning. */
export async function followJob(parts: {
  readonly client: Client
  readonly job: string
  readonly screen: Screen
  readonly signal: AbortSignal
}): Promise<JobSummary> {
  const { client, job, signal } = parts
  const stop = new AbortController()
  const either = AbortSignal.any([signal, stop.signal])
  const outputs: Promise<void>[] = []
  const told = new Set<string>()
  const follow = async (): Promise<JobSummary> => {
    for await (const event of client.lines<JobEvent>(apiPaths.events(job), {}, either)) {
      if (event.kind === 'end') return event.summary
      await showEvent(parts.screen, event, told)
      if (event.kind !== 'award') continue
      for (const task of tasksOf(event.tasks)) {
        const label = paintSite(parts.screen.style, event.site,
          `${`task ${task}`.padEnd(8)}${event.site.padEnd(6)} |`)
        outputs.push(showOutput({ ...parts, signal: either }, task, label))
      }
    }
    throw new Error(`the node does not say how job ${job} ended`)
  }
  try {
    const summary = await within(
      { what: `job ${job} to end`, seconds: jobSeconds, signal }, follow())
    await within(
      { what: 'the output of its tasks', seconds: lastOutputSeconds, signal }, Promise.all(outputs))
    return summary
  } finally {
    stop.abort(new Error('the job is not followed any more'))
    await Promise.allSettled(outputs)
  }
}

async function showEvent(screen: Screen, event: JobEvent, told: Set<string>): Promise<void> {
  const once = async (text: string): Promise<void> => {
    if (told.has(text)) return
    told.add(text)
    await screen.line(screen.style.bold(text))
  }
  switch (event.kind) {
    case 'award': {
      const tasks = tasksOf(event.tasks)
      return once(`award   ${event.site.padEnd(6)} gets ${plural(tasks.length, 'task')}: ` +
        event.tasks)
    }
    case 'transfer': {
      const { direction, site, bytesDone, bytesTotal } = event
      if (bytesDone < bytesTotal) return
      const what = direction === 'in' ? 'inputs ' : 'results'
      return once(`${what} ${site.padEnd(6)} ${formatBytes(bytesTotal)}`)
    }
    default:
      return
  }
}

/** Lines of one site have one colour. */
function paintSite(style: Style, site: string, text: string): string {
  const paints = [style.yellow, style.green, style.cyan]
  return (paints[siteNames.indexOf(site)] ?? style.dim)(text)
}

/** `0-2,5` → 0, 1, 2, 5 */
function tasksOf(ranges: string): number[] {
  return ranges.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, i) => first + i)
  })
}

async function showOutput(
  parts: Parameters<typeof followJob>[0], task: number, label: string,
): Promise<void> {
  const { client, job, screen, signal } = parts
  const decoder = new TextDecoder()
  let rest = ''
  const show = (line: string): Promise<void> =>
    screen.line(`${label} ${printable(line)}`)
  const query = { task, stream: 'stdout', follow: 1 }
  try {
    for await (const piece of client.bytes(apiPaths.log(job), query, signal)) {
      const lines = (rest + decoder.decode(piece, { stream: true })).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) await show(line)
    }
    if (rest !== '') await show(rest)
  } catch (error) {
    if (!signal.aborted) throw error
  }
}
