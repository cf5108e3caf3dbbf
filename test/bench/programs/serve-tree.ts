// One end of the staging bench, as a process of its own: takes a file into a chunk store and serves
// its tree over the real network until its input closes. Prints one line of JSON: its address and
// the tree's hash.

import { join } from 'node:path'
import { keyPairFromSeed, sha256 } from '../../../protocol/base/crypto.ts'
import type { Hash, SiteName } from '../../../protocol/base/ids.ts'
import { startNetwork } from '../../../node/net/network.ts'
import { openChunkStore } from '../../../node/staging/chunk-store.ts'
import { serve } from '../../../node/staging/serve.ts'
import { snapshot } from '../../../node/staging/snapshot.ts'

const [directory = '', file = '', federation = ''] = process.argv.slice(2)
const bytesMax = 4 * 2 ** 30
const store = await openChunkStore({ directory: join(directory, 'served'), bytesMax })
const { treeHash } = await snapshot({
  store, owner: 'bench', base: directory, inputs: [{ from: file }], bytesMax,
})
const network = await startNetwork({
  site: 'bench-server' as SiteName,
  networkSecret: sha256('bench server'),
  listen: ['/ip4/127.0.0.1/tcp/0'],
  members: [{
    site: 'bench-client' as SiteName,
    networkKey: keyPairFromSeed(sha256('bench client')).publicKey,
    addresses: [],
  }],
  federation,
  onMessage: () => undefined,
  onPeer: () => undefined,
  onGossip: () => 'ignore',
  onRequest: () => Promise.reject(new Error('no requests here')),
  onFetch: (_, header, signal) =>
    serve({ header, store, allowed: (_scope: string, _hash: Hash) => true, signal }),
})
console.log(JSON.stringify({ addresses: network.addresses(), treeHash }))
process.stdin.resume()
process.stdin.on('end', () => void network.stop().then(() => process.exit(0)))
