// Which batch scheduler is on this machine, and what a config needs to say of it: asked once, when
// a site is made. Nothing is changed there.
//
// Invariants: a command that is missing, slow or odd means that there is no such scheduler, never a
// failure; each question has a time limit.

import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { batchShell } from './batch-shell.ts'
import type { BatchShell, Tongue } from './batch-tongue.ts'
import type { Capacity, DriverKind } from './driver.ts'
import { run } from './exec.ts'
import { gridEngineTongue } from './grid-engine.ts'
import { htcondorTongue } from './htcondor.ts'
import { lsfTongue } from './lsf.ts'
import { pbsTongue } from './pbs.ts'
import { slurmTongue } from './slurm.ts'
import { torqueTongue } from './torque.ts'

export type BatchKind = Exclude<DriverKind, 'embedded' | 'fake'>

export interface FoundScheduler {
  readonly kind: BatchKind
  readonly title: string
  /** As it says itself. */
  readonly version: string
  /** Undefined when it does not answer: `why` then. */
  readonly capacity: Capacity | undefined
  readonly why: string
  /** Keys of [scheduler] and their values as TOML, beside `kind`. */
  readonly keys: Readonly<Record<string, string>>
}

type Environment = Readonly<Record<string, string | undefined>>

interface Sign {
  readonly kind: BatchKind
  /** The first program is the one that tells the scheduler's directory. */
  readonly argv: readonly string[]
  /** Its first group is the version. */
  readonly says: RegExp
}

/** In the order in which they are preferred. Three of them have a qstat of their own. */
const signs: readonly Sign[] = [
  { kind: 'slurm', argv: ['sinfo', '--version'], says: /^slurm(?:-wlm)? (\d[\w.-]*)/m },
  { kind: 'pbs', argv: ['qstat', '--version'], says: /pbs_version = (\S+)/ },
  { kind: 'torque', argv: ['qstat', '--version'], says: /^Version: (\d[\w.-]*)/m },
  { kind: 'grid-engine', argv: ['qstat', '-help'], says: /^\w*GE (\S+)/m },
  { kind: 'lsf', argv: ['lsid'], says: /(?:LSF|OpenLava)[^\n]*?(\d+\.[\d.]+)/i },
  { kind: 'htcondor', argv: ['condor_version'], says: /\$CondorVersion: (\d[\w.]*)/ },
]

const timeoutMs = 10_000

/** All schedulers whose commands are here; those that answer come first. */
export async function detectSchedulers(
  environment: Environment,
  only?: BatchKind,
): Promise<FoundScheduler[]> {
  const asked = signs.filter(({ kind }) => only === undefined || kind === only)
  const found = await Promise.all(asked.map((sign) => detectOne(sign, environment)))
  const all = found.filter((one) => one !== undefined)
  return [
    ...all.filter((one) => one.capacity !== undefined),
    ...all.filter((one) => one.capacity === undefined),
  ]
}

async function detectOne(
  { kind, argv, says }: Sign,
  environment: Environment,
): Promise<FoundScheduler | undefined> {
  const path = environment['PATH'] ?? ''
  const program = path.split(':').map((directory) => join(directory || '/', argv[0] ?? ''))
    .find((candidate) => existsSync(candidate))
  if (program === undefined) return undefined
  const said = await answer([program, ...argv.slice(1)], environment)
  const version = says.exec(said)?.[1]
  if (version === undefined) return undefined
  const directory = dirname(program)
  const usual = ['/bin', '/usr/bin', '/usr/local/bin'].includes(directory)
  const places = { ...(usual ? {} : { bin: directory }), ...placesOf(kind, environment) }
  const shellOf = (tongue: Tongue): BatchShell => batchShell({
    binDirectory: directory, commandTimeoutMs: timeoutMs,
  }, tongue.environment)
  const tongue = tongueOf(kind, places)
  const keys = Object.fromEntries(Object.entries(places)
    .map(([key, value]) => [key, key.endsWith('port') ? value : JSON.stringify(value)]))
  const base = { kind, title: tongue.title, version }
  try {
    const signal = new AbortController().signal
    const capacity = await tongue.capacity(shellOf(tongue), signal)
    const more = kind === 'grid-engine' ? await gridEngineKeys(shellOf(tongue), signal) : {}
    const gpus = countsGpus.includes(kind) && (capacity.gpusTotal ?? 0) > 0
      ? { gpus: 'true' } : {}
    return { ...base, capacity, why: '', keys: { ...keys, ...more, ...gpus } }
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n')[0] ?? '' : String(error)
    return { ...base, capacity: undefined, why, keys }
  }
}

/** Kinds whose config says whether there are graphics processors. */
const countsGpus: readonly BatchKind[] = ['pbs', 'torque', 'lsf', 'htcondor']

/** Where the commands look, as this environment tells them: a service may have another. */
function placesOf(kind: BatchKind, environment: Environment): Record<string, string> {
  const variables: Readonly<Record<string, string>> = {
    slurm: 'conf=SLURM_CONF', pbs: 'server=PBS_SERVER', torque: 'server=PBS_DEFAULT',
    lsf: 'conf=LSF_ENVDIR', htcondor: 'conf=CONDOR_CONFIG',
    'grid-engine':
      'root=SGE_ROOT cell=SGE_CELL qmaster_port=SGE_QMASTER_PORT execd_port=SGE_EXECD_PORT',
  }
  const found: Record<string, string> = {}
  for (const pair of (variables[kind] ?? '').split(' ')) {
    const [key = '', name = ''] = pair.split('=')
    const value = environment[name]
    if (value !== undefined && value !== '') found[key] = value
  }
  return found
}

function tongueOf(kind: BatchKind, places: Readonly<Record<string, string>>): Tongue {
  const stateDirectory = '/'
  const { conf, server } = places
  const named = <Key extends string>(key: Key, value: string | undefined): Partial<
    Record<Key, string>
  > => (value === undefined ? {} : { [key]: value }) as Partial<Record<Key, string>>
  switch (kind) {
    case 'slurm': return slurmTongue({ stateDirectory, ...named('confPath', conf) })
    case 'pbs': return pbsTongue({ stateDirectory, ...named('server', server) })
    case 'torque': return torqueTongue({ stateDirectory, ...named('server', server) })
    case 'lsf': return lsfTongue({ stateDirectory, ...named('confDirectory', conf) })
    case 'htcondor': return htcondorTongue({ stateDirectory, ...named('confPath', conf) })
    default: {
      const { qmaster_port: qmasterPort, execd_port: execdPort } = places
      return gridEngineTongue({
        stateDirectory, ...named('root', places['root']), ...named('cell', places['cell']),
        ...(qmasterPort === undefined ? {} : { qmasterPort: Number(qmasterPort) }),
        ...(execdPort === undefined ? {} : { execdPort: Number(execdPort) }),
      })
    }
  }
}

const environmentsMax = 50

/** A parallel environment within one host, and the complexes for memory and processors. */
async function gridEngineKeys(
  shell: BatchShell,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  const ask = async (argv: readonly string[]): Promise<string> =>
    (await shell.run({ argv }, signal)).stdout
  const names = (await ask(['qconf', '-spl'])).split('\n').filter((line) => line !== '')
  for (const name of names.slice(0, environmentsMax)) {
    if (!/^allocation_rule +\$pe_slots/m.test(await ask(['qconf', '-sp', name]))) continue
    found['parallel_environment'] = JSON.stringify(name)
    break
  }
  const complexes = parseComplexes(await ask(['qconf', '-sc']))
  const memory = complexes.find(({ name, counted }) =>
    counted && ['h_vmem', 'mem_free', 'virtual_free', 'h_rss'].includes(name))
  if (memory) found['memory_complex'] = JSON.stringify(memory.name)
  const gpu = complexes.find(({ name, counted }) => counted && /^(n|num_)?gpus?$/.test(name))
  if (gpu) found['gpu_complex'] = JSON.stringify(gpu.name)
  const perJob = [memory, gpu].flatMap((one) => one?.perJob ? [one.name] : [])
  if (perJob.length > 0) found['per_job_complexes'] = JSON.stringify(perJob)
  return found
}

/** `qconf -sc`: name, shortcut, type, relop, requestable, consumable, default, urgency. */
export function parseComplexes(
  text: string,
): { readonly name: string; readonly counted: boolean; readonly perJob: boolean }[] {
  return text.split('\n').filter((line) => /^\w/.test(line)).flatMap((line) => {
    const fields = line.trim().split(/\s+/)
    const [name = '', , , , requestable, consumable] = fields
    if (fields.length < 8 || requestable === 'NO') return []
    return [{ name, counted: consumable !== 'NO', perJob: consumable === 'JOB' }]
  })
}

/** Versions of software modules by name, the last of each; empty when there are no modules. */
export async function detectModules(
  environment: Environment,
): Promise<ReadonlyMap<string, string>> {
  const argv = ['bash', '-lc', 'module -t avail 2>&1 </dev/null']
  return parseModules(await answer(argv, environment))
}

const modulesMax = 200

/** Lines `name/version`, perhaps with `(default)`; lines that end with `:` name directories. */
export function parseModules(text: string): Map<string, string> {
  const found = new Map<string, string>()
  for (const line of text.split('\n')) {
    const match = /^([A-Za-z][\w+.-]{0,40})\/v?(\d[\w.+-]{0,40})(\(default\)|<[^>]*>)?$/
      .exec(line.trim())
    if (!match || (found.size >= modulesMax && !found.has(match[1] ?? ''))) continue
    found.set(match[1] ?? '', match[2] ?? '')
  }
  return found
}

/** What it prints, on whichever stream; empty when it cannot be run or takes too long. */
async function answer(argv: readonly string[], environment: Environment): Promise<string> {
  try {
    const env = Object.fromEntries(Object.entries(environment)
      .filter((pair): pair is [string, string] => pair[1] !== undefined))
    const said = await run(argv, { timeoutMs, env, outputBytesMax: 4 * 1024 * 1024 })
    return `${said.stdout}\n${said.stderr}`
  } catch {
    return ''
  }
}
