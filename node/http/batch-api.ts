// The part of the local API (api.ts) that the batch commands use: paths and types, no behaviour.

import type { JobSummary, TaskRow } from './api.ts'

export const batchPaths = {
  /**
   * GET ?jobs=ID,ID…&state=open|all&user=NAME&limit=N → BatchRow[]: jobs with all their tasks,
   * newest first; whole ids, those that are not known are left out
   */
  batch: '/v1/batch',
  /** GET ?task=N → ResultTree: what a task that has ended left */
  tree: (id: string) => `/v1/jobs/${id}/tree`,
  /** GET ?task=N&path=… → raw bytes of one file of that tree */
  treeFile: (id: string) => `/v1/jobs/${id}/tree/file`,
} as const

/** A job as the batch commands show it. */
export interface BatchRow extends JobSummary {
  readonly array: boolean
  /**
   * Tasks that no site has, as ranges, '' when there is none: those that may be placed (of a job
   * that has ended: never were), those that wait for other jobs or a time, those on hold.
   */
  readonly waiting: string
  readonly parked: string
  readonly onHold: string
  /** Of a task. */
  readonly cores: number
  readonly memoryMib: number
  readonly walltimeSeconds: number
  readonly gpus: number
  readonly nodes: number
  readonly priority: number
  /** Empty when the job names none. */
  readonly queue: string
  readonly project: string
  /** The absolute path of the directory it works in; empty when it has none of its own. */
  readonly seenAt: string
  /** Every task that left the waiting state. */
  readonly taskRows: readonly TaskRow[]
}

/** What a task left: its outputs, and its streams as the files `stdout` and `stderr`. */
export interface ResultTree {
  readonly files: readonly {
    readonly path: string
    readonly sizeBytes: number
    readonly executable: boolean
    /** Names the content: SHA-256 over the hashes of its chunks, in text, joined by commas. */
    readonly digest: string
  }[]
  /** Only the empty ones. */
  readonly directories: readonly string[]
}
