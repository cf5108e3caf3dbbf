// When the first auction of a job is over, so that there is something to explain.

import type { WhyAnswer } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import type { Parts } from './federation.ts'
import { home } from './federation.ts'
import { until } from './waiting.ts'

const auctionSeconds = 60

/** Until the first round of bids is over. */
export function auctionOver(parts: Parts, job: string): Promise<true> {
  const { visitor, signal } = parts
  const what = `the auction of job ${job} to close`
  return until({ what, seconds: auctionSeconds, signal }, async () => {
    const { rounds } = await visitor.client(home).get<WhyAnswer>(apiPaths.why(job))
    return rounds.some(({ closedEpochMs }) => closedEpochMs !== undefined) ? true : undefined
  })
}
