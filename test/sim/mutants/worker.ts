// One worker: plants a bug, loads the simulator with it, runs the seeds it is given.

import { parentPort, workerData } from 'node:worker_threads'
import type { Order, Word } from './hunt.ts'
import { mutants, plant } from './planted.ts'

const { mutant: name, kind, seeds } = workerData as Order
const mutant = mutants.find((one) => one.name === name)
if (mutant) plant(mutant)
const { run } = await import('../run.ts')
const { profileOf } = await import('../profile.ts')
const { lawOf } = await import('../shrink.ts')

for (const seed of seeds) {
  let word: Word = { kind: 'passed', seed }
  try {
    run(profileOf(seed, kind === undefined ? {} : { kind }))
  } catch (error) {
    word = { kind: 'failed', seed, law: lawOf(error) }
  }
  parentPort?.postMessage(word)
  if (word.kind === 'failed') break
}
