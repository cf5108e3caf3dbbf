// The simulator's command line:
//
//   npm run sim -- --seed N [--trace]      one seed; with --trace its whole transcript
//   npm run sim -- --seeds A-B             many seeds; a failing one prints how to replay it
//   --minutes M  --sites S  --jobs J       instead of what the seed says
//   --kind calm|lossy|crashes|partitions|schedulers|all

import { parseArgs } from 'node:util'
import type { Overrides } from './profile.ts'
import { profileOf } from './profile.ts'
import { run } from './run.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    minutes: { type: 'string' },
    sites: { type: 'string' },
    jobs: { type: 'string' },
    kind: { type: 'string' },
    trace: { type: 'boolean' },
  },
})

function number(text: string): number {
  if (!/^[0-9]{1,9}$/.test(text)) throw new Error(`expected a whole number, got '${text}'`)
  return Number(text)
}

const overrides: Overrides = {
  ...(values.minutes !== undefined && { minutes: number(values.minutes) }),
  ...(values.sites !== undefined && { sites: number(values.sites) }),
  ...(values.jobs !== undefined && { jobs: number(values.jobs) }),
  ...(values.kind !== undefined && { kind: values.kind }),
}
const [first = '1', last = first] = (values.seeds ?? values.seed ?? '1-20').split('-')
let failed = 0
const started = performance.now()
for (let seed = number(first); seed <= number(last); seed++) {
  const profile = profileOf(seed, overrides)
  const before = performance.now()
  try {
    const trace = values.trace === true ? { trace: (line: string) => console.log(line) } : {}
    const { world, hash, virtualMs } = run(profile, trace)
    const { commits, crashes } = world.counts()
    console.log(`seed ${seed} ${profile.name}: ` +
      `${profile.sites.length} sites, ${world.jobs.size} jobs, ` +
      `${crashes} crashes, ${commits} commits, ${Math.round(virtualMs / 1_000)} s virtual, ` +
      `${Math.round(performance.now() - before)} ms, ${hash}`)
  } catch (error) {
    failed++
    console.log(error instanceof Error ? error.message : String(error))
  }
}
const seconds = ((performance.now() - started) / 1_000).toFixed(1)
console.log(`${failed} failed, ${seconds} s`)
process.exitCode = failed > 0 ? 1 : 0
