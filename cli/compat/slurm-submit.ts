// `sbatch`: prints one line and nothing else, as its callers read it.

import type { Context } from '../command.ts'
import { exitCodes } from '../failure.ts'
import { readBatchScript } from './batch-script.ts'
import { submitBatch } from './submission.ts'
import { waitForJob } from './wait.ts'

export async function sbatch(context: Context, args: readonly string[]): Promise<number> {
  const { job, directives } = readBatchScript(context, 'slurm', args)
  const { switches } = directives
  const { out, err } = context.terminal
  if (switches.testOnly) {
    await err.write('sbatch: Job can be described; where it runs is decided when it is submitted\n')
    return exitCodes.done
  }
  const { id } = await submitBatch(context, job)
  await out.write(switches.parsable ? `${id}\n` : `Submitted batch job ${id}\n`)
  return switches.wait ? waitForJob(context, id) : exitCodes.done
}
