// How a site comes into a federation: the token that a member hands out, the request it lets a
// newcomer make, and the answer. Nothing here is believed for itself: the token says which
// federation is meant, and the answer is checked statement by statement from the founder on.
//
// [MEMBER-1] A token is used as it is or refused: unknown fields, other encodings and spaces are
// refused.
// [MEMBER-2] The sponsor keeps the hash of the secret only, so its database does not admit anybody.
// [MEMBER-3] The federation in the answer is the one that the token names.

import { fromBase64, sha256Hex, toBase64 } from '../base/crypto.ts'
import type { Malformed } from '../base/encoding.ts'
import { decode, encode, fromUtf8, malformed } from '../base/encoding.ts'
import type { Hash } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import type { Outcome } from '../base/outcome.ts'
import type { Shape, Shaped } from '../base/shape.ts'
import { hash, hex, integer, list, record, shaped, siteName, text, unshape } from '../base/shape.ts'

export const joinTokenPrefix = 'gridnode-join-v1.'
/** Of the one-time secret, which travels in hexadecimal. */
export const secretBytes = 16
export const joinTokenBytesMax = 8_192
export const addressesMax = 16
/** Epochs and changes of keys of one site that are logged and passed on. */
export const renewalsMax = 128

const note = text({ bytesMax: limits.statementBytes })
/** Multiaddrs without `/p2p`, such as `/ip4/192.0.2.7/tcp/7700`. */
const address = text({
  bytesMax: 256, pattern: /^\/(ip4|ip6|dns|dns4|dns6)\/[^/\s]+\/tcp\/[0-9]{1,5}$/,
})
const addresses = list(address, { max: addressesMax })
const epochMs = integer({ min: 0, max: Number.MAX_SAFE_INTEGER })

const tokenShape = record({
  federation: hash(),
  name: text({ bytesMax: 63 }),
  sponsor: siteName(),
  /** The sponsor's network key: whoever answers must prove it. */
  key: hex({ bytes: 32 }),
  addresses,
  secret: hex({ bytes: secretBytes }),
  /** Epoch ms, on the sponsor's clock. */
  expires: epochMs,
})
export type JoinToken = Shaped<typeof tokenShape>

const requestShape = record({ secret: hex({ bytes: secretBytes }), genesis: note, addresses })
/** `genesis` is the newcomer's signed statement; a repeated request carries the same one. */
export type JoinRequest = Shaped<typeof requestShape>

const answerShape = record({
  /** The federation's statement: its sid is the federation's id. */
  federation: note,
  members: list(
    record({
      genesis: note,
      /** The statement that admitted the site, '' for the founder. */
      policy: note,
      addresses,
      /** The geneses of its later epochs and its changes of keys, in order. */
      renewals: list(note, { max: renewalsMax }),
    }),
    { max: limits.sitesMax },
  ),
})
/** All members, the newcomer among them, in any order. */
export type JoinAnswer = Shaped<typeof answerShape>

export function formatJoinToken(token: JoinToken): string {
  const base64 = toBase64(new TextEncoder().encode(encode(unshape(token))))
  return joinTokenPrefix + base64.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

/** [MEMBER-1] Only a text that `formatJoinToken` could have made. */
export function parseJoinToken(token: string): Outcome<JoinToken, Malformed> {
  if (!token.startsWith(joinTokenPrefix)) {
    return malformed(`expected a text that starts with ${joinTokenPrefix}`)
  }
  if (token.length > joinTokenBytesMax) {
    return malformed(`expected at most ${joinTokenBytesMax} characters, got ${token.length}`)
  }
  const base64 = token.slice(joinTokenPrefix.length)
  const broken = 'it is cut short or changed; copy it whole, on one line'
  if (!/^[A-Za-z0-9_-]+$/.test(base64)) return malformed(broken)
  const padding = '='.repeat((4 - (base64.length % 4)) % 4)
  const bytes = fromBase64(base64.replaceAll('-', '+').replaceAll('_', '/') + padding)
  const json = bytes && fromUtf8(bytes)
  if (json === undefined) return malformed(broken)
  const parsed = read(tokenShape, json, joinTokenBytesMax)
  if (parsed.ok) return parsed
  const { detail } = parsed.refusal
  // A text that was cut is no JSON; saying so would send people looking for the wrong thing.
  return malformed(detail === 'not JSON' ? broken : `${broken} (${detail})`)
}

/** Of what somebody says to be addresses, those that can be passed on to a newcomer. */
export function readAddresses(said: readonly string[]): string[] {
  return said.filter((one) => shaped(address, one).ok).slice(0, addressesMax)
}

/** [MEMBER-2] What the sponsor keeps of a secret, as the request carries it. */
export function secretHashOf(secret: string): Hash {
  return sha256Hex(secret)
}

export function encodeJoinRequest(request: JoinRequest): string {
  return encode(unshape(request))
}

export function readJoinRequest(encoded: string): Outcome<JoinRequest, Malformed> {
  return read(requestShape, encoded, 2 * limits.statementBytes)
}

export function encodeJoinAnswer(answer: JoinAnswer): string {
  return encode(unshape(answer))
}

export function readJoinAnswer(encoded: string): Outcome<JoinAnswer, Malformed> {
  return read(answerShape, encoded, limits.messageBytes)
}

function read<T>(shape: Shape<T>, encoded: string, bytesMax: number): Outcome<T, Malformed> {
  const value = decode(encoded, { bytesMax })
  return value.ok ? shaped(shape, value.value) : value
}
