// What a new site finds around it: the addresses of its machine, and a scheduler that answers or
// not.

import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { addressesMax } from '../protocol/rules/membership.ts'
import type { Config } from './config.ts'
import type { Machine } from './config-schema.ts'
import { messageOf } from './problem.ts'

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
