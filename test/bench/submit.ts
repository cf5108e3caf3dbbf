// From typing the command to the first line of the script at another site: through the auction, the
// contract, staging and the host's scheduler, against `sbatch` on the same cluster, which has none
// of these. Once with real Slurm at the host, once with the embedded executor there.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openFederation } from '../e2e/federation.ts'
import type { Context } from '../harness.ts'
import { eventually } from '../harness.ts'
import { slurmMissing, startSlurmCluster } from '../real/slurm-cluster.ts'
import type { Figure } from './figures.ts'
import { paired, timeFigure } from './figures.ts'

const rounds = 5
const gridnode = join(import.meta.dirname, '..', '..', 'cli', 'gridnode')

/** What a test's context is to the federation, without a test. */
export function benchContext(): Context & { end(): Promise<void> } {
  const closers: (() => unknown)[] = []
  return {
    tmp() {
      const directory = mkdtempSync(join(tmpdir(), 'gridnode-bench-'))
      closers.unshift(() => rmSync(directory, { recursive: true, force: true }))
      return directory
    },
    after: (close) => void closers.push(close),
    skip: (reason) => { throw new Error(reason) },
    signal: new AbortController().signal,
    async end() {
      for (const close of closers.splice(0).reverse()) await close()
    },
  }
}

/** Milliseconds since 1970 with a fraction, as `date +%s%N` in a script stamps them. */
function now(): number {
  return performance.timeOrigin + performance.now()
}

/** Runs `submit`, waits for the script's own stamp; seconds between. */
async function toFirstLine(stamp: string, submit: () => void): Promise<number> {
  rmSync(stamp, { force: true })
  const begin = now()
  submit()
  await eventually(() => existsSync(stamp) && readFileSync(stamp, 'utf8').trim() !== '', {
    timeoutSeconds: 60, what: 'the script has started',
  })
  return (Number(readFileSync(stamp, 'utf8')) / 1e6 - begin) / 1000
}

function command(argv: readonly string[], env: Readonly<Record<string, string>>): void {
  const [program = '', ...args] = argv
  const done = spawnSync(program, args, { env: { ...process.env, ...env }, encoding: 'utf8' })
  if (done.status !== 0) throw new Error(`${program} failed: ${done.stdout}${done.stderr}`)
}

export async function submitFigures(): Promise<Figure[]> {
  if (slurmMissing().length > 0) {
    console.log(`submit: left out, Slurm is not installed (${slurmMissing().join(', ')})`)
    return []
  }
  const ctx = benchContext()
  try {
    const cluster = await startSlurmCluster(ctx.tmp(), { nodes: [{ name: 'n1', cpus: 8 }] })
    ctx.after(() => cluster.stop())
    const { sites } = await openFederation(ctx, {
      sites: [
        { name: 'home', cores: 1 },
        {
          name: 'slurmhost',
          scheduler: 'slurm',
          set: { 'scheduler.conf': `"${cluster.confPath}"` },
        },
        { name: 'embeddedhost', cores: 8 },
      ],
      set: { 'log.level': '"warn"' },
    })
    const directory = ctx.tmp()
    const stamp = join(directory, 'stamp')
    const script = join(directory, 'job.sh')
    writeFileSync(script, `#!/bin/sh\ndate +%s%N > ${stamp}.new && mv ${stamp}.new ${stamp}\n`)
    const env = { GRIDNODE_USER_KEY: join(directory, 'user.key'), ...cluster.env }
    const through = (site: string) => (): Promise<number> => toFirstLine(stamp, () => command([
      gridnode, 'submit', '--dir', sites[0]!.directory, '--sites', site, '--cores', '1',
      '--memory', '64MiB', '--walltime', '30s', '--budget', '100cr', script,
    ], env))
    const direct = (): Promise<number> => toFirstLine(stamp, () =>
      command(['sbatch', '--output=/dev/null', '--chdir', directory, script], env))
    return [
      timeFigure('submit to first line, Slurm at another site', 'sbatch on that cluster',
        await paired(rounds, through('slurmhost'), direct)),
      timeFigure('submit to first line, embedded at another site', 'sbatch on a cluster',
        await paired(rounds, through('embeddedhost'), direct)),
    ]
  } finally {
    await ctx.end()
  }
}
