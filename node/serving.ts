// What this site hands to others: inputs of its jobs to the hosts that run them, results to the
// homes that ordered them, the output of running tasks as far as it is, the log to every member.
// Who may have a chunk follows from the records.

import type { Hash, SiteName } from '../protocol/base/ids.ts'
import { limits } from '../protocol/base/limits.ts'
import { parseContractId, parseHash, parseTrancheId } from '../protocol/base/ids.ts'
import { taskKey } from '../protocol/machine/state.ts'
import { chunksOf } from '../protocol/rules/stage.ts'
import { decode, encode } from '../protocol/base/encoding.ts'
import { integer, oneOf, record, shaped, trancheId } from '../protocol/base/shape.ts'
import type { PeerLog } from './ledger/peer-log.ts'
import { get } from './local/tables.ts'
import type { Loop } from './loop.ts'
import type { ChunkStore } from './staging/chunk-store.ts'
import { decodeRequest } from './staging/frames.ts'
import { serve } from './staging/serve.ts'
import { loadTree } from './staging/stored-tree.ts'
import type { Workspace } from './staging/workspace.ts'
import type { TaskDoor } from './task-door.ts'
import { toBase64 } from '../protocol/base/crypto.ts'

export interface ServingParts {
  readonly loop: Loop
  readonly store: ChunkStore
  readonly workspace: Workspace
  readonly log: PeerLog
  /** Bytes of inputs that left for a contract, for whoever watches the job. */
  onServed(contract: string, bytes: number): void
  readonly tasks: TaskDoor
  /** A question about a job, from a member's node. */
  answerAsk(from: SiteName, question: string): Promise<string>
}

/** Before a question about a job; the other requests between nodes are JSON. */
export const askMark = 'gridnode/ask\n'

/** Trees whose chunk sets are kept: a transfer asks again and again. */
const treesKept = 64

export interface Serving {
  fetch(from: SiteName, header: string, signal: AbortSignal): AsyncIterable<Uint8Array>
  request(from: SiteName, text: string): Promise<string>
}

export function openServing(parts: ServingParts): Serving {
  const trees = new Map<Hash, ReadonlySet<Hash>>()
  const chunksIn = async (tree: Hash): Promise<ReadonlySet<Hash>> => {
    const known = trees.get(tree)
    if (known) return known
    const { manifest, packing } = await loadTree(parts.store, tree)
    const set = new Set([...chunksOf(manifest).keys(), ...packing])
    trees.set(tree, set)
    if (trees.size > treesKept) trees.delete(trees.keys().next().value!)
    return set
  }
  return {
    async *fetch(from, header, signal) {
      if (parts.log.isAsked(header)) {
        yield* parts.log.serve(from, header)
        return
      }
      const { scope } = decodeRequest(header)
      const tree = treeOf(parts.loop, from, scope)
      const set = tree ? await chunksIn(tree) : new Set<Hash>()
      const contract = scope.startsWith('in/') ? scope.slice(3) : undefined
      const { store } = parts
      const allowed = (_: string, hash: Hash): boolean => set.has(hash)
      for await (const piece of serve({ header, store, allowed, signal })) {
        yield piece
        if (contract) parts.onServed(contract, piece.length)
      }
    },
    request: (from, text) => text.startsWith(askMark) ? parts.answerAsk(from, text)
      : parts.tasks.isAsked(text) ? parts.tasks.answer(from, text)
      : answerPeek(parts, from, text),
  }
}

/** The one tree that `from` may have under this scope. */
function treeOf(loop: Loop, from: SiteName, scope: string): Hash | undefined {
  const [kind, name = '', task = ''] = scope.split('/')
  if (kind === 'in') {
    const contract = get(loop.tables, 'homeContracts', parseContractId(name) ?? '')
    if (contract?.host !== from) return undefined
    return parseHash(get(loop.tables, 'jobNotes', contract.job)?.document.inputs ?? '')
  }
  const tranche = get(loop.tables, 'hostTranches', parseTrancheId(name) ?? '')
  if (kind !== 'out' || tranche?.home !== from || !/^[0-9]{1,9}$/.test(task)) return undefined
  return parseHash(get(loop.tables, 'hostTasks', taskKey(tranche.id, Number(task)))?.tree ?? '')
}

const peekShape = record({
  tranche: trancheId(),
  task: integer({ min: 0, max: limits.taskNumberMax }),
  stream: oneOf('stdout', 'stderr'),
  offset: integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
})
const peekBytesMax = 256 * 1024

/**
 * A home looks at the output of its running task; `over` when the directory is gone or the task
 * ended.
 */
async function answerPeek(parts: ServingParts, from: SiteName, text: string): Promise<string> {
  const value = decode(text, { bytesMax: 1_024 })
  const asked = value.ok ? shaped(peekShape, value.value) : value
  if (!asked.ok) return encode({ kind: 'refused', detail: asked.refusal.detail })
  const { tranche: id, task, stream, offset } = asked.value
  const tranche = get(parts.loop.tables, 'hostTranches', id)
  if (tranche?.home !== from) return encode({ kind: 'over' })
  const directory = parts.workspace.directory(id, task)
  try {
    const peeked = await parts.workspace.peek(directory, stream, { offset, bytesMax: peekBytesMax })
    const state = get(parts.loop.tables, 'hostTasks', taskKey(id, task))?.state ?? 'queued'
    return encode({ kind: 'peeked', bytes: toBase64(peeked.bytes), state })
  } catch {
    return encode({ kind: 'over' })
  }
}
