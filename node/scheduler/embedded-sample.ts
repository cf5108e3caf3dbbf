// Looks at running tasks now and then: who uses more memory than it asked for, who writes too much.
// Memory is the task's whole session; the limit is therefore kept to within one look, not to the
// byte. An address-space limit (ulimit -v) would be exact and wrong: many runtimes reserve far more
// than they use.

import { closeSync, constants, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs'
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
    // The last line of a stream that an earlier node has cut is not to be cut again.
    const allowance = cut.has(stream) ? 0 : noteBytesMax
    withOutput(directory, stream, (file) => {
      if (fstatSync(file).size <= bytesMax + allowance) return
      ftruncateSync(file, bytesMax)
      cut.add(stream)
    })
  }
}

/** Says in a cut stream's last line that it was cut; once, when the task has ended. */
export function markCutOutput(directory: string, bytesMax: number, cut: Set<string>): void {
  const words = `\n[output beyond ${bytesMax} bytes was dropped]\n`
  for (const stream of cut) {
    withOutput(directory, stream, (file) => writeSync(file, words))
  }
}

/**
 * The task may have put anything in the file's place, and we may be root: no link is followed, and
 * only a plain file that has no other name is touched.
 */
function withOutput(directory: string, stream: string, work: (file: number) => void): void {
  const { O_APPEND, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants
  try {
    const own = openSync(join(directory, '.gridnode'), O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
    try {
      const flags = O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK
      const file = openSync(join('/proc/self/fd', String(own), stream), flags)
      try {
        const stats = fstatSync(file)
        if (stats.isFile() && stats.nlink === 1) work(file)
      } finally {
        closeSync(file)
      }
    } finally {
      closeSync(own)
    }
  } catch {
    // The task removed it, or its directory; then there is nothing to bound.
  }
}
