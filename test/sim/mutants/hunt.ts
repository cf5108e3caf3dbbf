// The hunt for one planted bug: seeds in a worker of its own, until one fails that keeps all laws
// without it. A worker that turns in place is ended, and that is a find, too. What it may take is
// processor time of this process, which only waits meanwhile: how busy the machine is does not
// count.

import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Mutant } from './planted.ts'

export interface Found {
  readonly seed: number
  /** How many seeds were tried, this one included. */
  readonly tried: number
  readonly law: string
}

export interface Hunt {
  readonly mutant: Mutant
  readonly found: Found | undefined
  readonly seconds: number
}

/** What the worker is given, and what it says. */
export interface Order {
  readonly mutant: string
  readonly kind: string | undefined
  readonly seeds: readonly number[]
}

export type Word =
  | { readonly kind: 'passed', readonly seed: number }
  | { readonly kind: 'failed', readonly seed: number, readonly law: string }

const seedMsMax = 60_000
const lookMs = 500
const worker = join(import.meta.dirname, 'worker.ts')

/** Whether a seed keeps the laws with nothing planted; asked once for each. */
const sound = new Map<string, Promise<boolean>>()

function isSound(seed: number, kind: string | undefined): Promise<boolean> {
  const name = `${kind ?? ''} ${seed}`
  const known = sound.get(name)
  if (known) return known
  const asked = tried({ mutant: '', kind, seeds: [seed] }, () => false).then((word) =>
    word?.kind !== 'failed')
  sound.set(name, asked)
  return asked
}

export async function hunt(mutant: Mutant, seeds: readonly number[]): Promise<Hunt> {
  const started = performance.now()
  const over = (found: Found | undefined): Hunt =>
    ({ mutant, found, seconds: (performance.now() - started) / 1_000 })
  for (let left = seeds; left.length > 0;) {
    const word = await tried({ mutant: mutant.name, kind: mutant.kind, seeds: left })
    if (word?.kind !== 'failed') return over(undefined)
    const { seed, law } = word
    left = left.slice(left.indexOf(seed) + 1)
    if (await isSound(seed, mutant.kind)) {
      return over({ seed, law, tried: seeds.length - left.length })
    }
  }
  return over(undefined)
}

/** The first seed that fails, or the last word when none does. */
function tried(
  order: Order, goesOn = (word: Word): boolean => word.kind === 'passed',
): Promise<Word> {
  return new Promise((resolve, reject) => {
    const thread = new Worker(worker, { workerData: order })
    let at = 0
    let begun = processorMs()
    const end = (word: Word): void => {
      clearInterval(looking)
      resolve(word)
      void thread.terminate()
    }
    const late = (): void => end({
      kind: 'failed', seed: order.seeds[at] ?? 0, law: 'no end within a minute',
    })
    const looking = setInterval(() => {
      if (processorMs() - begun > seedMsMax) late()
    }, lookMs)
    thread.on('message', (word: Word) => {
      at++
      if (!goesOn(word) || at === order.seeds.length) return end(word)
      begun = processorMs()
    })
    thread.on('error', (error) => {
      clearInterval(looking)
      reject(error instanceof Error ? error : new Error(String(error)))
    })
  })
}

function processorMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}
