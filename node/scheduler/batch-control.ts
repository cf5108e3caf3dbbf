// What may be done to tasks at a command-line scheduler, and the words that the driver leaves for
// their job scripts (batch-script.ts): a signal to pass on, leave to run once more.

import {
  closeSync, constants, fstatSync, ftruncateSync, mkdirSync, openSync, rmSync, writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { ok, refuse } from '../../protocol/base/outcome.ts'
import type { Outcome } from '../../protocol/base/outcome.ts'
import { demandSuccess } from './batch-shell.ts'
import type { BatchPhase, BatchRow, BatchShell, Tongue } from './batch-tongue.ts'
import type { ControlRefusal, ControlVerb, LocalAccount } from './driver.ts'

export interface Word {
  /** Of the file beside the task's records. */
  readonly ending: 'signal' | 'again' | 'sh'
  readonly text: string
}

/** Undefined when the scheduler can do it. */
export function controlCan(
  { abilities, title }: Tongue,
  verb: ControlVerb,
): ControlRefusal | undefined {
  if (verb.kind === 'signal' && !/^[A-Z][A-Z0-9+-]{1,15}$/.test(verb.name)) {
    const words = `expected the name of a signal such as USR1, got ${JSON.stringify(verb.name)}`
    return { reason: 'refused', words }
  }
  const ability = ({
    hold: 'hold', release: 'hold', suspend: 'suspend', resume: 'suspend', requeue: 'requeue',
    signal: 'signal',
  } as const)[verb.kind]
  if (abilities[ability]) return undefined
  return { reason: 'unable', words: `${title} cannot ${verb.kind} a job of ours` }
}

const suits: Readonly<Record<ControlVerb['kind'], readonly BatchPhase[]>> = {
  hold: ['queued'],
  release: ['held'],
  suspend: ['running'],
  resume: ['suspended'],
  signal: ['running', 'suspended'],
  requeue: ['running', 'suspended'],
}

const isDone: Readonly<Record<ControlVerb['kind'], readonly BatchPhase[]>> = {
  hold: ['held'],
  release: ['queued', 'running', 'suspended'],
  suspend: ['suspended'],
  resume: ['running'],
  signal: [],
  requeue: ['queued', 'held'],
}

export function isSuited(verb: ControlVerb, phase: BatchPhase): boolean {
  return suits[verb.kind].includes(phase)
}

/**
 * The positions that the verb is for. Those that are where it leads already, or gone, are passed
 * over; empty when all are.
 */
export function suiting(
  verb: ControlVerb,
  tasks: readonly { readonly position: number }[],
  places: ReadonlyMap<number, BatchRow>,
): Outcome<readonly number[], ControlRefusal> {
  const suited: number[] = []
  let unsuited: BatchPhase | undefined
  let passed = 0
  for (const { position } of tasks) {
    const phase = places.get(position)?.phase
    if (phase !== undefined && suits[verb.kind].includes(phase)) suited.push(position)
    else if (phase === 'queued' || phase === 'running' || phase === 'held'
      || phase === 'suspended' || phase === 'stuck') {
      if (isDone[verb.kind].includes(phase)) passed++
      else unsuited ??= phase
    } else passed++
  }
  if (suited.length > 0 || passed > 0 || unsuited === undefined) return ok(suited)
  const words = `expected a task that is ${suits[verb.kind].join(' or ')}, it is ${unsuited}`
  return refuse({ reason: 'state', words })
}

/** What the job script must find before the scheduler acts. */
export function wordOf(verb: ControlVerb): Word | undefined {
  if (verb.kind === 'signal') return { ending: 'signal', text: `${verb.name}\n` }
  if (verb.kind === 'requeue') return { ending: 'again', text: '' }
  return undefined
}

/**
 * Leaves a word beside each task's records. In a directory that belongs to another account it is
 * written as that account: what lies there may lead anywhere.
 */
export async function leaveWord(
  shell: BatchShell,
  bases: readonly string[],
  { ending, text }: Word,
  account: LocalAccount | undefined,
  signal: AbortSignal,
): Promise<void> {
  for (const base of bases) {
    const path = `${base}.${ending}`
    if (account) {
      const act = ending === 'signal' ? 'cat >>"$1"' : 'cat >"$1" && chmod 755 "$1"'
      const argv = ['/bin/sh', '-c', `mkdir -p "\${1%/*}" && ${act}`, 'sh', path]
      demandSuccess('sh', await shell.run({ argv, input: text, account }, signal))
      continue
    }
    mkdirSync(dirname(path), { recursive: true })
    writeWord(path, text, ending === 'signal')
  }
}

/** Where the job itself may have put a pipe, or a link to a file of the node's. */
function writeWord(path: string, text: string, appends: boolean): void {
  const { O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_WRONLY } = constants
  const flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | (appends ? O_APPEND : 0)
  const handle = openSync(path, flags, 0o755)
  try {
    const stats = fstatSync(handle)
    if (!stats.isFile() || stats.nlink !== 1) throw new Error(`${path} was replaced by the job`)
    if (!appends) ftruncateSync(handle, 0)
    writeSync(handle, text)
  } finally {
    closeSync(handle)
  }
}

export async function takeWordBack(
  shell: BatchShell,
  bases: readonly string[],
  { ending }: Word,
  account: LocalAccount | undefined,
  signal: AbortSignal,
): Promise<void> {
  const paths = bases.map((base) => `${base}.${ending}`)
  if (account) await shell.run({ argv: ['/bin/rm', '-f', ...paths], account }, signal)
  else for (const path of paths) rmSync(path, { force: true })
}
