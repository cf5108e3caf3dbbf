// `scancel`, `scontrol` and `sinfo`: what ends a job, and what shows jobs, sites and settings.

import { constants } from 'node:os'
import type { NodeInfo, OfferRow } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { signalNames } from '../../protocol/rules/request.ts'
import type { Context } from '../command.ts'
import { CommandFailure, exitCodes } from '../failure.ts'
import type { Asks, Wish } from './asking.ts'
import { askEach } from './asking.ts'
import { badUsage, getopt, idWords } from './getopt.ts'
import type { Line } from './rows.ts'
import { elapsedSeconds, endedStates, findLines } from './rows.ts'
import {
  exitCode, partition, partitionDefault, reason, sacctTime, slurmInstant, slurmStates, uid,
} from './slurm-fields.ts'
import { streamFiles } from './stream-files.ts'

const scancelOptions = [
  'user u =', 'me -', 'name n =', 'jobname - =', 'state t =', 'partition p =', 'quiet Q',
  'verbose v', 'full f', 'batch b', 'signal s =', 'interactive i', 'account A =', 'hurry H',
  'ctld -', 'cron -',
]

export async function scancel(context: Context, args: readonly string[]): Promise<number> {
  const asked = getopt(args, { command: 'scancel', options: scancelOptions })
  const ids = idWords(asked.operands)
  const filtered = ['user', 'me', 'name', 'jobname', 'state', 'partition'].some(asked.has)
  if (ids.length === 0 && !filtered) throw badUsage('scancel', 'No job identification provided')
  const signal = asked.value('signal')?.replace(/^SIG/i, '').toUpperCase()
  const asks: Asks = {
    ...(signal === undefined || signal === 'KILL' || signal === '9'
      ? { verb: 'cancel' } : { verb: 'signal', wish: { signal: signalOf('scancel', signal) } }),
    command: 'scancel: error', quiet: asked.has('quiet'), unknownCode: 1,
    unknown: (text) =>
      `scancel: error: Kill job error on job id ${text}: Invalid job id specified`,
  }
  // Where jobs are named nothing is looked up or brought back: who ends many is in a hurry.
  if (!filtered) return askEach(context, ids, asks)
  const { lines } = await findLines(context, {
    ...(ids.length > 0 && { ids }), state: 'open', user: asked.value('user'),
  })
  const name = asked.value('name') ?? asked.value('jobname')
  const states = asked.value('state')?.toUpperCase().split(',')
  const meant = lines.filter((line) => {
    const { short, long } = slurmStates[line.state]
    return !endedStates.has(line.state) && (!asked.has('me') || line.record !== undefined) &&
      (name === undefined || line.row.name === name) &&
      (!states || states.includes(short) || states.includes(long)) &&
      (!asked.has('partition') || partition(line) === asked.value('partition'))
  })
  return askEach(context, [...new Set(meant.map(({ id }) => id))], asks)
}

export function signalOf(command: string, name: string): NonNullable<Wish['signal']> {
  const found = signalNames.find((one) => one === name || String(signalNumber(one)) === name)
  if (found) return found
  throw badUsage(command, `signal ${name} cannot be sent; ${signalNames.join(', ')} can`)
}

function signalNumber(name: string): number | undefined {
  return constants.signals[`SIG${name}` as keyof typeof constants.signals]
}

const scontrolVerbs: Readonly<Record<string, Asks['verb']>> = {
  hold: 'hold', uhold: 'hold', release: 'release', requeue: 'requeue', suspend: 'suspend',
  resume: 'resume',
}

export async function scontrol(context: Context, args: readonly string[]): Promise<number> {
  const asked = getopt(args, {
    command: 'scontrol',
    options: ['oneliner o', 'all a', 'details d', 'quiet Q', 'verbose v', 'hide -', 'future F'],
  })
  const [verb = '', what = '', ...names] = asked.operands
  if (verb === 'ping') {
    const { site } = await context.client().get<NodeInfo>(apiPaths.info)
    await context.terminal.out.write(`Slurmctld(primary) at ${site} is UP\n`)
    return exitCodes.done
  }
  if (verb === 'show') {
    const blocks = await shown(context, what, names)
    const text = asked.has('oneliner')
      ? blocks.map((block) => `${block.replace(/\s*\n\s*/g, ' ').trim()}\n`).join('')
      : blocks.map((block) => `${block}\n\n`).join('')
    await context.terminal.out.write(text)
    return exitCodes.done
  }
  const does = Object.hasOwn(scontrolVerbs, verb) ? scontrolVerbs[verb] : undefined
  if (does) {
    return askEach(context, idWords([what, ...names]), {
      verb: does, command: 'scontrol', unknownCode: 1,
      unknown: (text) => `Invalid job id specified for job ${text}`,
    })
  }
  throw badUsage('scontrol', `'${[verb, what].join(' ').trim()}' is not done by gridnode; ` +
    `show job, config, partition and node, ${Object.keys(scontrolVerbs).join(', ')} are`)
}

async function shown(
  context: Context, what: string, names: readonly string[],
): Promise<readonly string[]> {
  switch (what.toLowerCase()) {
    case 'job': case 'jobs': return showJobs(context, idWords(names))
    case 'config': return [await showConfig(context)]
    case 'partition': case 'partitions': return [await showPartition(context)]
    case 'node': case 'nodes': return showNodes(context, names)
    case 'hostnames': case 'hostname': return [names.join('\n')]
    default: throw badUsage('scontrol', `invalid entity: ${what}`)
  }
}

async function showJobs(context: Context, ids: readonly string[]): Promise<readonly string[]> {
  const { lines, unknown } = await findLines(context, {
    ...(ids.length > 0 && { ids }), state: 'all',
  })
  if (unknown.length > 0) {
    throw new CommandFailure(1, 'not_found', 'slurm_load_jobs error: Invalid job id specified')
  }
  if (lines.length === 0) return ['No jobs in the system']
  const now = context.terminal.nowEpochMs()
  return lines.map((line) => jobBlock(line, now))
}

function jobBlock(line: Line, now: number): string {
  const { row, record, id, task } = line
  const instant = (epochMs: number | undefined): string =>
    epochMs === undefined ? 'Unknown' : slurmInstant(epochMs)
  const files = record && task !== undefined || !row.array
    ? record && streamFiles(record, row, task ?? 0) : undefined
  const number = task === undefined ? line.waiting : String(task)
  const array = number === '' ? '' : ` ArrayJobId=${id} ArrayTaskId=${number}`
  const submitted = slurmInstant(row.submittedEpochMs)
  const [ran, limit] = [elapsedSeconds(line, now), row.walltimeSeconds].map(sacctTime)
  return [
    `JobId=${id}${array} JobName=${row.name}`,
    `UserId=${row.user}(${uid()}) GroupId=${row.user}(${process.getgid?.() ?? 0}) MCS_label=N/A`,
    `Priority=${row.priority} Nice=0 Account=${row.project || row.user} QOS=normal`,
    `JobState=${slurmStates[line.state].long} Reason=${reason(line)} Dependency=(null)`,
    `Requeue=1 Restarts=0 BatchFlag=1 Reboot=0 ExitCode=${exitCode(line)}`,
    `RunTime=${ran} TimeLimit=${limit} TimeMin=N/A`,
    `SubmitTime=${submitted} EligibleTime=${submitted}`,
    `StartTime=${instant(line.startedEpochMs)} EndTime=${instant(line.endedEpochMs)} Deadline=N/A`,
    `Partition=${partition(line)} AllocNode:Sid=gridnode:0`,
    'ReqNodeList=(null) ExcNodeList=(null)',
    `NodeList=${line.site || '(null)'}`,
    `BatchHost=${line.site || '(null)'}`,
    `NumNodes=${row.nodes} NumCPUs=${row.cores} NumTasks=1 CPUs/Task=${row.cores}`,
    `TRES=cpu=${row.cores},mem=${row.memoryMib}M,node=${row.nodes},billing=${row.cores}`,
    `MinCPUsNode=${row.cores} MinMemoryNode=${row.memoryMib}M MinTmpDiskNode=0`,
    `Features=(null) DelayBoot=00:00:00`,
    'OverSubscribe=OK Contiguous=0 Licenses=(null) Network=(null)',
    `Command=${record?.command ?? '(null)'}`,
    `WorkDir=${record?.directory ?? row.seenAt}`,
    `StdErr=${files?.error ?? ''}`,
    'StdIn=/dev/null',
    `StdOut=${files?.out ?? ''}`,
  ].join('\n   ')
}

async function showConfig(context: Context): Promise<string> {
  const { site, version, federationName } = await context.client().get<NodeInfo>(apiPaths.info)
  const rows: readonly (readonly [string, string])[] = [
    ['AccountingStorageType', 'accounting_storage/gridnode'],
    ['AcctGatherNodeFreq', '0 sec'],
    ['ClusterName', federationName.replace(/\s+/g, '_') || 'gridnode'],
    ['DefMemPerNode', '1024'],
    ['MaxArraySize', '100000'],
    ['MinJobAge', '300 sec'],
    ['SchedulerTimeSlice', '1 sec'],
    ['SlurmctldHost[0]', site],
    ['SLURM_VERSION', `22.05.0-gridnode-${version}`],
  ]
  const lines = rows.map(([name, value]) => `${name.padEnd(23)} = ${value}`)
  const at = slurmInstant(context.terminal.nowEpochMs())
  return [`Configuration data as of ${at}`, ...lines].join('\n')
}

async function offersOf(context: Context): Promise<readonly OfferRow[]> {
  return context.client().get<readonly OfferRow[]>(apiPaths.offers)
}

async function showPartition(context: Context): Promise<string> {
  const offers = await offersOf(context)
  const sum = (of: (row: OfferRow) => number): number =>
    offers.reduce((total, row) => total + of(row), 0)
  const longest = Math.max(0, ...offers.map((row) => row.walltimeSecondsMax))
  return [
    `PartitionName=${partitionDefault}`,
    'AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL',
    'AllocNodes=ALL Default=YES QoS=N/A',
    `MaxNodes=UNLIMITED MaxTime=${sacctTime(longest)} MinNodes=0 LLN=NO MaxCPUsPerNode=UNLIMITED`,
    `Nodes=${offers.map(({ site }) => site).join(',')}`,
    `State=UP TotalCPUs=${sum((row) => row.coresTotal)} TotalNodes=${offers.length} ` +
      'SelectTypeParameters=NONE',
  ].join('\n   ')
}

async function showNodes(context: Context, names: readonly string[]): Promise<readonly string[]> {
  const wanted = new Set(idWords(names))
  const offers = (await offersOf(context))
    .filter(({ site }) => wanted.size === 0 || wanted.has(site))
  if (offers.length === 0) {
    throw new CommandFailure(1, 'not_found', `Node ${names.join(',')} not found`)
  }
  return offers.map((row) => [
    `NodeName=${row.site} Arch=${row.attributes['architecture'] ?? 'unknown'} ` +
      `CoresPerSocket=${row.coresTotal}`,
    `CPUAlloc=${row.coresTotal - row.coresFree} CPUTot=${row.coresTotal} CPULoad=N/A`,
    `RealMemory=${row.memoryMibTotal} AllocMem=${row.memoryMibTotal - row.memoryMibFree} ` +
      `FreeMem=${row.memoryMibFree} Sockets=1 Boards=1`,
    `State=${nodeState(row).toUpperCase()} ThreadsPerCore=1 TmpDisk=0 Weight=1 Owner=N/A`,
    `Partitions=${partitionDefault}`,
  ].join('\n   '))
}

function nodeState(row: OfferRow): string {
  if (!row.up) return 'down'
  if (row.coresTotal === 0 || row.coresPerTaskMax === 0) return 'drained'
  if (row.coresFree === row.coresTotal) return 'idle'
  return row.coresFree === 0 ? 'allocated' : 'mixed'
}

const sinfoOptions = [
  'noheader h', 'format o =', 'Node N', 'long l', 'partition p =', 'summarize s', 'states t =',
  'nodes n =', 'all a', 'exact e', 'responding r', 'dead d', 'verbose v',
]
const shortStates: Readonly<Record<string, string>> = {
  down: 'down', drained: 'drain', idle: 'idle', allocated: 'alloc', mixed: 'mix',
}

/** Each site is a node of the one partition. */
export async function sinfo(context: Context, args: readonly string[]): Promise<number> {
  const asked = getopt(args, { command: 'sinfo', options: sinfoOptions })
  const offers = await offersOf(context)
  const format = asked.value('format') ??
    (asked.has('Node') ? '%N %.6D %.9P %6t' : '%9P %.5a %.10l %.6D %.6t %N')
  const byState = Map.groupBy(offers, (row) => (asked.has('Node') ? row.site : nodeState(row)))
  const print = (cells: Readonly<Record<string, string>>): string =>
    format.replace(/%(\.?)(-?\d*)([A-Za-z])/g, (_, right, width: string, letter: string) => {
      const text = cells[letter] ?? 'N/A'
      const size = Math.abs(Number(width))
      if (size === 0) return text
      const cut = letter === 'N' ? text : text.slice(0, size)
      return right === '.' ? cut.padStart(size) : cut.padEnd(size)
    }).trimEnd()
  const lines = asked.has('noheader') ? [] : [print({
    P: 'PARTITION', a: 'AVAIL', l: 'TIMELIMIT', D: 'NODES', t: 'STATE', T: 'STATE', N: 'NODELIST',
    c: 'CPUS', C: 'CPUS(A/I/O/T)', m: 'MEMORY', e: 'FREE_MEM', n: 'HOSTNAMES', R: 'PARTITION',
    f: 'AVAIL_FEATURES', G: 'GRES', s: 'JOB_SIZE',
  })]
  for (const rows of byState.values()) {
    const [first] = rows
    const total = rows.reduce((sum, row) => sum + row.coresTotal, 0)
    const free = rows.reduce((sum, row) => sum + row.coresFree, 0)
    const down = first!.up ? 0 : total
    lines.push(print({
      P: `${partitionDefault}*`, R: partitionDefault, a: 'up',
      l: sacctTime(Math.max(...rows.map((row) => row.walltimeSecondsMax))),
      D: String(rows.length), t: shortStates[nodeState(first!)]!, T: nodeState(first!),
      N: rows.map(({ site }) => site).join(','), n: rows.map(({ site }) => site).join(','),
      c: String(first!.coresTotal),
      C: `${down > 0 ? 0 : total - free}/${down > 0 ? 0 : free}/${down}/${total}`,
      m: String(first!.memoryMibTotal), e: String(first!.memoryMibFree), f: '(null)', G: '(null)',
      s: '1-infinite',
    }))
  }
  await context.terminal.out.write(lines.map((line) => `${line}\n`).join(''))
  return exitCodes.done
}
