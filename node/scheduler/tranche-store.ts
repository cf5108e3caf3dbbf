// What a driver remembers of its submissions across restarts: one JSON file a tranche, replaced as
// a whole and synced before `save` returns. Shared by the drivers; each keeps its own fields in
// `note`.

import {
  closeSync, fsyncSync, mkdirSync, openSync, readFileSync, readdirSync, renameSync, rmSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Submission } from './driver.ts'

export interface StoredTranche<Note> {
  /** Order of submission. */
  readonly sequence: number
  readonly submission: Submission
  readonly note: Note
}

export interface TrancheStore<Note> {
  /** In order of submission. */
  load(): StoredTranche<Note>[]
  save(tranche: StoredTranche<Note>): void
  remove(tag: string): void
}

const tagPattern = /^[0-9a-f]{16}$/

export function trancheStore<Note>(directory: string): TrancheStore<Note> {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const pathOf = (tag: string): string => join(directory, `${tag}.json`)
  return {
    load() {
      const found: StoredTranche<Note>[] = []
      for (const name of readdirSync(directory)) {
        // What a crash left half written has another ending and was never promised to anybody.
        if (!name.endsWith('.json')) rmSync(join(directory, name), { force: true })
        else found.push(readTranche<Note>(join(directory, name)))
      }
      return found.toSorted((a, b) => a.sequence - b.sequence)
    },
    save(tranche) {
      const path = pathOf(tranche.submission.tag)
      const handle = openSync(`${path}.new`, 'w', 0o600)
      try {
        writeSync(handle, JSON.stringify(tranche))
        fsyncSync(handle)
      } finally {
        closeSync(handle)
      }
      renameSync(`${path}.new`, path)
      syncDirectory(directory)
    },
    remove(tag) {
      rmSync(pathOf(tag), { force: true })
    },
  }
}

/** Only `save` has written there, under another name until it was whole. */
function readTranche<Note>(path: string): StoredTranche<Note> {
  return JSON.parse(readFileSync(path, 'utf8')) as StoredTranche<Note>
}

/** Says what is wrong with a submission that no scheduler could run; undefined when nothing is. */
export function faultOf(submission: Submission): string | undefined {
  const { tag, tasks, command, environment, resources } = submission
  if (!tagPattern.test(tag)) return `expected a tag of 16 hexadecimal digits, got ${tag}`
  if (tasks.length === 0) return 'expected at least one task, got none'
  if (new Set(tasks.map((task) => task.taskIndex)).size !== tasks.length) {
    return 'expected each task once, got one twice'
  }
  if (tasks.some((task) => !Number.isSafeInteger(task.taskIndex) || task.taskIndex < 0)) {
    return 'expected task indexes of 0 and more'
  }
  if (tasks.some((task) => !/^\/[^\0\n]+$/.test(task.directory))) {
    return 'expected absolute directories without line breaks'
  }
  if (!command[0]) return 'expected a command, got an empty one'
  if (command.some((word) => word.includes('\0'))) return 'expected a command without NUL bytes'
  for (const [name, value] of Object.entries(environment)) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      return `expected environment names of letters, digits and _, got ${JSON.stringify(name)}`
    }
    if (value.includes('\0')) return `expected ${name} in the environment without NUL bytes`
  }
  const whole = (value: number): boolean => Number.isSafeInteger(value) && value > 0
  if (!whole(resources.coresPerTask)) return 'expected at least one core for each task'
  if (!whole(resources.walltimeSeconds)) return 'expected a walltime of at least one second'
  if (!(resources.memoryBytesPerTask >= 0)) return 'expected memory of 0 bytes or more'
  return undefined
}

/** What every task finds in its environment, whatever runs it. */
export function taskEnvironment(submission: Submission, taskIndex: number): Record<string, string> {
  return {
    ...submission.environment,
    GRIDNODE_TRANCHE: submission.tag,
    GRIDNODE_TASK_ID: String(taskIndex),
  }
}

function syncDirectory(directory: string): void {
  const handle = openSync(directory, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
