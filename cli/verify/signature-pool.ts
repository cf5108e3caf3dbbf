// Threads that check signatures, as many as there are cores. Where there is little to check
// nothing is started and the batches are checked here.
// Invariants: every batch that was given is answered or its promise fails; after `close` no thread
// runs. How many batches are under way is for the caller to bound.

import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import type { SignatureBatch } from './signature-batch.ts'
import { checkBatch } from './signature-batch.ts'
import type { BatchAnswer, BatchRequest } from './signature-worker.ts'

export interface SignaturePool {
  /** Batches that can be checked at the same time. */
  readonly threads: number
  check(batch: SignatureBatch): Promise<Uint8Array>
  close(): Promise<void>
}

/** Starting a thread takes as long as a few hundred signatures. */
const signaturesWorthThreads = 2_048

/** Threads for about so many signatures: none for a few, else one for each core. */
export function threadsFor(signatures: number): number {
  return signatures < signaturesWorthThreads ? 0 : availableParallelism()
}

/** With `threads` 0 everything is checked on the caller's. */
export function openSignaturePool(threads: number): SignaturePool {
  if (threads === 0) {
    return {
      threads: 1,
      check: (batch) => Promise.resolve(checkBatch(batch)),
      close: () => Promise.resolve(),
    }
  }
  const workers = Array.from({ length: threads }, openThread)
  return {
    threads,
    check(batch) {
      const idlest = workers.reduce((one, other) => (other.load() < one.load() ? other : one))
      return idlest.check(batch)
    },
    close: async () => void await Promise.all(workers.map((worker) => worker.close())),
  }
}

interface Thread {
  load(): number
  check(batch: SignatureBatch): Promise<Uint8Array>
  close(): Promise<unknown>
}

interface Waiting {
  readonly resolve: (verdicts: Uint8Array) => void
  readonly reject: (error: Error) => void
}

function openThread(): Thread {
  const worker = new Worker(new URL('./signature-worker.ts', import.meta.url))
  const waiting = new Map<number, Waiting>()
  let next = 0
  let ended: Error | undefined
  const end = (error: Error): void => {
    ended ??= error
    for (const { reject } of waiting.values()) reject(ended)
    waiting.clear()
  }
  worker.on('message', ({ id, verdicts }: BatchAnswer) => {
    waiting.get(id)?.resolve(verdicts)
    waiting.delete(id)
  })
  worker.on('error', (error) => {
    end(error instanceof Error ? error : new Error('a signature thread failed', { cause: error }))
  })
  worker.on('exit', () => end(new Error('a signature thread has ended')))
  return {
    load: () => waiting.size,
    check(batch) {
      return new Promise((resolve, reject) => {
        if (ended) return reject(ended)
        const request: BatchRequest = { id: next++, batch }
        waiting.set(request.id, { resolve, reject })
        worker.postMessage(request)
      })
    },
    close: () => worker.terminate(),
  }
}
