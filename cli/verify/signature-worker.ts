// One thread of the signature pool: takes batches, checks each signature and answers with a byte
// for each.

import { parentPort } from 'node:worker_threads'
import { signedIn } from './signature-batch.ts'
import type { SignatureBatch } from './signature-batch.ts'
import { isSigned } from './signature-check.ts'

export interface BatchRequest {
  readonly id: number
  readonly batch: SignatureBatch
}

export interface BatchAnswer {
  readonly id: number
  readonly verdicts: Uint8Array
}

parentPort?.on('message', ({ id, batch }: BatchRequest) => {
  const verdicts = Uint8Array.from(signedIn(batch), (one) => (isSigned(one) ? 1 : 0))
  const answer: BatchAnswer = { id, verdicts }
  parentPort?.postMessage(answer)
})
