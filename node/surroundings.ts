// What a new site finds around it: the addresses of its machine, and a scheduler that answers or
// not.

import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { addressesMax } from '../protocol/rules/membership.ts'
import { formatBytes } from '../protocol/base/units.ts'
import type { Config } from './config.ts'
import type { SchedulerKind } from './config-scheduler.ts'
import type { Machine } from './config-schema.ts'
import { messageOf } from './problem.ts'
import type { FoundScheduler } from './scheduler/detect.ts'

/**
 * Where others can reach this site, as far as the config and the machine tell; empty with port 0.
 */
export function ownAddresses(config: Config): readonly string[] {
  const { announce, listen } = config.network
  if (announce.length > 0) return announce
  return listen.flatMap(expanded).slice(0, addressesMax)
}

function expanded(address: string): string[] {
  const [, kind = '', host = '', , port = ''] = address.split('/')
  if (port === '0') return []
  const family = kind === 'ip4' && host === '0.0.0.0' ? 'IPv4' : host === '::' ? 'IPv6' : undefined
  if (family === undefined) return [address]
  const all = Object.values(networkInterfaces()).flatMap((interfaces) => interfaces ?? [])
  const usable = all.filter((one) => one.family === family && !/^fe80:/i.test(one.address))
  const outside = usable.filter((one) => !one.internal)
  const chosen = outside.length > 0 ? outside : usable
  return chosen.map((one) => `/${kind}/${one.address}/tcp/${port}`)
}

/** Whether the scheduler answers now; it need not, to be configured. */
export async function advice(config: Config, machine: Machine): Promise<string[]> {
  const { scheduler } = config
  if (scheduler.kind !== 'embedded' && scheduler.kind !== 'slurm') return []
  const answer = await slurmAnswer(config)
  if (scheduler.kind === 'slurm') {
    if (answer.ok) return [`Slurm answers: ${answer.words}.`]
    return [`Slurm does not answer yet (${answer.words}); see [scheduler] in the config.`]
  }
  const notes: string[] = []
  if (scheduler.cores > machine.cores) {
    notes.push(`The executor has ${scheduler.cores} cores, this machine ${machine.cores}.`)
  }
  if (answer.ok) notes.push('Slurm answers on this machine: kind = "slurm" would use it.')
  return notes
}

async function slurmAnswer(config: Config): Promise<{ ok: boolean; words: string }> {
  const { scheduler } = config
  const { run } = await import('./scheduler/exec.ts')
  const [bin, conf] = scheduler.kind === 'slurm'
    ? [scheduler.binDirectory, scheduler.confPath]
    : [undefined, undefined]
  const program = bin === undefined ? 'sinfo' : join(bin, 'sinfo')
  const inherited = process.env as Record<string, string>
  try {
    const answer = await run([program, '-h', '-o', '%P %D nodes'], {
      timeoutMs: 5_000,
      env: conf === undefined ? inherited : { ...inherited, SLURM_CONF: conf },
      outputBytesMax: 64 * 1024,
    })
    const [first = ''] = (answer.code === 0 ? answer.stdout : answer.stderr).trim().split('\n')
    return { ok: answer.code === 0 && first !== '', words: first || `exit code ${answer.code}` }
  } catch (error) {
    return { ok: false, words: messageOf(error) }
  }
}

export interface Survey {
  readonly scheduler: SchedulerKind
  /** Keys of the config and their values as TOML. */
  readonly set: Readonly<Record<string, string>>
  /** Sentences for the administrator: what was found, what was taken. */
  readonly notes: readonly string[]
}

const softwareMax = 40

/** What is on this machine: a scheduler, of the `wanted` kind if there is one, and modules. */
export async function survey(wanted: SchedulerKind | undefined): Promise<Survey> {
  const { detectModules, detectSchedulers } = await import('./scheduler/detect.ts')
  const only = wanted === undefined || wanted === 'embedded' ? undefined : wanted
  const [all, modules] = await Promise.all([
    detectSchedulers(process.env, only), detectModules(process.env),
  ])
  const taken = wanted === 'embedded' ? undefined
    : all.find(({ capacity }) => capacity !== undefined || wanted !== undefined)
  const scheduler = wanted ?? taken?.kind ?? 'embedded'
  const set: Record<string, string> = {}
  for (const [key, value] of Object.entries(taken?.keys ?? {})) set[`scheduler.${key}`] = value
  let published = 0
  for (const [name, version] of modules) {
    const key = `software_${name.toLowerCase().replaceAll(/[^a-z0-9]/g, '_')}`
    if (published >= softwareMax || key.length > 64 || `attributes.${key}` in set) continue
    set[`attributes.${key}`] = JSON.stringify(version)
    published++
  }
  const notes = all.map((one) => wordsOn(one, one === taken))
  if (only !== undefined && all.length === 0) {
    notes.push(`Nothing of ${only} is in the PATH; see [scheduler] in the config.`)
  } else if (scheduler === 'embedded' && wanted === undefined) {
    notes.push('No batch scheduler answers here: jobs run on this machine (kind = "embedded").')
  }
  if (published > 0) {
    notes.push(`${published} software modules are published in [attributes].`)
  }
  return { scheduler, set, notes }
}

/** One line: what it is, what it has, and whether it was taken or how to take it. */
function wordsOn(found: FoundScheduler, isTaken: boolean): string {
  const { kind, title, version, capacity, why } = found
  const verdict = isTaken ? 'it was taken' : `--scheduler ${kind} would take it`
  if (!capacity) return `${title} ${version} does not answer (${why}); ${verdict}.`
  const { queues, nodesTotal = 1, coresTotal, memoryBytesTotal, gpusTotal = 0 } = capacity
  const names = queues.slice(0, 5).map((queue) => queue.name).join(', ')
  const more = queues.length > 5 ? ', …' : ''
  const parts = [
    `${queues.length === 1 ? 'queue' : `${queues.length} queues`} ${names}${more}`,
    `${nodesTotal} nodes`, `${coresTotal} cores`, formatBytes(memoryBytesTotal),
    ...(gpusTotal > 0 ? [`${gpusTotal} graphics processors`] : []),
  ]
  return `${title} ${version} answers: ${parts.join('; ')}; ${verdict}.`
}
