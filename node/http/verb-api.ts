// The part of the local API (api.ts) by which an owner asks something of a job, wherever its home
// is: one path and its types, no behaviour. What is asked is signed (protocol/rules/request.ts).

import type { JobDetail } from './api.ts'

/**
 * POST AskBody → AskAnswer. With ?operator=1, on the administrator's socket, for a job of this
 * site: whoever owns it.
 */
export const askPath = '/v1/ask'

export interface AskBody {
  /** The job's home; '' to have it looked for among the members (verb `locate`). */
  readonly site: string
  /** A note of kind `request`. */
  readonly note: string
  /** What of it is looked at. */
  readonly args: AskArgs
}

export interface AskArgs {
  /** Of `logs`. */
  readonly task?: number
  readonly stream?: 'stdout' | 'stderr'
  /** Of `logs` and of a file: from which byte on. */
  readonly offset?: number
  /** Of `fetch`: a result; absent, the list of them. */
  readonly path?: string
  /** Of `list`. */
  readonly state?: 'open' | 'ended' | 'all'
  readonly limit?: number
}

export type AskAnswer =
  /** JobDetail, WhyAnswer, ResultFile[], JobSummary[], Located or VerbAnswer, by the verb. */
  | { readonly kind: 'value'; readonly value: unknown }
  /** At most 256 KiB from the offset on, base64; `end`: nothing more will come. */
  | { readonly kind: 'bytes'; readonly bytes: string; readonly end: boolean }

export interface Located {
  readonly site: string
  readonly job: string
}

export interface VerbAnswer {
  /** One sentence: what was done, and whom it was told. */
  readonly detail: string
  readonly job: JobDetail
}

/** One request that was done for a job, and what became of it at its hosts. */
export interface AskedRow {
  readonly verb: string
  readonly nonce: string
  /** '' for all of them. */
  readonly tasks: string
  readonly epochMs: number
  readonly detail: string
  readonly sites: readonly {
    readonly site: string
    readonly tasks: string
    /** sent: not answered yet; void: the tasks had ended before. */
    readonly state: 'sent' | 'done' | 'refused' | 'void'
    readonly words: string
  }[]
}
