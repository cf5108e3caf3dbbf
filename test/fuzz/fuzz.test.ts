// A small budget of every target, by count: the same inputs on every machine. More of them come
// from `npm run fuzz -- --minutes M --seed N`. time limit: 300 s

import { assert, suite } from '../harness.ts'
import { allTargets } from './all-targets.ts'
import { bytesKept, keptBytesMax } from './memory.ts'
import { fuzz, saved } from './target.ts'

const seed = 1
/** Of the smallest decoder; what costs more gets fewer. */
const casesMost = 900
const casesLeast = 4

const t = suite(`fuzzing, seed ${seed}`)

for (const target of allTargets()) {
  const cases = Math.max(casesLeast, Math.round(casesMost / target.cost))
  t(`${target.name}: ${cases} changed inputs`, async () => {
    const before = bytesKept()
    const { failure } = await fuzz(target, { seed, cases })
    if (failure) {
      const { error, input } = failure
      const shown = JSON.stringify(input.slice(0, 300))
      const replay = `npm run fuzz -- --replay '${target.name}=${saved(input)}'`
      throw new Error(`${error.message}\n  input: ${shown}\n  replay it with: ${replay}`,
        { cause: error })
    }
    const kept = bytesKept() - before
    assert.ok(kept < keptBytesMax, `${kept} bytes are kept`)
  })
}
