// Turns what a person asked for into the document that is signed: the command line over the
// script's directives over the defaults.

import { parseOutputPatterns } from '../protocol/rules/stage-outputs.ts'
import { describeStageRefusal } from '../protocol/rules/stage.ts'
import { shaped, unshape } from '../protocol/base/shape.ts'
import { exceedsBytes } from '../protocol/base/encoding.ts'
import { formatRanges } from '../protocol/base/ranges.ts'
import type { Microcredits } from '../protocol/base/units.ts'
import type { Dialect } from '../protocol/rules/dialect.ts'
import type { JobDocument } from '../protocol/rules/job.ts'
import { jobDocumentShape } from '../protocol/rules/job.ts'
import type { EnvironmentOption, JobOptions } from '../protocol/rules/job-options.ts'
import { usageFailure } from './failure.ts'

export const jobDefaults = {
  cores: 1,
  memoryMib: 1_024,
  walltimeSeconds: 3_600,
  policy: 'balanced',
  budget: 100_000_000n as Microcredits,
  place: 'anywhere',
  startWithinSeconds: 7 * 86_400,
} as const

/** A dependency whose job is an id of this federation. */
export type ResolvedDependencies = NonNullable<JobDocument['after']>

export interface JobRequest {
  readonly options: JobOptions
  /** Used when no option names the job. */
  readonly fallbackName: string
  readonly script: string
  readonly args: readonly string[]
  readonly inputs: { readonly treeHash: string; readonly sizeBytes: number }
  readonly user: { readonly name: string; readonly publicKeyHex: string }
  readonly nonce: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** Whose run-time variables the job finds. */
  readonly dialect?: Dialect | undefined
  /** Those of `options.dependencies`, in their order. */
  readonly after?: ResolvedDependencies
  /** When `options.begin` is. */
  readonly beginEpochMs?: number | undefined
  /** The absolute directory that the job believes to be in. */
  readonly seenAt?: string | undefined
}

/** Throws a usage failure that names what cannot be taken. */
export function jobDocument(request: JobRequest): JobDocument {
  const { options } = request
  const size = sizeOf(options)
  const document = {
    name: options.name ?? request.fallbackName,
    user: request.user.name,
    key: request.user.publicKeyHex,
    nonce: request.nonce,
    script: request.script,
    args: request.args,
    environment: environmentOf(request),
    tasks: options.array ? formatRanges(options.array.tasks) : '0',
    array: options.array ? 1 : 0,
    tasks_at_once: options.array?.atOnce ?? 0,
    cores: size.cores,
    memory_mib: size.memory_mib,
    walltime_seconds: options.walltimeSeconds ?? jobDefaults.walltimeSeconds,
    inputs: request.inputs.treeHash,
    inputs_bytes: request.inputs.sizeBytes,
    outputs: outputsOf(options),
    requirements: requirementsOf(options),
    ...(options.rank !== undefined && { rank: options.rank }),
    policy: options.policy ?? jobDefaults.policy,
    budget: options.budget ?? jobDefaults.budget,
    ...(options.allocation !== undefined && { allocation: options.allocation }),
    place: options.place ?? jobDefaults.place,
    sites: options.sites ?? [],
    start_within_seconds: options.startWithinSeconds ?? jobDefaults.startWithinSeconds,
    ...(size.gpus > 0 && { gpus: size.gpus }),
    ...(size.chunks && { chunks: size.chunks }),
    ...whenOf(request),
    ...whereOf(request),
  }
  const checked = shaped(jobDocumentShape, unshape(document))
  if (!checked.ok) throw usageFailure(`the job cannot be described: ${checked.refusal.detail}`)
  return checked.value
}

/** Of a task in all, and of each of its nodes when it has several. */
export function sizeOf(options: JobOptions): {
  cores: number
  memory_mib: number
  gpus: number
  chunks?: NonNullable<JobDocument['chunks']>
} {
  if (options.chunks === undefined) {
    const cores = options.cores ?? jobDefaults.cores
    return { cores, memory_mib: memoryMibOf(options, cores), gpus: options.gpus ?? 0 }
  }
  const chunks = options.chunks.map(({ nodes, cores, memoryMib, gpus }) => ({
    nodes, cores, gpus, memory_mib: memoryMib > 0 ? memoryMib : memoryMibOf(options, cores),
  }))
  const sum = (of: (chunk: typeof chunks[number]) => number): number =>
    chunks.reduce((total, chunk) => total + chunk.nodes * of(chunk), 0)
  return {
    cores: sum((chunk) => chunk.cores),
    memory_mib: sum((chunk) => chunk.memory_mib),
    gpus: sum((chunk) => chunk.gpus),
    chunks,
  }
}

function memoryMibOf(options: JobOptions, cores: number): number {
  if (options.memoryMibPerCore !== undefined) return options.memoryMibPerCore * cores
  return options.memoryMib ?? jobDefaults.memoryMib
}

function requirementsOf({ requirements, gpuModel }: JobOptions): string {
  if (gpuModel === undefined) return requirements ?? ''
  const model = `gpu_model == ${JSON.stringify(gpuModel)}`
  return requirements === undefined ? model : `(${requirements}) && ${model}`
}

function whenOf({ options, after, beginEpochMs }: JobRequest) {
  return {
    ...(after !== undefined && after.length > 0 && { after }),
    ...(options.dependencies?.any === true && { after_any: 1 }),
    ...(options.hold === true && { hold: 1 }),
    ...(beginEpochMs !== undefined && { begin_ms: beginEpochMs }),
    ...(options.priority !== undefined && { priority: options.priority }),
    ...(options.rerun === false && { rerun: 0 }),
  }
}

function whereOf({ options, dialect, seenAt }: JobRequest) {
  const { stdoutPath: out, stderrPath: error, joinStreams: join } = options
  const placed = out !== undefined || error !== undefined || join !== undefined
  return {
    ...(options.licences && { licences: options.licences }),
    ...(options.queue !== undefined && { queue: options.queue }),
    ...(options.project !== undefined && { project: options.project }),
    ...(dialect !== undefined && { dialect }),
    ...(placed && { streams: { out: out ?? '', error: error ?? '', join: join === true ? 1 : 0 } }),
    ...(seenAt !== undefined && { seen_at: seenAt }),
  }
}

function outputsOf(options: JobOptions): readonly string[] {
  const outputs = [...new Set(options.outputs)]
  const patterns = parseOutputPatterns(outputs)
  if (!patterns.ok) throw usageFailure(`--out: ${describeStageRefusal(patterns.refusal)}`)
  return outputs
}

/** What belongs to a session or a machine, and means nothing at another. */
const staysHere = new RegExp('^(_|PWD|OLDPWD|SHLVL|HOME|USER|LOGNAME|SHELL|MAIL|TERM|TMPDIR|TMP|' +
  'TEMP|HOSTNAME|DISPLAY|XAUTHORITY|LS_COLORS|BASHOPTS|SHELLOPTS|PPID|UID|EUID|' +
  '(SSH|XDG|DBUS|GPG|SUDO|SLURM|SBATCH|PBS|LSB|LS|SGE|GRIDNODE|GNOME|KDE|WAYLAND)_.*)$')
const valueBytesMax = 32_768
const variablesMax = 512

function environmentOf(
  { options, env, dialect }: JobRequest,
): { name: string; value: string }[] {
  const variables: readonly EnvironmentOption[] = options.environment ?? []
  const values = new Map<string, string>()
  for (const { name, value } of options.runVariables ?? []) values.set(name, value)
  for (const [name, value] of Object.entries(options.wholeEnvironment === true ? env : {})) {
    const travels = /^[A-Za-z_][A-Za-z0-9_]{0,255}$/.test(name) && !staysHere.test(name)
    const fits = value !== undefined && !exceedsBytes(value, valueBytesMax)
    if (travels && fits && values.size < variablesMax / 2) values.set(name, value)
  }
  for (const variable of variables) {
    const value = variable.value ?? env[variable.name]
    // Schedulers pass over a variable that is not set.
    if (value === undefined && dialect !== undefined) continue
    if (value === undefined) {
      throw usageFailure(
        `the variable ${variable.name} is not set here; write --env ${variable.name}=VALUE`,
      )
    }
    values.set(variable.name, value)
  }
  return [...values].map(([name, value]) => ({ name, value }))
}
