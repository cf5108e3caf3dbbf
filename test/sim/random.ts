// Chance for the simulator: small streams of numbers, each named by the seed and what it is for,
// so that a draw in one place never shifts the draws of another.

export interface Random {
  /** 0 to `below` - 1. */
  int(below: number): number
  /** `low` to `high`, both included. */
  between(low: number, high: number): number
  /** True so many times in a thousand. */
  chance(permille: number): boolean
  pick<T>(list: readonly T[]): T
}

/** The stream of `name` under `seed`: sfc32, seeded by the text. */
export function random(seed: number, name: string): Random {
  let [a, b, c, counter] = [spread(`${seed} a ${name}`), spread(`${seed} b ${name}`), seed | 0, 1]
  const next = (): number => {
    const sum = (a + b + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + sum | 0
    return sum >>> 0
  }
  for (let warm = 0; warm < 12; warm++) next()
  const int = (below: number): number => Math.floor((next() / 4_294_967_296) * below)
  return {
    int,
    between: (low, high) => low + int(high - low + 1),
    chance: (permille) => int(1_000) < permille,
    pick<T>(list: readonly T[]): T {
      if (list.length === 0) throw new Error('nothing to pick from')
      return list[int(list.length)] as T
    },
  }
}

/** FNV-1a, spread once more. */
export function spread(text: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) {
    hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  }
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return (hash ^ (hash >>> 12)) | 0
}
