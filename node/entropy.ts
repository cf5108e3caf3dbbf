// The one door to chance (keys excepted: identity.ts makes those).

import { randomBytes as systemRandomBytes, randomInt } from 'node:crypto'

export const entropy = {
  /** `count` unpredictable bytes. */
  randomBytes(count: number): Uint8Array {
    return new Uint8Array(systemRandomBytes(count))
  },

  /** `milliseconds` plus or minus at most `permille` thousandths: nodes should not act in step. */
  jitter(milliseconds: number, permille = 250): number {
    const spread = Math.floor((milliseconds * permille) / 1000)
    return spread > 0 ? milliseconds - spread + randomInt(2 * spread + 1) : milliseconds
  },
}
