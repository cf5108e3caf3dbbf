// The fuzzer's command line:
//
//   npm run fuzz -- --minutes M --seed N    every target in turns, for so long
//   --only WORDS                            targets whose name contains one of the words
//   --replay TARGET=BASE64                  one saved input
//   --replay TARGET=@FILE                   one that was too long to print
//
// Each failing input is printed in base64, as short as it could be made, with how to replay it.

import { readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { sha256Hex } from '../../protocol/base/crypto.ts'
import { allTargets } from './all-targets.ts'
import { bytesKept, keptBytesMax } from './memory.ts'
import type { Failure, Target } from './target.ts'
import { fuzz, opened, saved, tryOut } from './target.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    seed: { type: 'string' },
    only: { type: 'string' },
    replay: { type: 'string' },
  },
})

function number(text: string): number {
  if (!/^[0-9]{1,9}$/.test(text)) throw new Error(`expected a whole number, got '${text}'`)
  return Number(text)
}

/** Longer inputs go to a file. */
const printedMax = 20_000
const words = values.only?.split(',') ?? ['']
const targets = allTargets().filter(({ name }) => words.some((word) => name.includes(word)))

if (values.replay !== undefined) await replay(values.replay)
else await campaign(number(values.minutes ?? '1'), number(values.seed ?? String(Date.now() % 1e9)))

async function replay(text: string): Promise<void> {
  const split = text.indexOf('=')
  const target = targets.find(({ name }) => name === text.slice(0, split))
  if (!target) throw new Error(`no target '${text.slice(0, split)}'; there are: ${targets.map(
    ({ name }) => name).join(', ')}`)
  const given = text.slice(split + 1)
  const base64 = given.startsWith('@') ? readFileSync(given.slice(1), 'latin1') : given
  const failure = await tryOut(target, opened(base64))
  console.log(failure ? failure.error.stack : 'it holds')
  process.exitCode = failure ? 1 : 0
}

interface Tally {
  readonly target: Target
  cases: number
  slowestMs: number
  keptBytes: number
  failures: number
}

async function campaign(minutes: number, seed: number): Promise<void> {
  console.log(`seed ${seed}, ${minutes} minutes, ${targets.length} targets`)
  const end = performance.now() + minutes * 60_000
  const tallies = targets.map((target): Tally =>
    ({ target, cases: 0, slowestMs: 0, keptBytes: 0, failures: 0 }))
  const perTurn = Math.max(200, minutes * 60_000 / targets.length / 4)
  for (let turn = 0; performance.now() < end; turn++) {
    for (const tally of tallies) {
      if (performance.now() >= end) break
      const until = Math.min(end, performance.now() + perTurn)
      if (tally.failures < 3) await oneTurn(tally, seed + turn, until)
    }
  }
  let [cases, failures] = [0, 0]
  for (const tally of tallies) {
    cases += tally.cases
    failures += tally.failures
    const mebibytes = (tally.keptBytes / 2 ** 20).toFixed(1)
    console.log(`${tally.target.name}: ${tally.cases} cases, ` +
      `slowest ${Math.round(tally.slowestMs)} ms, ${mebibytes} MiB kept, ${tally.failures} failed`)
  }
  console.log(`${cases} cases, ${failures} failed, seed ${seed}`)
  process.exitCode = failures > 0 ? 1 : 0
}

async function oneTurn(tally: Tally, seed: number, until: number): Promise<void> {
  const { target } = tally
  const before = bytesKept()
  const result = await fuzz(target, {
    seed, cases: 1_000_000_000, goOn: () => performance.now() < until,
  })
  tally.cases += result.cases
  tally.slowestMs = Math.max(tally.slowestMs, result.slowestMs)
  tally.keptBytes = Math.max(tally.keptBytes, bytesKept() - before)
  if (result.failure) report(tally, result.failure)
  else if (tally.keptBytes > keptBytesMax) {
    const error = new Error(`${tally.keptBytes} bytes kept`)
    report(tally, { target: target.name, input: '', error })
  }
}

/** The input for the command line, or the file that it was written to. */
function kept(input: string): string {
  if (input.length <= printedMax) return saved(input)
  const file = join(tmpdir(), `gridnode-fuzz-${sha256Hex(saved(input)).slice(0, 12)}`)
  writeFileSync(file, saved(input))
  return `@${file}`
}

function report(tally: Tally, { input, error }: Failure): void {
  tally.failures++
  console.log(`FAIL ${tally.target.name}: ${error.stack}\n${input.length} characters: ` +
    `${JSON.stringify(input.slice(0, 400))}\nreplay it with:\n` +
    `npm run fuzz -- --replay '${tally.target.name}=${kept(input)}'`)
}
