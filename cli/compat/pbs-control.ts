// `qdel`, `qhold`, `qrls`, `qsig`, `qmove`, `qrerun`, `qalter` and `qmsg` of the batch standard.

import type { SiteName } from '../../protocol/base/ids.ts'
import { parseSiteName } from '../../protocol/base/ids.ts'
import { describeFault, readArguments } from '../../protocol/rules/directives.ts'
import type { JobOptions } from '../../protocol/rules/job-options.ts'
import type { JobChange } from '../../protocol/rules/request.ts'
import type { Context } from '../command.ts'
import { CommandFailure } from '../failure.ts'
import { beginEpochMs } from '../job-when.ts'
import type { Asks, Wish } from './asking.ts'
import { askEach } from './asking.ts'
import { refused } from './batch-script.ts'
import { badUsage, getopt } from './getopt.ts'
import type { PbsFlavour } from './pbs-fields.ts'
import { pbsQueue } from './pbs-fields.ts'
import { unknownJobCode } from './pbs.ts'
import { signalOf } from './slurm-control.ts'

function asksOf(command: string, flavour: PbsFlavour, verb: Asks['verb'], wish?: Wish): Asks {
  const error = flavour === 'torque' ? 'Error ' : ''
  return {
    command, verb, ...(wish && { wish }), unknownCode: unknownJobCode,
    unknown: (text) => `${command}: Unknown Job Id ${error}${text}`,
  }
}

function idsOf(command: string, operands: readonly string[]): readonly string[] {
  if (operands.length === 0) throw badUsage(command, 'expected the id of a job')
  return operands
}

export function qdelOf(flavour: PbsFlavour) {
  return async (context: Context, args: readonly string[]): Promise<number> => {
    const asked = getopt(args, {
      command: 'qdel', options: ['wait W =', 'message m =', 'purge p', 'history x', 'array t ='],
    })
    const tasks = asked.value('array')
    const ids = idsOf('qdel', asked.operands)
    if (tasks === undefined) return askEach(context, ids, asksOf('qdel', flavour, 'cancel'))
    const one = ids.flatMap((id) => tasks.split(',').map((task) =>
      `${id.replace(/\[.*|\..*/, '')}[${task}]`))
    return askEach(context, one, asksOf('qdel', flavour, 'cancel'))
  }
}

/** `-h n` alone changes nothing; a hold of the system's or an operator's is the operator's. */
function holds(command: string, text: string | undefined): boolean {
  if (text === undefined || /^[un]+$/.test(text)) return text === undefined || text.includes('u')
  throw badUsage(command, `-h ${text}: a job has the hold of its user (u) only`)
}

export function qholdOf(flavour: PbsFlavour, verb: 'hold' | 'release') {
  const command = verb === 'hold' ? 'qhold' : 'qrls'
  return async (context: Context, args: readonly string[]): Promise<number> => {
    const asked = getopt(args, { command, options: ['holds h =', 'array t ='] })
    const ids = idsOf(command, asked.operands)
    if (!holds(command, asked.value('holds'))) return 0
    return askEach(context, ids, asksOf(command, flavour, verb))
  }
}

export function qsigOf(flavour: PbsFlavour) {
  return async (context: Context, args: readonly string[]): Promise<number> => {
    const asked = getopt(args, { command: 'qsig', options: ['signal s =', 'async a'] })
    const ids = idsOf('qsig', asked.operands)
    const name = (asked.value('signal') ?? 'TERM').replace(/^SIG/, '')
    if (name === 'suspend' || name === 'resume') {
      return askEach(context, ids, asksOf('qsig', flavour, name))
    }
    return askEach(context, ids, asksOf('qsig', flavour, 'signal',
      { signal: signalOf('qsig', name) }))
  }
}

/** To a queue, or to a site: `queue`, `@site`, `queue@site`. */
export function qmoveOf(flavour: PbsFlavour) {
  return async (context: Context, args: readonly string[]): Promise<number> => {
    const [to, ...ids] = getopt(args, { command: 'qmove', options: [] }).operands
    if (to === undefined) throw badUsage('qmove', 'expected a destination and the ids of jobs')
    idsOf('qmove', ids)
    const [queue = '', server] = to.split('@')
    if (server !== undefined) {
      const site = parseSiteName(server)
      if (!site) throw badUsage('qmove', `${server} is not the name of a site`)
      const moved = await askEach(context, ids, asksOf('qmove', flavour, 'move',
        { sites: [site] as SiteName[] }))
      if (moved !== 0 || queue === '') return moved
    }
    if (queue === pbsQueue) return 0
    return askEach(context, ids, asksOf('qmove', flavour, 'alter', { change: { queue } }))
  }
}

export function qrerunOf(flavour: PbsFlavour) {
  return async (context: Context, args: readonly string[]): Promise<number> => {
    const asked = getopt(args, { command: 'qrerun', options: ['force f', 'wait W ='] })
    return askEach(context, idsOf('qrerun', asked.operands),
      asksOf('qrerun', flavour, 'requeue'))
  }
}

export async function qmsg(): Promise<number> {
  throw new CommandFailure(1, 'unsupported', 'qmsg: a message cannot be written into the output ' +
    'of a job that runs elsewhere; nothing was done')
}

export function qalterOf(flavour: PbsFlavour) {
  return async (context: Context, args: readonly string[]): Promise<number> => {
    const read = readArguments(flavour, args)
    if (!read.ok) throw refused('qalter', read.refusal.faults.map(describeFault))
    const { options, operands } = read.value
    const ids = idsOf('qalter', operands)
    const change = changeOf('qalter', options, context.terminal.nowEpochMs())
    let worst = 0
    if (Object.keys(change).length > 0) {
      worst = await askEach(context, ids, asksOf('qalter', flavour, 'alter', { change }))
    }
    if (options.hold !== undefined) {
      const verb = options.hold ? 'hold' : 'release'
      worst = Math.max(worst, await askEach(context, ids, asksOf('qalter', flavour, verb)))
    }
    return worst
  }
}

/** What of the options can be changed later; others are refused by name. */
export function changeOf(command: string, options: JobOptions, nowEpochMs: number): JobChange {
  const { name, priority, walltimeSeconds, begin, queue, hold: _hold, ...rest } = options
  const others = Object.keys(rest)
  if (others.length > 0) {
    throw badUsage(command, `${others.join(', ')}: of a job that was handed in only its name, ` +
      'priority, walltime, begin, queue and hold can be changed')
  }
  const beginMs = beginEpochMs(begin, nowEpochMs)
  return {
    ...(name !== undefined && { name }),
    ...(priority !== undefined && { priority }),
    ...(walltimeSeconds !== undefined && { walltime_seconds: walltimeSeconds }),
    ...(beginMs !== undefined && { begin_ms: beginMs }),
    ...(queue !== undefined && { queue }),
  }
}
