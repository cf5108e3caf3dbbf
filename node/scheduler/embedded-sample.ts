// Looks at running tasks now and then: who uses more memory than it asked for, who writes too much.
// Memory is the task's whole session; the limit is therefore kept to within one look, not to the
// byte. An address-space limit (ulimit -v) would be exact and wrong: many runtimes reserve far more
// than they use.

import { appendFileSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { proportionalBytes, readSessions } from './process-table.ts'

export interface SampledTask {
  /** The session's id, which is its supervisor's process id. */
  readonly session: number
  readonly memoryBytesMax: number
}

export interface Sampled {
  readonly bytes: number
  readonly exceeded: boolean
}

/** Memory in use by each of `tasks`, keyed like them. Tasks that have just ended are left out. */
export function sampleMemory<Key>(tasks: ReadonlyMap<Key, SampledTask>): Map<Key, Sampled> {
  const sessions = readSessions(new Set([...tasks.values()].map((task) => task.session)))
  const sampled = new Map<Key, Sampled>()
  for (const [key, { session, memoryBytesMax }] of tasks) {
    // The supervisor itself is ours, not the task's.
    const members = sessions.get(session)?.filter((member) => member.pid !== session)
    if (!members || members.length === 0) continue
    let bytes = members.reduce((sum, member) => sum + member.residentBytes, 0)
    // Pages that processes share were counted once for each: be exact before accusing anybody.
    if (bytes > memoryBytesMax) bytes = proportionalBytes(members)
    sampled.set(key, { bytes, exceeded: memoryBytesMax > 0 && bytes > memoryBytesMax })
  }
  return sampled
}

const streams = ['stdout', 'stderr'] as const
/** Of the line that says that a stream was cut. */
const noteBytesMax = 64

/**
 * Cuts a task's captured output to `bytesMax` a stream; adds to `cut` which streams lost something.
 * The files are open for appending, so what is written later lands behind the cut.
 */
export function boundOutput(directory: string, bytesMax: number, cut: Set<string>): void {
  for (const stream of streams) {
    const path = outputPath(directory, stream)
    try {
      // The last line of a stream that an earlier node has cut is not to be cut again.
      const allowance = cut.has(stream) ? 0 : noteBytesMax
      if (statSync(path).size <= bytesMax + allowance) continue
      truncateSync(path, bytesMax)
      cut.add(stream)
    } catch {
      // The task removed it, or its directory; then there is nothing to bound.
    }
  }
}

/** Says in a cut stream's last line that it was cut; once, when the task has ended. */
export function markCutOutput(directory: string, bytesMax: number, cut: Set<string>): void {
  for (const stream of cut) {
    try {
      const words = `\n[output beyond ${bytesMax} bytes was dropped]\n`
      appendFileSync(outputPath(directory, stream), words)
    } catch {
      // As above.
    }
  }
}

function outputPath(directory: string, stream: string): string {
  return join(directory, '.gridnode', stream)
}
