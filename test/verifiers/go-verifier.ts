// The verifier in Go (test/verifiers/go), built with Debian's packages alone and no network: once
// for each state of its sources, then kept in `.cache`. Its subject is not gridnode's own code, so
// what it says about a ledger is the word of somebody else.

import { createHash } from 'node:crypto'
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { delimiter, join } from 'node:path'

export interface Ran {
  readonly code: number
  /** Standard output and error, line by line. */
  readonly lines: readonly string[]
}

const sources = join(import.meta.dirname, 'go')
const cache = join(import.meta.dirname, '../../.cache/go-verifier')
/** Where Debian's golang-…-dev packages put their sources. */
const gopath = '/usr/share/gocode'
const timeoutMs = 300_000

/** Names what is missing; empty when the verifier can be built. */
export function goMissing(): string[] {
  const directories = (process.env['PATH'] ?? '').split(delimiter)
  const hasGo = directories.some((directory) => existsSync(join(directory, 'go')))
  const hasMod = existsSync(join(gopath, 'src/golang.org/x/mod/sumdb/tlog'))
  return [...(hasGo ? [] : ['golang-go']), ...(hasMod ? [] : ['golang-golang-x-mod-dev'])]
}

/** The path of the program; takes seconds when the sources are new. Throws what Go says. */
export async function buildGoVerifier(): Promise<string> {
  const names = readdirSync(sources).filter((name) => name.endsWith('.go'))
  const hash = createHash('sha256')
  for (const name of names) hash.update(`${name}\n`).update(readFileSync(join(sources, name)))
  const program = join(cache, `verifier-${hash.digest('hex').slice(0, 16)}`)
  if (existsSync(program)) return program
  mkdirSync(cache, { recursive: true })
  // Several may build at once: each for itself, and the last one stays.
  const partial = `${program}.${process.pid}`
  const env = {
    ...process.env,
    GO111MODULE: 'off',
    GOFLAGS: '',
    GOPATH: gopath,
    GOPROXY: 'off',
    CGO_ENABLED: '0',
    GOCACHE: join(cache, 'objects'),
  }
  const built = await run('go', ['build', '-o', partial, '.'], { cwd: sources, env })
  if (built.code !== 0) {
    rmSync(partial, { force: true })
    throw new Error(`the Go verifier does not build:\n${built.lines.join('\n')}`)
  }
  renameSync(partial, program)
  return program
}

/** Verifies one exported ledger; seconds as the verifier itself measures them. */
export async function timeGoVerifier(
  program: string, directory: string,
): Promise<{ readonly entries: number, readonly seconds: number }> {
  const { code, lines } = await run(program, ['log', '-time', directory])
  const said = lines.join('\n')
  const entries = /: (\d+) entries, 0 faults$/m.exec(said)?.[1]
  const seconds = /: ([\d.]+) s, \d+ entries\/s$/m.exec(said)?.[1]
  if (code !== 0 || entries === undefined || seconds === undefined) {
    throw new Error(`the Go verifier ended with ${code}:\n${said}`)
  }
  return { entries: Number(entries), seconds: Number(seconds) }
}

/** Runs a program to its end, whatever its exit code. */
export function run(
  program: string,
  args: readonly string[],
  options: { readonly cwd?: string, readonly env?: NodeJS.ProcessEnv } = {},
): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const limits = { timeout: timeoutMs, maxBuffer: 1 << 26 }
    execFile(program, args, { ...options, ...limits }, (error, stdout, stderr) => {
      const code = error === null ? 0 : error.code
      if (typeof code !== 'number') return reject(error ?? new Error(`${program} did not end`))
      resolve({ code, lines: `${stdout}${stderr}`.trimEnd().split('\n') })
    })
  })
}
