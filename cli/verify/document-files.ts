// Files of private documents, one on each line (protocol/rules/audit-documents.ts), and what came
// of them: opened by which ledgers, or by none.
// Invariant: a line, and the number of documents, are bounded.

import { createReadStream } from 'node:fs'
import { fromUtf8 } from '../../protocol/base/encoding.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import type { Documents, ReadDocument } from '../../protocol/rules/audit-documents.ts'
import {
  documentBytesMax, openDocuments, readDocument,
} from '../../protocol/rules/audit-documents.ts'
import type { Finding } from '../../protocol/rules/audit.ts'

export interface DocumentFiles {
  readonly documents: Documents
  /** How many of the documents an audited ledger has opened. */
  readonly count: number
  /** Lines that are no documents, and, after the audit, documents that nothing has opened. */
  findings(opened: ReadonlySet<string>): (Finding & { readonly path: string })[]
}

const documentsMax = 100_000
const newline = 0x0a

interface Line {
  readonly path: string
  readonly number: number
  readonly read: ReadDocument | { readonly detail: string }
}

/** Throws when a file cannot be read or holds more than can be kept. */
export async function readDocumentFiles(
  paths: readonly string[], signal?: AbortSignal,
): Promise<DocumentFiles> {
  const lines: Line[] = []
  for (const path of paths) {
    let number = 0
    for await (const bytes of linesOf(path, signal)) {
      number += 1
      if (lines.length >= documentsMax) {
        throw new Error(`more than ${documentsMax} documents; give them in several runs`)
      }
      lines.push({ path, number, read: readLine(bytes) })
    }
  }
  const readable = lines.flatMap(({ read }) => 'hash' in read ? [read] : [])
  return {
    documents: openDocuments(readable),
    count: readable.length,
    findings: (opened) => lines.flatMap((line) => {
      const { read, path, number } = line
      const detail = 'detail' in read ? `is no document: ${read.detail}`
        : opened.has(read.hash) ? undefined
          : `a ${read.kind} document that no entry of these ledgers commits to`
      if (detail === undefined) return []
      const text = `line ${number}: ${detail}`
      return [{ path, site: '' as SiteName, index: undefined, rule: 'I13' as const, detail: text }]
    }),
  }
}

function readLine(bytes: Uint8Array | undefined): Line['read'] {
  if (!bytes) return { detail: `it is longer than ${documentBytesMax} bytes` }
  const text = fromUtf8(bytes)
  if (text === undefined) return { detail: 'it is not UTF-8' }
  const read = readDocument(text)
  return read.ok ? read.value : { detail: read.refusal.detail }
}

/** The lines of a file without their newlines; undefined for one that is too long. */
async function* linesOf(
  path: string, signal?: AbortSignal,
): AsyncGenerator<Uint8Array | undefined, undefined> {
  let parts: Buffer[] = []
  let size = 0
  const take = (): Uint8Array | undefined => {
    const line = size > documentBytesMax ? undefined : Buffer.concat(parts)
    parts = []
    size = 0
    return line
  }
  for await (const chunk of createReadStream(path, signal && { signal }) as AsyncIterable<Buffer>) {
    let from = 0
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, from)) {
      parts.push(chunk.subarray(from, end))
      size += end - from
      from = end + 1
      yield take()
    }
    size += chunk.length - from
    if (size > documentBytesMax) parts = []
    else parts.push(chunk.subarray(from))
  }
  if (size > 0) yield take()
}
