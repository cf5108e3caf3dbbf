// Files and directories that are on the disk when the call returns.

import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'

/** `flag` 'wx' refuses a file that is there, 'w' replaces its content. */
export function writeSynced(
  path: string,
  bytes: Uint8Array,
  { flag, mode }: { readonly flag: 'w' | 'wx', readonly mode: number },
): void {
  const file = openSync(path, flag, mode)
  try {
    let written = 0
    while (written < bytes.length) written += writeSync(file, bytes, written)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

/** Makes the names in a directory durable. */
export function syncDirectory(path: string): void {
  const directory = openSync(path, 'r')
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
}
