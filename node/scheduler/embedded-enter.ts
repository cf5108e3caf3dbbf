// A process beside a running task of the embedded executor: in its directory, with its environment,
// and, where there is a sandbox, inside that and under the task's account. In a sandbox it ends
// with the task.

import { readlinkSync } from 'node:fs'
import type { Outcome } from '../../protocol/base/outcome.ts'
import { ok, refuse } from '../../protocol/base/outcome.ts'
import type { ControlRefusal, Entered } from './driver.ts'
import type { Task } from './embedded-book.ts'
import { readDescendants, readProcess } from './process-table.ts'
import { accountWords } from './sandbox.ts'
import type { SandboxOptions } from './sandbox.ts'
import { carriedIntoSandbox } from './task-variables.ts'
import { taskEnvironment } from './tranche-store.ts'

/**
 * The node's own variables that a task needs; everything else, secrets included, stays with the
 * node.
 */
const inheritedVariables = ['PATH', 'HOME', 'USER', 'LOGNAME', 'SHELL', 'LANG', 'TZ', 'TMPDIR']

export function ownEnvironment(): Record<string, string> {
  const environment: Record<string, string> = {}
  for (const name of inheritedVariables) {
    const value = process.env[name]
    if (value !== undefined) environment[name] = value
  }
  return environment
}

/** @param inherited what tasks of this executor inherit */
export function enterTask(
  task: Task, inherited: Readonly<Record<string, string>>, sandbox: SandboxOptions | undefined,
): Outcome<Entered, ControlRefusal> {
  const { status, pid, directory, tranche: { submission } } = task
  if (status.kind !== 'running' || pid === undefined) {
    return refuse({ reason: 'state', words: 'the task does not run now' })
  }
  const own = taskEnvironment(submission, task.taskIndex)
  if (!sandbox) return ok({ words: [], environment: { ...inherited, ...own }, cwd: directory })
  const inside = firstInside(pid)
  if (inside === undefined) {
    return refuse({ reason: 'state', words: 'the task is just beginning, or ending' })
  }
  const asUser = process.getuid?.() === 0 ? [] : ['--user', '--preserve-credentials']
  const drop = submission.account ? accountWords(submission.account)
    // As root: with nothing of its rights left once the command starts.
    : ['setpriv', '--no-new-privs', '--inh-caps=-all', ...(asUser.length === 0
      ? ['--bounding-set=-all'] : []), '--']
  const { variables, words } = carriedIntoSandbox(own)
  const goThere = ['sh', '-c', 'cd "$1" && shift && exec "$@"', 'gridnode-enter',
    submission.seenAt ?? directory]
  return ok({
    words: [
      'nsenter', `--target=${inside}`, '--mount', '--pid', '--ipc',
      ...(sandbox.network ? [] : ['--net']), ...asUser, '--', ...drop, ...goThere, ...words,
    ],
    environment: { ...inherited, ...variables, HOME: '/tmp', TMPDIR: '/tmp' },
    cwd: '/',
  })
}

/** The oldest process of the task that has other process ids than we have. */
function firstInside(supervisor: number): number | undefined {
  const ours = namespaceOf(process.pid)
  const inside = readDescendants(supervisor)
    .filter((pid) => {
      const theirs = namespaceOf(pid)
      return theirs !== undefined && theirs !== ours
    })
    .flatMap((pid) => readProcess(pid) ?? [])
    .sort((a, b) => a.born - b.born || a.pid - b.pid)
  // The first is bubblewrap's own and waits for the command; both are where we want to be.
  return inside[0]?.pid
}

function namespaceOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`)
  } catch {
    return undefined
  }
}
