// The body of a request for a job (verb-api.ts), as it is read.

import { limits } from '../../protocol/base/limits.ts'
import { integer, oneOf, optional, record, text } from '../../protocol/base/shape.ts'
import { requestBytesMax } from '../../protocol/rules/request.ts'

/** Jobs in one list. */
export const listMax = 200

export const argsShape = record({
  task: optional(integer({ min: 0, max: limits.taskNumberMax })),
  stream: optional(oneOf('stdout', 'stderr')),
  offset: optional(integer({ min: 0, max: Number.MAX_SAFE_INTEGER })),
  path: optional(text({ bytesMax: limits.pathBytes + 16 })),
  state: optional(oneOf('open', 'ended', 'all')),
  limit: optional(integer({ min: 1, max: listMax })),
})

export const askShape = record({
  site: text({ bytesMax: 253 }),
  note: text({ bytesMax: requestBytesMax }),
  args: argsShape,
})
