// How the parts of a task lie on nodes: from what the dialects count (tasks, slots, nodes, cores of
// a task, memory of a node or a core) to chunks. A task on one node has cores, memory and graphics
// processors; one on several has chunks, of which these are the sums.

import type { ChunkOption, JobOptions } from './job-options.ts'
import { coresMax, memoryMibMax } from './job-options.ts'

export const chunksMax = 16
export const nodesMax = 65_536
export const gpusPerNodeMax = 1_024

/** `tasks` dealt to `nodes` as evenly as can be, the larger shares first. */
export function dealt(tasks: number, nodes: number): { nodes: number; tasks: number }[] {
  const share = Math.floor(tasks / nodes)
  const more = tasks - share * nodes
  const piles = []
  if (more > 0) piles.push({ nodes: more, tasks: share + 1 })
  if (nodes > more) piles.push({ nodes: nodes - more, tasks: share })
  return piles
}

/** Two ways of dealing to the same nodes, as piles of nodes that get the same of both. */
export function dealtBoth(
  nodes: number, { tasks, gpus }: { readonly tasks: number; readonly gpus: number },
): { nodes: number; tasks: number; gpus: number }[] {
  const [left, right] = [dealt(tasks, nodes), dealt(gpus, nodes)]
  const piles = []
  let [i, j, fromLeft, fromRight] = [0, 0, left[0]!.nodes, right[0]!.nodes]
  while (i < left.length && j < right.length) {
    const count = Math.min(fromLeft, fromRight)
    piles.push({ nodes: count, tasks: left[i]!.tasks, gpus: right[j]!.tasks })
    fromLeft -= count
    fromRight -= count
    if (fromLeft === 0) fromLeft = left[++i]?.nodes ?? 0
    if (fromRight === 0) fromRight = right[++j]?.nodes ?? 0
  }
  return piles
}

/** Neighbours that ask the same are one chunk. */
export function joinChunks(chunks: readonly ChunkOption[]): ChunkOption[] {
  const joined: ChunkOption[] = []
  for (const chunk of chunks) {
    const last = joined.at(-1)
    if (last && sameEach(last, chunk)) {
      joined[joined.length - 1] = { ...last, nodes: last.nodes + chunk.nodes }
    } else {
      joined.push(chunk)
    }
  }
  return joined
}

function sameEach(left: ChunkOption, right: ChunkOption): boolean {
  return left.cores === right.cores && left.memoryMib === right.memoryMib &&
    left.gpus === right.gpus
}

/** What is too much to be said of a job; undefined when all fits. */
export function layoutFault(chunks: readonly ChunkOption[]): string | undefined {
  if (chunks.length > chunksMax) return `at most ${chunksMax} kinds of nodes are taken`
  const sums = sumsOf(chunks)
  if (sums.nodes > nodesMax) return `at most ${nodesMax} nodes are taken`
  if (sums.cores > coresMax) return `at most ${coresMax} cores are taken, these are ${sums.cores}`
  if (sums.memoryMib > memoryMibMax) return 'so much memory is not taken'
  if (chunks.some((chunk) => chunk.gpus > gpusPerNodeMax)) {
    return `at most ${gpusPerNodeMax} GPUs of a node are taken`
  }
  return undefined
}

export function sumsOf(chunks: readonly ChunkOption[]): ChunkOption {
  let sums = { nodes: 0, cores: 0, memoryMib: 0, gpus: 0 }
  for (const { nodes, cores, memoryMib, gpus } of chunks) {
    sums = {
      nodes: sums.nodes + nodes,
      cores: sums.cores + nodes * cores,
      memoryMib: sums.memoryMib + nodes * memoryMib,
      gpus: sums.gpus + nodes * gpus,
    }
  }
  return sums
}

/** One node is no chunk: it is the task. Several are, even of one kind. */
export function layoutOptions(chunks: readonly ChunkOption[]): JobOptions {
  const joined = joinChunks(chunks)
  const [only] = joined
  if (joined.length === 1 && only!.nodes === 1) {
    return {
      cores: only!.cores,
      ...(only!.memoryMib > 0 && { memoryMib: only!.memoryMib }),
      ...(only!.gpus > 0 && { gpus: only!.gpus }),
    }
  }
  return { chunks: joined }
}
