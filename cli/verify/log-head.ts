// The signed head of an exported ledger, as far as it can be read before its entries are known.

import type { Checkpoint } from '../../protocol/base/checkpoint.ts'
import { parseCheckpoint } from '../../protocol/base/checkpoint.ts'
import { fromUtf8 } from '../../protocol/base/encoding.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import { parseSiteName } from '../../protocol/base/ids.ts'
import type { OpenNote } from '../../protocol/base/note.ts'
import { parseNote } from '../../protocol/base/note.ts'
import type { LogFiles } from './log-files.ts'

export interface LogHead {
  readonly site: SiteName
  readonly checkpoint: Checkpoint
  readonly note: OpenNote
}

export type HeadResult =
  | { readonly kind: 'head', readonly head: LogHead }
  /** It is a ledger, but its head is not what it must be. */
  | { readonly kind: 'broken', readonly detail: string }
  /** It is no ledger. */
  | { readonly kind: 'unusable', readonly detail: string }

const checkpointBytesMax = 16 * 1024
const originPattern = /^([^/]+)\/gridnode\/[0-9a-f]{16}\/e[1-9][0-9]*$/

export async function readHead(files: LogFiles): Promise<HeadResult> {
  const bytes = await files.read('checkpoint', checkpointBytesMax)
  if (!bytes) {
    const detail = 'there is no file `checkpoint`; expected a directory written by '
      + '`gridnode ledger export DIR`'
    return { kind: 'unusable', detail }
  }
  // A byte order mark is a change like any other.
  const text = fromUtf8(bytes)
  if (text === undefined) return broken('it is not UTF-8')
  const note = parseNote(text, { bytesMax: checkpointBytesMax })
  if (!note.ok) return broken(note.refusal.detail)
  const checkpoint = parseCheckpoint(note.value.text)
  if (!checkpoint.ok) return broken(checkpoint.refusal.detail)
  const name = originPattern.exec(checkpoint.value.origin)?.[1]
  const site = parseSiteName(name ?? '')
  if (!site) {
    return broken(`the origin ${checkpoint.value.origin} is not SITE/gridnode/FEDERATION/eEPOCH`)
  }
  if (checkpoint.value.size === 0) return broken('the log has no entries')
  return { kind: 'head', head: { site, checkpoint: checkpoint.value, note: note.value } }
}

function broken(detail: string): HeadResult {
  return { kind: 'broken', detail: `its checkpoint cannot be read: ${detail}` }
}
