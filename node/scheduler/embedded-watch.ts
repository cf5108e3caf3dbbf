// Notices the end of tasks whose supervisors are not our children: those that an earlier node
// started. The directory is watched for records; a slow look at each process is there for what the
// watch misses.

import { watch } from 'node:fs'
import type { FSWatcher } from 'node:fs'
import { join } from 'node:path'
import { clock } from '../clock.ts'
import type { Timer } from '../clock.ts'

export interface AdoptedWatch {
  add(base: string): void
  remove(base: string): void
  close(): void
}

const rescanMs = 2_000

/** Calls `onChange` with the base of a watched task's records when it should be inspected. */
export function adoptedWatch(directory: string, onChange: (base: string) => void): AdoptedWatch {
  const bases = new Set<string>()
  let watcher: FSWatcher | undefined
  let timer: Timer | undefined
  const close = (): void => {
    watcher?.close()
    timer?.stop()
    watcher = undefined
    timer = undefined
  }
  const open = (): void => {
    timer = clock.every(rescanMs, () => {
      for (const base of bases) onChange(base)
    })
    try {
      watcher = watch(directory, (_event, name) => {
        if (!name?.endsWith('.end')) return
        const base = join(directory, name.slice(0, -'.end'.length))
        if (bases.has(base)) onChange(base)
      })
      // Too many watches on this machine, for example; then the rescan alone must do.
      watcher.on('error', () => watcher?.close())
    } catch {
      watcher = undefined
    }
  }
  return {
    add(base) {
      bases.add(base)
      if (!timer) open()
    },
    remove(base) {
      if (bases.delete(base) && bases.size === 0) close()
    },
    close() {
      bases.clear()
      close()
    },
  }
}
