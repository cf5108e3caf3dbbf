// The door to the fake commands: a directory of programs with the scheduler's own names, each of
// which sends its words, its directory, environment and standard input to the machine's process
// over a socket and prints what it is told. When nobody listens, a program prints what the real one
// does when its server is down.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { join } from 'node:path'

export interface Call {
  readonly program: string
  readonly words: readonly string[]
  readonly directory: string
  readonly environment: Readonly<Record<string, string>>
  readonly input: string
  readonly user: string
}

export interface Answer {
  readonly stdout?: string
  readonly stderr?: string
  readonly code?: number
}

export interface Dialect {
  readonly programs: readonly string[]
  /** Those that read their standard input to its end. */
  readonly readers: readonly string[]
  answer(call: Call): Answer
  /** What a program prints, and its exit code, when the server does not answer. */
  down(program: string): Required<Answer>
}

export interface Service {
  readonly binDirectory: string
  /** How often each program was asked and reached us or not. */
  asked(program: string): number
  /** The server goes away and comes back; jobs run on. */
  stop(): Promise<void>
  start(): Promise<void>
  /**
   * Faults: `lost` does the work and prints what the real program does when the answer does not
   * come; a function may change an answer.
   */
  readonly faults: { lost: boolean; change: ((call: Call, answer: Answer) => Answer) | undefined }
}

const inputBytesMax = 64 * 1024 * 1024

export async function startService(root: string, dialect: Dialect): Promise<Service> {
  const binDirectory = join(root, 'bin')
  const socketPath = join(root, 's')
  mkdirSync(binDirectory, { recursive: true })
  writeFileSync(join(root, 'asked'), '')
  const client = join(import.meta.dirname, 'client.ts')
  for (const program of dialect.programs) {
    const down = dialect.down(program)
    writeFileSync(join(root, `${program}.down`), JSON.stringify(down))
    const reads = dialect.readers.includes(program) ? 'reads' : '-'
    const words = [process.execPath, client, root, program, reads].map((word) => `'${word}'`)
    const script = `#!/bin/sh\nexec ${words.join(' ')} "$@"\n`
    writeFileSync(join(binDirectory, program), script, { mode: 0o755 })
  }
  const counts = new Map<string, number>()
  const sockets = new Set<Socket>()
  const faults: Service['faults'] = { lost: false, change: undefined }
  const serve = (text: string): Required<Answer> => {
    const call = JSON.parse(text) as Call
    counts.set(call.program, (counts.get(call.program) ?? 0) + 1)
    let answer = dialect.answer(call)
    if (faults.change) answer = faults.change(call, answer)
    if (faults.lost) return dialect.down(call.program)
    return { stdout: answer.stdout ?? '', stderr: answer.stderr ?? '', code: answer.code ?? 0 }
  }
  let server: Server | undefined
  const start = async (): Promise<void> => {
    if (server) return
    rmSync(socketPath, { force: true })
    const opened = createServer({ allowHalfOpen: true }, (socket) => {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
      socket.on('error', () => socket.destroy())
      const chunks: Buffer[] = []
      let bytes = 0
      socket.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes > inputBytesMax) socket.destroy()
        else chunks.push(chunk)
      })
      socket.on('end', () => socket.end(JSON.stringify(serve(Buffer.concat(chunks).toString()))))
    })
    server = opened
    await new Promise<void>((resolve, reject) => {
      opened.on('error', reject)
      opened.listen(socketPath, resolve)
    })
  }
  await start()
  return {
    binDirectory, faults, start,
    asked: (program) => counts.get(program) ?? 0,
    async stop() {
      const closing = server
      server = undefined
      if (!closing) return
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => { closing.close(() => resolve()) })
      rmSync(socketPath, { force: true })
    },
  }
}
