// The audit of a log of 70,000 signed entries, on all cores: against nothing but as many Ed25519
// verifications spread over as many threads, and against the verifier in Go on the same files. And
// its memory, for a log of a hundred thousand entries and one of ten times as many.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { buildGoVerifier, goMissing, timeGoVerifier } from '../verifiers/go-verifier.ts'
import type { Figure } from './figures.ts'
import { paired, rateFigure, seconds } from './figures.ts'
import { writeLogs } from './ledger-log.ts'

const entriesTimed = 70_000
const entriesSmall = 100_000
const entriesLarge = 1_000_000
const rounds = 3
const auditProgram = join(import.meta.dirname, 'programs', 'audit-log.ts')
const verifyProgram = new URL('./programs/verify-many.ts', import.meta.url)

interface Audited {
  readonly entries: number
  readonly seconds: number
  readonly peakMib: number
}

/** In a process of its own, so that its memory is its own; seconds without the start of Node. */
function audit(...directories: readonly string[]): Audited {
  // As the command does: what was compiled once is not compiled again.
  const env = { ...process.env, NODE_COMPILE_CACHE: join(tmpdir(), 'gridnode-bench-compiled') }
  const argv = [auditProgram, ...directories]
  const ran = spawnSync(process.execPath, argv, { encoding: 'utf8', env })
  if (ran.status !== 0) throw new Error(`the audit ended with ${ran.status}: ${ran.stderr}`)
  return JSON.parse(ran.stdout) as Audited
}

/** Verifications a second, over as many threads as there are cores; they start before the clock. */
async function rawRate(count: number): Promise<number> {
  const threads = availableParallelism()
  const each = Math.ceil(count / threads)
  const workers = Array.from({ length: threads }, () => new Worker(verifyProgram))
  const answer = (worker: Worker): Promise<unknown> =>
    new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
  try {
    await Promise.all(workers.map(answer))
    const spent = await seconds(async () => {
      await Promise.all(workers.map((worker) => {
        worker.postMessage(each)
        return answer(worker)
      }))
    })
    return (each * threads) / spent
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()))
  }
}

async function withLogs<T>(
  entries: number, use: (logs: ReturnType<typeof writeLogs>) => T | Promise<T>,
): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), 'gridnode-bench-'))
  try {
    return await use(writeLogs(directory, entries))
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

function rateOf({ entries, seconds: spent }: Pick<Audited, 'entries' | 'seconds'>): number {
  return entries / spent
}

export async function auditFigures(): Promise<Figure[]> {
  return withLogs(entriesTimed, async ({ host, home, entries }) => {
    const rate = async (): Promise<number> => rateOf(audit(host))
    const raw = await paired(rounds, rate, () => rawRate(entries))
    const name = `audit of ${entries.toLocaleString('en')} entries, all cores`
    const figures = [rateFigure(name, 'Ed25519 verifications alone, all cores', '/s', raw)]
    const missing = goMissing()
    if (missing.length === 0) {
      const go = await buildGoVerifier()
      const others = await paired(rounds, rate,
        async () => rateOf(await timeGoVerifier(go, host)))
      figures.push(rateFigure(name, 'the verifier in Go, same files', '/s', others))
    } else {
      console.log(`audit: nothing against Go, it is not installed (${missing.join(', ')})`)
    }
    const both = await paired(1, async () => rateOf(audit(host, home)), rate)
    return [...figures, rateFigure('audit of two logs that mirror one another', 'one of them', '/s',
      both)]
  })
}

/** Takes minutes, most of them to write the larger log. */
export async function auditMemoryFigures(): Promise<Figure[]> {
  const [small, large] = [
    await withLogs(entriesSmall, ({ host }) => audit(host)),
    await withLogs(entriesLarge, ({ host }) => audit(host)),
  ]
  return [{
    name: `memory of an audit of ${large.entries.toLocaleString('en')} entries`,
    ours: `${large.peakMib} MiB`,
    peerName: `of ${small.entries.toLocaleString('en')} entries`,
    peer: `${small.peakMib} MiB`,
    ratio: (small.peakMib / large.peakMib).toFixed(2),
  }]
}
