// The door to the fake commands: a directory of programs with the scheduler's own names. Each is a
// small shell script that lays its words, its directory, environment and standard input into a
// directory of its own, gives it a name that the machine's process watches for, and prints what it
// finds there when it is told to. When the server is down, a program prints what the real one does.
//
// (A program that started Node would cost more than all that the tests do besides.)

import {
  closeSync, constants, existsSync, mkdirSync, openSync, readFileSync, readdirSync, rmSync,
  statSync, watch, writeFileSync, writeSync,
} from 'node:fs'
import type { FSWatcher } from 'node:fs'
import { userInfo } from 'node:os'
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
  /** How often each program reached us. */
  asked(program: string): number
  /** The server goes away and comes back; jobs run on. */
  stop(): Promise<void>
  start(): Promise<void>
  /** For good. */
  close(): void
  /**
   * Faults: `lost` does the work and prints what the real program does when the answer does not
   * come; a function may change an answer.
   */
  readonly faults: { lost: boolean; change: ((call: Call, answer: Answer) => Answer) | undefined }
}

/** `$1` the program's name, `$2` whether it reads; the rest are its words. */
const client = `#!/bin/sh
root='ROOT' program='PROGRAM' reads=READS
call=$root/calls/$$.$(date +%N)
mkdir "$call" || exit 70
printf '%s\\0' "$@" >"$call/words"
env -0 >"$call/environment"
pwd -P >"$call/directory"
if [ $reads = 1 ]; then cat >"$call/input"; else : >"$call/input"; fi
echo "$program" >"$call/program"
mkfifo "$call/told"
if [ -e "$root/up" ] && mv "$call" "$call.call"; then
  call=$call.call
  read -r code <"$call/told"
else
  code=
fi
if [ -z "$code" ]; then
  cat "$root/$program.err" >&2
  read -r code <"$root/$program.code"
else
  cat "$call/err" >&2
  cat "$call/out"
fi
rm -rf "$call"
exit "$code"
`

export async function startService(root: string, dialect: Dialect): Promise<Service> {
  const binDirectory = join(root, 'bin')
  const callsDirectory = join(root, 'calls')
  mkdirSync(binDirectory, { recursive: true })
  mkdirSync(callsDirectory, { mode: 0o777 })
  for (const program of dialect.programs) {
    const down = dialect.down(program)
    writeFileSync(join(root, `${program}.err`), down.stderr)
    writeFileSync(join(root, `${program}.code`), `${down.code}\n`)
    const reads = dialect.readers.includes(program) ? '1' : '0'
    const script = client.replace('ROOT', root.replaceAll("'", "'\\''"))
      .replace('PROGRAM', program).replace('READS', reads)
    writeFileSync(join(binDirectory, program), script, { mode: 0o755 })
  }
  const counts = new Map<string, number>()
  const faults: Service['faults'] = { lost: false, change: undefined }
  const serve = (call: Call): Required<Answer> => {
    counts.set(call.program, (counts.get(call.program) ?? 0) + 1)
    let answer = dialect.answer(call)
    if (faults.change) answer = faults.change(call, answer)
    if (faults.lost) return dialect.down(call.program)
    return { stdout: answer.stdout ?? '', stderr: answer.stderr ?? '', code: answer.code ?? 0 }
  }
  /** The pipes of calls that were answered, open until the program has read and is gone. */
  const told = new Map<string, number | undefined>()
  const look = (): void => {
    const names = readdirSync(callsDirectory).filter((name) => name.endsWith('.call'))
    for (const [name, pipe] of told) {
      if (names.includes(name)) continue
      if (pipe !== undefined) closeSync(pipe)
      told.delete(name)
    }
    for (const name of names) {
      if (told.has(name)) continue
      const directory = join(callsDirectory, name)
      const answer = existsSync(join(root, 'up')) ? serve(readCall(directory)) : undefined
      told.set(name, tell(directory, answer))
    }
  }
  let watcher: FSWatcher | undefined
  const service: Service = {
    binDirectory, faults,
    asked: (program) => counts.get(program) ?? 0,
    async start() {
      watcher ??= watch(callsDirectory, look)
      writeFileSync(join(root, 'up'), '')
      look()
    },
    async stop() {
      rmSync(join(root, 'up'), { force: true })
      // Who came before that is told that nobody is there.
      look()
    },
    close() {
      watcher?.close()
      for (const pipe of told.values()) if (pipe !== undefined) closeSync(pipe)
      told.clear()
    },
  }
  await service.start()
  return service
}

function readCall(directory: string): Call {
  const read = (name: string): string => readFileSync(join(directory, name), 'utf8')
  const list = (name: string): string[] => read(name).split('\0').slice(0, -1)
  const environment = Object.fromEntries(list('environment').map((line) => {
    const at = line.indexOf('=')
    return [line.slice(0, at), line.slice(at + 1)]
  }))
  const words = list('words')
  return {
    program: read('program').trim(), environment, input: read('input'),
    // printf prints one empty word when there is none.
    words: words.length === 1 && words[0] === '' ? [] : words,
    directory: read('directory').trim(), user: nameOf(statSync(directory).uid),
  }
}

/**
 * Without an answer the program prints that the server is away. The pipe keeps the line as long as
 * it is open on our side.
 */
function tell(directory: string, answer: Required<Answer> | undefined): number | undefined {
  if (answer) {
    writeFileSync(join(directory, 'out'), answer.stdout)
    writeFileSync(join(directory, 'err'), answer.stderr)
  }
  try {
    const pipe = openSync(join(directory, 'told'), constants.O_RDWR | constants.O_NONBLOCK)
    writeSync(pipe, answer ? `${answer.code}\n` : '\n')
    return pipe
  } catch {
    // The program was ended meanwhile.
    return undefined
  }
}

function nameOf(uid: number): string {
  const own = userInfo()
  if (own.uid === uid) return own.username
  const line = readFileSync('/etc/passwd', 'utf8').split('\n')
    .find((one) => one.split(':')[2] === String(uid))
  return line?.split(':')[0] ?? String(uid)
}
