// The one live line at the bottom of a terminal, and progress bars in it. Where stderr is no
// terminal nothing is drawn: whoever reports prints plain lines instead.

import { formatBytes } from '../protocol/base/units.ts'
import { cut, printable } from './output.ts'
import type { Sink } from './terminal.ts'

export interface LiveLine {
  /** Replaces the line; drawn at most every 50 ms unless `now`. */
  show(text: string, now?: boolean): void
  /** Prints a lasting line above the live one. */
  print(text: string): void
  clear(): void
}

const drawEveryMs = 50

export function liveLine(sink: Sink, nowEpochMs: () => number): LiveLine {
  let shown = ''
  let drawnEpochMs = 0
  const draw = (): void => {
    if (!sink.tty) return
    drawnEpochMs = nowEpochMs()
    void sink.write(`\r\u001b[K${cut(printable(shown), sink.columns() - 1)}`)
  }
  return {
    show(text, now = false) {
      shown = text
      if (now || Math.abs(nowEpochMs() - drawnEpochMs) >= drawEveryMs) draw()
    },
    print(text) {
      void sink.write(`${sink.tty && shown !== '' ? '\r\u001b[K' : ''}${text}\n`)
      if (shown !== '') draw()
    },
    clear() {
      if (shown !== '' && sink.tty) void sink.write('\r\u001b[K')
      shown = ''
    },
  }
}

/** `[####----]`, `width` characters in all. */
export function bar(done: number, total: number, width: number): string {
  const room = Math.max(1, width - 2)
  const full = total <= 0 ? room : Math.min(room, Math.floor((done / total) * room))
  return `[${'#'.repeat(full)}${'-'.repeat(room - full)}]`
}

/** `sending   [###---]  45%  12 MiB of 27 MiB` */
export function transferText(what: string, doneBytes: number, totalBytes: number): string {
  const percent = totalBytes <= 0 ? 100 : Math.floor((doneBytes * 100) / totalBytes)
  const sizes = `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`
  return `${what}  ${bar(doneBytes, totalBytes, 26)} ${String(percent).padStart(3)}%  ${sizes}`
}
