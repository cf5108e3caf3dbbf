// Which of many jobs are meant: by name, user, state, site or queue.

import type { JobSummary } from '../node/http/api.ts'

export interface Filter {
  readonly name?: string | undefined
  readonly user?: string | undefined
  readonly state?: string | undefined
  readonly site?: string | undefined
  readonly queue?: string | undefined
}

export function passes(job: JobSummary, { name, state, site, queue }: Filter): boolean {
  return (name === undefined || job.name === name) && (state === undefined || job.state === state)
    && (site === undefined || job.sites.includes(site))
    && (queue === undefined || (job.queue ?? '') === queue)
}
