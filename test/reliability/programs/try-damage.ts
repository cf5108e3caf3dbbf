// Tries one damaged directory after the other in a process of its own: LevelDB itself gives up, and
// the process with it, at some kinds of damage inside its tables. A line of JSON in, one out.

import { createInterface } from 'node:readline'
import { StoreError } from '../../../node/store/store-error.ts'
import type { Told, Writer } from '../histories.ts'
import { goesOnFrom, openWriter } from '../histories.ts'

export interface Attempt {
  readonly directory: string
  readonly scratch: string
  readonly told: readonly Told[]
}

export type Outcome =
  | { readonly kind: 'closed' | 'unreadable', readonly code: string, readonly message: string }
  | { readonly kind: 'went on', readonly size: number }
  | { readonly kind: 'failed', readonly message: string }

async function attempt({ directory, scratch, told }: Attempt): Promise<Outcome> {
  let writer: Writer | undefined
  try {
    writer = await openWriter(directory)
    return { kind: 'went on', size: await goesOnFrom(writer, told, scratch) }
  } catch (error) {
    if (!(error instanceof StoreError)) return { kind: 'failed', message: String(error) }
    const { code, message } = error
    return { kind: writer ? 'unreadable' : 'closed', code, message }
  } finally {
    await writer?.close()
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const outcome = await attempt(JSON.parse(line) as Attempt)
  process.stdout.write(`${JSON.stringify(outcome)}\n`)
}
