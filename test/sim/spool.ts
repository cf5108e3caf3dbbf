// Files of a simulated site, by name only: inputs of its own jobs, workspaces and results of tasks
// that ran here, results that were taken home. They lie on the disk, so they outlive a crash.

import { sha256Hex } from '../../protocol/base/crypto.ts'
import type { Hash } from '../../protocol/base/ids.ts'

export interface Spool {
  /** Jobs of this home whose inputs are kept. */
  readonly inputs: Set<string>
  /** Tranches whose directories are laid out here. */
  readonly workspaces: Set<string>
  /** Tranche → trees that its tasks have left here. */
  readonly results: Map<string, Set<string>>
  /** job/task → the tree that lies here for the owner. */
  readonly taken: Map<string, string>
}

export function emptySpool(): Spool {
  return { inputs: new Set(), workspaces: new Set(), results: new Map(), taken: new Map() }
}

export function treeOf(tranche: string, task: number): Hash {
  return sha256Hex(`tree ${tranche} ${task}`)
}

export function keepResult(spool: Spool, tranche: string, tree: string): void {
  const trees = spool.results.get(tranche) ?? new Set()
  spool.results.set(tranche, trees.add(tree))
}

export function hasResult(spool: Spool, tranche: string, tree: string): boolean {
  return spool.results.get(tranche)?.has(tree) === true
}

export function removeTranche(spool: Spool, tranche: string): void {
  spool.workspaces.delete(tranche)
  spool.results.delete(tranche)
}
