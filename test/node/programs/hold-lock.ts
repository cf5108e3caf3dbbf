// Takes the lock of the directory it is given, says so, and holds it until it is ended. It first
// waits for a line on its standard input when told to, so that several can start at one moment.

import { acquireLock } from '../../../node/lock.ts'
import { messageOf } from '../../../node/problem.ts'

const [directory = '', when] = process.argv.slice(2)

function take(): void {
  try {
    acquireLock(directory)
    process.stdout.write('locked\n')
    setInterval(() => {}, 1_000_000)
  } catch (error) {
    process.stdout.write(`refused: ${messageOf(error)}\n`)
    process.exit(3)
  }
}

if (when === 'wait') {
  process.stdout.write('ready\n')
  process.stdin.once('data', take)
} else take()
