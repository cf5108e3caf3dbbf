// The local API for who operates a site: paths and types, no behaviour.

export const sitePaths = {
  /** POST {} → ReloadAnswer: reads the config again */
  reload: '/v1/reload',
  /** POST {drain: 0|1, reason} → {detail} */
  drain: '/v1/drain',
} as const

/** Keys of the config that were changed. */
export interface ReloadAnswer {
  /** They count now. */
  readonly live: readonly string[]
  /** They count when the node is started again. */
  readonly restart: readonly string[]
}
