// Looks at running tasks now and then: who uses more memory than it asked for, who writes too much.
// Memory is the task's whole session; the limit is therefore kept to within one look, not to the byte. An
// address-space limit (ulimit -v) would be exact and wrong: many runtimes reserve far more than they use.

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

/**
 * Cuts a task's captured output to `bytesMax` a stream. The files are open for appending, so what is written
 * later lands behind the cut. With `final`, a cut stream says so in its last line.
 */
export function boundOutput(directory: string, bytesMax: number, final: boolean): void {
  for (const stream of ['stdout', 'stderr']) {
    const path = join(directory, '.gridnode', stream)
    try {
      if (statSync(path).size <= bytesMax) continue
      truncateSync(path, bytesMax)
      if (final) appendFileSync(path, `\n[output beyond ${bytesMax} bytes was dropped]\n`)
    } catch {
      // The task removed it, or its directory; then there is nothing to bound.
    }
  }
}
