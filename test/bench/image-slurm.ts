// The IMAGE experiment over two real Slurm clusters of 64 and 36 slots: the federation against the
// best split made by hand, one array for each cluster, handed in with sbatch. By hand 1,068 and 432
// tasks would end together after 17 rounds and 12.

import { mkdirSync, writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { slurmMissing, startSlurmCluster } from '../real/slurm-cluster.ts'
import type { SlurmCluster } from '../real/slurm-cluster.ts'
import { imageTasks } from '../sim/image.ts'
import type { Figure } from './figures.ts'
import type { Timed } from './image.ts'
import { idealSeconds, imageFigure, imageScript, openImage, runOnce, stampsOf } from './image.ts'
import { benchContext } from './submit.ts'

const fastTasks = 1_068

export async function imageSlurmFigures(): Promise<Figure[]> {
  if (slurmMissing().length > 0) {
    console.log(`image-slurm: left out, Slurm is not installed (${slurmMissing().join(', ')})`)
    return []
  }
  const ctx = benchContext()
  try {
    const open = async (name: string, cpus: number): Promise<SlurmCluster> => {
      const cluster = await startSlurmCluster(ctx.tmp(), {
        clusterName: name, nodes: [{ name: `${name}1`, cpus }],
      })
      ctx.after(() => cluster.stop())
      return cluster
    }
    const clusters = { fast: await open('fast', 64), slow: await open('slow', 36) }
    const directory = ctx.tmp()
    const byHand = await splitByHand(clusters, directory)
    const site = (cluster: SlurmCluster): Record<string, string> =>
      ({ 'scheduler.conf': JSON.stringify(cluster.confPath) })
    const federation = await openImage(ctx, {
      fast: { scheduler: 'slurm', set: site(clusters.fast) },
      slow: { scheduler: 'slurm', set: { ...site(clusters.slow), 'scheduler.speed': '0.75' } },
    })
    const load = loadavg()[0]!.toFixed(1)
    const ours = await runOnce(federation, join(directory, 'ours'))
    await Promise.all(federation.sites.map((one) => one.stop()))
    console.log(`image-slurm: load average ${load} before, ${loadavg()[0]!.toFixed(1)} after; by ` +
      `hand ${(byHand.makespanSeconds / idealSeconds).toFixed(2)} times the ideal, ` +
      `federated ${(ours.makespanSeconds / idealSeconds).toFixed(2)} times`)
    return [
      imageFigure('1,500 tasks on Slurms of 64 + 36, first start to last end',
        { seconds: ours.makespanSeconds, against: 'split by hand', peer: byHand.makespanSeconds }),
      imageFigure('the same, from the submission on', {
        seconds: ours.submitToDoneSeconds, against: 'split by hand, to the last end',
        peer: byHand.submitToDoneSeconds,
      }),
    ]
  } finally {
    await ctx.end()
  }
}

async function splitByHand(
  clusters: { readonly fast: SlurmCluster; readonly slow: SlurmCluster }, directory: string,
): Promise<Timed> {
  const stamps = join(directory, 'by-hand')
  mkdirSync(stamps)
  const script = join(directory, 'by-hand.sh')
  writeFileSync(script, imageScript(stamps))
  const begin = Date.now()
  const sbatch = (name: 'fast' | 'slow', array: string): Promise<string> =>
    clusters[name].command([
      'sbatch', `--array=${array}`, '--output=/dev/null', '--time=1', `--chdir=${directory}`,
      script, name,
    ])
  await Promise.all([
    sbatch('fast', `0-${fastTasks - 1}`), sbatch('slow', `${fastTasks}-${imageTasks - 1}`),
  ])
  const stamped = await stampsOf(stamps)
  return { ...stamped, submitToDoneSeconds: (stamped.lastEndMs - begin) / 1_000 }
}
