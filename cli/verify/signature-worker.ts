// One thread of the signature pool: takes batches, checks each signature and answers with a byte
// for each.

import { parentPort } from 'node:worker_threads'
import { openFastVerifier } from './fast-ed25519.ts'
import { signedIn } from './signature-batch.ts'
import type { SignatureBatch } from './signature-batch.ts'

export interface BatchRequest {
  readonly id: number
  readonly batch: SignatureBatch
}

export interface BatchAnswer {
  readonly id: number
  readonly verdicts: Uint8Array
}

const verifier = openFastVerifier()

parentPort?.on('message', ({ id, batch }: BatchRequest) => {
  const answer: BatchAnswer = { id, verdicts: verifier.verifyAll(signedIn(batch)) }
  parentPort?.postMessage(answer)
})
