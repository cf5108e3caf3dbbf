// Every bound and every wait of the network, with its unit. They protect a node from its peers and
// from itself; none of them is part of the protocol, so two nodes may differ.

const mebibyte = 1024 * 1024

export const netBounds = {
  // One message stream to each peer.
  sendQueueFrames: 4_096,
  sendQueueBytes: 32 * mebibyte,
  helloBytes: 512,
  handshakeMs: 10_000,
  /** Silence after which a peer is asked whether it lives, and how often it may fail to answer. */
  heartbeatMs: 5_000,
  heartbeatsMissedMax: 4,

  // Dialling.
  dialMs: 10_000,
  redialFirstMs: 100,
  /** The side with the greater peer id lets the other one dial first. */
  redialSecondMs: 700,
  redialBaseMs: 500,
  redialMaxMs: 30_000,
  /** A link that lived this long was a good one: the backoff starts again. */
  linkStableMs: 10_000,

  // Requests.
  requestBytes: mebibyte,
  requestStreamsPerPeer: 128,
  requestReadMs: 20_000,
  requestServeMs: 600_000,
  errorTextBytes: 1_024,

  // Bulk streams.
  fetchHeaderBytes: mebibyte,
  fetchFrameBytes: 256 * 1024,
  fetchStreamsPerPeer: 16,
  /** The server says at least this often that it is alive while its source is slow. */
  fetchKeepAliveMs: 15_000,
  /** Without a byte for this long a waiting reader, or a writer that may not write, gives up. */
  fetchReadMs: 60_000,
  fetchWriteMs: 300_000,
  bulkIdleMs: 20_000,
  /** After a peer could not be dialled for a transfer, so long its message connection serves. */
  bulkRedialMs: 60_000,

  // Reading any stream.
  readBufferBytes: mebibyte,
  streamLingerMs: 5_000,
  streamWindowBytes: 4 * mebibyte,

  // Connections.
  connectionsMax: 4_096,
  connectionsPerMember: 16,
  connectionsPending: 128,
  connectionsPerSecondPerAddress: 200,
  connectionIdleMs: 60_000,
  sweepMs: 15_000,
  stopMs: 3_000,

  // Strangers, who may ask to join.
  strangersMax: 16,
  strangerMs: 20_000,
  joinRequestBytes: 64 * 1024,
  joinsPerMinute: 60,

  // Gossip.
  gossipRpcBytes: 4 * mebibyte,
  gossipBytesPerMinutePerPeer: 128 * mebibyte,
} as const

export type NetBounds = { readonly [Name in keyof typeof netBounds]: number }
