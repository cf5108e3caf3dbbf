// What simulated users ask of their jobs after they handed them in: holds, releases, suspensions,
// requeues, moves and the like at random times, sensible or not; in the end they let everything go.
// And jobs that wait for others; whether any began before its time order.ts says.

import { sha256Hex } from '../../protocol/base/crypto.ts'
import type { JobId } from '../../protocol/base/ids.ts'
import { formatRanges, parseRanges, takeRanges } from '../../protocol/base/ranges.ts'
import type { JobDocument, SignedJob } from '../../protocol/rules/job.ts'
import type { JobRequest, Verb } from '../../protocol/rules/request.ts'
import type { Machine } from './machine.ts'
import type { Random } from './random.ts'
import { random } from './random.ts'
import { jobWith } from './users.ts'
import type { World } from './world.ts'

const drawn: readonly Verb[] = [
  'hold', 'hold', 'release', 'release', 'suspend', 'suspend', 'resume', 'requeue', 'requeue',
  'move', 'signal', 'cancel', 'alter',
]
/** After everything is healed, milliseconds: held jobs are released, suspended ones go on. */
const lettingGoMs = [30_000, 120_000, 600_000, 1_800_000]

export function startVerbs(world: World): void {
  const { profile, time } = world
  for (let index = 0; index < (profile.verbs ?? 0); index++) {
    const chance = random(profile.seed, `verb ${index}`)
    time.after(chance.int(profile.minutes * 60_000), () => {
      const known = [...world.jobs.values()].filter(({ answered }) => answered)
      if (known.length === 0) return
      const job = chance.pick(known)
      const machine = world.machines.find(({ identity }) => identity.site === job.site)
      if (machine) askFor(world, machine, job.signed, wishFor(world, machine, job.signed, chance))
    })
  }
}

export function letGo(world: World): void {
  if ((world.profile.verbs ?? 0) === 0 && (world.profile.waitsPermille ?? 0) === 0) return
  for (const ms of lettingGoMs) {
    world.time.after(ms, () => {
      for (const { site, signed, answered } of world.jobs.values()) {
        const machine = world.machines.find(({ identity }) => identity.site === site)
        if (!machine || !answered) continue
        for (const verb of ['release', 'resume'] as const) askFor(world, machine, signed, { verb })
      }
    })
  }
}

type Wish = Pick<JobRequest, 'verb'> & Partial<JobRequest>

function askFor(world: World, machine: Machine, job: SignedJob, wish: Wish): void {
  const { site } = machine.identity
  const asked: JobRequest = {
    job: job.id, user: job.document.user, key: job.document.key, home: site, via: site, at: 0,
    nonce: sha256Hex(JSON.stringify([job.id, world.time.now(), wish])).slice(0, 32), ...wish,
  }
  if (wish.verb === 'cancel' && wish.tasks === undefined) return
  world.ask(machine, {
    times: 1_000,
    ask: (request) => ({ kind: 'verbRequested', request, job: job.id, asked }),
    answered: (answer) => world.log(`user: ${wish.verb} ${job.id} ${wish.tasks ?? ''} ` +
      `${answer.kind === 'done' || answer.kind === 'refused' ? answer.detail : answer.kind}`),
  })
}

function wishFor(world: World, machine: Machine, job: SignedJob, chance: Random): Wish {
  const verb = chance.pick(drawn)
  const all = parseRanges(job.document.tasks, { last: 1_000_000 }) ?? []
  const some = formatRanges(takeRanges(all, chance.between(1, 5)).taken)
  const tasks = chance.chance(500) || verb === 'cancel' ? { tasks: some } : {}
  if (verb === 'signal') return { verb, signal: 'USR1', ...tasks }
  if (verb === 'alter') {
    const change = chance.pick<NonNullable<JobRequest['change']>>([
      { walltime_seconds: chance.between(20, 600) }, { name: 'another' }, { tasks_at_once: 2 },
      { requirements: '' }, { priority: 7 },
    ])
    return { verb, change }
  }
  if (verb !== 'move') return { verb, ...tasks }
  const others = world.machines.map(({ identity }) => identity.site)
    .filter((site) => site !== machine.identity.site)
  return { verb, sites: chance.chance(500) ? [] : [chance.pick(others)], ...tasks }
}

/** The job as its user hands it in now: it may wait for one that was handed in before. */
export function withWait(world: World, machine: Machine, job: SignedJob, index: number): SignedJob {
  const chance = random(world.profile.seed, `wait ${index}`)
  if (!chance.chance(world.profile.waitsPermille ?? 0)) return job
  const tables = machine.process?.loop.tables
  const parents = [...(tables?.get('jobs') ?? new Map<string, unknown>()).keys()]
    .filter((id) => world.jobs.get(id as JobId)?.answered).toSorted((a, b) => a < b ? -1 : 1)
  return jobWith({ ...job.document, ...waitOf(job, parents as JobId[], chance, world) })
}

function waitOf(
  job: SignedJob, parents: readonly JobId[], chance: Random, world: World,
): Partial<JobDocument> {
  const kind = chance.pick(
    ['afterok', 'afternotok', 'afterany', 'after', 'aftercorr', 'singleton', 'begin', 'hold'],
  )
  if (kind === 'hold') return { hold: 1 }
  if (kind === 'begin') return { begin_ms: world.time.now() + chance.between(0, 120_000) }
  if (kind === 'singleton') return { name: 'line', after: [{ kind, job: '', delay_seconds: 0 }] }
  const same = parents.filter((id) => kind !== 'aftercorr'
    || world.jobs.get(id)!.signed.document.tasks === job.document.tasks)
  if (same.length === 0) return {}
  const of = chance.pick(same)
  const delay_seconds = chance.pick([0, 0, 30])
  return { after: [{ kind: kind as 'after', job: of, delay_seconds }] }
}
