// One of the fake commands: `node client.ts ROOT PROGRAM reads|- WORDS…`. See service.ts.

import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { userInfo } from 'node:os'
import { join } from 'node:path'

const [root = '', program = '', reads, ...words] = process.argv.slice(2)

interface Printed {
  readonly stdout: string
  readonly stderr: string
  readonly code: number
}

function print({ stdout, stderr, code }: Printed): void {
  process.stderr.write(stderr)
  process.stdout.write(stdout)
  process.exitCode = code
}

function down(): void {
  print(JSON.parse(readFileSync(join(root, `${program}.down`), 'utf8')) as Printed)
}

const input = reads === 'reads' ? readFileSync(0, 'utf8') : ''
const chunks: Buffer[] = []
const socket = connect({ path: join(root, 's'), allowHalfOpen: true })
let over = false
const finish = (act: () => void): void => {
  if (over) return
  over = true
  act()
}
socket.on('error', () => finish(down))
socket.on('data', (chunk) => chunks.push(chunk))
socket.on('close', () => finish(() => {
  const text = Buffer.concat(chunks).toString('utf8')
  if (text === '') down()
  else print(JSON.parse(text) as Printed)
}))
socket.on('connect', () => {
  const { username } = userInfo()
  socket.end(JSON.stringify({
    program, words, directory: process.cwd(), environment: process.env, input, user: username,
  }))
})
