// `demo.json` in the demo's directory: the processes that the demo has started. It is written
// before the next one starts, so that `--stop` can end them whatever has become of the demo.

import { readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { usageFailure } from '../failure.ts'
import type { ProcessIdentity } from './process-identity.ts'
import { isAlive } from './process-identity.ts'

export const directoryPrefix = 'gridnode-demo-'
const recordName = 'demo.json'
const processesMax = 1_000

export interface DemoRecord {
  readonly demo: 'gridnode'
  /** The program that made the directory. */
  readonly owner: ProcessIdentity
  /** Whether it was to stay after its owner has ended. */
  readonly kept: boolean
  readonly processes: readonly ProcessIdentity[]
}

export function writeRecord(directory: string, record: DemoRecord): void {
  const path = join(directory, recordName)
  writeFileSync(`${path}.new`, `${JSON.stringify(record)}\n`, { mode: 0o600 })
  renameSync(`${path}.new`, path)
}

/** @throws a usage failure unless `directory` was made by a demo of this very user */
export function readRecord(directory: string): DemoRecord {
  const wrong = (why: string): Error =>
    usageFailure(`${directory} is no directory of a demo: ${why}. Nothing was done.`)
  const status = statSync(directory, { throwIfNoEntry: false })
  if (!status?.isDirectory()) throw wrong('there is no such directory')
  if (!basename(directory).startsWith(directoryPrefix)) {
    throw wrong(`its name does not begin with ${directoryPrefix}`)
  }
  if (status.uid !== process.getuid?.()) throw wrong('it belongs to another user')
  let value: unknown
  try {
    value = JSON.parse(readFileSync(join(directory, recordName), 'utf8'))
  } catch (cause) {
    throw wrong(`its ${recordName} cannot be read (${(cause as Error).message})`)
  }
  if (!isRecord(value)) throw wrong(`its ${recordName} is damaged`)
  return value
}

/** Directories of this user's demos under `parent` that were killed before they could clean up. */
export function abandonedDemos(parent: string): string[] {
  const names = readdirSync(parent).filter((name) => name.startsWith(directoryPrefix))
  return names.map((name) => join(parent, name)).filter((directory) => {
    try {
      const { kept, owner } = readRecord(directory)
      return !kept && !isAlive(owner)
    } catch {
      return false
    }
  })
}

function isRecord(value: unknown): value is DemoRecord {
  const record = value as Partial<DemoRecord> | null
  return record?.demo === 'gridnode' && typeof record.kept === 'boolean' &&
    isIdentity(record.owner) && Array.isArray(record.processes) &&
    record.processes.length <= processesMax && record.processes.every(isIdentity)
}

function isIdentity(value: unknown): value is ProcessIdentity {
  const { pid, born, boot } = (value ?? {}) as Partial<ProcessIdentity>
  return Number.isSafeInteger(pid) && (pid ?? 0) > 1 && Number.isSafeInteger(born) &&
    typeof boot === 'string' && boot !== ''
}
