// The known name that a person may have meant: for unknown options, keys and commands.

/** What a slip of the finger turns into `word`; undefined when none is near. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: { readonly name: string; readonly distance: number } | undefined
  const far = word.length < 6 ? 1 : 2
  for (const name of known) {
    const starts = word.length >= 2 && (name.startsWith(word) || word.startsWith(name))
    if (!starts && Math.abs(word.length - name.length) > far) continue
    const distance = starts ? 1 : editDistance(word, name)
    if (!best || distance < best.distance) best = { name, distance }
  }
  return best && best.distance <= far ? best.name : undefined
}

/**
 * At most `count` of `known` that look like `word`, the likeliest first; none when all are far off.
 */
export function nearestFew(word: string, known: readonly string[], count: number): string[] {
  const bound = Math.max(2, Math.floor(word.length / 3))
  return known
    .map((name) => ({ name, distance: editDistance(word, name) }))
    .filter(({ name, distance }) => distance <= bound || startsAlike(word, name))
    .sort((left, right) => left.distance - right.distance)
    .slice(0, count)
    .map(({ name }) => name)
}

function startsAlike(word: string, name: string): boolean {
  return word.length >= 3 && (name.startsWith(word) || word.startsWith(name))
}

const charactersMax = 64

/** Insertions, deletions, substitutions and swaps of neighbours from one word to the other. */
function editDistance(left: string, right: string): number {
  if (left.length > charactersMax || right.length > charactersMax) return charactersMax
  const rows: number[][] = [Array.from({ length: right.length + 1 }, (_, i) => i)]
  for (let i = 1; i <= left.length; i++) {
    const row = [i]
    for (let j = 1; j <= right.length; j++) {
      const same = left[i - 1] === right[j - 1] ? 0 : 1
      let cost = Math.min(rows[i - 1]![j]! + 1, row[j - 1]! + 1, rows[i - 1]![j - 1]! + same)
      const swapped = i > 1 && j > 1 && left[i - 1] === right[j - 2] && left[i - 2] === right[j - 1]
      if (swapped) cost = Math.min(cost, rows[i - 2]![j - 2]! + 1)
      row.push(cost)
    }
    rows.push(row)
  }
  return rows[left.length]![right.length]!
}
