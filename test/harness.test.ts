// The harness is tested from outside: files are planted, run as a program of their own, and judged
// by their exit code, their result line and what a person reads.

import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { ok, refuse, type Outcome } from '../protocol/base/outcome.ts'
import { assert, eventually, suite, type Context, type FileResult } from './harness.ts'

const harness = join(import.meta.dirname, 'harness.ts')
const runner = join(import.meta.dirname, 'run.ts')

interface Ran {
  readonly code: number | null
  readonly text: string
}

function node(args: readonly string[], env: Record<string, string> = {}): Ran {
  const { CI: _, FORCE_COLOR: __, ...inherited } = process.env
  const ran = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    timeout: 50_000,
    env: { ...inherited, ...env },
  })
  return { code: ran.status, text: ran.stdout + ran.stderr }
}

/** A planted tree: path → source; `HARNESS` stands for the import of the harness. */
function plant(ctx: Context, files: Record<string, string>): string {
  const root = ctx.tmp()
  writeFileSync(join(root, 'package.json'), '{"type":"module"}')
  for (const [path, source] of Object.entries(files)) {
    const target = join(root, 'test', path)
    mkdirSync(join(target, '..'), { recursive: true })
    const imports = `import { suite, assert, eventually } from '${harness}'`
    writeFileSync(target, source.replace('HARNESS', imports))
  }
  return root
}

function runFile(ctx: Context, source: string, ...words: string[]): Ran & { result: FileResult } {
  const root = plant(ctx, { 'planted.test.ts': source })
  const ran = node([join(root, 'test/planted.test.ts'), ...words])
  const line = /^#test-result (.*)$/m.exec(ran.text)?.[1]
  assert.ok(line, `no result line in:\n${ran.text}`)
  return { ...ran, result: JSON.parse(line) as FileResult }
}

function run(ctx: Context, files: Record<string, string>, ...args: string[]): Ran {
  return node([runner, '--root', plant(ctx, files), ...args])
}

const lastLine = (text: string): string | undefined => text.trimEnd().split('\n').at(-1)

const claims = suite('claims')

claims('equal looks into maps, sets, bigints, bytes and undefined properties', () => {
  assert.equal(new Map([['a', { n: 1n }]]), new Map([['a', { n: 1n }]]))
  assert.equal(new Set([1, 2]), new Set([2, 1]))
  assert.equal(Uint8Array.of(1, 2), Uint8Array.of(1, 2))
  assert.equal(NaN, NaN)
  const pairs: [unknown, unknown][] = [
    [new Map([['a', 1]]), new Map([['a', 2]])],
    [new Set([1n]), new Set([2n])],
    [Uint8Array.of(1), Uint8Array.of(2)],
    [1n, 1],
    [{ a: undefined }, {}],
    [[], {}],
  ]
  for (const [left, right] of pairs) {
    assert.notEqual(left, right)
    assert.throws(() => claimIn(() => assert.equal(left, right)), /values differ/)
  }
})

claims('a difference is shown line by line', () => {
  const left = { name: 'x', held: new Map([['site-a', 5n], ['site-b', 7n]]) }
  const right = { name: 'x', held: new Map([['site-a', 5n], ['site-b', 8n]]) }
  const error = assert.throws(() => claimIn(() => assert.equal(left, right)), /values differ/)
  const details = String((error.cause as { details?: string }).details)
  assert.match(details, /^- +'site-b' => 7n$/m)
  assert.match(details, /^\+ +'site-b' => 8n$/m)
  assert.match(details, /^ +'site-a' => 5n,$/m)
})

claims('throws and rejects demand the pattern and hold it against the message', async () => {
  const boom = (): never => {
    throw new Error('no space left')
  }
  assert.equal(assert.throws(boom, /no space/).message, 'no space left')
  assert.throws(() => claimIn(() => assert.throws(boom, /no time/)), /does not match/)
  assert.throws(() => claimIn(() => assert.throws(() => 1, /x/)), /no error matching/)
  const sloppy = assert.throws as (fn: () => unknown) => Error
  assert.throws(() => claimIn(() => sloppy(boom)), /give the pattern/)
  const asynchronous = (): Promise<never> => Promise.reject(new Error('late'))
  assert.throws(() => claimIn(() => assert.throws(asynchronous, /late/)), /use assert.rejects/)
  assert.equal((await assert.rejects(asynchronous, /late/)).message, 'late')
  await assert.rejects(asynchronous(), /late/)
})

claims('refused and accepted open an outcome', () => {
  type Refusal = { reason: 'full', room: number } | { reason: 'stale' }
  const full = refuse({ reason: 'full', room: 3 }) as Outcome<number, Refusal>
  assert.equal(assert.refused(full, 'full').room, 3)
  assert.throws(() => claimIn(() => assert.refused(full, 'stale')), /'stale', got 'full'/)
  assert.throws(() => claimIn(() => assert.refused(ok(1) as Outcome<number, Refusal>, 'full')),
    /it was accepted/)
  assert.equal(assert.accepted(ok(4)), 4)
  assert.throws(() => claimIn(() => assert.accepted(full)), /it was refused/)
})

/** A broken claim passes through every claim around it; this makes an ordinary error of it. */
function claimIn(claim: () => unknown): void {
  try {
    claim()
  } catch (cause) {
    throw new Error((cause as Error).message, { cause })
  }
}

const patience = suite('eventually')

patience('gives the first truthy answer, and forgives errors until then', async () => {
  let asked = 0
  const answer = await eventually(() => {
    asked += 1
    if (asked < 3) throw new Error('not yet')
    return asked === 5 ? 'there' : undefined
  })
  assert.equal([answer, asked], ['there', 5])
})

patience('shows the last answer when time is up, also after a hanging question', async () => {
  const brief = { timeoutSeconds: 0.05, what: 'the pot boils' }
  const error = await assert.rejects(eventually(() => null, brief), /not so within.*the pot boils/)
  assert.match((error as Error & { details: string }).details, /last answer: null/)
  await assert.rejects(eventually(() => new Promise(() => undefined), brief), /not so within/)
})

const files = suite('a test file')

files('runs its suites without being told, with hooks in order', (ctx) => {
  const { code, result, text } = runFile(ctx, `HARNESS
    const log: string[] = []
    const t = suite('s')
    t.before(() => log.push('before'))
    t.before.each(() => log.push('each'))
    t.after.each(() => log.push('each after'))
    t.after(() => console.log('LOG ' + log.join(' ')))
    await new Promise((resolve) => setTimeout(resolve, 20))
    t('one', (ctx) => { ctx.after(() => log.push('2nd')); ctx.after(() => log.push('1st')) })
    t('two', async () => { assert.equal(1, 1) })`)
  assert.equal(code, 0)
  assert.equal(result, { passed: 2, failures: [], skipped: [], complete: true })
  assert.match(text, 'LOG before each each after 1st 2nd each each after')
})

files('fails without tests, and when its words name none', (ctx) => {
  const none = runFile(ctx, 'HARNESS\nsuite("empty")')
  assert.equal([none.code, none.result.failures], [1, ['this file has no tests']])
  const one = 'HARNESS\nsuite("s")("a", () => undefined)'
  assert.equal(runFile(ctx, one, 's › a').code, 0)
  assert.equal(runFile(ctx, one, 'zzz').code, 1)
})

files('fails when it cannot be loaded, in either half of its evaluation', (ctx) => {
  const half = runFile(ctx, 'HARNESS\nsuite("s")("a", () => undefined)\nthrow new Error("halfway")')
  assert.equal(half.code, 1)
  assert.match(half.text, 'halfway')
  const late = runFile(ctx, `HARNESS
    suite("s")("a", () => undefined)
    await Promise.reject(new Error("later"))`)
  assert.equal([late.code, late.result.passed], [1, 0])
})

files('fails on a broken claim, a time limit, a stray error, an early exit', (ctx) => {
  const { code, result, text } = runFile(ctx, `HARNESS
    const t = suite('s')
    t('claim', () => assert.equal(new Map([[1, 2n]]), new Map([[1, 3n]])))
    t('slow', () => new Promise(() => undefined), { timeoutSeconds: 0.05 })
    t('stray', async () => {
      setTimeout(() => { throw new Error('from a timer') })
      await new Promise(() => undefined)
    })
    t('rejection', async () => {
      void Promise.reject(new Error('nobody looks'))
      await new Promise(() => undefined)
    })
    t('fine', () => undefined)
    t('leaves', () => process.exit(0))`)
  assert.equal(code, 1)
  assert.equal(result.passed, 1)
  assert.equal(result.failures, [
    's › claim',
    's › slow',
    's › stray',
    's › rejection',
    'the process ended before its tests did',
  ])
  for (const words of ['1 => 2n', 'took longer than 0.1 s', 'from a timer', 'nobody looks']) {
    assert.match(text, words)
  }
  assert.match(text, 'during: s › leaves')
})

files('fails on hooks and cleanups that fail, and still runs the other cleanups', (ctx) => {
  const { result, text } = runFile(ctx, `HARNESS
    const a = suite('a')
    a.before(() => { throw new Error('no daemon') })
    a('one', () => console.log('MUST NOT RUN'))
    const b = suite('b')
    b('two', (ctx) => {
      ctx.after(() => console.log('CLEANED'))
      ctx.after(() => { throw new Error('cannot clean') })
    })
    const c = suite('c')
    c.after(() => { throw new Error('cannot end') })
    c('three', () => undefined)`)
  assert.equal(result.failures, ['a › one', 'b › two', 'c › after'])
  assert.notMatch(text, 'MUST NOT RUN')
  for (const words of ['no daemon', 'CLEANED', 'cannot clean', 'cannot end']) {
    assert.match(text, words)
  }
})

files('skips one test, or in before the whole suite, with the reason', (ctx) => {
  const { code, result } = runFile(ctx, `HARNESS
    const a = suite('a')
    a('one', (ctx) => ctx.skip('no slurm here'))
    const b = suite('b')
    b.before((ctx) => ctx.skip('no chromium'))
    b('two', () => undefined)
    b('three', () => undefined)`)
  assert.equal(code, 0)
  assert.equal(result.skipped, [
    { name: 'a › one', reason: 'no slurm here' },
    { name: 'b › two', reason: 'no chromium' },
    { name: 'b › three', reason: 'no chromium' },
  ])
})

files('fails instead of hanging on what it left open', (ctx) => {
  const { code, result, text } = runFile(ctx, `HARNESS
    import { createServer } from 'node:net'
    suite('s')('opens', () => { createServer().listen(0, '127.0.0.1') })`)
  assert.equal([code, result.passed], [1, 1])
  assert.equal(result.failures, ['something was left open after the last test'])
  assert.match(text, 'TCPServerWrap')
})

files('removes the temporary folders of its tests', (ctx) => {
  const { text } = runFile(ctx, `HARNESS
    const t = suite('s')
    t('makes one', (ctx) => { console.log('FOLDER ' + ctx.tmp()); assert.fail('anyway') })`)
  const folder = /FOLDER (.*)/.exec(text)?.[1]
  assert.ok(folder)
  assert.ok(!existsSync(folder))
})

files('refuses two tests of one name, and tests that come too late', (ctx) => {
  const twice = runFile(ctx, `HARNESS
    const t = suite('s')
    t('a', () => undefined)
    t('a', () => undefined)`)
  assert.match(twice.text, "two tests of suite 's' are called 'a'")
  const late = runFile(ctx, `HARNESS
    const t = suite('s')
    t('a', () => { t('b', () => undefined) })`)
  assert.match(late.text, "'b' came after the tests had started")
})

const runs = suite('the runner')
const passing = 'HARNESS\nsuite("s")("a", () => undefined)'

runs('adds up, shows what failed, and ends with the totals', (ctx) => {
  const good = run(ctx, { 'a.test.ts': passing, 'deep/er/b.test.ts': passing })
  assert.equal([good.code, lastLine(good.text)], [0, '2 passed, 0 failed'])
  const bad = run(ctx, {
    'a.test.ts': passing,
    'b.test.ts': 'HARNESS\nsuite("s")("b", () => { console.log("A CLUE"); assert.equal(1, 2) })',
    'c.test.ts': 'syntax error',
  })
  assert.equal([bad.code, lastLine(bad.text)], [1, '1 passed, 2 failed'])
  for (const words of ['A CLUE', 'values differ', 's › b', 'test/c.test.ts']) {
    assert.match(bad.text, words)
  }
})

runs('takes words as a filter, and fails when they choose nothing', (ctx) => {
  const tree = { 'a.test.ts': passing, 'store/b.test.ts': passing }
  assert.equal(lastLine(run(ctx, tree, 'store').text), '1 passed, 0 failed')
  const none = run(ctx, tree, 'nothing')
  assert.equal([none.code, lastLine(none.text)], [1, '0 passed, 1 failed'])
})

runs('counts skipped tests apart, and as failures with CI=true', (ctx) => {
  const skipping = 'HARNESS\nsuite("s")("b", (c) => c.skip("why"))'
  const root = plant(ctx, { 'a.test.ts': passing, 'b.test.ts': skipping })
  const relaxed = node([runner, '--root', root])
  assert.equal([relaxed.code, lastLine(relaxed.text)], [0, '1 passed, 0 failed, 1 skipped'])
  const strict = node([runner, '--root', root], { CI: 'true' })
  assert.equal([strict.code, lastLine(strict.text)], [1, '1 passed, 1 failed'])
  assert.match(strict.text, 'which CI does not allow: s › b: why')
})

runs('ends a file at its time limit, after its cleanups, and says where it was', (ctx) => {
  const { code, text } = run(ctx, {
    'a.test.ts': `// time limit: 2 s
      HARNESS
      const t = suite('s')
      t('quick', () => undefined)
      t('hangs', async (ctx) => {
        ctx.after(() => console.log('CLEANED UP'))
        await new Promise(() => undefined)
      })
      t('never comes', () => console.log('MUST NOT RUN'))`,
  })
  assert.equal(code, 1)
  assert.match(text, /1 passed, 3 failed$/m)
  assert.match(text, 'CLEANED UP')
  assert.match(text, 'time limit was reached during s › hangs')
  assert.notMatch(text, 'MUST NOT RUN')
})

runs('ends the processes that a file leaves, and counts them', (ctx) => {
  const pidFile = join(ctx.tmp(), 'pid')
  const { code, text } = run(ctx, {
    'a.test.ts': `HARNESS
      import { spawn } from 'node:child_process'
      import { writeFileSync } from 'node:fs'
      suite('s')('leaves one', () => {
        const child = spawn('sleep', ['1000'], { stdio: 'ignore' })
        child.unref()
        writeFileSync('${pidFile}', String(child.pid))
      })`,
  })
  assert.equal([code, lastLine(text)], [1, '1 passed, 1 failed'])
  assert.match(text, /left running: sleep \(\d+\)/)
  const pid = Number(readFileSync(pidFile, 'utf8'))
  assert.ok(!existsSync(`/proc/${pid}`) || / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8')))
})
