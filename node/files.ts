// Small files that must be whole or absent: made under another name, synced, and put in place by
// one system call, so that a crash leaves either nothing or all of it.

import {
  closeSync, fchmodSync, fsyncSync, linkSync, openSync, renameSync, rmSync, unlinkSync, writeSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { toHex } from '../protocol/base/crypto.ts'
import { entropy } from './entropy.ts'

/** Makes `path` with exactly this content. @throws EEXIST when there is anything of that name. */
export function createFile(path: string, text: string, mode: number): void {
  place(path, text, mode, (draft) => {
    try {
      linkSync(draft, path)
    } finally {
      unlinkSync(draft)
    }
  })
}

/** Makes `path`, or replaces it as a whole. */
export function replaceFile(path: string, text: string, mode: number): void {
  place(path, text, mode, (draft) => renameSync(draft, path))
}

/** What is in the directory is there after a power cut, too. */
export function syncDirectory(directory: string): void {
  const handle = openSync(directory, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}

function place(path: string, text: string, mode: number, put: (draft: string) => void): void {
  const directory = dirname(path)
  const draft = join(directory, `.${basename(path)}.${toHex(entropy.randomBytes(6))}`)
  const handle = openSync(draft, 'wx', mode)
  try {
    try {
      // The umask may have taken bits away.
      fchmodSync(handle, mode)
      writeSync(handle, text)
      fsyncSync(handle)
    } finally {
      closeSync(handle)
    }
  } catch (error) {
    rmSync(draft, { force: true })
    throw error
  }
  put(draft)
  syncDirectory(directory)
}
