// How a bench measures and prints: repeated rounds in one run, medians, and ratios against a named
// peer or the physical limit taken in the same run. Absolute numbers of a shared machine mean
// little; ratios do.

/** Seconds that `work` takes, by the wall clock. */
export async function seconds(work: () => Promise<void> | void): Promise<number> {
  const begin = process.hrtime.bigint()
  await work()
  return Number(process.hrtime.bigint() - begin) / 1e9
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

export interface Pair {
  readonly ours: number
  readonly peer: number
}

/** Ours and the peer in turn, A B A B …, so that a drift of the machine hits both. */
export async function paired(
  rounds: number, ours: () => Promise<number>, peer: () => Promise<number>,
): Promise<Pair[]> {
  const pairs: Pair[] = []
  for (let round = 0; round < rounds; round++) {
    pairs.push({ ours: await ours(), peer: await peer() })
  }
  return pairs
}

export interface Figure {
  readonly name: string
  readonly ours: string
  readonly peerName: string
  readonly peer: string
  /** Above 1 we are faster, below 1 the peer is. */
  readonly ratio: string
}

/** For rates (more is better): ours over the peer's, round by round. */
export function rateFigure(
  name: string, peerName: string, unit: string, pairs: readonly Pair[],
): Figure {
  return figure(name, peerName, pairs, (value) => `${grouped(value)} ${unit}`,
    pairs.map(({ ours, peer }) => ours / peer))
}

/** For times (less is better): the peer's over ours, round by round. */
export function timeFigure(name: string, peerName: string, pairs: readonly Pair[]): Figure {
  return figure(name, peerName, pairs, (value) => `${Math.round(value * 1000)} ms`,
    pairs.map(({ ours, peer }) => peer / ours))
}

function figure(
  name: string, peerName: string, pairs: readonly Pair[], text: (value: number) => string,
  ratios: readonly number[],
): Figure {
  const low = Math.min(...ratios).toFixed(2)
  const high = Math.max(...ratios).toFixed(2)
  return {
    name,
    ours: text(median(pairs.map(({ ours }) => ours))),
    peerName,
    peer: text(median(pairs.map(({ peer }) => peer))),
    ratio: `${median(ratios).toFixed(2)} (${low}-${high})`,
  }
}

function grouped(value: number): string {
  return Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, ',')
}

export function printFigures(figures: readonly Figure[]): void {
  const rows = [['what', 'ours', 'against', 'theirs', 'ratio'],
    ...figures.map((one) => [one.name, one.ours, one.peerName, one.peer, one.ratio])]
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  for (const row of rows) {
    console.log(row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ').trimEnd())
  }
}
