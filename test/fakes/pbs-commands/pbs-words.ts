// What the fakes of OpenPBS and Torque share: numbers and words of errors, times, sizes, names.

import type { FakeTask } from '../batch-commands/machine.ts'
import type { Call } from '../batch-commands/service.ts'

export const serverName = 'pbs-server'

/** pbs_error.h and the texts of the server. */
const errors: Readonly<Record<number, string>> = {
  15001: 'Unknown Job Id', 15004: 'Invalid request', 15007: 'Unauthorized Request ',
  15013: 'Unknown/illegal signal name', 15014: 'Illegal attribute or resource value',
  15016: 'Request invalid for state of job', 15018: 'Unknown queue', 15035: 'Unknown resource',
  15036: 'Job violates queue and/or server resource limits', 15038: 'job is not rerunnable',
  15046: 'Maximum number of jobs already in queue',
  15107: 'Array job exceeds server or queue size limit',
  15108: 'Resource invalid in "select" specification:',
  15109: '"-lresource=" cannot be used with "select" or "place", resource is: ncpus',
  15111: 'Cannot have "place" without "select"', 15139: 'Job has finished',
}

export function pbsFault(
  program: string, number: number, more = '',
): { readonly stderr: string; readonly code: number } {
  return { stderr: `${program}: ${errors[number] ?? number}${more}\n`, code: number & 255 }
}

export function taskName({ job, index }: FakeTask): string {
  return job.array ? `${job.id}[${index}].${serverName}` : `${job.id}.${serverName}`
}

/** `3661`, `61:01`, `1:01:01`. */
export function secondsOf(text: string): number | undefined {
  const match = /^(?:(?:(\d+):)?(\d+):)?(\d+)$/.exec(text)
  if (!match) return undefined
  return Number(match[1] ?? 0) * 3_600 + Number(match[2] ?? 0) * 60 + Number(match[3])
}

export function usedTime(seconds: number): string {
  const two = (value: number): string => String(value).padStart(2, '0')
  return `${two(Math.floor(seconds / 3_600))}:${two(Math.floor(seconds / 60) % 60)}:`
    + two(seconds % 60)
}

const units: Readonly<Record<string, number>> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 }

/** `64mb`, `1gb`, `1048576`. */
export function byteCount(text: string): number | undefined {
  const match = /^(\d+)([kmg]?)b?$/i.exec(text)
  return match ? Number(match[1]) * (units[(match[2] ?? '').toLowerCase()] ?? 1) : undefined
}

/** What the daemon on the node gives every job, and what qsub sent along. */
export function jobEnvironment(call: Call, all: boolean): Record<string, string> {
  const { environment, directory } = call
  const passed: Record<string, string> = all ? { ...environment } : {}
  for (const name of ['HOME', 'LANG', 'LOGNAME', 'PATH', 'MAIL', 'SHELL', 'TZ']) {
    const value = environment[name]
    if (value !== undefined) passed[`PBS_O_${name}`] = value
  }
  return {
    PATH: '/usr/local/bin:/usr/bin:/bin', HOME: environment['HOME'] ?? '/', USER: call.user,
    LOGNAME: call.user, SHELL: '/bin/sh', ...passed, PBS_O_WORKDIR: directory,
  }
}

/** JSON as qstat and pbsnodes print it: a tab a level and after each colon. */
export function pbsText(value: unknown): string {
  return `${indented(value, 0)}\n`
}

function indented(value: unknown, depth: number): string {
  if (Array.isArray(value)) return `[${value.map((one) => indented(one, depth)).join(', ')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const inner = '\t'.repeat(depth + 1)
  const lines = Object.entries(value)
    .map(([name, one]) => `${inner}${JSON.stringify(name)}:\t${indented(one, depth + 1)}`)
  return lines.length === 0 ? '{\n}' : `{\n${lines.join(',\n')}\n${'\t'.repeat(depth)}}`
}
