// Another member's log, read file by file from its node.
// Invariants: every file has a deadline, and no more of it is taken than was asked for; nothing
// here is believed: whoever reads verifies.

import type { SiteName } from '../../protocol/base/ids.ts'
import { parseTilePath } from '../../protocol/base/tiles.ts'
import { clock } from '../clock.ts'
import type { Network } from '../net/door.ts'
import { codeOf, failure } from '../net/failure.ts'
import { fileAbsent, filePresent, logHeader } from './peer-log.ts'

/** The shape that the verifier reads logs through. */
export interface RemoteLog {
  readonly name: string
  /**
   * At most `bytesMax` + 1 bytes of a file, so that a longer one is noticed; undefined when the
   * site has no such file. Throws a Failure: `down`, `broken`, `timeout`, `aborted`,
   * `unknown-site`, `malformed`, `busy`, `refused:…`.
   */
  read(path: string, bytesMax: number): Promise<Uint8Array | undefined>
}

export interface RemoteLogOptions {
  readonly signal?: AbortSignal
  /** For one file, with all waiting for a site that is busy. */
  readonly fileMs?: number
  /** Between two tries at a site that is busy. */
  readonly busyMs?: number
}

const fileMsDefault = 20_000
const busyMsDefault = 500
const textPattern = /^(checkpoint|pruned|snapshot\/[1-9][0-9]{0,15})$/

export function remoteLog(
  network: Pick<Network, 'fetch'>, site: SiteName, options: RemoteLogOptions = {},
): RemoteLog {
  const { signal, fileMs = fileMsDefault, busyMs = busyMsDefault } = options
  return {
    name: site,
    async read(path, bytesMax) {
      if (!textPattern.test(path) && !parseTilePath(path)) return undefined
      const late = clock.deadline(fileMs)
      const stop = signal ? AbortSignal.any([signal, late]) : late
      const busy = (cause: unknown): Error =>
        failure('busy', `${site} gives no more of its log for now; try again later`, cause)
      for (let wasBusy = false; ; wasBusy = true) {
        try {
          return await fetchFile(network.fetch(site, logHeader(path), stop), bytesMax)
        } catch (error) {
          if (late.aborted && !signal?.aborted) {
            if (wasBusy) throw busy(error)
            throw failure('timeout', `${site} did not give ${path} in ${fileMs} ms`, error)
          }
          if (codeOf(error) !== 'refused:busy') throw error
          await clock.sleep(busyMs, stop).catch((cause: unknown) => {
            throw late.aborted && !signal?.aborted
              ? busy(error)
              : failure('aborted', 'reading the log was given up', cause)
          })
        }
      }
    },
  }
}

async function fetchFile(
  stream: AsyncIterable<Uint8Array>, bytesMax: number,
): Promise<Uint8Array | undefined> {
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of stream) {
    parts.push(part)
    size += part.length
    // With the first byte, and the one that says that there is more.
    if (size > bytesMax + 1) break
  }
  const bytes = Buffer.concat(parts)
  if (bytes[0] === fileAbsent && bytes.length === 1) return undefined
  if (bytes[0] !== filePresent) throw failure('malformed', 'expected a file of the log')
  return bytes.subarray(1, bytesMax + 2)
}
