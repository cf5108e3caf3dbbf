// A node that says nothing any more tells everybody who asks.

import type { NodeInfo } from '../node/http/api.ts'
import { apiPaths } from '../node/http/api.ts'
import type { Context } from './command.ts'
import { wrap } from './command.ts'
import { printable } from './output.ts'

/** On stderr, so that what is printed stays what it is. */
export async function warnOfQuarantine({ client, terminal }: Context): Promise<void> {
  // Whoever cannot be asked is told of by the question that the command is about.
  const info = await client().get<NodeInfo>(apiPaths.info).catch(() => undefined)
  const quarantine = info?.quarantine
  if (quarantine === undefined) return
  await terminal.err.write(`${wrap(printable(quarantine), 80).join('\n')}\n`)
}
