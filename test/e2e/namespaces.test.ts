// Five real sites, each in a network namespace of its own, under jobs without a pause: lines are
// cut for longer than a lease, packets of one direction are dropped, nodes are killed (-9) at
// random, also while lines are cut. In the end everything heals: every answered job is over,
// nothing ran twice under one contract, all ledgers verify and mirror each other, no hold is open.
//
// Scaled: leases are 10 s in place of 10 min, so a cut of 35 s stands for one of half an hour.
// time limit: 900 s
//
//   GRIDNODE_E2E_SEED=N     the random moments of an earlier run again
//   GRIDNODE_E2E_KILLS=N    so many kills; 200 in CI and 40 elsewhere when left out

import { randomInt } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { VerifyReport } from '../../cli/verify/verify.ts'
import type { ExportAnswer, PeerRow } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { suite, assert, eventually } from '../harness.ts'
import { random } from '../sim/random.ts'
import type { Random } from '../sim/random.ts'
import type { Federation } from './federation.ts'
import {
  balancesAgree, everybodyMeets, ledgerOf, openFederation, runThere, settled,
} from './federation.ts'
import type { Load, Outcomes } from './load.ts'
import { openLoad, outcomesOf, paidForWhatRan, ranOnce } from './load.ts'
import type { Star } from './namespaces.ts'
import { demandNamespaces, openStar } from './namespaces.ts'
import type { Site } from './site.ts'

const t = suite('in namespaces')
const inCi = /^(1|true)$/i.test(process.env['CI'] ?? '')
const seed = Number(process.env['GRIDNODE_E2E_SEED'] ?? randomInt(2 ** 31))
const killsWanted = Number(process.env['GRIDNODE_E2E_KILLS'] ?? (inCi ? 200 : 40))
process.stdout.write(`seed of the random moments: GRIDNODE_E2E_SEED=${seed}\n`)

const names = ['a', 'b', 'c', 'd', 'e'].map((letter) => `${letter}.example`)
const homes = names.slice(0, 4)
/** Several leases, and longer than a link may be silent before it counts as dead. */
const cutMs = 35_000
const healSeconds = 120

let star: Star
let federation: Federation
let load: Load
let outcomes: Outcomes | undefined
const counts = { kills: 0, cuts: 0, entries: 0 }
const began = performance.now()

t.before(async (ctx) => {
  demandNamespaces(ctx)
  star = openStar(ctx, names)
  federation = await openFederation(ctx, {
    network: star,
    sites: names.map((name) => ({ name, cores: 3 })),
    set: {
      'market.lease': '"10s"',
      'market.interim': '"4s"',
      'market.queue_ahead': '0.5',
      'market.offer_heartbeat': '"5s"',
      'log.level': '"info"',
    },
  })
  load = openLoad({
    folder: ctx.tmp(), seed, openMax: 3, signal: ctx.signal,
    homes: homes.map((name) => federation.site(name)),
  })
}, { timeoutSeconds: 120 })

const site = (letter: string): Site => federation.site(`${letter}.example`)

async function hears(one: Site, other: Site): Promise<boolean> {
  const peers = await one.client.get<PeerRow[]>(apiPaths.peers)
  return peers.some((row) => row.site === other.name && row.state === 'up')
}

/** For `cutMs`, and until both have noticed; then it is as it was, and they find each other. */
async function whileCut(
  between: readonly [Site, Site], cut: () => void, mend: () => void,
): Promise<void> {
  const [one, other] = between
  cut()
  counts.cuts++
  await Promise.all([
    pause(cutMs),
    eventually(async () => !(await hears(one, other)) && !(await hears(other, one)),
      { timeoutSeconds: 60, what: `${one.name} and ${other.name} do not hear each other` }),
  ])
  mend()
  await eventually(async () => await hears(one, other) && await hears(other, one),
    { timeoutSeconds: healSeconds, what: `${one.name} and ${other.name} have met again` })
}

t('a line is cut for several leases, a direction of another pair with it', async () => {
  await eventually(() => load.runs().length >= 10, { what: 'jobs run', timeoutSeconds: 60 })
  const before = load.runs().length
  const c = names[2]!
  const [a, b] = [names[0]!, names[1]!]
  await Promise.all([
    whileCut([site('c'), site('d')], () => star.cutLine(c), () => star.mendLine(c)),
    whileCut([site('a'), site('b')], () => star.drop(a, b), () => star.pass(a, b)),
  ])
  assert.ok(load.runs().length > before, 'the others went on')
}, { timeoutSeconds: 240 })

t(`nodes are killed ${killsWanted} times at random, also while lines are cut`, async () => {
  const kills = openKills()
  const cuts = random(seed, 'cuts')
  while (counts.kills < killsWanted) {
    drawCut(cuts)
    await kills.stretch()
    // What is cut may stay so in the next stretch.
    if (cuts.chance(600)) star.mendAll()
  }
  star.mendAll()
  await kills.allUp()
}, { timeoutSeconds: 120 + killsWanted * 2 })

function drawCut(chance: Random): void {
  const [one, other] = [chance.pick(names), chance.pick(names)]
  const kind = chance.int(4)
  if (kind === 0) return
  counts.cuts++
  if (kind === 1) return star.cutLine(one)
  star.drop(one, other)
  if (kind === 2) star.drop(other, one)
}

interface Kills {
  /** Some of the nodes, again and again for a while. */
  stretch(): Promise<void>
  /** Nobody is down any more; throws when a start failed. */
  allUp(): Promise<void>
}

function openKills(): Kills {
  const chance = random(seed, 'kills')
  const failed: unknown[] = []
  const ways = new Map<Site, Promise<void>>()
  const strike = async (victim: Site): Promise<void> => {
    await ways.get(victim)
    await victim.kill()
    counts.kills++
    const downMs = chance.chance(600) ? 0 : chance.between(300, 5_000)
    ways.set(victim, pause(downMs).then(() => {
      // A node that is killed before it is up ends by a signal; one that gives up ends with a code.
      victim.start().catch((error: unknown) => {
        if (!String(error).includes('ended with -1')) failed.push(error)
      })
    }))
  }
  const noneFailed = (): void => {
    if (failed.length > 0) throw new AggregateError(failed, String(failed[0]))
  }
  return {
    async stretch() {
      const victims = federation.sites.filter(() => chance.chance(400))
      if (victims.length === 0) victims.push(chance.pick(federation.sites))
      const strikes = chance.between(4, 12)
      for (let at = 0; at < strikes && counts.kills < killsWanted; at++) {
        await pause(chance.between(50, 700))
        const all = chance.chance(60)
        const chosen = chance.pick(victims)
        // Who is down already gives its place to another one.
        const struck = [chosen, ...victims, ...federation.sites].find((one) => one.running())
        await Promise.all((all ? federation.sites : [struck ?? chosen]).map(strike))
        noneFailed()
      }
      await pause(chance.between(300, 2_000))
    },
    async allUp() {
      await Promise.all(ways.values())
      for (const { name, client, pid } of federation.sites) {
        await eventually(async () =>
          (await client.get<{ pid: number }>(apiPaths.info)).pid === pid(),
        { what: `${name} is up` })
      }
      noneFailed()
    },
  }
}

t('all heals: every job is over, and nothing ran twice under one contract', async () => {
  await load.stop()
  await everybodyMeets(federation, healSeconds)
  outcomes = await outcomesOf(load, healSeconds)
  ranOnce(load)
  assert.ok((outcomes.states['done'] ?? 0) > outcomes.jobs / 2, JSON.stringify(outcomes))
}, { timeoutSeconds: 3 * healSeconds })

t('all ledgers verify and mirror each other, no hold is open, nothing is left', async (ctx) => {
  await settled(federation, healSeconds)
  await paidForWhatRan(load)
  const folder = ctx.tmp()
  for (const { name, client } of federation.sites) {
    const directory = join(folder, name)
    await client.post<ExportAnswer>(apiPaths.ledgerExport, { directory })
  }
  const report = JSON.parse(runThere([], ['verify', '--json', folder])) as VerifyReport
  assert.equal([report.verdict, report.findings], ['holds', []])
  assert.equal(report.openHolds, [], 'no hold is open')
  assert.equal(report.pairs.filter(({ seen }) => seen !== 'both'), [], 'both sides are there')
  counts.entries = report.logs.reduce((sum, { entries }) => sum + entries, 0)
  await balancesAgree(federation)
  let sum = 0n
  for (const one of federation.sites) {
    for (const { balance } of (await ledgerOf(one)).pairs) sum += BigInt(balance)
  }
  assert.equal(sum, 0n, 'all balances together')
  for (const one of federation.sites) await clearedUp(one)
}, { timeoutSeconds: 3 * healSeconds })

/** Directories of jobs and records of tasks are gone. */
async function clearedUp({ name, directory, log }: Site): Promise<void> {
  const left = (): string[] => ['spool', 'embedded/records'].flatMap((path) =>
    existsSync(join(directory, path))
      ? readdirSync(join(directory, path)).map((file) => `${path}/${file}`) : [])
  const what = `${name} cleared up`
  await eventually(() => left().length === 0, { what, timeoutSeconds: 60 }).catch((cause) => {
    const ids = [...new Set(left().flatMap((path) => path.match(/[0-9a-f]{12,}/g) ?? []))]
    const lines = log().split('\n').filter((line) => ids.some((id) => line.includes(id)))
    const details = `${left().join('\n')}\n${lines.slice(-60).join('\n')}`
    throw Object.assign(new Error(String(cause), { cause }), { details })
  })
}

t.after(() => {
  const { jobs, tasks, states, notes } = outcomes ?? { jobs: 0, tasks: 0, states: {}, notes: [] }
  const how = Object.entries(states).map(([state, count]) => `${count} ${state}`).join(', ')
  const seconds = Math.round((performance.now() - began) / 1_000)
  for (const note of notes) process.stdout.write(`${note}\n`)
  process.stdout.write(`${counts.kills} kills, ${counts.cuts} cuts, ${jobs} jobs (${how}), ` +
    `${tasks} tasks, ${load?.runs().length ?? 0} runs, ${counts.entries} ledger entries, ` +
    `${seconds} s\n`)
})
