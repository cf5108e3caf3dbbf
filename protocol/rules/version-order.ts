// [REQ-5] The order of versions, and of texts in general: digits count as numbers, everything else
//   letter by letter. So "2.6.5" < "2.6.32", "gcc-9" < "gcc-12", and words without digits stand as
//   ever. What continues another text is after it ("1.2" < "1.2.1"), but for a `~`, which is before
//   its end as in Debian's versions ("1.0~rc1" < "1.0").

import { compareBytes } from '../base/ids.ts'

/** Below 0 when `left` is before `right`; 0 only for texts that are equal but for leading zeros. */
export function compareVersions(left: string, right: string): number {
  const [a, b] = [partsOf(left), partsOf(right)]
  for (let at = 0; at < Math.max(a.length, b.length); at++) {
    const [x = '', y = ''] = [a[at], b[at]]
    if (x.startsWith('~') !== y.startsWith('~')) return x.startsWith('~') ? -1 : 1
    const order = isNumber(x) && isNumber(y) ? compareNumbers(x, y) : compareBytes(x, y)
    if (order !== 0) return order
  }
  return 0
}

function partsOf(text: string): readonly string[] {
  return text.match(/[0-9]+|~|[^0-9~]+/g) ?? []
}

function isNumber(part: string): boolean {
  return /^[0-9]/.test(part)
}

/** Of any length: first by how many digits there are. */
function compareNumbers(left: string, right: string): number {
  const [a, b] = [left.replace(/^0+/, ''), right.replace(/^0+/, '')]
  return a.length - b.length || compareBytes(a, b)
}
