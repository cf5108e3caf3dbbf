// A private Slurm cluster on this machine, from Debian's packages: munged, slurmctld and a slurmd
// for each node, with all files in one directory and all listeners on 127.0.0.1.
//
// Invariants: nothing of an installed Slurm is touched; every process is ended by its own id;
// `stop` leaves no daemon and no job step behind.

import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { hostname, userInfo } from 'node:os'
import { join } from 'node:path'
import { run } from '../../node/scheduler/exec.ts'
import { readProcess, sendSignal } from '../../node/scheduler/process-table.ts'
import { eventually } from '../harness.ts'

export interface SlurmClusterOptions {
  /** `gn` when left out; two clusters side by side need different names. */
  readonly clusterName?: string
  /** One node of 4 CPUs when left out. */
  readonly nodes?: readonly NodeOptions[]
  /** `tuned` schedules within fractions of a second, `default` as Slurm comes. */
  readonly scheduling?: 'tuned' | 'default'
  /** Seconds for which Slurm itself remembers an ended job; 300 when left out. */
  readonly minJobAgeSeconds?: number
  /** More lines of slurm.conf. */
  readonly configuration?: readonly string[]
  /** More lines that define partitions; `main` holds all nodes and is the default. */
  readonly partitions?: readonly string[]
}

export interface NodeOptions {
  readonly name: string
  readonly cpus: number
  /** Graphics processors, files in their place; none when left out. */
  readonly gpus?: number
}

export interface SlurmCluster {
  readonly confPath: string
  /** What the commands need besides PATH: SLURM_CONF. */
  readonly env: Readonly<Record<string, string>>
  readonly coresTotal: number
  /** Runs one of Slurm's commands against this cluster; its standard output. */
  command(argv: readonly string[], input?: string): Promise<string>
  stopController(): Promise<void>
  startController(): Promise<void>
  stopNode(name: string): Promise<void>
  /** Ends all jobs and waits until none is left. */
  clear(): Promise<void>
  stop(): Promise<void>
}

const timeoutMs = 30_000
const programs = ['munged', 'slurmctld', 'slurmd', 'sbatch']

/** Where Debian and others put daemons, which is not in everybody's PATH. */
const path = `${process.env['PATH'] ?? ''}:/usr/sbin:/usr/local/sbin:/sbin`

/** Names the programs that are missing; empty when a cluster can be started. */
export function slurmMissing(): string[] {
  const directories = path.split(':')
  return programs.filter((program) => !directories.some((dir) => existsSync(join(dir, program))))
}

/** @param directory absolute and empty; its path must be short, because of unix sockets */
export async function startSlurmCluster(
  directory: string,
  options: SlurmClusterOptions = {},
): Promise<SlurmCluster> {
  const nodes = options.nodes ?? [{ name: 'n1', cpus: 4 }]
  // munged wants directories that others may pass through but not write to.
  chmodSync(directory, 0o755)
  const spools = nodes.map((node) => `spool-${node.name}`)
  for (const name of ['munge', 'state', 'log', 'run', ...spools]) {
    mkdirSync(join(directory, name), { mode: 0o755 })
  }
  const [controllerPort = 0, ...nodePorts] = await freePorts(nodes.length + 1)
  const confPath = join(directory, 'slurm.conf')
  const placed = nodes.map((node, i) => ({ ...node, port: nodePorts[i] ?? 0 }))
  writeFileSync(join(directory, 'plugstack.conf'), '')
  writeFileSync(join(directory, 'gres.conf'), nodes.flatMap(({ name, gpus = 0 }) =>
    Array.from({ length: gpus }, (_, at) => {
      const device = join(directory, `gpu-${name}-${at}`)
      writeFileSync(device, '')
      return `NodeName=${name} Name=gpu File=${device}\n`
    })).join(''))
  writeFileSync(confPath, configurationText(directory, controllerPort, placed, options))
  const env = { SLURM_CONF: confPath }
  const started: (() => Promise<void>)[] = []
  const command = async (argv: readonly string[], input = ''): Promise<string> => {
    const { code, stdout, stderr } =
      await run(argv, { timeoutMs, input, env: { ...env, PATH: path } })
    if (code !== 0) throw new Error(`${argv.join(' ')} ended with ${code}: ${stderr || stdout}`)
    return stdout
  }
  const daemon = async (argv: readonly string[], pidFile: string): Promise<() => Promise<void>> => {
    await command(argv)
    const pid = await eventually(() => Number(readFileSync(pidFile, 'utf8').trim()))
    const born = readProcess(pid)?.born
    const end = async (): Promise<void> => {
      const gone = (): boolean => readProcess(pid)?.born !== born || born === undefined
      if (!gone()) sendSignal(pid, 'SIGTERM')
      await eventually(gone, { timeoutSeconds: 10 }).catch(() => sendSignal(pid, 'SIGKILL'))
    }
    started.push(end)
    return end
  }
  const clear = async (): Promise<void> => {
    await command(['scancel', `--user=${userInfo().username}`])
    await eventually(async () => (await command(['squeue', '-h'])).trim() === '')
  }
  const stop = async (): Promise<void> => {
    await clear().catch(() => {})
    for (const end of started.splice(0).toReversed()) await end()
  }
  try {
    await startMunge(directory, daemon)
    const startController = async (): Promise<() => Promise<void>> =>
      await daemon(['slurmctld', '-f', confPath], join(directory, 'run/slurmctld.pid'))
    let endController = await startController()
    const endNode = new Map<string, () => Promise<void>>()
    for (const { name } of nodes) {
      const pidFile = join(directory, `run/slurmd-${name}.pid`)
      endNode.set(name, await daemon(['slurmd', '-N', name, '-f', confPath], pidFile))
    }
    const ready = async (): Promise<boolean> => {
      const text = await command(['sinfo', '-h', '-N', '-p', 'main', '-o', '%t'])
      const states = text.trim().split('\n')
      const up = states.every((state) => /^(idle|mix|alloc)$/.test(state))
      return up && states.length === nodes.length
    }
    await eventually(ready, { timeoutSeconds: 60 })
    return {
      confPath, env, command, clear, stop,
      coresTotal: nodes.reduce((sum, node) => sum + node.cpus, 0),
      stopController: async () => await endController(),
      async startController() {
        endController = await startController()
        await eventually(ready, { timeoutSeconds: 60 })
      },
      stopNode: async (name) => await endNode.get(name)?.(),
    }
  } catch (cause) {
    const log = readTail(join(directory, 'log/slurmctld.log'))
    await stop()
    throw new Error(`Slurm in ${directory} did not start; its log ends: ${log}`, { cause })
  }
}

async function startMunge(
  directory: string,
  daemon: (argv: readonly string[], pidFile: string) => Promise<unknown>,
): Promise<void> {
  const inMunge = (name: string): string => join(directory, 'munge', name)
  writeFileSync(inMunge('key'), randomBytes(128), { mode: 0o400 })
  await daemon([
    'munged', '--num-threads=4', `--socket=${inMunge('socket')}`, `--key-file=${inMunge('key')}`,
    `--pid-file=${inMunge('pid')}`, `--log-file=${inMunge('log')}`,
    `--seed-file=${inMunge('seed')}`,
  ], inMunge('pid'))
}

function configurationText(
  directory: string,
  controllerPort: number,
  nodes: readonly (NodeOptions & { readonly port: number })[],
  options: SlurmClusterOptions,
): string {
  const host = hostname()
  const tuned = 'sched_min_interval=0,sched_interval=1,bf_interval=1,bf_resolution=1,'
    + 'batch_sched_delay=0,default_queue_depth=2000,partition_job_depth=0'
  const lines = [
    `ClusterName=${options.clusterName ?? 'gn'}`,
    `SlurmctldHost=${host}(127.0.0.1)`,
    `SlurmctldPort=${controllerPort}`,
    'CommunicationParameters=NoInAddrAny,NoCtldInAddrAny',
    `SlurmUser=${userInfo().username}`,
    `SlurmdUser=${userInfo().username}`,
    'AuthType=auth/munge',
    'CredType=cred/munge',
    `AuthInfo=socket=${join(directory, 'munge/socket')}`,
    `StateSaveLocation=${join(directory, 'state')}`,
    `SlurmdSpoolDir=${join(directory, 'spool-%n')}`,
    `SlurmctldPidFile=${join(directory, 'run/slurmctld.pid')}`,
    `SlurmdPidFile=${join(directory, 'run/slurmd-%n.pid')}`,
    `SlurmctldLogFile=${join(directory, 'log/slurmctld.log')}`,
    `SlurmdLogFile=${join(directory, 'log/slurmd-%n.log')}`,
    `PlugStackConfig=${join(directory, 'plugstack.conf')}`,
    ...pluginDirectory(),
    'SlurmdParameters=config_overrides',
    'ProctrackType=proctrack/linuxproc',
    'TaskPlugin=task/none',
    'JobAcctGatherType=jobacct_gather/none',
    'AccountingStorageType=accounting_storage/none',
    'JobCompType=jobcomp/filetxt',
    `JobCompLoc=${join(directory, 'log/jobcomp.txt')}`,
    'MailProg=/bin/true',
    'MpiDefault=none',
    'SwitchType=switch/none',
    'SelectType=select/cons_tres',
    'SelectTypeParameters=CR_CPU',
    'EnforcePartLimits=ALL',
    'ReturnToService=2',
    'KillWait=5',
    'MaxArraySize=100001',
    'MaxJobCount=200000',
    `MinJobAge=${options.minJobAgeSeconds ?? 300}`,
    ...(options.scheduling === 'default' ? [] : [`SchedulerParameters=${tuned}`]),
    ...(options.configuration ?? []),
    ...(nodes.some(({ gpus }) => gpus) ? ['GresTypes=gpu'] : []),
    ...nodes.map(({ name, cpus, port, gpus }) =>
      `NodeName=${name} NodeHostname=${host} NodeAddr=127.0.0.1 Port=${port} CPUs=${cpus}`
      + ` RealMemory=${cpus * 1024} State=UNKNOWN${gpus ? ` Gres=gpu:${gpus}` : ''}`),
    `PartitionName=main Nodes=${nodes.map((node) => node.name).join(',')} Default=YES`
      + ' MaxTime=1-00:00:00 State=UP',
    ...(options.partitions ?? []),
  ]
  return `${lines.join('\n')}\n`
}

/** Debian keeps the plugins of wlm packages in a directory of their own. */
function pluginDirectory(): string[] {
  const known = ['x86_64', 'aarch64'].flatMap((machine) =>
    ['slurm-wlm', 'slurm'].map((name) => `/usr/lib/${machine}-linux-gnu/${name}`))
  const found = known.find((directory) => existsSync(join(directory, 'select_cons_tres.so')))
  return found ? [`PluginDir=${found}`] : []
}

/** Free when asked; all are held at once so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return server
  }))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

function readTail(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8').slice(-2_000) : '(no log)'
}
