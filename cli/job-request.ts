// Turns what a person asked for into the document that is signed: the command line over the
// script's directives over the defaults.

import { parseOutputPatterns } from '../protocol/rules/stage-outputs.ts'
import { describeStageRefusal } from '../protocol/rules/stage.ts'
import { shaped, unshape } from '../protocol/base/shape.ts'
import { formatRanges } from '../protocol/base/ranges.ts'
import type { Microcredits } from '../protocol/base/units.ts'
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
}

/** Throws a usage failure that names what cannot be taken. */
export function jobDocument(request: JobRequest): JobDocument {
  const { options } = request
  const cores = options.cores ?? jobDefaults.cores
  const document = {
    name: options.name ?? request.fallbackName,
    user: request.user.name,
    key: request.user.publicKeyHex,
    nonce: request.nonce,
    script: request.script,
    args: request.args,
    environment: environmentOf(options.environment ?? [], request.env),
    tasks: options.array ? formatRanges(options.array.tasks) : '0',
    array: options.array ? 1 : 0,
    tasks_at_once: options.array?.atOnce ?? 0,
    cores,
    memory_mib: memoryMibOf(options, cores),
    walltime_seconds: options.walltimeSeconds ?? jobDefaults.walltimeSeconds,
    inputs: request.inputs.treeHash,
    inputs_bytes: request.inputs.sizeBytes,
    outputs: outputsOf(options),
    requirements: options.requirements ?? '',
    policy: options.policy ?? jobDefaults.policy,
    budget: options.budget ?? jobDefaults.budget,
    ...(options.allocation !== undefined && { allocation: options.allocation }),
    place: options.place ?? jobDefaults.place,
    sites: options.sites ?? [],
    start_within_seconds: options.startWithinSeconds ?? jobDefaults.startWithinSeconds,
  }
  const checked = shaped(jobDocumentShape, unshape(document))
  if (!checked.ok) throw usageFailure(`the job cannot be described: ${checked.refusal.detail}`)
  return checked.value
}

function memoryMibOf(options: JobOptions, cores: number): number {
  if (options.memoryMibPerCore !== undefined) return options.memoryMibPerCore * cores
  return options.memoryMib ?? jobDefaults.memoryMib
}

function outputsOf(options: JobOptions): readonly string[] {
  const outputs = [...new Set(options.outputs)]
  const patterns = parseOutputPatterns(outputs)
  if (!patterns.ok) throw usageFailure(`--out: ${describeStageRefusal(patterns.refusal)}`)
  return outputs
}

function environmentOf(
  variables: readonly EnvironmentOption[],
  env: Readonly<Record<string, string | undefined>>,
): { name: string; value: string }[] {
  const values = new Map<string, string>()
  for (const variable of variables) {
    const value = variable.value ?? env[variable.name]
    if (value === undefined) {
      throw usageFailure(
        `the variable ${variable.name} is not set here; write --env ${variable.name}=VALUE`,
      )
    }
    values.set(variable.name, value)
  }
  return [...values].map(([name, value]) => ({ name, value }))
}
