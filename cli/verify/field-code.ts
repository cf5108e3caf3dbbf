// Arithmetic modulo 2^255 - 19 as a WebAssembly module, written out instruction by instruction: an
// engine multiplies 64-bit integers there, which JavaScript cannot. An element is ten signed limbs
// of 26 and 25 bits in turn, 32 bits each in memory, as in the reference implementation of Ed25519
// ("ref10", Bernstein and others), whose bounds hold here too: products are reduced, and up to
// three reduced elements may be added before the next product.
//
// Exports: memory; mul(out, a, b), add, sub; freeze(out, a): the one smallest form;
// step(acc, p, m, t, plus, minus): adds to the point at `acc` the one whose y + x, y - x and 2dxy
// lie at p, m and t. With p and m exchanged, and plus and minus, it subtracts it.

const limbs = 10
export const elementBytes = 4 * limbs
/** A point: X, Y, Z and T, with x = X/Z, y = Y/Z and xy = T/Z. */
export const pointBytes = 4 * elementBytes
/** Where `step` works; the caller's slots for the sum and the difference of D and C. */
export const slots = { z: 400, t: 440 } as const
const scratch = { sum: 0, difference: 40, a: 80, b: 120, c: 160, d: 200, x: 240, y: 280 }
export const scratchBytes = 512

type Code = readonly number[]

const i32 = 0x7f
const i64 = 0x7e
const [mulFunction, addFunction, subFunction] = [0, 1, 2]

const get = (local: number): Code => [0x20, ...unsigned(local)]
const set = (local: number): Code => [0x21, ...unsigned(local)]
const number64 = (value: number): Code => [0x42, ...signed(value)]
const number32 = (value: number): Code => [0x41, ...signed(value)]
const load64 = (at: number): Code => [0x34, 2, ...unsigned(4 * at)]
const store64 = (at: number): Code => [0x3e, 2, ...unsigned(4 * at)]
const load32 = (at: number): Code => [0x28, 2, ...unsigned(4 * at)]
const store32 = (at: number): Code => [0x36, 2, ...unsigned(4 * at)]
const call = (name: number): Code => [0x10, ...unsigned(name)]
const [plus64, minus64, times64] = [[0x7c], [0x7d], [0x7e]] as const
const [left64, right64] = [[0x86], [0x87]] as const
const [plus32, minus32] = [[0x6a], [0x6b]] as const

export interface FieldCode {
  readonly memory: { readonly buffer: ArrayBuffer }
  mul(out: number, a: number, b: number): void
  add(out: number, a: number, b: number): void
  sub(out: number, a: number, b: number): void
  freeze(out: number, a: number): void
  step(acc: number, p: number, m: number, t: number, plus: number, minus: number): void
}

/** The part of the engine's interface that is used; the platform's types do not have it. */
interface Engine {
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => object
  readonly Instance: new (module: object) => { readonly exports: unknown }
}

/** A module of its own, with so many bytes of memory. */
export function openFieldCode(bytes: number): FieldCode {
  const { Module, Instance } = (globalThis as unknown as { WebAssembly: Engine }).WebAssembly
  return new Instance(new Module(moduleBytes(bytes))).exports as FieldCode
}

/** Bits of limb `at`. */
function widthOf(at: number): number {
  return at % 2 === 0 ? 26 : 25
}

function mulCode(): Code {
  // Parameters out, a, b; then the limbs of a, of b, 19 times those of b, twice those of a, h.
  const [f, g, g19, f2, h] = [3, 13, 23, 33, 43]
  const each = (code: (at: number) => Code): Code => range(limbs).flatMap(code)
  const product = (k: number): Code => range(limbs).flatMap((i) => {
    const j = (k - i + limbs) % limbs
    const left = i % 2 === 1 && j % 2 === 1 ? f2 + i : f + i
    const term = [...get(left), ...get(i > k ? g19 + j : g + j), ...times64]
    return i === 0 ? term : [...term, ...plus64]
  })
  return [
    ...each((at) => [...get(1), ...load64(at), ...set(f + at)]),
    ...each((at) => [...get(2), ...load64(at), ...set(g + at)]),
    ...each((at) => [...get(g + at), ...number64(19), ...times64, ...set(g19 + at)]),
    ...each((at) => [...get(f + at), ...number64(1), ...left64, ...set(f2 + at)]),
    ...each((at) => [...product(at), ...set(h + at)]),
    ...[0, 4, 1, 5, 2, 6, 3, 7, 4, 8, 9, 0].flatMap((at) => carry(h, at, 53)),
    ...each((at) => [...get(0), ...get(h + at), ...store64(at)]),
  ]
}

/** What limb `at` has too much, to the nearest, goes to the next one; behind the last, 19 times. */
function carry(h: number, at: number, spare: number): Code {
  const [width, next] = [widthOf(at), h + (at + 1) % limbs]
  const wrap: Code = at === limbs - 1 ? [...number64(19), ...times64] : []
  return [
    ...get(h + at), ...number64(2 ** (width - 1)), ...plus64, ...number64(width), ...right64,
    ...set(spare),
    ...get(next), ...get(spare), ...wrap, ...plus64, ...set(next),
    ...get(h + at), ...get(spare), ...number64(width), ...left64, ...minus64, ...set(h + at),
  ]
}

function freezeCode(): Code {
  // Parameters out, a; then the limbs, and a spare.
  const [h, q] = [2, 12]
  const each = (code: (at: number) => Code): Code => range(limbs).flatMap(code)
  return [
    ...each((at) => [...get(1), ...load64(at), ...set(h + at)]),
    // q: how often p goes into the value.
    ...number64(19), ...get(h + 9), ...times64, ...number64(2 ** 24), ...plus64,
    ...number64(25), ...right64, ...set(q),
    ...each((at) => [
      ...get(h + at), ...get(q), ...plus64, ...number64(widthOf(at)), ...right64, ...set(q),
    ]),
    ...get(h), ...number64(19), ...get(q), ...times64, ...plus64, ...set(h),
    ...each((at) => [
      ...get(h + at), ...number64(widthOf(at)), ...right64, ...set(q),
      ...(at === limbs - 1 ? [] : [...get(h + at + 1), ...get(q), ...plus64, ...set(h + at + 1)]),
      ...get(h + at), ...get(q), ...number64(widthOf(at)), ...left64, ...minus64, ...set(h + at),
    ]),
    ...each((at) => [...get(0), ...get(h + at), ...store64(at)]),
  ]
}

function limbwise(operation: Code): Code {
  return range(limbs).flatMap((at) => [
    ...get(0), ...get(1), ...load32(at), ...get(2), ...load32(at), ...operation, ...store32(at),
  ])
}

/** The mixed addition of Hisil and others (2008) for a = -1: complete, seven products. */
function stepCode(): Code {
  const [acc, p, m, t, plus, minus] = [0, 1, 2, 3, 4, 5]
  const of = (part: number): Code => [...get(acc), ...number32(part * elementBytes), ...plus32]
  const at = (place: number): Code => number32(place)
  const [x, y, z, w] = [of(0), of(1), of(2), of(3)]
  const run = (name: number, out: Code, a: Code, b: Code): Code =>
    [...out, ...a, ...b, ...call(name)]
  const { sum, difference, a, b, c, d } = scratch
  return [
    ...run(addFunction, at(sum), y, x),
    ...run(subFunction, at(difference), y, x),
    ...run(mulFunction, at(a), at(sum), get(p)),
    ...run(mulFunction, at(b), at(difference), get(m)),
    ...run(mulFunction, at(c), get(t), w),
    ...run(addFunction, at(d), z, z),
    ...run(subFunction, at(scratch.x), at(a), at(b)),
    ...run(addFunction, at(scratch.y), at(a), at(b)),
    ...run(addFunction, get(plus), at(d), at(c)),
    ...run(subFunction, get(minus), at(d), at(c)),
    ...run(mulFunction, x, at(scratch.x), at(slots.t)),
    ...run(mulFunction, y, at(scratch.y), at(slots.z)),
    ...run(mulFunction, z, at(slots.z), at(slots.t)),
    ...run(mulFunction, w, at(scratch.x), at(scratch.y)),
  ]
}

function moduleBytes(memoryBytes: number): Uint8Array<ArrayBuffer> {
  const types = [[3, i32], [2, i32], [6, i32]] as const
  const functions = [
    { name: 'mul', type: 0, locals: 51, code: mulCode() },
    { name: 'add', type: 0, locals: 0, code: limbwise(plus32) },
    { name: 'sub', type: 0, locals: 0, code: limbwise(minus32) },
    { name: 'freeze', type: 1, locals: 11, code: freezeCode() },
    { name: 'step', type: 2, locals: 0, code: stepCode() },
  ]
  const pages = Math.ceil(memoryBytes / 65_536)
  const nameOf = (name: string): Code => [name.length, ...Buffer.from(name)]
  const bodies = functions.map(({ locals, code }) => {
    const body = [...(locals === 0 ? [0] : [1, ...unsigned(locals), i64]), ...code, 0x0b]
    return [...unsigned(body.length), ...body]
  })
  return Uint8Array.from([
    0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, types.map(([count, kind]) => [0x60, count, ...range(count).map(() => kind), 0])),
    ...section(3, functions.map(({ type }) => [type])),
    ...section(5, [[1, ...unsigned(pages), ...unsigned(pages)]]),
    ...section(7, [
      [...nameOf('memory'), 2, 0],
      ...functions.map(({ name }, at) => [...nameOf(name), 0, at]),
    ]),
    ...section(10, bodies),
  ])
}

function section(id: number, items: readonly Code[]): Code {
  const content = [...unsigned(items.length), ...items.flat()]
  return [id, ...unsigned(content.length), ...content]
}

function unsigned(value: number): Code {
  const bytes: number[] = []
  for (let rest = value; ;) {
    const low = rest % 128
    rest = (rest - low) / 128
    bytes.push(rest === 0 ? low : low + 128)
    if (rest === 0) return bytes
  }
}

/** Of a number that is not negative. */
function signed(value: number): Code {
  const bytes: number[] = []
  for (let rest = value; ;) {
    const low = rest % 128
    rest = (rest - low) / 128
    const isLast = rest === 0 && low < 64
    bytes.push(isLast ? low : low + 128)
    if (isLast) return bytes
  }
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, at) => at)
}
