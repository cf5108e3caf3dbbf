// A private Grid Engine on this machine, from Debian's packages: one sge_qmaster and one sge_execd
// with all files in one directory and ports of their own. Grid Engine cannot be told on which
// address to listen.
//
// Invariants: nothing of an installed Grid Engine is touched; every process is ended by its own id;
// `stop` leaves no daemon and no job behind.

import {
  chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { hostname, userInfo } from 'node:os'
import { join } from 'node:path'
import { run } from '../../node/scheduler/exec.ts'
import { readProcess, sendSignal } from '../../node/scheduler/process-table.ts'
import type { GridEngineConfig } from '../../node/scheduler/grid-engine.ts'
import { eventually } from '../harness.ts'

export interface GridEngineOptions {
  /** 4 when left out. */
  readonly slots?: number
  /** Further complexes: `name shortcut type relop requestable consumable default urgency`. */
  readonly complexes?: readonly string[]
  /** `complex_values` of the host, such as `gpu=2`. */
  readonly complexValues?: string
}

export interface GridEngineCluster {
  readonly programs: string
  readonly root: string
  /** What a driver of this cluster is configured with, beside its directories. */
  readonly config: Pick<GridEngineConfig,
    'root' | 'cell' | 'qmasterPort' | 'execdPort' | 'parallelEnvironment'>
  readonly env: Readonly<Record<string, string>>
  readonly coresTotal: number
  /** Runs one of Grid Engine's commands against this cluster; its standard output. */
  command(argv: readonly string[], input?: string): Promise<string>
  stopMaster(): Promise<void>
  startMaster(): Promise<void>
  /** Ends all jobs and waits until none is left. */
  clear(): Promise<void>
  stop(): Promise<void>
}

const timeoutMs = 30_000
const programs = '/usr/lib/gridengine'
const templates = '/usr/share/gridengine'
const installed = '/var/lib/gridengine'

/** Names what is missing; empty when a cluster can be started. */
export function gridEngineMissing(): string[] {
  return ['sge_qmaster', 'sge_execd', 'qsub', 'spoolinit', 'spooldefaults']
    .filter((program) => !existsSync(join(programs, program)))
}

interface Place {
  readonly root: string
  readonly env: Readonly<Record<string, string>>
  readonly host: string
}

/** @param directory absolute and empty */
export async function startGridEngine(
  directory: string,
  options: GridEngineOptions = {},
): Promise<GridEngineCluster> {
  chmodSync(directory, 0o755)
  const root = join(directory, 'sge')
  const [qmasterPort = 0, execdPort = 0] = await freePorts(2)
  const env = {
    SGE_ROOT: root, SGE_CELL: 'default', TZ: process.env['TZ'] ?? '',
    SGE_QMASTER_PORT: String(qmasterPort), SGE_EXECD_PORT: String(execdPort),
    PATH: `${programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
  }
  const place = { root, env, host: hostname() }
  const command = async (argv: readonly string[], input = ''): Promise<string> => {
    const { code, stdout, stderr } = await run(argv, { timeoutMs, input, env, cwd: root })
    if (code !== 0) throw new Error(`${argv.join(' ')} ended with ${code}: ${stderr || stdout}`)
    return stdout
  }
  const slots = options.slots ?? 4
  const ends: (() => Promise<void>)[] = []
  const daemon = async (program: string, pidFile: () => string): Promise<() => Promise<void>> => {
    await command([program])
    const pid = await eventually(() => Number(readFileSync(pidFile(), 'utf8').trim()))
    const born = readProcess(pid)?.born
    const end = async (): Promise<void> => {
      const gone = (): boolean => readProcess(pid)?.born !== born || born === undefined
      if (!gone()) sendSignal(pid, 'SIGTERM')
      await eventually(gone, { timeoutSeconds: 10 }).catch(() => sendSignal(pid, 'SIGKILL'))
    }
    ends.push(end)
    return end
  }
  const startMaster = async (): Promise<() => Promise<void>> => {
    const pidFile = join(root, 'spool/qmaster/qmaster.pid')
    // That of the one before would be taken for the new one's.
    rmSync(pidFile, { force: true })
    const end = await daemon('sge_qmaster', () => pidFile)
    await eventually(async () => await command(['qconf', '-sh']).catch(() => undefined))
    return end
  }
  const clear = async (): Promise<void> => {
    await command(['qdel', '-u', userInfo().username]).catch(() => {})
    const none = async (): Promise<boolean> => (await command(['qstat', '-u', '*'])).trim() === ''
    await eventually(none, { timeoutSeconds: 60 })
  }
  const stop = async (): Promise<void> => {
    await clear().catch(() => {})
    for (const end of ends.splice(0).toReversed()) await end()
  }
  try {
    await prepareRoot(place, directory, command)
    let endMaster = await startMaster()
    await configure(place, directory, slots, options, command)
    await daemon('sge_execd', () => {
      const spool = join(root, 'spool/execd')
      return join(spool, readdirSync(spool)[0] ?? '', 'execd.pid')
    })
    const ready = async (): Promise<boolean> => {
      const text = await command(['qstat', '-f', '-xml'])
      return text.includes('<arch>lx-') && !/<state>[^<]*u/.test(text)
    }
    await eventually(ready, { timeoutSeconds: 60 })
    return {
      programs, root, env, command, clear, stop, coresTotal: slots,
      config: {
        root, cell: 'default', qmasterPort, execdPort, parallelEnvironment: 'smp',
      },
      stopMaster: async () => await endMaster(),
      async startMaster() {
        endMaster = await startMaster()
        await eventually(ready, { timeoutSeconds: 60 })
      },
    }
  } catch (cause) {
    const messages = join(root, 'spool/qmaster/messages')
    const log = existsSync(messages) ? readFileSync(messages, 'utf8').slice(-2_000) : '(no log)'
    await stop()
    throw new Error(`Grid Engine in ${directory} did not start; its log ends: ${log}`, { cause })
  }
}

type Command = (argv: readonly string[], input?: string) => Promise<string>

/** An SGE_ROOT with the installed programs, and a spool with what the programs come with. */
async function prepareRoot(place: Place, directory: string, command: Command): Promise<void> {
  const { root, host } = place
  const common = join(root, 'default/common')
  for (const path of [common, join(root, 'spool/qmaster'), join(root, 'spool/execd')]) {
    mkdirSync(path, { recursive: true, mode: 0o755 })
  }
  for (const name of ['bin', 'util', 'utilbin', 'lib']) {
    symlinkSync(join(installed, name), join(root, name))
  }
  const spooling = `${common};${join(root, 'spool/qmaster')}`
  writeFileSync(join(common, 'bootstrap'), [
    `admin_user ${userInfo().username}`, 'default_domain none', 'ignore_fqdn false',
    'spooling_method classic', 'spooling_lib libspoolc', `spooling_params ${spooling}`,
    `binary_path ${programs}`, `qmaster_spool_dir ${join(root, 'spool/qmaster')}`,
    'security_mode none', 'listener_threads 2', 'worker_threads 2', 'scheduler_threads 1', '',
  ].join('\n'))
  writeFileSync(join(common, 'act_qmaster'), `${host}\n`)
  // It resolves names both ways and must take all names of this machine for one.
  writeFileSync(join(common, 'host_aliases'), `${ownNames(host).join(' ')}\n`)
  const configuration = readFileSync(join(templates, 'default-configuration'), 'utf8')
    .replace(/^execd_spool_dir.*/m, `execd_spool_dir ${join(root, 'spool/execd')}`)
    .replace(/^mailer.*/m, 'mailer /bin/true')
    .replace(/^min_uid.*/m, 'min_uid 0').replace(/^min_gid.*/m, 'min_gid 0')
    .replace(/^gid_range.*/m, 'gid_range 64000-64999')
    .replace(/^reporting_params.*/m, 'reporting_params accounting=true reporting=false '
      + 'flush_time=00:00:01 joblog=false sharelog=00:00:00')
  writeFileSync(join(directory, 'configuration'), configuration)
  const resources = join(templates, 'util/resources')
  await command([join(programs, 'spoolinit'), 'classic', 'libspoolc', spooling, 'init'])
  const defaults = join(programs, 'spooldefaults')
  await command([defaults, 'configuration', join(directory, 'configuration')])
  await command([defaults, 'complexes', join(resources, 'centry')])
  await command([defaults, 'usersets', join(resources, 'usersets')])
  await command([defaults, 'managers', userInfo().username])
}

async function configure(
  { host }: Place,
  directory: string,
  slots: number,
  options: GridEngineOptions,
  command: Command,
): Promise<void> {
  const file = (name: string, text: string): string => {
    const path = join(directory, name)
    writeFileSync(path, text)
    return path
  }
  // The administrative host is there from the start.
  await command(['qconf', '-ah', host]).catch(() => {})
  await command(['qconf', '-as', host])
  if (options.complexes) {
    const before = await command(['qconf', '-sc'])
    await command(['qconf', '-Mc', file('complexes', `${before}${options.complexes.join('\n')}\n`)])
  }
  await command(['qconf', '-Ae', file('host', [
    `hostname ${host}`, 'load_scaling NONE', `complex_values ${options.complexValues ?? 'NONE'}`,
    'user_lists NONE', 'xuser_lists NONE', 'projects NONE', 'xprojects NONE', 'usage_scaling NONE',
    'report_variables NONE', '',
  ].join('\n'))])
  await command(['qconf', '-Ap', join(templates, 'util/resources/pe/smp')])
  const queue = (await command(['qconf', '-sq']))
    .replace(/^qname.*/m, 'qname main').replace(/^hostlist.*/m, `hostlist ${host}`)
    .replace(/^load_thresholds.*/m, 'load_thresholds NONE').replace(/^pe_list.*/m, 'pe_list smp')
    .replace(/^slots.*/m, `slots ${slots}`).replace(/^h_rt.*/m, 'h_rt 24:00:00')
  await command(['qconf', '-Aq', file('queue', queue)])
  const scheduling = (await command(['qconf', '-ssconf']))
    .replace(/^schedule_interval.*/m, 'schedule_interval 0:0:1')
    .replace(/^flush_submit_sec.*/m, 'flush_submit_sec 1')
    .replace(/^flush_finish_sec.*/m, 'flush_finish_sec 1')
  await command(['qconf', '-Msconf', file('scheduling', scheduling)])
}

function ownNames(host: string): string[] {
  const lines = readFileSync('/etc/hosts', 'utf8').split('\n')
    .map((line) => line.replace(/#.*/, '').trim().split(/\s+/))
  const own = lines.filter(([address = '', ...names]) =>
    names.length > 0 && !address.includes(':') && (address === '127.0.0.1' || names.includes(host)))
  return [...new Set([host, ...own.flatMap(([, ...names]) => names)])]
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
