// A picture of waiting times: for each site and for all of them the share of jobs that had started
// after so long, one curve for each way to schedule. The axis of time is logarithmic.

export interface Curve {
  readonly label: string
  readonly waitSeconds: readonly number[]
}

export interface Panel {
  readonly title: string
  readonly curves: readonly Curve[]
}

const [width, height, gap] = [420, 240, 56]
const colours = ['#b3452c', '#2c6fb3', '#3d8a4a', '#7a5ba8']
const ticks: readonly (readonly [number, string])[] = [
  [1, '1 s'], [10, '10 s'], [60, '1 min'], [600, '10 min'], [3_600, '1 h'], [36_000, '10 h'],
  [360_000, '100 h'],
]

/** An SVG document, two panels a row. */
export function waitsPlot(title: string, panels: readonly Panel[]): string {
  const rows = Math.ceil(panels.length / 2)
  const [wide, high] = [2 * (width + gap) + gap, rows * (height + gap) + 2 * gap]
  const drawn = panels.map((panel, at) => {
    const [x, y] = [gap + (at % 2) * (width + gap), 1.6 * gap + Math.floor(at / 2) * (height + gap)]
    return `<g transform="translate(${x} ${y})">${panelOf(panel)}</g>`
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${wide} ${high}" ` +
    `width="${wide}" height="${high}" font-family="sans-serif" font-size="12">\n` +
    `<rect width="${wide}" height="${high}" fill="white"/>\n` +
    `<text x="${gap}" y="24" font-size="15">${escaped(title)}</text>\n` +
    `${legend(panels[0]?.curves ?? [])}\n${drawn.join('\n')}\n</svg>\n`
}

function legend(curves: readonly Curve[]): string {
  return curves.map(({ label }, at) =>
    `<rect x="${gap + at * 150}" y="38" width="18" height="4" fill="${colourOf(at)}"/>` +
    `<text x="${gap + 24 + at * 150}" y="45">${escaped(label)}</text>`).join('')
}

function panelOf({ title, curves }: Panel): string {
  const longest = curves.reduce((most, { waitSeconds }) =>
    waitSeconds.reduce((least, seconds) => Math.max(least, seconds), most), 10)
  const xOf = (seconds: number): number =>
    (Math.log(Math.max(1, seconds)) / Math.log(longest)) * width
  const yOf = (share: number): number => height - share * height
  const grid = ticks.filter(([seconds]) => seconds <= longest).map(([seconds, label]) =>
    line(xOf(seconds), 0, xOf(seconds), height) +
    `<text x="${fixed(xOf(seconds))}" y="${height + 15}" text-anchor="middle">${label}</text>`)
  const shares = [0, 0.25, 0.5, 0.75, 1].map((share) => line(0, yOf(share), width, yOf(share)) +
    `<text x="-6" y="${fixed(yOf(share) + 4)}" text-anchor="end">${share * 100} %</text>`)
  const paths = curves.map(({ waitSeconds }, at) => {
    const sorted = waitSeconds.toSorted((a, b) => a - b)
    const points = sorted.map((seconds, index) =>
      `L${fixed(xOf(seconds))} ${fixed(yOf((index + 1) / sorted.length))}`)
    return `<path d="M0 ${height}${points.join('')}L${width} 0" fill="none" ` +
      `stroke="${colourOf(at)}" stroke-width="1.6"/>`
  })
  return `<text x="0" y="-8">${escaped(title)}</text>${grid.join('')}${shares.join('')}` +
    paths.join('')
}

function line(x1: number, y1: number, x2: number, y2: number): string {
  return `<path d="M${fixed(x1)} ${fixed(y1)}L${fixed(x2)} ${fixed(y2)}" stroke="#ddd"/>`
}

function colourOf(at: number): string {
  return colours[at % colours.length]!
}

function fixed(value: number): string {
  return value.toFixed(1)
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
