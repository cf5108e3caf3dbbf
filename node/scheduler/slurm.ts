// Slurm, by its commands: sbatch once a tranche, one squeue for all tasks, scancel, sinfo. Written
// against Slurm 22.05.

import { open } from 'node:fs/promises'
import { ok, refuse } from '../../protocol/base/outcome.ts'
import { BatchDriver } from './batch-driver.ts'
import type { BatchConfig } from './batch-driver.ts'
import { demandSuccess, failed, unreadable } from './batch-shell.ts'
import type { BatchRow, BatchShell, Tongue } from './batch-tongue.ts'
import { SchedulerFailure } from './driver.ts'
import type { Abilities } from './driver.ts'
import {
  cancelArguments, controlCommands, countsArguments, nodesArguments, queryArguments, slurmScript,
  startAgainArguments, submitArguments,
} from './slurm-commands.ts'
import {
  parseCompletions, parseCounts, parseJobs, parseLicences, parseNodes, parseSubmitted, refusalOf,
} from './slurm-output.ts'

export interface SlurmConfig extends BatchConfig {
  /** slurm.conf; Slurm's own default when left out. */
  readonly confPath?: string
  /** Where tasks go that name no queue; Slurm's default partition when left out. */
  readonly partition?: string
  /** Given to every sbatch as they are, for example `--account=grid`. */
  readonly extraArguments?: readonly string[]
  /**
   * Whether Slurm is configured to end jobs that use too much memory (cgroups); false when left
   * out.
   */
  readonly memoryEnforced?: boolean
}

/** Of the job completion log's end. */
const completionBytesMax = 16 * 1024 * 1024

export function slurmDriver(config: SlurmConfig): BatchDriver {
  return new BatchDriver(slurmTongue(config), config)
}

export function slurmTongue(config: SlurmConfig): Tongue {
  const { confPath, partition } = config
  const submitEnvironment = confPath === undefined ? {} : { SLURM_CONF: confPath }
  const extraArguments = config.extraArguments ?? []
  return {
    kind: 'slurm', title: 'Slurm', queue: partition,
    abilities: abilitiesOf(config),
    environment: {
      ...submitEnvironment, LC_ALL: 'C', SLURM_TIME_FORMAT: '%s', SLURM_BITSTR_LEN: '0',
    },
    submitEnvironment,
    script: slurmScript,
    submit: (submission, script) => ({
      argv: ['sbatch', ...submitArguments(submission, { partition, extraArguments })],
      input: script.text,
    }),
    readSubmitted(result) {
      if (result.code !== 0) {
        const refusal = refusalOf(result.stderr)
        if (refusal) return refuse(refusal)
        throw failed('sbatch', result)
      }
      const jobId = parseSubmitted(result.stdout)
      if (jobId !== undefined) return ok({ jobId })
      const words = `expected a job id of sbatch, got ${result.stdout.trim()}`
      throw new SchedulerFailure('malformed', words)
    },
    query: (ask) => ({ argv: ['squeue', ...queryArguments(ask)] }),
    readRows(result) {
      const text = demandSuccess('squeue', result)
      const rows = parseJobs(text)
      if (!rows) throw unreadable('squeue', text)
      return config.memoryEnforced ? rows.map(overMemory) : rows
    },
    async gone(shell, missing, signal) {
      const tags = new Set(missing.map(({ tag }) => tag))
      return parseCompletions(await completionLog(shell, signal), tags)
    },
    cancel: ({ jobId, positions }) => [{ argv: ['scancel', ...cancelArguments(jobId, positions)] }],
    readCancelled(result) {
      // A job that has ended meanwhile needs no cancelling.
      if (result.code === 0 || /invalid job id|already compl/i.test(result.stderr)) return
      throw failed('scancel', result)
    },
    control: controlCommands,
    async enter(shell, { jobId, position, directory }, signal) {
      // srun knows a task of an array by the id of its own alone.
      const named = position === undefined ? jobId : `${jobId}_${position}`
      const own = await shell.ask(['squeue', '-h', '-j', named, '-o', '%A'], signal)
      return [
        'srun', `--jobid=${own.trim()}`, '--overlap', '--nodes=1', '--ntasks=1', '--quiet',
        '--kill-on-bad-exit=0', `--chdir=${directory}`, '--',
      ]
    },
    readControlled({ kind }, result) {
      const words = result.stderr.trim()
      // Tasks that have ended meanwhile are passed over.
      if (/invalid job id|already|job has finished/i.test(words)) return undefined
      if (result.code === 0) return undefined
      const failure = failed(kind, result)
      if (failure.code === 'unreachable') throw failure
      return { reason: 'refused', words: failure.message }
    },
    refuse({ tasks, resources: { chunks = [] } }) {
      if (tasks.length === 1 || chunks.length < 2) return undefined
      const words = 'expected nodes of one kind for an array, got several: Slurm has no arrays of'
        + ' heterogeneous jobs; submit the tasks one by one'
      return { reason: 'tooLarge', words }
    },
    mend: (rows) => startAgainArguments(rows).map((words) => ({ argv: ['scontrol', ...words] })),
    async capacity(shell, signal) {
      const [text, counts, licences] = await Promise.all([
        shell.ask(['sinfo', ...nodesArguments()], signal),
        shell.ask(['squeue', ...countsArguments(partition)], signal),
        shell.ask(['scontrol', '-o', 'show', 'licenses'], signal),
      ])
      const nodes = parseNodes(text, partition)
      if (!nodes) throw unreadable('sinfo', text)
      const { queued, running } = parseCounts(counts)
      return {
        ...nodes, tasksQueued: queued, tasksRunning: running, licences: parseLicences(licences),
      }
    },
  }
}

function abilitiesOf(config: SlurmConfig): Abilities {
  return {
    arrays: true, hold: true, signal: true, suspend: true, startEstimate: true,
    accounting: true, memoryEnforced: config.memoryEnforced ?? false, walltimeEnforced: true,
    requeue: true, reservations: true, gpus: true, licences: true, nodes: true, chunks: true,
    accounts: process.getuid?.() === 0, seenAt: false,
  }
}

/**
 * Where no cgroup ends what takes too much memory but `JobAcctGatherParams=OverMemoryKill`, Slurm
 * calls it a job that was killed and could not be launched.
 */
function overMemory(row: BatchRow): BatchRow {
  const killed = row.phase === 'exited' && row.exitCode === 137
  return killed && row.reason === 'JobLaunchFailure' ? { ...row, phase: 'memory' } : row
}

/** The end of the log that `JobCompType=jobcomp/filetxt` writes; empty when we can read none. */
async function completionLog(shell: BatchShell, signal: AbortSignal): Promise<string> {
  const settings = await shell.ask(['scontrol', 'show', 'config'], signal)
  const path = /^JobCompLoc\s*=\s*(\/.*)$/m.exec(settings)?.[1]
  if (!/^JobCompType\s*=\s*jobcomp\/filetxt/m.test(settings) || path === undefined) return ''
  try {
    await using file = await open(path.trim(), 'r')
    const { size } = await file.stat()
    const start = Math.max(0, size - completionBytesMax)
    const buffer = Buffer.alloc(size - start)
    const { bytesRead } = await file.read(buffer, 0, buffer.length, start)
    return buffer.toString('utf8', 0, bytesRead)
  } catch {
    return ''
  }
}
