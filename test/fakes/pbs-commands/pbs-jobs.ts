// How the fakes of OpenPBS and Torque name jobs, and go through the identifiers they are given.

import { getopt } from '../batch-commands/options.ts'
import type { Options } from '../batch-commands/options.ts'
import type { FakeJob, FakeMachine, FakeTask } from '../batch-commands/machine.ts'
import type { Answer, Call } from '../batch-commands/service.ts'
import { pbsFault, serverName } from './pbs-words.ts'

export function fileOf(path: string | undefined): string {
  return path === undefined ? '/dev/null' : path.slice(path.indexOf(':') + 1)
}

export function jobName(job: FakeJob): string {
  return job.array ? `${job.id}[].${serverName}` : `${job.id}.${serverName}`
}

/** What a job identifier stands for; undefined when it is unknown. */
export function lookUp(machine: FakeMachine, id: string): readonly FakeTask[] | undefined {
  machine.tasks()
  const match = /^(\d+)(?:\[(?:(\d+)(?:-(\d+))?)?\])?(?:\..*)?$/.exec(id)
  const job = machine.jobs.get(Number(match?.[1]))
  if (!match || !job || job.array !== id.includes('[')) return undefined
  if (match[2] === undefined) return job.tasks
  const last = Number(match[3] ?? match[2])
  const found = job.tasks.filter(({ index }) => index >= Number(match[2]) && index <= last)
  return found.length === 0 ? undefined : found
}

export function isOver(job: FakeJob): boolean {
  return job.tasks.every((task) => task.state === 'ended')
}

/** Does something with each identifier; the last fault decides the exit code. */
export function each(
  machine: FakeMachine, call: Call, letters: string,
  act: (tasks: readonly FakeTask[], id: string, options: Options) => number | undefined,
): Answer {
  const { program } = call
  const options = getopt(program, letters, call.words)
  if (options.fault !== undefined || options.operands.length === 0) {
    return { stderr: `${options.fault ?? ''}usage: ${program} …\n`, code: 2 }
  }
  let stderr = ''
  let code = 0
  for (const id of options.operands) {
    const tasks = lookUp(machine, id)
    const job = tasks?.[0]?.job
    const number = !tasks || !job ? 15001 : isOver(job) ? 15139 : act(tasks, id, options)
    if (number === undefined) continue
    const fault = pbsFault(program, number, ` ${id}`)
    stderr += fault.stderr
    code = fault.code
  }
  return { stderr, code }
}
