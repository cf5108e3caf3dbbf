// A process beside a running task of a batch scheduler, by the scheduler's own way in: within what
// it gave the task, under the task's account, and ended with it.

import type { Outcome } from '../../protocol/base/outcome.ts'
import { ok, refuse } from '../../protocol/base/outcome.ts'
import type { BatchTask } from './batch-judge.ts'
import type { BatchShell, Tongue } from './batch-tongue.ts'
import type { ControlRefusal, Entered, Submission } from './driver.ts'
import { accountWords } from './sandbox.ts'
import { carried } from './task-variables.ts'
import { taskEnvironment } from './tranche-store.ts'

export async function enterBatchTask(
  { tongue, shell }: { readonly tongue: Tongue; readonly shell: BatchShell },
  { submission, task, jobId }: {
    readonly submission: Submission; readonly task: BatchTask; readonly jobId: string
  },
  signal: AbortSignal,
): Promise<Outcome<Entered, ControlRefusal>> {
  if (!tongue.enter) {
    return refuse({ reason: 'unable', words: `${tongue.title} knows no way into a running task` })
  }
  if (task.status.kind !== 'running') {
    return refuse({ reason: 'state', words: 'the task does not run now' })
  }
  const { directory } = submission.tasks[task.position]!
  const position = submission.tasks.length > 1 ? task.position : undefined
  const [program = '', ...words] = await tongue.enter(shell, { jobId, position, directory }, signal)
  const own = carried(taskEnvironment(submission, task.taskIndex))
  return ok({
    words: [...accountWords(submission.account), shell.path(program), ...words, ...own.words],
    environment: { ...shell.environment, ...own.variables },
    cwd: '/',
  })
}
