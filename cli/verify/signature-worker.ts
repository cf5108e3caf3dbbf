// One thread of the signature pool: takes batches, checks each signature under the one function
// that decides everywhere, and answers with a byte for each.

import { parentPort } from 'node:worker_threads'
import { checkBatch } from './signature-batch.ts'
import type { SignatureBatch } from './signature-batch.ts'

export interface BatchRequest {
  readonly id: number
  readonly batch: SignatureBatch
}

export interface BatchAnswer {
  readonly id: number
  readonly verdicts: Uint8Array
}

parentPort?.on('message', ({ id, batch }: BatchRequest) => {
  const answer: BatchAnswer = { id, verdicts: checkBatch(batch) }
  parentPort?.postMessage(answer)
})
