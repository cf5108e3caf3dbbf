// A thread that does nothing but verify signatures, as many as it is told, over texts of the size
// of a statement.

import { parentPort } from 'node:worker_threads'
import { keyPairFromSeed, sha256, sign, verify } from '../../../protocol/base/crypto.ts'

const key = keyPairFromSeed(sha256('raw'))
const texts = Array.from({ length: 64 }, (_, at) => new Uint8Array(500).fill(at))
const signatures = texts.map((text) => sign(key, text))

parentPort?.on('message', (count: number) => {
  for (let at = 0; at < count; at++) {
    const [text, signature] = [texts[at % 64], signatures[at % 64]]
    if (!text || !signature || !verify(key.publicKey, text, signature)) {
      throw new Error('a good signature is refused')
    }
  }
  parentPort?.postMessage('done')
})
parentPort?.postMessage('ready')
