// The command line as a whole: wrong usage, help, errors as text and JSON, pipes that close, and
// how little is loaded. What needs a process of its own runs `node cli/main.ts`.

import { spawn, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { commandTable } from '../../cli/command-table.ts'
import { helpPages } from '../../cli/help-pages.ts'
import type { Context } from '../harness.ts'
import { assert, suite } from '../harness.ts'
import { fixtureNode, refused, run } from './fixture-node.ts'
import { activeJob } from './fixtures.ts'

const usage = suite('wrong usage')

usage('exits 2, does nothing, and says what was meant', async (ctx) => {
  const cases: readonly (readonly [args: readonly string[], words: string])[] = [
    [['statsu'], "unknown command 'statsu'. Did you mean 'status'?"],
    [['frobnicate'], "unknown command 'frobnicate'. 'gridnode help' lists the commands."],
    [['--json'], "expected a command before --json, as in 'gridnode status --json'"],
    [['status', '--opn'], 'unknown option --opn. Did you mean --open?'],
    [['status', '-z'], 'unknown option -z.'],
    [['status', '--limit'], '--limit needs a value: --limit=N'],
    [['status', '--limit', '--open'], "--limit needs a value, got the option-like '--open'"],
    [['status', '--open=1'], "--open takes no value, got '1'"],
    [['status', '--limit', '5', '-n', '6'], "--limit is given twice: '5' and '6'"],
    [['status', '--limit', 'x'], "--limit: expected a number from 1 to 1000, got 'x'"],
    [['status', '--open', '--ended'], 'choose one of --open and --ended'],
    [['why'], "expected a job's id"],
    [['logs', '3f2a', '--stream', 'x'], "--stream: expected stdout or stderr, got 'x'"],
    [['cancel'], "expected a job's id"],
    [['offers', '--where', ' '], '--where: the expression is empty'],
    [['ledger', 'exprot'], "got 'ledger exprot'"],
    [['ledger', 'export'], 'expected DIR, got nothing'],
    [['ledger', 'credit', 'Bad_', '5'], "expected a site's name such as b.example, got 'Bad_'"],
    [['invite', '--valid', '5'], '--valid: expected a duration with its unit'],
    [['verify'], 'expected at least one directory'],
    [['init'], "expected one site's name"],
    [['init', '--cores', 'x', 'a.example'], "--cores: expected a number of cores, got 'x'"],
    [['join'], 'expected one token'],
    [['start', 'now'], 'expected no words, got now'],
    [['help', 'stats'], "there is no help on 'stats'. Did you mean 'status'?"],
    [['status', '--dir', ''], 'the data directory is empty'],
  ]
  for (const [args, words] of cases) {
    const ran = await run(ctx, args)
    assert.equal([args, ran.code, ran.out], [args, 2, ''])
    assert.match(ran.err, words)
  }
})

usage('is JSON on stderr with --json, but not after --', async (ctx) => {
  const json = await run(ctx, ['status', '--json', '--limit', 'x'])
  assert.equal(JSON.parse(json.err), {
    error: { code: 'usage', message: "--limit: expected a number from 1 to 1000, got 'x'" },
  })
  const plain = await run(ctx, ['submit', '--walltime', 'x', '--', 'tool', '--json'])
  assert.match(plain.err, /^gridnode: --walltime/)
})

const help = suite('help')

help('has a page for each command and subject, within 80 columns', async (ctx) => {
  const overview = await run(ctx, [])
  assert.equal(overview.code, 0)
  for (const name of Object.keys(commandTable)) {
    assert.match(overview.out, `  ${name} `)
    const page = await run(ctx, [name, '--help'])
    assert.equal([name, page.code, page.err], [name, 0, ''])
    assert.match(page.out, `Usage: gridnode ${name}`)
    assert.match(page.out, 'Examples:')
    assert.equal((await run(ctx, ['help', name])).out, page.out)
    const lines = page.out.split('\n')
    const wide = lines.filter((line) => line.length > 80 && !line.startsWith('  gridnode'))
    assert.equal([name, wide], [name, []])
  }
  for (const name of Object.keys(helpPages)) {
    const page = await run(ctx, ['help', name])
    assert.equal([name, page.code], [name, 0])
    assert.ok(page.out.split('\n').every((line) => line.length <= 100))
  }
})

const node = suite('the node')

node('that does not run gives 3 and the way to start it', async (ctx) => {
  const directory = ctx.tmp()
  for (const prepare of [() => undefined, () => writeFileSync(join(directory, 'node.sock'), '')]) {
    prepare()
    const ran = await run(ctx, ['status', '--dir', directory])
    assert.equal([ran.code, ran.out], [3, ''])
    assert.match(ran.err, `Start it with 'gridnode start --dir ${directory}'`)
  }
})

node('is found by --dir, by GRIDNODE_DIR, and at home', async (ctx) => {
  const home = ctx.tmp()
  for (const [args, env, named] of [
    [['--dir', 'x'], { GRIDNODE_DIR: '/elsewhere' }, 'no site at .*/x\\.'],
    [[], { GRIDNODE_DIR: '/elsewhere' }, 'no site at /elsewhere\\.'],
    [[], { HOME: home }, `no site at ${home}/\\.gridnode\\.`],
  ] as const) {
    assert.match((await run(ctx, ['status', ...args], { env })).err, new RegExp(named))
  }
})

node('that stops, answers nonsense, or breaks off is told apart', async (ctx) => {
  const stopping = await fixtureNode(ctx, {
    'GET /v1/jobs': refused(503, 'stopping', 'the node is stopping'),
    'GET /v1/peers': { status: 500, bytes: '<html>' },
    'GET /v1/offers': {
      write: (response) => void response.write('[', () => response.destroy()),
    },
    'GET /v1/ledger': { bytes: 'nonsense' },
  })
  const ask = (name: string): ReturnType<typeof run> =>
    run(ctx, [name, '--dir', stopping.directory])
  assert.equal(await ask('status'), { code: 3, out: '', err: 'gridnode: the node is stopping\n' })
  const odd = await ask('peers')
  assert.equal(odd.code, 1)
  assert.match(odd.err, 'the node answered 500 with what is no error of its API: <html>')
  const cut = await ask('offers')
  assert.equal(cut.code, 3)
  assert.match(cut.err, 'the node ended the connection before its answer was whole')
  assert.match((await ask('ledger')).err, 'the node answered with what is no JSON')
})

const processes = suite('as a process')

const main = join(import.meta.dirname, '../../cli/main.ts')

interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

function gridnode(
  ctx: Context,
  args: readonly string[],
  options: { readonly nodeArgs?: readonly string[]; readonly closeEarly?: boolean } = {},
): Promise<Ended> {
  const env = { ...process.env, HOME: ctx.tmp(), GRIDNODE_DIR: undefined }
  const child = spawn(process.execPath, [...(options.nodeArgs ?? []), main, ...args], { env })
  ctx.after(() => child.kill('SIGKILL'))
  let [out, err] = ['', '']
  child.stdout.on('data', (data: Buffer) => {
    out += data.toString()
    if (options.closeEarly) child.stdout.destroy()
  })
  child.stderr.on('data', (data: Buffer) => (err += data.toString()))
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, out, err })))
}

processes('gives its exit codes, results on stdout, messages on stderr', async (ctx) => {
  const [good, bad] = await Promise.all([
    gridnode(ctx, ['version']), gridnode(ctx, ['version', '--wrong']),
  ])
  assert.equal([good.code, good.err], [0, ''])
  assert.match(good.out, /^gridnode [0-9]+\.[0-9]+\.[0-9]+\n$/)
  assert.equal([bad.code, bad.out], [2, ''])
  assert.match(bad.err, 'unknown option --wrong')
})

processes('ends quietly when its reader has had enough', async (ctx) => {
  const { directory } = await fixtureNode(ctx, {
    'GET /v1/jobs': { json: Array.from({ length: 20_000 }, () => activeJob) },
  })
  const ran = await gridnode(ctx, ['status', '--json', '--dir', directory], { closeEarly: true })
  assert.equal([ran.code, ran.err], [0, ''])
})

processes('waits for a token that comes late through a pipe', (ctx) => {
  const env = { HOME: ctx.tmp(), NODE: process.execPath, MAIN: main, PATH: process.env['PATH'] }
  const line = '(sleep 1; echo no-token) | "$NODE" "$MAIN" join --dir nowhere -'
  const ran = spawnSync('/bin/sh', ['-c', line], {
    cwd: ctx.tmp(), encoding: 'utf8', env, timeout: 60_000,
  })
  assert.ok(!ran.stderr.includes('EAGAIN'), ran.stderr)
  assert.match(ran.stderr, 'gridnode: ')
})

processes('loads no package and no other command to ask a question', async (ctx) => {
  const { directory } = await fixtureNode(ctx, { 'GET /v1/jobs': { json: [activeJob] } })
  const list = join(ctx.tmp(), 'list.mjs')
  writeFileSync(list, `import { registerHooks } from 'node:module'
registerHooks({ load(url, context, next) { process._rawDebug(url); return next(url, context) } })
`)
  const args = ['status', '--dir', directory]
  const ran = await gridnode(ctx, args, { nodeArgs: ['--import', list] })
  assert.equal(ran.code, 0)
  const loaded = ran.err.split('\n').filter((line) => line.startsWith('file:'))
  assert.ok(loaded.some((url) => url.endsWith('/cli/commands/status.ts')), ran.err)
  assert.equal(loaded.filter((url) => url.includes('/node_modules/')), [])
  assert.ok(!loaded.some((url) => url.endsWith('/cli/commands/submit.ts')))
  assert.ok(loaded.length < 30, `${loaded.length} files are loaded`)
})
