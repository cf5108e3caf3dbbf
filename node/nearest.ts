// The names a person may have meant: for unknown keys, paths and words. Pure.

/**
 * At most `count` of `candidates` that look like `word`, the likeliest first; none when all are far
 * off.
 */
export function nearest(word: string, candidates: readonly string[], count: number): string[] {
  const bound = Math.max(2, Math.floor(word.length / 3))
  return candidates
    .map((candidate) => ({ candidate, distance: editDistance(word, candidate) }))
    .filter(({ candidate, distance }) => distance <= bound || startsAlike(word, candidate))
    .sort((left, right) => left.distance - right.distance)
    .slice(0, count)
    .map(({ candidate }) => candidate)
}

function startsAlike(word: string, candidate: string): boolean {
  return word.length >= 3 && (candidate.startsWith(word) || word.startsWith(candidate))
}

/** Levenshtein's distance over the first 64 characters. */
function editDistance(left: string, right: string): number {
  const a = left.slice(0, 64)
  const b = right.slice(0, 64)
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      row.push(Math.min(replaced, previous[j]! + 1, row[j - 1]! + 1))
    }
    previous = row
  }
  return previous[b.length]!
}
