// The verifier in Python (test/verifiers/python), run by Debian's own Python with its package
// python3-cryptography; another Python in the PATH may not have it.

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { run } from './go-verifier.ts'
import type { Ran } from './go-verifier.ts'

const python = '/usr/bin/python3'
const program = join(import.meta.dirname, 'python/verify.py')

/** Names what is missing; empty when the verifier can run. */
export function pythonMissing(): string[] {
  const { status } = spawnSync(python, ['-c', 'import cryptography'], { timeout: 60_000 })
  return status === 0 ? [] : ['python3-cryptography']
}

export function runPython(args: readonly string[]): Promise<Ran> {
  // Without -B it would leave its bytecode behind.
  return run(python, ['-B', program, ...args])
}
