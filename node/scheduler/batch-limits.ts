// What could never run on the nodes that the scheduler has, for schedulers that take it and let it
// wait for ever. Pure.

import type { Capacity, Submission, SubmitRefusal } from './driver.ts'

/**
 * The queue and the largest node of the asked queues (`queue` when the submission names none; all
 * when that is undefined too) against one task. Zero says nothing: all nodes may be down just now.
 */
export function beyondNodes(
  submission: Submission,
  { queues }: Capacity,
  queue: string | undefined,
): SubmitRefusal | undefined {
  const name = submission.queue ?? queue
  const asked = queues.filter((one) => name === undefined || one.name === name)
  if (asked.length === 0 && queues.length > 0) {
    const known = queues.slice(0, 20).map((one) => one.name).join(', ')
    return { reason: 'queueUnknown', words: `expected one of the queues ${known}, got ${name}` }
  }
  const { coresPerTask, memoryBytesPerTask, chunks } = submission.resources
  const coresMost = Math.max(0, ...asked.map((one) => one.coresPerNodeMax))
  const memoryMost = Math.max(0, ...asked.map((one) => one.memoryBytesPerNodeMax))
  const cores = chunks ? Math.max(...chunks.map((chunk) => chunk.coresPerNode)) : coresPerTask
  const memory = chunks
    ? Math.max(...chunks.map((chunk) => chunk.memoryBytesPerNode))
    : memoryBytesPerTask
  if (coresMost > 0 && cores > coresMost) {
    const words = `expected at most ${coresMost} cores on a node, got ${cores}; ask for less`
    return { reason: 'tooLarge', words }
  }
  if (memoryMost > 0 && memory > memoryMost) {
    const words = `expected at most ${memoryMost} bytes of memory on a node, got ${memory}`
    return { reason: 'tooLarge', words }
  }
  return undefined
}
