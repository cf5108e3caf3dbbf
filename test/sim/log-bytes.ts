// A log as bytes: its leaves read with JSON, and its tree with SHA-256, without the rules that it
// was written by. The invariants are said over these.

import { createHash } from 'node:crypto'
import { leavesOf } from './books.ts'
import type { Machine } from './machine.ts'

export type Json = { readonly [name: string]: unknown }

export interface Leaf {
  readonly kind: string
  readonly sid: string
  readonly body: Json
  readonly note: string
}

export interface Log {
  readonly machine: Machine
  readonly site: string
  readonly leaves: readonly Leaf[]
}

export function logOf(machine: Machine): Log {
  return { machine, site: machine.identity.site, leaves: leavesOf(machine).map(leafOf) }
}

function sha256(...parts: readonly (string | Uint8Array)[]): Buffer {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

function leafOf(note: string): Leaf {
  const text = note.slice(0, note.indexOf('\n\n') + 1)
  const [first = '', json = ''] = text.split('\n')
  const body = JSON.parse(json) as Json
  return { kind: first.replace('gridnode/v1/', ''), sid: sha256(text).toString('hex'), body, note }
}

/** RFC 6962, as it is written there. */
export function treeHash(leaves: readonly string[]): Buffer {
  if (leaves.length === 0) return sha256('')
  if (leaves.length === 1) return sha256(Uint8Array.of(0), leaves[0]!)
  let half = 1
  while (2 * half < leaves.length) half *= 2
  return sha256(Uint8Array.of(1), treeHash(leaves.slice(0, half)), treeHash(leaves.slice(half)))
}
