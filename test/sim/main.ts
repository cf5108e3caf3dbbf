// The simulator's command line:
//
//   npm run sim -- --seed N [--trace]      one seed; with --trace its whole transcript
//   npm run sim -- --seed N --shrink       a smaller run that breaks the same law
//   npm run sim -- --seeds A-B             many seeds; a failing one prints how to replay it
//   npm run sim -- --minutes M             so long, from a seed that is drawn and printed
//   npm run sim -- --swf A B C --hours H --from SECOND,… --rank R,… --queue-ahead Q --svg FILE
//   npm run sim -- --image --queue-ahead Q,… --task-seconds S
//   npm run sim -- --scale 10,100,1000 --jobs J --seconds S
//   --kind K --liar LIE --sites S --jobs J --tasks T --length MINUTES --without FAULT,…
//                                          instead of what the seed says

import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { limits } from '../../protocol/base/limits.ts'
import { campaign, summed } from './campaign.ts'
import { imageTable } from './image.ts'
import type { Overrides } from './profile.ts'
import { commandFor, kindNames, leavable, lieNames, profileOf } from './profile.ts'
import { scaleTable } from './scale/table.ts'
import { shrink } from './shrink.ts'
import { replayLogs } from './swf/replay.ts'

const seedMax = 999_999_999
const shrinkSecondsDefault = 300

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    minutes: { type: 'string' },
    kind: { type: 'string' },
    liar: { type: 'string' },
    sites: { type: 'string' },
    jobs: { type: 'string' },
    tasks: { type: 'string' },
    length: { type: 'string' },
    without: { type: 'string' },
    trace: { type: 'boolean' },
    shrink: { type: 'boolean' },
    swf: { type: 'string' },
    hours: { type: 'string' },
    from: { type: 'string' },
    rank: { type: 'string' },
    'queue-ahead': { type: 'string' },
    svg: { type: 'string' },
    scale: { type: 'string' },
    seconds: { type: 'string' },
    image: { type: 'boolean' },
    'task-seconds': { type: 'string' },
  },
})

function number(text: string, least = 0, most = seedMax): number {
  const found = /^[0-9]{1,9}(\.[0-9]{1,3})?$/.test(text) ? Number(text) : NaN
  if (found >= least && found <= most) return found
  throw new Error(`expected a number from ${least} to ${most}, got '${text}'`)
}

function overridesSaid(): Overrides {
  const { kind, liar, sites, jobs, tasks, length, without } = values
  if (kind !== undefined && !kindNames.includes(kind)) {
    throw new Error(`expected --kind to be one of ${kindNames.join(', ')}, got '${kind}'`)
  }
  if (liar !== undefined && !lieNames.some((name) => name === liar)) {
    throw new Error(`expected --liar to be one of ${lieNames.join(', ')}, got '${liar}'`)
  }
  const names = without?.split(',') ?? []
  const known = new Set(leavable(profileOf(1, { kind: 'all' })).concat('late', 'skew'))
  for (const name of names) {
    if (!known.has(name)) throw new Error(`--without knows ${[...known].join(', ')}, not '${name}'`)
  }
  return {
    ...(kind !== undefined && { kind }),
    ...(liar !== undefined && { liar }),
    ...(sites !== undefined && { sites: number(sites, 2, 8) }),
    ...(jobs !== undefined && { jobs: number(jobs, 0, 1_000) }),
    ...(tasks !== undefined && { tasks: number(tasks, 1, 10_000) }),
    ...(length !== undefined && { length: number(length, 0, 10_000) }),
    ...(names.length > 0 && { without: names }),
  }
}

function range(): { first: number, last: number } {
  if (values.minutes !== undefined && values.seed === undefined && values.seeds === undefined) {
    const first = randomInt(1_000, seedMax - 1_000_000)
    return { first, last: first + 1_000_000 }
  }
  const [first = '1', last = first] = (values.seeds ?? values.seed ?? '1-20').split('-')
  return { first: number(first), last: number(last) }
}

const say = (line: string): void => console.log(line)
const overrides = overridesSaid()
const { first, last } = range()
const secondsMax = values.minutes === undefined ? undefined : number(values.minutes, 0, 1_440) * 60

if (values.image === true) {
  const depths = (values['queue-ahead'] ?? '0,0.1,0.25,0.5,1,8').split(',')
  for (const line of imageTable(depths.map((depth) => number(depth, 0, 100) * 1_000), {
    seed: first, taskMs: number(values['task-seconds'] ?? '600', 1, 86_400) * 1_000,
  })) say(line)
} else if (values.swf !== undefined) {
  replayLogs({
    paths: [values.swf, ...positionals],
    hours: number(values.hours ?? '24', 1, 10_000),
    fromSeconds: values.from?.split(',').map((second) => number(second)) ?? [],
    ranks: values.rank?.split(',').map((rank) => number(rank, 0, 1)) ?? [],
    queueAheadPermille: number(values['queue-ahead'] ?? '1', 0, 100) * 1_000,
    seed: first,
    svg: values.svg,
  }, say)
} else if (values.scale !== undefined) {
  scaleTable(values.scale.split(',').map((sites) => number(sites, 2, limits.sitesMax)), {
    seed: first,
    jobs: number(values.jobs ?? '200', 1, 100_000),
    busyMs: number(values.seconds ?? '120', 0, 86_400) * 1_000,
  }, say)
} else if (positionals.length > 0) {
  throw new Error(`expected options only, got '${positionals.join(' ')}'; logs come after --swf`)
} else if (values.shrink === true) {
  const budget = { secondsMax: secondsMax ?? shrinkSecondsDefault, say }
  const shrunk = shrink(first, overrides, budget)
  say(shrunk ? `${shrunk.law} in ${shrunk.lines} lines, after ${shrunk.tries} tries: ` +
    `${commandFor(first, shrunk.overrides)} --trace` : `seed ${first} does not fail`)
  process.exitCode = shrunk ? 1 : 0
} else {
  const wanted = {
    first, last, overrides,
    ...(secondsMax !== undefined && { secondsMax }),
    ...(values.trace === true && { trace: say }),
  }
  if (secondsMax !== undefined) say(`seeds from ${first} on, for ${secondsMax} s`)
  const counts = campaign(wanted, say)
  for (const line of summed(counts, wanted)) say(line)
  process.exitCode = counts.failed.length > 0 ? 1 : 0
}
