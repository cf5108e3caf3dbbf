// Opens a ledger like a node that starts, says statements one commit each and raises the mark after
// every second; tells on its standard output what is on the disk, when it is.
//
//   say-statements.ts DIRECTORY FIRST_LIMIT COUNT FILLER_BYTES

import { writeSync } from 'node:fs'
import { StoreError } from '../../../node/store/store-error.ts'
import { openWriter, toldLine } from '../histories.ts'

const [directory = '', first, count, fillerBytes] = process.argv.slice(2)

async function main(): Promise<void> {
  const writer = await openWriter(directory)
  const tell = (kind: 'committed' | 'marked'): void =>
    void writeSync(1, toldLine({ kind, ...writer.head() }))
  tell('committed')
  for (let turn = 0; turn < Number(count); turn++) {
    await writer.say(Number(first) + turn, Number(fillerBytes))
    tell('committed')
    if (turn % 2 === 0) continue
    writer.mark()
    tell('marked')
  }
  await writer.close()
}

try {
  await main()
} catch (error) {
  if (!(error instanceof StoreError)) throw error
  process.stderr.write(`${error.code}: ${error.message}\n`)
  // Without closing: what is on the disk now is all that there is.
  process.exit(3)
}
