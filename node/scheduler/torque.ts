// Torque, by its commands: qsub once a tranche, one `qstat -x -t` for all tasks, qdel, qhold, qrls,
// qsig, qrerun, pbsnodes. Written against the sources of Torque 6. What it shares with OpenPBS is
// in pbs.ts; ended jobs stay in qstat for keep_completed, after that the job scripts' records tell.

import { dirname, join } from 'node:path'
import { BatchDriver } from './batch-driver.ts'
import { formatIndexes, jobNameOf } from './batch-script.ts'
import { demandSuccess, unreadable } from './batch-shell.ts'
import type { BatchCommand, JobScript, Target, Tongue } from './batch-tongue.ts'
import type { Chunk, ControlVerb, Submission } from './driver.ts'
import { pbsQueues } from './pbs-output.ts'
import { idOf, pbsAbilities, pbsCapacity, pbsCommon } from './pbs.ts'
import type { PbsConfig } from './pbs.ts'
import { torqueNodes, torqueQueues, torqueRows } from './torque-output.ts'

export function torqueDriver(config: PbsConfig): BatchDriver {
  return new BatchDriver(torqueTongue(config), config)
}

const mebibyte = 1024 * 1024

export function torqueTongue(config: PbsConfig): Tongue {
  const { find: _byName, ...common } = pbsCommon(config)
  return {
    ...common, kind: 'torque', title: 'Torque',
    // Licences are the external scheduler's, each of which has its own words for them.
    abilities: { ...pbsAbilities(config), chunks: true, licences: false, reservations: false },
    script: {
      identity: ['position=${PBS_ARRAYID:-0}', 'job=${PBS_JOBID%%[!0-9]*}'],
      signals: 'looked', reaches: 'all',
    },
    // The file's directory is where the job's own output goes, so it must be there.
    scriptFile: true,
    submit: (submission, script) => ({
      argv: ['qsub', ...submitArguments(submission, script, config)], input: script.text,
    }),
    // Of everybody's jobs: by ids it would be one request to the server for each.
    query: () => ({ argv: ['qstat', '-x', '-t'] }),
    readRows(result) {
      const text = demandSuccess('qstat', result)
      const rows = torqueRows(text)
      if (!rows) throw unreadable('qstat', text)
      return rows
    },
    cancel: (target) => [{ argv: ['qdel', ...chosen(target)] }],
    control: controlCommands,
    async capacity(shell, signal) {
      const text = await shell.ask(['pbsnodes', '-x'], signal)
      const nodes = torqueNodes(text)
      if (!nodes) throw unreadable('pbsnodes', text)
      const queues = torqueQueues(await shell.ask(['qstat', '-Q', '-f'], signal))
      return pbsCapacity(nodes, pbsQueues(queues), config.queue)
    },
  }
}

export function submitArguments(
  submission: Submission, script: JobScript, config: PbsConfig,
): string[] {
  const { tag, tasks, resources } = submission
  const queue = submission.queue ?? config.queue
  const chunks: readonly Chunk[] = resources.chunks ?? [{
    nodes: 1, coresPerNode: resources.coresPerTask,
    memoryBytesPerNode: resources.memoryBytesPerTask, gpusPerNode: resources.gpusPerTask ?? 0,
  }]
  const bytes = chunks.reduce((sum, { nodes, memoryBytesPerNode }) =>
    sum + nodes * memoryBytesPerNode, 0)
  return [
    '-N', jobNameOf(tag), '-S', '/bin/sh', '-j', 'oe', '-o', outputPath(tasks.length, script),
    '-m', 'n',
    // Jobs get what this command gets; the engine gives it the inherited variables and no more.
    '-V',
    // A task that Torque started again by itself would run twice; an operator's qrerun needs leave.
    '-r', config.operator ? 'y' : 'n',
    '-l', `nodes=${chunks.map(nodesOf).join('+')}`,
    ...(bytes > 0 ? ['-l', `mem=${Math.ceil(bytes / mebibyte)}mb`] : []),
    '-l', `walltime=${resources.walltimeSeconds}`,
    ...(queue === undefined ? [] : ['-q', queue]),
    ...(tasks.length > 1 ? ['-t', `0-${tasks.length - 1}`] : []),
    ...(config.extraArguments ?? []),
  ]
}

function nodesOf({ nodes, coresPerNode, gpusPerNode }: Chunk): string {
  return `${nodes}:ppn=${coresPerNode}${gpusPerNode > 0 ? `:gpus=${gpusPerNode}` : ''}`
}

/**
 * What the script itself says, which is nothing. To the file's name Torque appends a subjob's
 * index, also to that of /dev/null, which it could not make.
 */
function outputPath(tasks: number, { path }: JobScript): string {
  if (tasks === 1 || !/^[\w./+-]+$/.test(path)) return '/dev/null'
  return join(dirname(path), 'torque')
}

/** The job, or with -t some of its subjobs. */
function chosen(target: Target): string[] {
  const { positions, tasks } = target
  const part = positions === 'all' || tasks === 1 ? [] : ['-t', formatIndexes(positions)]
  return [...part, idOf(target)]
}

function controlCommands(verb: ControlVerb, target: Target): BatchCommand[] {
  switch (verb.kind) {
    case 'hold': return [{ argv: ['qhold', '-h', 'u', ...chosen(target)] }]
    case 'release': return [{ argv: ['qrls', '-h', 'u', ...chosen(target)] }]
    case 'suspend': return [{ argv: ['qsig', '-s', 'suspend', ...subjobs(target)] }]
    case 'resume': return [{ argv: ['qsig', '-s', 'resume', ...subjobs(target)] }]
    case 'requeue': return [{ argv: ['qrerun', ...subjobs(target)] }]
    case 'signal': return []
  }
}

/** These two take jobs one by one. */
function subjobs(target: Target): string[] {
  const { jobId, tasks, positions } = target
  if (tasks === 1) return [jobId]
  const all = Array.from({ length: tasks }, (_, position) => position)
  return (positions === 'all' ? all : positions).map((position) => `${jobId}[${position}]`)
}
