// Ed25519 for many signatures under few keys, which is what a ledger is: multiples of each key that
// comes up often are laid out in a table, as they are for the base point, and a signature then
// takes 64 additions and no doublings. The rules are those of protocol/base/crypto.ts.
// Invariants: a yes is exact, [S]B - [k]A computed and compared with R byte for byte; what is not a
// yes here is for `verify` to decide. Some of the yeses are shown to `verify` as well, and one that
// it does not share ends the program.

import { assert } from '../../protocol/base/assert.ts'
import { checkPublicKey, fromHex, sha512Of, toHex, verify } from '../../protocol/base/crypto.ts'
import { elementBytes, openFieldCode, pointBytes, scratchBytes, slots } from './field-code.ts'
import type { FieldCode } from './field-code.ts'

export interface Signed {
  readonly publicKey: Uint8Array
  readonly message: Uint8Array
  readonly signature: Uint8Array
}

export interface FastVerifier {
  /** 1 for each signature that is good, 0 for each that is not; the same as `verify` says. */
  verifyAll(all: readonly Signed[]): Uint8Array
}

export interface FastOptions {
  /** How often a key comes up before it gets a table, which takes as long as eighty signatures. */
  readonly worthTable?: number
  /** Decides what is no yes here. */
  readonly otherwise?: (one: Signed) => boolean
}

/** Half a MiB each. */
const tablesMax = 24
const signaturesPerRun = 256
const checkedAgainEvery = 256

const windows = 32
const entriesPerWindow = 128
const entryBytes = 3 * elementBytes
const tableBytes = windows * entriesPerWindow * entryBytes

const p = 2n ** 255n - 19n
const order = 2n ** 252n + 27742317777372353535851937790883648493n
const orderBytes = bytesOf(order)
const d = modulo(-121665n * power(121666n, p - 2n))
const basePoint = fromHex(`58${'66'.repeat(31)}`) as Uint8Array

/** Where things lie in the module's memory. */
const layout = {
  inverse: scratchBytes,
  element: scratchBytes + elementBytes,
  spare: scratchBytes + 2 * elementBytes,
  d2: scratchBytes + 3 * elementBytes,
  points: 1_024,
  products: 1_024 + windows * entriesPerWindow * pointBytes,
  tables: 1_024 + windows * entriesPerWindow * (pointBytes + elementBytes),
} as const

export function openFastVerifier(options: FastOptions = {}): FastVerifier {
  const { worthTable = 256, otherwise = verifyOne } = options
  const field = openFieldCode(layout.tables + (1 + tablesMax) * tableBytes)
  const memory = openMemory(field)
  const base = layout.tables
  let tables = 0
  memory.write(layout.d2, modulo(2n * d))
  const build = (publicKey: Uint8Array): number => {
    const table = layout.tables + tables++ * tableBytes
    buildTable(field, memory, { publicKey, table })
    return table
  }
  const byKey = new Map<string, { uses: number, table: number | undefined }>()
  const tableOf = (publicKey: Uint8Array): number | undefined => {
    const name = toHex(publicKey)
    const known = byKey.get(name) ?? { uses: 0, table: undefined }
    known.uses += 1
    if (byKey.size < 10_000) byKey.set(name, known)
    const isDue = known.table === undefined && known.uses === worthTable
    if (isDue && tables <= tablesMax && checkPublicKey(publicKey).ok) {
      if (tables === 0) build(basePoint)
      known.table = build(publicKey)
    }
    return known.table
  }
  let agreed = 0
  const run = (
    all: readonly Signed[], places: readonly number[], keys: readonly number[],
    verdicts: Uint8Array,
  ): void => {
    for (const [at, place] of places.entries()) {
      const point = layout.points + at * pointBytes
      const { publicKey, message, signature } = all[place] as Signed
      memory.writeIdentity(point)
      add(field, { point, table: base, digits: digitsOf(signature.subarray(32)), sign: 1 })
      const k = challenge(publicKey, message, signature)
      add(field, { point, table: keys[at] as number, digits: digitsOf(k), sign: -1 })
    }
    invertAll(field, memory, places.length)
    for (const [at, place] of places.entries()) {
      const one = all[place] as Signed
      const isR = equals(field, memory, layout.points + at * pointBytes, one.signature)
      if (isR && agreed++ % checkedAgainEvery === 0) {
        assert(verifyOne(one), 'two ways to check a signature agree')
      }
      verdicts[place] = isR || otherwise(one) ? 1 : 0
    }
  }
  return {
    verifyAll(all) {
      const verdicts = new Uint8Array(all.length)
      let places: number[] = []
      let keys: number[] = []
      for (const [place, one] of all.entries()) {
        const table = tableOf(one.publicKey)
        if (table === undefined || !isFast(one.signature)) {
          verdicts[place] = otherwise(one) ? 1 : 0
          continue
        }
        places.push(place)
        keys.push(table)
        if (places.length < signaturesPerRun) continue
        run(all, places, keys, verdicts)
        places = []
        keys = []
      }
      if (places.length > 0) run(all, places, keys, verdicts)
      return verdicts
    },
  }
}

function verifyOne({ publicKey, message, signature }: Signed): boolean {
  return verify(publicKey, message, signature)
}

/** Rules 2 and 4, as far as they can be told from the bytes; anything odd is for `verify`. */
function isFast(signature: Uint8Array): boolean {
  if (signature.length !== 64) return false
  if (signature[0] === 1 && signature.subarray(1, 32).every((byte) => byte === 0)) return false
  for (let at = 31; at >= 0; at--) {
    const [byte, most] = [signature[32 + at] as number, orderBytes[at] as number]
    if (byte !== most) return byte < most
  }
  return false
}

/** k = SHA-512(R ‖ A ‖ M) mod L. */
function challenge(
  publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array,
): Uint8Array {
  const bytes = Buffer.allocUnsafe(64 + message.length)
  bytes.set(signature.subarray(0, 32))
  bytes.set(publicKey, 32)
  bytes.set(message, 64)
  return bytesOf(numberOf(sha512Of(bytes)) % order)
}

/** Digits to base 256 from -127 to 128, the lowest first; of a number below 2^253. */
function digitsOf(bytes: Uint8Array): Int16Array {
  const digits = new Int16Array(windows)
  let carry = 0
  for (let at = 0; at < windows; at++) {
    const digit = (bytes[at] as number) + carry
    carry = digit > entriesPerWindow ? 1 : 0
    digits[at] = digit - 256 * carry
  }
  return digits
}

function add(
  field: FieldCode,
  { point, table, digits, sign }: {
    readonly point: number, readonly table: number, readonly digits: Int16Array,
    readonly sign: 1 | -1
  },
): void {
  for (let window = 0; window < windows; window++) {
    const digit = (digits[window] as number) * sign
    if (digit === 0) continue
    const size = digit < 0 ? -digit : digit
    const entry = table + (window * entriesPerWindow + size - 1) * entryBytes
    const [yPlus, yMinus, xy] = [entry, entry + elementBytes, entry + 2 * elementBytes]
    if (digit > 0) field.step(point, yPlus, yMinus, xy, slots.z, slots.t)
    else field.step(point, yMinus, yPlus, xy, slots.t, slots.z)
  }
}

/** Whether the point, whose Z was inverted in place, encodes to the first half of `signature`. */
function equals(
  field: FieldCode, memory: Memory, point: number, signature: Uint8Array,
): boolean {
  const inverse = point + 2 * elementBytes
  const { element } = layout
  field.mul(element, point + elementBytes, inverse)
  field.freeze(element, element)
  const words = new DataView(signature.buffer, signature.byteOffset, 32)
  for (const [limb, { byte, shift, mask }] of places.entries()) {
    const wanted = (words.getUint32(byte, true) >>> shift) & mask
    if (memory.limb(element, limb) !== wanted) return false
  }
  field.mul(element, point, inverse)
  field.freeze(element, element)
  return (memory.limb(element, 0) & 1) === (signature[31] as number) >> 7
}

/** Where each limb's bits lie in the 32 bytes of an encoding. */
const places = [0, 26, 51, 77, 102, 128, 153, 179, 204, 230].map((bit, limb) => ({
  byte: Math.floor(bit / 8), shift: bit % 8, mask: 2 ** (limb % 2 === 0 ? 26 : 25) - 1,
}))

/** Replaces Z of each of the first `count` points by its inverse: one inversion for all. */
function invertAll(field: FieldCode, memory: Memory, count: number): void {
  const z = (at: number): number => layout.points + at * pointBytes + 2 * elementBytes
  const product = (at: number): number => layout.products + at * elementBytes
  memory.copy(product(0), z(0))
  for (let at = 1; at < count; at++) field.mul(product(at), product(at - 1), z(at))
  const { inverse, spare } = layout
  invert(field, memory, inverse, product(count - 1))
  for (let at = count - 1; at > 0; at--) {
    field.mul(spare, inverse, product(at - 1))
    field.mul(inverse, inverse, z(at))
    memory.copy(z(at), spare)
  }
  memory.copy(z(0), inverse)
}

/** By Fermat: to the power p - 2. */
function invert(field: FieldCode, memory: Memory, out: number, a: number): void {
  memory.copy(out, a)
  for (let bit = 253; bit >= 0; bit--) {
    field.mul(out, out, out)
    if (((p - 2n) >> BigInt(bit)) & 1n) field.mul(out, out, a)
  }
}

/** 1 to 128 times 256^window times the key, for 32 windows. */
function buildTable(
  field: FieldCode,
  memory: Memory,
  { publicKey, table }: { readonly publicKey: Uint8Array, readonly table: number },
): void {
  const point = (at: number): number => layout.points + at * pointBytes
  const { x, y } = pointOf(publicKey)
  const first = [x, y, 1n, modulo(x * y)]
  for (const [part, value] of first.entries()) memory.write(point(0) + part * elementBytes, value)
  for (let window = 0; window < windows; window++) {
    const base = window * entriesPerWindow
    for (let size = 1; size < entriesPerWindow; size++) {
      addPoints(field, point(base + size), point(base + size - 1), point(base))
    }
    // 256 times this window's base is the next one's.
    const last = point(base + entriesPerWindow - 1)
    if (window + 1 < windows) addPoints(field, point(base + entriesPerWindow), last, last)
  }
  const count = windows * entriesPerWindow
  invertAll(field, memory, count)
  const { element, spare } = layout
  for (let at = 0; at < count; at++) {
    const entry = table + at * entryBytes
    field.mul(element, point(at), point(at) + 2 * elementBytes)
    field.mul(spare, point(at) + elementBytes, point(at) + 2 * elementBytes)
    field.add(entry, spare, element)
    field.sub(entry + elementBytes, spare, element)
    field.mul(element, element, spare)
    field.mul(entry + 2 * elementBytes, element, layout.d2)
  }
}

/** The unified addition of the same authors: any two points, also equal ones. */
function addPoints(field: FieldCode, out: number, one: number, two: number): void {
  const part = (point: number, at: number): number => point + at * elementBytes
  const [a, b, c, e, g, h] = [80, 120, 160, 200, 240, 280] as const
  const { z, t } = slots
  field.sub(a, part(one, 1), part(one, 0))
  field.sub(b, part(two, 1), part(two, 0))
  field.mul(a, a, b)
  field.add(b, part(one, 1), part(one, 0))
  field.add(c, part(two, 1), part(two, 0))
  field.mul(b, b, c)
  field.mul(c, part(one, 3), part(two, 3))
  field.mul(c, c, layout.d2)
  field.mul(e, part(one, 2), part(two, 2))
  field.add(e, e, e)
  field.sub(g, b, a)
  field.add(h, b, a)
  field.add(z, e, c)
  field.sub(t, e, c)
  field.mul(part(out, 0), g, t)
  field.mul(part(out, 1), h, z)
  field.mul(part(out, 2), z, t)
  field.mul(part(out, 3), g, h)
}

/** Of a key that `checkPublicKey` has found sound. */
function pointOf(publicKey: Uint8Array): { readonly x: bigint, readonly y: bigint } {
  const sign = BigInt((publicKey[31] as number) >> 7)
  const y = numberOf(publicKey) & (2n ** 255n - 1n)
  const [u, v] = [modulo(y * y - 1n), modulo(d * y * y + 1n)]
  let x = modulo(u * power(v, 3n) * power(modulo(u * power(v, 7n)), (p - 5n) / 8n))
  if (modulo(v * x * x) !== u) x = modulo(x * power(2n, (p - 1n) / 4n))
  assert(modulo(v * x * x) === u, 'a sound key is a point')
  return { x: (x & 1n) === sign ? x : p - x, y }
}

interface Memory {
  limb(element: number, at: number): number
  write(element: number, value: bigint): void
  copy(to: number, from: number): void
  writeIdentity(point: number): void
}

function openMemory({ memory }: FieldCode): Memory {
  const words = new Int32Array(memory.buffer)
  const one = elementBytes / 4
  return {
    limb: (element, at) => words[element / 4 + at] as number,
    write(element, value) {
      let rest = value
      for (let at = 0; at < one; at++) {
        const width = at % 2 === 0 ? 26n : 25n
        words[element / 4 + at] = Number(rest & (2n ** width - 1n))
        rest >>= width
      }
    },
    copy: (to, from) => void words.copyWithin(to / 4, from / 4, from / 4 + one),
    writeIdentity(point) {
      words.fill(0, point / 4, point / 4 + 4 * one)
      words[point / 4 + one] = 1
      words[point / 4 + 2 * one] = 1
    },
  }
}

function modulo(value: bigint): bigint {
  const rest = value % p
  return rest < 0n ? rest + p : rest
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n
  for (let [square, left] = [modulo(base), exponent]; left > 0n; left >>= 1n) {
    if (left & 1n) result = modulo(result * square)
    square = modulo(square * square)
  }
  return result
}

/** Little-endian, of a multiple of eight bytes. */
function numberOf(bytes: Uint8Array): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let value = 0n
  for (let at = bytes.length - 8; at >= 0; at -= 8) {
    value = (value << 64n) | view.getBigUint64(at, true)
  }
  return value
}

/** 32 bytes, little-endian. */
function bytesOf(value: bigint): Uint8Array {
  const bytes = new Uint8Array(32)
  const view = new DataView(bytes.buffer)
  for (let at = 0; at < 4; at++) {
    view.setBigUint64(8 * at, BigInt.asUintN(64, value >> BigInt(64 * at)), true)
  }
  return bytes
}
