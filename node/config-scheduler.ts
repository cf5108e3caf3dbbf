// The section [scheduler]: its keys depend on its `kind`. A default stands here and nowhere else.

import * as v from 'valibot'
import * as fields from './config-fields.ts'
import type { Machine } from './config-schema.ts'
import type { GridEngineConfig } from './scheduler/grid-engine.ts'
import type { HtcondorConfig } from './scheduler/htcondor.ts'
import type { LsfConfig } from './scheduler/lsf.ts'
import type { PbsConfig } from './scheduler/pbs.ts'

/** Runs jobs on this machine. */
export interface EmbeddedConfig {
  readonly kind: 'embedded'
  readonly cores: number
  readonly memoryBytes: number
  readonly walltimeSecondsMax: number
  /** `auto`: bubblewrap where it works. */
  readonly sandbox: 'auto' | 'bubblewrap' | 'none'
  /** Directories in those that a sandbox hides, which tasks may read all the same. */
  readonly sandboxShow: readonly string[]
  readonly sandboxNetwork: boolean
  readonly speedPermille: number
}

/** Runs jobs through Slurm's commands. */
export interface SlurmConfig {
  readonly kind: 'slurm'
  /** `SLURM_CONF`; what the commands find by themselves when undefined. */
  readonly confPath: string | undefined
  /** Where sbatch and the others are; the PATH when undefined. */
  readonly binDirectory: string | undefined
  /** The cluster's default when undefined. */
  readonly partition: string | undefined
  /** For every sbatch, as they are. */
  readonly extraArguments: readonly string[]
  /** Whether the cluster ends jobs that use more memory than they asked for. */
  readonly memoryEnforced: boolean
  readonly speedPermille: number
}

type Own<Driver> = Omit<Driver, 'stateDirectory'>

/** Runs jobs through the commands of another scheduler. */
export type OtherConfig = { readonly speedPermille: number } & (
  | { readonly kind: 'grid-engine'; readonly driver: Own<GridEngineConfig> }
  | { readonly kind: 'pbs' | 'torque'; readonly driver: Own<PbsConfig> }
  | { readonly kind: 'lsf'; readonly driver: Own<LsfConfig> }
  | { readonly kind: 'htcondor'; readonly driver: Own<HtcondorConfig> }
)

export type SchedulerConfig = EmbeddedConfig | SlurmConfig | OtherConfig

export const schedulerKinds = [
  'embedded', 'slurm', 'grid-engine', 'pbs', 'torque', 'lsf', 'htcondor',
] as const
export type SchedulerKind = (typeof schedulerKinds)[number]

const yearSeconds = 366 * 86_400
const tebibyte = 2 ** 40

const shared = {
  kind: fields.word(...schedulerKinds),
  draining: v.optional(fields.flag(), false),
  speed: v.optional(fields.permille({ min: 1, max: 1_000_000 }), 1),
}

export function embeddedSchema(machine: Machine) {
  return v.object({
    ...shared,
    kind: v.optional(shared.kind, 'embedded'),
    cores: v.optional(fields.integer({ min: 1, max: 65_536 }), machine.cores),
    memory: v.optional(
      fields.bytes({ min: 2 ** 20, max: 1_024 * tebibyte }),
      `${machine.memoryBytes}B`,
    ),
    walltime_max: v.optional(fields.seconds({ min: 1, max: yearSeconds }), '24h'),
    sandbox: v.optional(fields.word('auto', 'bubblewrap', 'none'), 'auto'),
    sandbox_show: v.optional(fields.absolutePaths(), []),
    sandbox_network: v.optional(fields.flag(), true),
  })
}

const name = (expected: string): fields.Field<string> =>
  fields.text(expected, /^[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}$/)
const queue = v.optional(name('the name of a queue'))
const gpus = v.optional(fields.flag(), false)
const licences = v.optional(fields.words('names of licences such as ["solver"]'), [])
const port = v.optional(fields.integer({ min: 1, max: 65_535 }))
const conf = v.optional(fields.absolutePath())

const batch = {
  ...shared,
  bin: v.optional(fields.absolutePath()),
  arguments: v.optional(fields.words('options such as ["-A", "grid"]'), []),
  memory_enforced: v.optional(fields.flag(), false),
}

const slurmSchema = v.object({
  ...batch,
  conf,
  partition: v.optional(
    fields.text('the name of a partition', /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/),
  ),
  arguments: v.optional(fields.argumentList(), []),
})

const complexes = v.optional(fields.words('names of complexes such as ["gpu"]'), [])

const gridEngineSchema = v.object({
  ...batch, queue,
  root: v.optional(fields.absolutePath()),
  cell: v.optional(name('the name of a cell')),
  qmaster_port: port,
  execd_port: port,
  parallel_environment: v.optional(name('the name of a parallel environment')),
  memory_complex: v.optional(name('the name of a complex')),
  gpu_complex: v.optional(name('the name of a complex')),
  licence_complexes: complexes,
  per_job_complexes: complexes,
})

const pbsSchema = v.object({
  ...batch, queue, gpus, licences,
  server: v.optional(name('the name of a server')),
  operator: v.optional(fields.flag(), false),
})

const lsfSchema = v.object({
  ...batch, conf, queue, gpus, licences, memory_per_slot: v.optional(fields.flag(), false),
})

const htcondorSchema = v.object({ ...batch, conf, queue, gpus, licences })

/** An unknown kind is read as the embedded one, and complained of. */
export function schedulerSchema(kind: unknown, machine: Machine) {
  switch (kind) {
    case 'slurm': return slurmSchema
    case 'grid-engine': return gridEngineSchema
    case 'pbs': case 'torque': return pbsSchema
    case 'lsf': return lsfSchema
    case 'htcondor': return htcondorSchema
    default: return embeddedSchema(machine)
  }
}

export function schedulerKeys(kind: unknown, machine: Machine): readonly string[] {
  return Object.keys(schedulerSchema(kind, machine).entries)
}

/** Of whichever kind. */
export type SchedulerRead =
  & Partial<v.InferOutput<ReturnType<typeof embeddedSchema>>>
  & Partial<v.InferOutput<typeof slurmSchema>>
  & Partial<v.InferOutput<typeof gridEngineSchema>>
  & Partial<v.InferOutput<typeof pbsSchema>>
  & Partial<v.InferOutput<typeof lsfSchema>>

export function buildScheduler(read: SchedulerRead): SchedulerConfig {
  const speedPermille = read.speed!
  const kind = read.kind!
  const given = <Key extends string, Value>(
    key: Key, value: Value | undefined,
  ): { readonly [K in Key]?: Value } =>
    (value === undefined ? {} : { [key]: value }) as { readonly [K in Key]?: Value }
  const common = {
    ...given('binDirectory', read.bin), ...given('queue', read.queue),
    memoryEnforced: read.memory_enforced ?? false,
  }
  const extraArguments = read.arguments ?? []
  const counted = { gpus: read.gpus ?? false, licences: read.licences ?? [] }
  switch (kind) {
    case 'embedded': return {
      kind,
      cores: read.cores!,
      memoryBytes: read.memory!,
      walltimeSecondsMax: read.walltime_max!,
      sandbox: read.sandbox!,
      sandboxShow: read.sandbox_show!,
      sandboxNetwork: read.sandbox_network!,
      speedPermille,
    }
    case 'slurm': return {
      kind,
      confPath: read.conf,
      binDirectory: read.bin,
      partition: read.partition,
      extraArguments,
      memoryEnforced: common.memoryEnforced,
      speedPermille,
    }
    case 'grid-engine': return {
      kind, speedPermille,
      driver: {
        ...common, extraArguments,
        ...given('root', read.root), ...given('cell', read.cell),
        ...given('qmasterPort', read.qmaster_port), ...given('execdPort', read.execd_port),
        ...given('parallelEnvironment', read.parallel_environment),
        ...given('memoryComplex', read.memory_complex), ...given('gpuComplex', read.gpu_complex),
        licenceComplexes: read.licence_complexes ?? [],
        perJobComplexes: read.per_job_complexes ?? [],
      },
    }
    case 'pbs': case 'torque': return {
      kind, speedPermille,
      driver: {
        ...common, ...counted, extraArguments, ...given('server', read.server),
        operator: read.operator ?? false,
      },
    }
    case 'lsf': return {
      kind, speedPermille,
      driver: {
        ...common, ...counted, extraArguments, ...given('confDirectory', read.conf),
        memoryPerSlot: read.memory_per_slot ?? false,
      },
    }
    case 'htcondor': return {
      kind, speedPermille,
      driver: {
        ...common, ...counted, ...given('confPath', read.conf), extraLines: extraArguments,
      },
    }
  }
}
