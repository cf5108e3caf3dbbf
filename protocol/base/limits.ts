// Every bound in one place: what is full refuses, and is counted. Units are in the names.

export const limits = {
  statementBytes: 16 * 1024,
  messageBytes: 4 * 1024 * 1024,
  offerBytes: 16 * 1024,
  jsonDepth: 12,
  jsonStringBytes: 1024 * 1024,

  sitesMax: 1_000,
  /** Of whom two sites speak in one exchange of what they know. */
  sitesPerPage: 64,
  /** Heads of other logs that one exchange shows. */
  headsPerExchange: 4,
  attributesPerOffer: 64,
  offersPerMinutePerSite: 30,

  jobsOpen: 10_000,
  tasksPerJob: 100_000,
  /** The largest number that a task of an array may have. */
  taskNumberMax: 999_999_999,
  tasksPerTranche: 1_000,
  scriptBytes: 1024 * 1024,
  filesPerManifest: 100_000,
  pathBytes: 1_024,
  chunkBytes: 4 * 1024 * 1024,

  shortlistSites: 16,
  /** Sites that a round of an auction names among those that cannot win; it counts the rest. */
  unfitSitesNamed: 64,
  taskAttempts: 5,
  bidsOpenPerHost: 1_000,
  bidsOpenPerHome: 250,
  contractsOpenPerHost: 10_000,
  /** Of the signed jobs that a host keeps for one home while their contracts last. */
  hostJobCharactersPerHome: 64 * 1024 * 1024,

  outboxStatementsPerPeer: 100_000,
  statementsPerMessage: 64,
  apiBodyBytes: 8 * 1024 * 1024,
} as const
