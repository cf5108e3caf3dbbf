// The IMAGE experiment with real processes: one array of 1,500 tasks, a home of 64 slots where a
// task sleeps 3 s and a second site of 36 where it sleeps 4 s. Nobody could be done before 51 s.
// Each task stamps its own start and end by files that its shell makes, which costs it nothing.

import { mkdirSync, readdirSync, statSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import type { Federation, SitePlan } from '../e2e/federation.ts'
import { ended, openFederation } from '../e2e/federation.ts'
import { submit } from '../e2e/jobs.ts'
import { eventually } from '../harness.ts'
import { idealRounds, imageTasks } from '../sim/image.ts'
import type { Figure } from './figures.ts'
import { benchContext } from './submit.ts'

const taskSeconds = 3
export const idealSeconds = idealRounds * taskSeconds

/** `sleep 3` at speed 1, `sleep 4` at 3/4; by hand the site is the script's argument. */
export function imageScript(stamps: string): string {
  return `#!/bin/sh
: >${stamps}/\${GRIDNODE_TASK_ID:-$SLURM_ARRAY_TASK_ID}.start
case "\${GRIDNODE_SITE:-$1}" in
fast*) sleep ${taskSeconds} ;;
*) sleep ${(taskSeconds * 4) / 3} ;;
esac
: >${stamps}/\${GRIDNODE_TASK_ID:-$SLURM_ARRAY_TASK_ID}.end
`
}

export interface Stamps {
  readonly firstStartMs: number
  readonly lastEndMs: number
  readonly makespanSeconds: number
}

/** Waits until every task has stamped its end. */
export async function stampsOf(directory: string, tasks = imageTasks): Promise<Stamps> {
  await eventually(() => readdirSync(directory).length === 2 * tasks, {
    timeoutSeconds: 600, what: 'all tasks have ended',
  })
  const at = (ending: string): number[] => readdirSync(directory)
    .filter((name) => name.endsWith(ending)).map((name) => statSync(join(directory, name)).mtimeMs)
  const firstStartMs = Math.min(...at('.start'))
  const lastEndMs = Math.max(...at('.end'))
  return { firstStartMs, lastEndMs, makespanSeconds: (lastEndMs - firstStartMs) / 1_000 }
}

export interface ImageSites {
  readonly fast: Partial<SitePlan>
  readonly slow: Partial<SitePlan>
}

/** A federation of the two sites; what it says about jobs goes as it does for people. */
export function openImage(
  ctx: ReturnType<typeof benchContext>, { fast, slow }: ImageSites,
): Promise<Federation> {
  const tasks = { memoryMib: 65_536 }
  const set = {
    'market.queue_ahead': '1.0',
    'market.lease': '"2m"',
    'market.bid_validity': '"30s"',
    'market.award_within': '"30s"',
    'log.level': '"warn"',
  }
  return openFederation(ctx, {
    sites: [
      { name: 'fast.example', cores: 64, ...tasks, ...fast },
      { name: 'slow.example', cores: 36, ...tasks, ...slow },
    ],
    set,
  })
}

export interface Timed extends Stamps {
  readonly submitToDoneSeconds: number
}

export async function runOnce(federation: Federation, stamps: string): Promise<Timed> {
  mkdirSync(stamps, { recursive: true })
  const home = federation.site('fast.example')
  const begin = Date.now()
  const job = await submit(home, {
    tasks: `0-${imageTasks - 1}`,
    script: imageScript(stamps),
    walltimeSeconds: 30,
    memoryMib: 16,
    budgetCredits: 1_000_000,
    options: { policy: 'soonest' },
  })
  const stamped = await stampsOf(stamps)
  const { state } = await ended(home, job, 120)
  if (state !== 'done') throw new Error(`the job has ended as ${state}`)
  return { ...stamped, submitToDoneSeconds: (Date.now() - begin) / 1_000 }
}

const embedded = {
  // What is measured is where tasks go and when; what a sandbox costs has nothing to do with it.
  set: { 'scheduler.sandbox': '"none"' },
}

export async function imageFigures(): Promise<Figure[]> {
  const ctx = benchContext()
  try {
    const federation = await openImage(ctx, {
      fast: embedded,
      slow: { set: { ...embedded.set, 'scheduler.speed': '0.75' } },
    })
    const load = loadavg()[0]!.toFixed(1)
    const timed = await runOnce(federation, join(ctx.tmp(), 'stamps'))
    await Promise.all(federation.sites.map((site) => site.stop()))
    console.log(`image: load average ${load} before, ${loadavg()[0]!.toFixed(1)} after`)
    return [
      imageFigure('1,500 tasks on 64 + 36 embedded slots, first start to last end',
        { seconds: timed.makespanSeconds, against: 'no less is possible', peer: idealSeconds }),
      imageFigure('the same, from the submission to done',
        { seconds: timed.submitToDoneSeconds, against: 'no less is possible', peer: idealSeconds }),
    ]
  } finally {
    await ctx.end()
  }
}

export function imageFigure(
  name: string, { seconds, against, peer }: { seconds: number; against: string; peer: number },
): Figure {
  return {
    name, ours: `${seconds.toFixed(2)} s`, peerName: against, peer: `${peer.toFixed(2)} s`,
    ratio: `${(peer / seconds).toFixed(3)}, theirs is ${(seconds / peer).toFixed(3)} times`,
  }
}
