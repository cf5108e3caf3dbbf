// A budget of every target, by count: a small one with the same inputs on every machine, in CI more
// than a million cases of a seed that nobody has tried.
// time limit: 600 s
//
//   GRIDNODE_FUZZ_SEED=N     the inputs of an earlier run again
//
// More of them come from `npm run fuzz -- --minutes M --seed N`.

import { randomInt } from 'node:crypto'
import { assert, suite } from '../harness.ts'
import { allTargets } from './all-targets.ts'
import { bytesKept, keptBytesMax } from './memory.ts'
import { fuzz, saved } from './target.ts'

const inCi = /^(1|true)$/i.test(process.env['CI'] ?? '')
const seed = Number(process.env['GRIDNODE_FUZZ_SEED'] ?? (inCi ? randomInt(2 ** 31) : 1))
/** Of the smallest decoder; what costs more gets fewer. */
const casesMost = inCi ? 60_000 : 900
const casesLeast = 4
let casesTried = 0

const t = suite(`fuzzing, seed ${seed}`)

for (const target of allTargets()) {
  const cases = Math.max(casesLeast, Math.round(casesMost / target.cost))
  t(`${target.name}: ${cases} changed inputs`, async () => {
    const before = bytesKept()
    const { failure } = await fuzz(target, { seed, cases })
    casesTried += cases
    if (failure) {
      const { error, input } = failure
      const shown = JSON.stringify(input.slice(0, 300))
      const replay = `npm run fuzz -- --replay '${target.name}=${saved(input)}'`
      throw new Error(`${error.message}\n  input: ${shown}\n  replay it with: ${replay}`,
        { cause: error })
    }
    const kept = bytesKept() - before
    assert.ok(kept < keptBytesMax, `${kept} bytes are kept`)
  }, { timeoutSeconds: 180 })
}

t.after(() => void process.stdout.write(`${casesTried} changed inputs, seed ${seed}\n`))
