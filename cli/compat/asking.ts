// What the batch commands ask of a job after it was handed in, signed by its owner.

import type { JobDetail, SignedRequest } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { seal } from '../../protocol/base/envelope.ts'
import { unshape } from '../../protocol/base/shape.ts'
import type { Context } from '../command.ts'
import { openUser } from '../user-key.ts'

export async function cancelJob(context: Context, job: string): Promise<void> {
  const { signer } = openUser(context.terminal)
  const request: SignedRequest = { verb: 'cancel', job, at: context.terminal.nowEpochMs() }
  const { note } = seal('request', unshape(request), signer)
  await context.client().post<JobDetail>(apiPaths.cancel(job), note)
}
