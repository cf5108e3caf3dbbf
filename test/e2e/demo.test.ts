// The demo as `npm start` runs it: the whole of it once, and what is left of it when it is
// interrupted, killed, deserted by a node, or asked to stay. Each run has a temporary directory of
// its own, whose name is in the environment of all its processes.

import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Context } from '../harness.ts'
import { assert, eventually, suite } from '../harness.ts'

const program = fileURLToPath(new URL('../../cli/gridnode', import.meta.url))
const t = suite('demo')

interface Demo {
  readonly child: ChildProcess
  readonly temporary: string
  output(): string
  readonly ended: Promise<number | string>
}

function startDemo(ctx: Context, temporary: string, ...args: readonly string[]): Demo {
  const env = { ...process.env, TMPDIR: temporary }
  const child = spawn(program, ['demo', ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  }
  const ended = new Promise<number | string>((resolve) => {
    child.once('close', (code, signal) => resolve(code ?? signal ?? ''))
  })
  ctx.after(async () => {
    // For a test that failed: the demo cleans up after itself, what it has left is ended here.
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
    await ended
    for (const pid of processesOf(temporary)) process.kill(pid, 'SIGKILL')
  })
  return { child, temporary, output: () => output, ended }
}

function fresh(ctx: Context): string {
  const temporary = join(ctx.tmp(), 'tmp')
  mkdirSync(temporary)
  return temporary
}

async function outputHas(demo: Demo, pattern: RegExp, timeoutSeconds = 90): Promise<void> {
  await eventually(() => pattern.test(demo.output()) || demo.child.exitCode !== null, {
    timeoutSeconds, what: `output that matches ${pattern}`,
  })
  assert.match(demo.output(), pattern)
}

/** The processes that were started with this temporary directory. */
function processesOf(temporary: string): number[] {
  return readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name)).map(Number).filter((pid) => {
    try {
      const environment = readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0')
      return environment.includes(`TMPDIR=${temporary}`)
    } catch {
      return false
    }
  })
}

function nothingLeft(temporary: string): void {
  assert.equal(processesOf(temporary), [], 'no process is left')
  assert.equal(readdirSync(temporary), [], 'no directory is left')
}

/** The demo's directory. */
function directoryOf({ temporary }: Demo): string {
  return join(temporary, readdirSync(temporary)[0]!)
}

const sections = [
  'Three sites', 'A job', 'The auction', 'The run', 'The results', 'Refusals', 'The accounts',
  'The proof', 'Look further',
]

t('shows a job among three sites, verified books, a forgery; and leaves nothing', async (ctx) => {
  const demo = startDemo(ctx, fresh(ctx))
  assert.equal(await demo.ended, 0, demo.output())
  nothingLeft(demo.temporary)
  const text = demo.output()
  for (const [i, title] of sections.entries()) {
    assert.match(text, new RegExp(`^-- ${i + 1}\\. ${title} -+$`, 'm'))
  }
  for (const site of ['alder', 'birch', 'cedar']) {
    assert.match(text, new RegExp(`^${site}\\*? +\\d+ +\\d+ +\\d GiB`, 'm'), 'its offer')
    assert.match(text, new RegExp(`^ +\\d +${site} +\\d+ `, 'm'), 'its bid')
  }
  for (let task = 0; task < 10; task++) {
    assert.match(text, new RegExp(`^task ${task} +\\w+ +\\| texts/${task}-.* most frequent`, 'm'))
  }
  assert.match(text, /10 of 10 tasks done/)
  assert.match(text, /^ {2}the +139 /m)
  assert.match(text, /ok {2}The demo has counted the same texts itself/)
  assert.match(text, /alder does not fit \(memory\): a task wants 1\.5 GiB/)
  assert.match(text, /cedar refuses \(spool\): the inputs take 16 MiB/)
  assert.match(text, /no site can run it now/)
  assert.match(text, /alder owes 0\.1\d+ cr, which is what its jobs have cost/)
  assert.match(text, /all holds: 3 ledgers/)
  assert.match(text, /something does not hold/)
  assert.match(text, /the forged one was found and named:\s+entry \d+ of alder/)
  // A path is as long as it is; here it is longer than people's temporary directories.
  const wide = text.split('\n')
    .filter((line) => [...line].length > 80 && !line.includes(demo.temporary))
  assert.equal(wide, [], 'lines fit 80 columns')
  assert.ok(!text.includes('\u001b'), 'no colours where nobody sees them')
}, { timeoutSeconds: 240 })

t('ends everything at Ctrl-C, running tasks too', async (ctx) => {
  const demo = startDemo(ctx, fresh(ctx))
  await outputHas(demo, /\| texts\/\d-\w+\.txt: paragraph 1/)
  assert.ok(processesOf(demo.temporary).length > 4, 'the nodes and tasks are seen')
  demo.child.kill('SIGINT')
  assert.equal(await demo.ended, 130, demo.output())
  nothingLeft(demo.temporary)
  assert.match(demo.output(), /interrupted; ending the sites\nNothing is left running/)
}, { timeoutSeconds: 180 })

t('says which step failed and shows the logs when a node is lost', async (ctx) => {
  const demo = startDemo(ctx, fresh(ctx))
  await outputHas(demo, /\$ gridnode offers/)
  const birch = processesOf(demo.temporary).find((pid) =>
    readFileSync(`/proc/${pid}/cmdline`, 'utf8').endsWith('\0start\0--dir\0birch\0'))
  process.kill(birch!, 'SIGKILL')
  assert.equal(await demo.ended, 1, demo.output())
  nothingLeft(demo.temporary)
  assert.match(demo.output(), /the demo failed in '\d\. [A-Z].*':\n {2}the node of birch has ended/)
  assert.match(demo.output(), /log of birch, which has ended \(signal SIGKILL\):\n.*the site is up/)
}, { timeoutSeconds: 180 })

t('is ended by --stop after it was killed', async (ctx) => {
  const demo = startDemo(ctx, fresh(ctx))
  await outputHas(demo, /\| texts\/\d-\w+\.txt: paragraph 1/)
  const directory = directoryOf(demo)
  const early = startDemo(ctx, demo.temporary, '--stop', directory)
  assert.equal(await early.ended, 1)
  assert.match(early.output(), /is still running; press Ctrl-C there/)
  const other = startDemo(ctx, demo.temporary, '--stop', demo.temporary)
  assert.equal(await other.ended, 2)
  assert.match(other.output(), /is no directory of a demo: its name does not begin with/)
  demo.child.kill('SIGKILL')
  await demo.ended
  assert.ok(processesOf(demo.temporary).length >= 3, 'the nodes go on')
  const next = startDemo(ctx, demo.temporary)
  await outputHas(next, /an earlier demo was killed/)
  next.child.kill('SIGINT')
  assert.equal(await next.ended, 130)
  const stop = startDemo(ctx, demo.temporary, '--stop', directory)
  assert.equal(await stop.ended, 0, stop.output())
  nothingLeft(demo.temporary)
}, { timeoutSeconds: 180 })

t('stays with --keep, answers, and is ended by --stop', async (ctx) => {
  const demo = startDemo(ctx, fresh(ctx), '--keep')
  const directory = eventually(() => directoryOf(demo))
  assert.equal(await demo.ended, 0, demo.output())
  assert.match(demo.output(), new RegExp(`npm start -- --stop ${await directory}`))
  const script = '. "$0/env" && gridnode status && gridnode peers --dir "$0/birch"'
  const shell = spawn('sh', ['-c', script, await directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  shell.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
  const code = await new Promise((resolve) => shell.once('close', resolve))
  assert.equal(code, 0)
  assert.match(said, /wordcount +done +10\/10/)
  assert.match(said, /^cedar +up /m)
  const stop = startDemo(ctx, demo.temporary, '--stop', await directory)
  assert.equal(await stop.ended, 0, stop.output())
  nothingLeft(demo.temporary)
}, { timeoutSeconds: 240 })
