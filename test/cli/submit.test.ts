// `submit`: what travels to the node, and every way in which a job is refused before it does.

import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync } from 'node:fs'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sha256Hex } from '../../protocol/base/crypto.ts'
import { limits } from '../../protocol/base/limits.ts'
import type { JobDocument } from '../../protocol/rules/job.ts'
import { readJob } from '../../protocol/rules/job.ts'
import type { Manifest } from '../../protocol/rules/stage.ts'
import { unpackManifest, unpackRoot } from '../../protocol/rules/stage.ts'
import type { Context } from '../harness.ts'
import { assert, suite } from '../harness.ts'
import type { FixtureNode, Ran } from './fixture-node.ts'
import { fixtureNode, refused, run } from './fixture-node.ts'

const submit = suite('submit')

interface Bench {
  readonly node: FixtureNode
  readonly cwd: string
  submit(...args: readonly string[]): Promise<Ran>
  /** The document that the node was given last, its signature checked. */
  document(): JobDocument
}

async function bench(ctx: Context, env: Record<string, string> = {}): Promise<Bench> {
  const node = await fixtureNode(ctx, {
    'POST /v1/jobs': (asked) => {
      const job = assert.accepted(readJob(asked.text))
      return { json: { job: job.id, already: false } }
    },
  })
  const cwd = ctx.tmp()
  return {
    node,
    cwd,
    submit: (...args) => run(ctx, ['submit', '--dir', node.directory, ...args], { cwd, env }),
    document() {
      const asked = node.asked.findLast((one) => one.path === '/v1/jobs')
      assert.ok(asked, 'the node was given a job')
      return assert.accepted(readJob(asked.text)).document
    },
  }
}

function script(at: Bench, name: string, ...lines: readonly string[]): void {
  writeFileSync(join(at.cwd, name), ['#!/bin/sh', ...lines, ''].join('\n'))
}

function manifestOf(node: FixtureNode, treeHash: string): Manifest {
  const root = assert.accepted(unpackRoot(node.chunks.get(treeHash)!))
  const text = Buffer.concat(root.chunks.map((hash) => node.chunks.get(hash)!))
  return assert.accepted(unpackManifest(root, text))
}

submit('signs a script with its directives, the command line over them', async (ctx) => {
  const at = await bench(ctx, { COLOUR: 'blue' })
  script(at, 'count.sh',
    '#SBATCH -J from-slurm -c 2 --time=90 --mem-per-cpu=1G --mail-type=END',
    '#GRID --budget 12.5 --policy cheapest --out "counts/*.txt" --env COLOUR --env SIZE=3',
    'echo "$1"')
  const options = ['--cores', '4', '--array=0-7%2', '--env', 'SIZE=4']
  const ran = await at.submit(...options, 'count.sh', '-v', 'x')
  const document = at.document()
  assert.equal(ran.code, 0)
  assert.match(ran.out, /^job [0-9a-f]{12} submitted: from-slurm, at most 12\.50 cr\n$/)
  assert.match(ran.err, /^note: line 2: #SBATCH --mail-type is ignored: no mail is sent/)
  const { key, nonce, script: text, ...rest } = document
  assert.equal([key.length, nonce.length], [64, 32])
  assert.match(text, /^#!\/bin\/sh\n#SBATCH/)
  assert.equal(rest, {
    name: 'from-slurm', user: 'alice', args: ['-v', 'x'],
    environment: [{ name: 'COLOUR', value: 'blue' }, { name: 'SIZE', value: '4' }],
    tasks: '0-7', array: 1, tasks_at_once: 2, cores: 4, memory_mib: 4_096,
    walltime_seconds: 5_400, inputs: '', inputs_bytes: 0, outputs: ['counts/*.txt'],
    requirements: '', policy: 'cheapest', budget: 12_500_000n, place: 'anywhere', sites: [],
    start_within_seconds: 604_800, dialect: 'slurm',
  })
})

submit('takes a command after --, its arguments untouched', async (ctx) => {
  const at = await bench(ctx)
  const ran = await at.submit('--quiet', '--', '/usr/bin/printf', '%s\\n', 'a b', '--json')
  assert.equal([ran.code, ran.err], [0, ''])
  assert.match(ran.out, /^[0-9a-f]{12}\n$/)
  const { script: text, args, name } = at.document()
  assert.equal([text, name], ['#!/bin/sh\nexec "$@"\n', 'printf'])
  assert.equal(args, ['/usr/bin/printf', '%s\\n', 'a b', '--json'])
})

submit('makes the user key once, for its owner alone, and uses it again', async (ctx) => {
  const key = join(ctx.tmp(), 'deep', 'user.key')
  const at = await bench(ctx, { GRIDNODE_USER_KEY: key })
  const both = await Promise.all([at.submit('--', 'true'), at.submit('--', 'true')])
  assert.equal(both.map((ran) => ran.code), [0, 0])
  assert.equal(statSync(key).mode & 0o777, 0o600)
  assert.match(readFileSync(key, 'utf8'), /^[0-9a-f]{64}\n$/)
  const keys = at.node.asked.filter((one) => one.path === '/v1/jobs')
    .map((one) => assert.accepted(readJob(one.text)).document.key)
  assert.equal(new Set(keys).size, 1)
  chmodSync(key, 0o644)
  const open = await at.submit('--', 'true')
  assert.equal(open.code, 1)
  assert.match(open.err, /is open to other users \(mode 644, expected 600\)/)
})

submit('sends each distinct chunk once, and only what the node lacks', async (ctx) => {
  const at = await bench(ctx)
  mkdirSync(join(at.cwd, 'data/empty'), { recursive: true })
  const large = Buffer.alloc(limits.chunkBytes + 5, 'x')
  writeFileSync(join(at.cwd, 'data/large'), large)
  writeFileSync(join(at.cwd, 'data/twin'), large)
  writeFileSync(join(at.cwd, 'tool'), 'tool', { mode: 0o755 })
  symlinkSync('large', join(at.cwd, 'data/link'))
  const args = ['--in', 'data', '--in', 'tool=bin/run', '--', 'bin/run'] as const
  const first = await at.submit(...args)
  assert.equal(first.err, '')
  assert.match(first.out, /^ {2}4 input files, 12 MiB, 4 MiB sent$/m)
  const { inputs, inputs_bytes } = at.document()
  assert.equal(inputs_bytes, large.length * 3 + 4)
  const manifest = manifestOf(at.node, inputs)
  assert.equal(manifest.directories, ['data/empty'])
  assert.equal(
    manifest.files.map((file) => [file.path, file.executable, file.sizeBytes, file.chunks.length]),
    [
      ['bin/run', 1, 4, 1],
      ['data/large', 0, large.length, 2],
      ['data/link', 0, large.length, 2],
      ['data/twin', 0, large.length, 2],
    ],
  )
  const puts = at.node.asked.filter((one) => one.method === 'PUT').length
  assert.equal(puts, 2 + 1 + 2)
  const second = await at.submit(...args)
  assert.match(second.out, /0 B sent/)
  assert.equal(at.node.asked.filter((one) => one.method === 'PUT').length, puts)
  assert.equal(at.document().inputs, inputs)
})

submit('means inputs of a directive from the script, others from here', async (ctx) => {
  const at = await bench(ctx)
  mkdirSync(join(at.cwd, 'project/texts'), { recursive: true })
  writeFileSync(join(at.cwd, 'project/texts/a'), 'inside')
  writeFileSync(join(at.cwd, 'a'), 'here')
  script(at, 'project/job.sh', '#GRID --in texts', 'true')
  await at.submit('project/job.sh')
  const paths = manifestOf(at.node, at.document().inputs).files.map((file) => file.path)
  assert.equal(paths, ['texts/a'])
  await at.submit('--in', './a', 'project/job.sh')
  const [file] = manifestOf(at.node, at.document().inputs).files
  assert.equal([file?.path, file?.chunks], ['a', [sha256Hex('here')]])
})

submit('refuses inputs that are absent, no files, twice the same, or lead outside', async (ctx) => {
  const at = await bench(ctx)
  mkdirSync(join(at.cwd, 'data'))
  writeFileSync(join(at.cwd, 'one'), '1')
  symlinkSync('/etc/passwd', join(at.cwd, 'data/link'))
  const cases: readonly (readonly [args: readonly string[], code: number, words: RegExp])[] = [
    [['--in', 'gone'], 1, /there is no input gone/],
    [['--in', 'data'], 1, /data\/link is a symbolic link to something outside the input/],
    [['--in', '/dev/null'], 1, /\/dev\/null is neither a file nor a directory/],
    [['--in', 'one', '--in', 'one'], 2, /two inputs are called 'one'/],
    [['--in', 'one=../two'], 2, /cannot be called '\.\.\/two'/],
    [['--in', 'one=.gridnode/x'], 2, /cannot be called '\.gridnode\/x'.*reserved/],
    [['--in', 'one=.'], 2, /it is a file/],
  ]
  for (const [args, code, words] of cases) {
    const ran = await at.submit(...args, '--', 'true')
    assert.equal([ran.code, ran.out], [code, ''], args.join(' '))
    assert.match(ran.err, words)
  }
  assert.equal(at.node.asked, [])
})

submit('names every fault of a script at once, and those of the command line', async (ctx) => {
  const at = await bench(ctx)
  script(at, 'bad.sh', '#SBATCH --qos=fast --gres=craynetwork:1', '#GRID --corse 4', 'true')
  writeFileSync(join(at.cwd, 'binary'), Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0xff, 0]))
  script(at, 'good.sh', 'true')
  const bad = await at.submit('bad.sh')
  assert.equal(bad.code, 2)
  assert.equal(bad.err, `gridnode: bad.sh was not submitted:
  line 2: #SBATCH --qos: it names something of one cluster, and the job may run at another; \
remove the line, or choose a queue with --partition
  line 2: #SBATCH --gres: craynetwork:1 names something of one cluster; say what is needed with \
#GRID --require
  line 3: #GRID --corse: there is no such option; did you mean --cores?
`)
  const cases: readonly (readonly [args: readonly string[], words: RegExp])[] = [
    [[], /expected a script, or a command after --/],
    [['--'], /expected a command after --/],
    [['gone.sh'], /there is no script gone\.sh; to run a command write: submit -- gone\.sh/],
    [['.'], /is a directory, expected a script/],
    [['binary'], /binary is no text in UTF-8\. To run a program: submit --in binary -- \.\/binary/],
    [['--memory', '4', 'good.sh'], /--memory: expected a size with its unit such as 512MiB/],
    [['--env', 'UNSET', 'good.sh'], /the variable UNSET is not set here; write --env UNSET=VALUE/],
    [['--out', '../x', 'good.sh'], /--out: path "\.\.\/x" has a '\.\.' component/],
    [['--require', 'core_total > 4', 'good.sh'],
      /--require: unknown name 'core_total'; did you mean cores_total\?\n  core_total > 4\n  \^/],
  ]
  for (const [args, words] of cases) {
    const ran = await at.submit(...args)
    assert.equal([ran.code, ran.out], [2, ''], args.join(' '))
    assert.match(ran.err, words)
  }
  assert.equal(at.node.asked, [])
})

submit('shows what it would submit, and does and makes nothing', async (ctx) => {
  const key = join(ctx.tmp(), 'user.key')
  const at = await bench(ctx, { GRIDNODE_USER_KEY: key })
  script(at, 'job.sh', '#GRID --cores 3', 'true')
  const ran = await at.submit('--dry-run', 'job.sh')
  assert.equal([ran.code, at.node.asked, existsSync(key)], [0, [], false])
  const shown = JSON.parse(ran.out) as Record<string, unknown>
  assert.equal([shown['cores'], shown['budget'], shown['name']], [3, '100000000', 'job.sh'])
})

submit('passes on the refusal of the node, as text and as JSON', async (ctx) => {
  const node = await fixtureNode(ctx, {
    'POST /v1/jobs': refused(507, 'spool_full', 'the spool has 12 MiB left; fetch old results'),
  })
  const text = await run(ctx, ['submit', '--dir', node.directory, '--', 'true'])
  assert.equal(text, {
    code: 1, out: '', err: 'gridnode: the spool has 12 MiB left; fetch old results\n',
  })
  const json = await run(ctx, ['submit', '--json', '--dir', node.directory, '--', 'true'])
  assert.equal([json.code, json.out], [1, ''])
  assert.equal(JSON.parse(json.err), {
    error: { code: 'spool_full', message: 'the spool has 12 MiB left; fetch old results' },
  })
})

submit('leaves nothing behind when there is no node', async (ctx) => {
  const cwd = ctx.tmp()
  const ran = await run(ctx, ['submit', '--dir', 'site', '--', 'true'], { cwd })
  assert.equal(ran.code, 3)
  assert.match(ran.err, /there is no site at .*\/site\. Make one with 'gridnode init'/)
  assert.ok(!existsSync(join(cwd, 'site')))
})
