// What goes along with a batch job, and how what its tasks changed comes back: against a node that
// answers with trees that the test makes.

import {
  existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { sha256Hex } from '../../../protocol/base/crypto.ts'
import { parseSealed } from '../../../protocol/base/envelope.ts'
import { decimalOf } from '../../../protocol/base/decimal-id.ts'
import { unpackManifest, unpackRoot } from '../../../protocol/rules/stage.ts'
import { listShare, openShare } from '../../../cli/compat/share.ts'
import type { Terminal } from '../../../cli/terminal.ts'
import type { Context } from '../../harness.ts'
import { assert, suite } from '../../harness.ts'
import { counts } from '../fixtures.ts'
import type { FixtureNode, Ran } from '../fixture-node.ts'
import { fixtureEpochMs, fixtureNode, refused, run } from '../fixture-node.ts'

const t = suite('the directory of a batch job')

interface Rig {
  readonly node: FixtureNode
  readonly cwd: string
  /** Of the job that was handed in last. */
  job(): { readonly id: string; readonly body: Readonly<Record<string, unknown>> }
  /** Files as the task left them; undefined = it still runs. */
  left: Readonly<Record<string, string>> | undefined
  directories: string[]
  call(as: string, ...args: readonly string[]): Promise<Ran>
}

function digest(text: string): string {
  return sha256Hex(text === '' ? '' : sha256Hex(text))
}

async function open(ctx: Context): Promise<Rig> {
  let sealed: ReturnType<typeof parseSealed> | undefined
  const env = { HOME: ctx.tmp(), SECRET_TOKEN: 'x', COLOUR: 'red', PATH: '/usr/bin:/bin',
    GRIDNODE_BATCH_HELPER: 'off' }
  const cwd = ctx.tmp()
  const job = (): { id: string; body: Record<string, unknown> } => {
    if (!sealed?.ok) throw new Error('nothing was handed in')
    return { id: sealed.value.sid.slice(0, 12), body: sealed.value.body as Record<string, unknown> }
  }
  const trees = { 'GET /v1/batch': () => ({ json: rowsOf() }) }
  const rowsOf = (): unknown[] => {
    if (!sealed) return []
    const over = rig.left !== undefined
    return [{
      job: job().id, name: 'j', user: 'alice', state: over ? 'done' : 'active', note: '',
      submittedEpochMs: fixtureEpochMs, tasks: counts({}), spent: '0', held: '0', sites: [],
      array: false, waiting: '', parked: '', onHold: '', cores: 1, memoryMib: 1,
      walltimeSeconds: 60, gpus: 0, nodes: 1, priority: 1_024, queue: '', project: '',
      seenAt: cwd, ...(over && { endedEpochMs: fixtureEpochMs + 5_000 }),
      taskRows: [{
        task: 0, state: over ? 'done' : 'running', site: 'b.example', contract: 'c',
        ...(over && { exitCode: 0, endedEpochMs: fixtureEpochMs + 5_000 }),
      }],
    }]
  }
  const node = await fixtureNode(ctx, new Proxy<Record<string, never>>(trees as never, {
    get(routes, name: string) {
      if (name === 'POST /v1/jobs') {
        return ({ text }: { text: string }) => {
          sealed = parseSealed(text, { bytesMax: 1_000_000 })
          return { json: { job: job().id, already: false } }
        }
      }
      if (name.endsWith('/tree')) {
        const files = Object.entries(rig.left ?? {}).map(([path, text]) => ({
          path, sizeBytes: Buffer.byteLength(text), executable: false, digest: digest(text),
        }))
        return { json: { files, directories: rig.directories } }
      }
      if (name.endsWith('/tree/file')) {
        return ({ query }: { query: Record<string, string> }) => {
          const text = rig.left?.[query['path'] ?? '']
          return text === undefined ? refused(404, 'not_found', 'no') : { bytes: text }
        }
      }
      return routes[name]
    },
  }))
  const rig: Rig = {
    node, cwd, job, left: undefined, directories: [],
    call: (as, ...args) => run(ctx, ['compat', '--dir', node.directory, '--as', as, '--', ...args],
      { cwd, env }),
  }
  return rig
}

function put(rig: Rig, files: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(rig.cwd, path, '..'), { recursive: true })
    writeFileSync(join(rig.cwd, path), text)
  }
}

/** Paths and contents of the tree that went along. */
function sent({ node, job }: Rig): Record<string, string> {
  const { chunks } = node
  const root = unpackRoot(chunks.get(String(job().body['inputs']))!)
  if (!root.ok) throw new Error('no tree')
  const manifest = unpackManifest(root.value, Buffer.concat(
    root.value.chunks.map((hash) => chunks.get(hash)!)))
  if (!manifest.ok) throw new Error('no manifest')
  return Object.fromEntries(manifest.value.files.map((file) =>
    [file.path, Buffer.concat(file.chunks.map((hash) => chunks.get(hash)!)).toString()]))
}

const script = { 'job.sh': '#!/bin/sh\ntrue\n' }

t('goes along but for what is ignored, and links that lead out of it', async (ctx) => {
  const rig = await open(ctx)
  const ignore = { '.gridnodeignore': '*.tmp\n/big\n' }
  put(rig, { ...script, ...ignore, 'a/b': '1', 'a/c.tmp': '2', 'big/x': '3' })
  symlinkSync('/etc/passwd', join(rig.cwd, 'out'))
  symlinkSync('a/b', join(rig.cwd, 'in'))
  const ran = await rig.call('slurm/sbatch', 'job.sh')
  const { id, body } = rig.job()
  assert.equal(ran, { code: 0, err: '', out: `Submitted batch job ${decimalOf(id)}\n` })
  const { '.gridnodeignore': _, ...files } = sent(rig)
  assert.equal(files, { ...script, 'a/b': '1', 'in': '1' })
  assert.equal([body['seen_at'], body['dialect'], body['outputs']], [rig.cwd, 'slurm', ['**']])
  const names = (body['environment'] as { name: string }[]).map(({ name }) => name)
  assert.ok(names.includes('COLOUR') && !names.includes('SECRET_TOKEN') && !names.includes('HOME'))
})

t('comes back: what is new, changed and deleted; the rest is not touched', async (ctx) => {
  const rig = await open(ctx)
  put(rig, { ...script, 'same': 's', 'old': 'o', 'd/gone': 'g', 'later': 'l' })
  await rig.call('slurm/sbatch', '-o', 'log/%j', 'job.sh')
  const id = decimalOf(rig.job().id)
  const { mtimeMs } = statSync(join(rig.cwd, 'same'))
  const ask = async (): Promise<string> =>
    (await rig.call('slurm/sacct', '-nPj', id, '-o', 'State')).out
  assert.equal(await ask(), 'RUNNING\n')
  rmSync(join(rig.cwd, 'later'))
  rig.left = { ...script, 'same': 's', 'old': 'new', 'later': 'l', 'n/e/w': 'n', 'stdout': 'said' }
  rig.directories = ['empty']
  assert.equal(await ask(), 'COMPLETED\n')
  const text = (path: string): string => readFileSync(join(rig.cwd, path), 'utf8')
  assert.equal([text('old'), text('n/e/w'), text(`log/${id}`)], ['new', 'n', 'said'])
  assert.equal(readdirSync(rig.cwd).toSorted(), ['empty', 'job.sh', 'log', 'n', 'old', 'same'])
  assert.equal(statSync(join(rig.cwd, 'same')).mtimeMs, mtimeMs)
  // Once: what is changed from now on is not overwritten by the same job again.
  writeFileSync(join(rig.cwd, 'old'), 'mine')
  assert.equal(await ask(), 'COMPLETED\n')
  assert.equal(text('old'), 'mine')
})

t('what was changed here meanwhile stays, and the task\'s lies beside it', async (ctx) => {
  const rig = await open(ctx)
  put(rig, { ...script, 'both': '0', 'deleted': '0', 'agreed': '0' })
  await rig.call('slurm/sbatch', 'job.sh')
  const id = decimalOf(rig.job().id)
  put(rig, { both: 'here', deleted: 'here', agreed: 'same', made: 'here' })
  rig.left = { ...script, both: 'there', agreed: 'same', made: 'there' }
  const ran = await rig.call('slurm/squeue', '-h')
  assert.equal(ran.code, 0)
  assert.match(ran.err, `${rig.cwd}/both was changed here while job ${id} changed it too`)
  const names = readdirSync(rig.cwd).toSorted().filter((name) => !name.startsWith('slurm-'))
  assert.equal(names, [
    'agreed', 'both', `both.gridnode-${id}`, 'deleted', 'job.sh', 'made', `made.gridnode-${id}`,
  ])
  assert.equal(readFileSync(join(rig.cwd, 'both'), 'utf8'), 'here')
  assert.equal(readFileSync(join(rig.cwd, `both.gridnode-${id}`), 'utf8'), 'there')
})

t('no result leaves the directory, by its name or by a link', async (ctx) => {
  const rig = await open(ctx)
  const outside = ctx.tmp()
  put(rig, script)
  symlinkSync(outside, join(rig.cwd, 'link'))
  await rig.call('slurm/sbatch', 'job.sh')
  rig.left = { ...script, '../escaped': 'x' }
  const first = await rig.call('slurm/squeue', '-h', '-t', 'all', '-o', '%t')
  assert.equal(first.out, 'CG\n')
  assert.match(first.err, "the node names a result '../escaped' (dot_dot)")
  rig.left = { ...script, 'link/escaped': 'x' }
  const then = await rig.call('slurm/squeue', '-h', '-t', 'all', '-o', '%t')
  assert.equal(then.out, 'CD\n')
  assert.equal([readdirSync(outside), existsSync(join(rig.cwd, '../escaped'))], [[], false])
})

t('a job handed in below the top starts where it was handed in', async (ctx) => {
  const rig = await open(ctx)
  put(rig, { '.gridnodeignore': '', 'data': 'd', 'sub/job.sh': '#!/bin/bash\npwd\n' })
  await rig.call('slurm/sbatch', '--chdir', 'sub', 'sub/job.sh')
  const { body } = rig.job()
  assert.equal([body['seen_at'], 'data' in sent(rig)], [rig.cwd, true])
  assert.equal(body['script'], `#!/bin/bash\ncd '${rig.cwd}/sub' || exit 1\npwd\n`)
})

t('a directory that is too much is refused', async (ctx) => {
  const rig = await open(ctx)
  put(rig, script)
  const system = await rig.call('slurm/sbatch', '--chdir', '/etc', 'job.sh')
  assert.equal(system.code, 2)
  assert.match(system.err, '/etc is too much: work in a directory of the project')
})

t('commands and scripts of each dialect', async (ctx) => {
  const rig = await open(ctx)
  put(rig, { ...script, 'plain': 'echo $1\n' })
  const said = async (as: string, ...args: readonly string[]): Promise<readonly unknown[]> => {
    const ran = await rig.call(as, ...args)
    assert.equal([ran.code, ran.err], [0, ''], ran.err)
    const { id, body } = rig.job()
    return [ran.out.replace(decimalOf(id), 'N'), body['script'], body['args']]
  }
  assert.equal(await said('slurm/sbatch', '--parsable', '--wrap=a b'),
    ['N\n', '#!/bin/sh\n# This script was created by sbatch --wrap.\n\na b\n', []])
  const exec = '#!/bin/sh\nexec "$@"\n'
  const words = ['-V', '-b', 'y', '-terse', '-cwd', '-N', 'n', 'a', 'b c']
  assert.equal(await said('grid_engine/qsub', ...words), ['N\n', exec, ['a', 'b c']])
  assert.equal(await said('grid_engine/qsub', 'plain', '1'),
    ['Your job N ("plain") has been submitted\n', '#!/bin/bash\necho $1\n', ['1']])
  assert.equal(await said('lsf/bsub', '-J', 'n', '-o', 'o', 'a b', 'c'),
    ['Job <N> is submitted to default queue <gridnode>.\n', '#!/bin/sh\na b c\n', []])
})

t('hashes are remembered as long as nothing has changed', async (ctx) => {
  const [root, home] = [ctx.tmp(), ctx.tmp()]
  for (let i = 0; i < 250; i++) writeFileSync(join(root, `f${i}`), `text ${i}`)
  const terminal = {
    env: { HOME: home }, nowEpochMs: () => Date.now() + 60_000,
  } as unknown as Terminal
  const list = async (): Promise<Record<string, string>> => {
    const { manifest } = await listShare(await openShare(root, terminal), terminal)
    return Object.fromEntries(manifest.files.map(({ path, chunks }) => [path, chunks.join(',')]))
  }
  const first = await list()
  assert.equal([first['f7'], Object.keys(first).length], [sha256Hex('text 7'), 250])
  const folder = join(home, '.cache', 'gridnode', 'hashes')
  const [name = ''] = readdirSync(folder)
  const kept = readFileSync(join(folder, name), 'utf8')
  writeFileSync(join(folder, name), kept.replace(sha256Hex('text 7'), sha256Hex('remembered')))
  assert.equal((await list())['f7'], sha256Hex('remembered'))
  writeFileSync(join(root, 'f7'), 'next 7')
  assert.equal((await list())['f7'], sha256Hex('next 7'))
})

t('no task changes, deletes or makes what says what stays here', async (ctx) => {
  const ignore = { '.gridnodeignore': '/secret\n' }
  for (const left of [{ '.gridnodeignore': '', 'd/.gridnodeignore': '*' }, {}]) {
    const rig = await open(ctx)
    put(rig, { ...script, ...ignore, 'secret': 'x', 'd/f': '1' })
    await rig.call('slurm/sbatch', 'job.sh')
    const id = decimalOf(rig.job().id)
    rig.left = { ...script, 'd/f': '2', 'secret': 'y', ...left }
    assert.match((await rig.call('slurm/sacct', '-nPj', id, '-o', 'State')).out, 'COMPLETED')
    assert.equal(readFileSync(join(rig.cwd, '.gridnodeignore'), 'utf8'), '/secret\n')
    assert.equal(readFileSync(join(rig.cwd, 'secret'), 'utf8'), 'x')
    assert.equal(readFileSync(join(rig.cwd, 'd/f'), 'utf8'), '2')
    assert.equal(existsSync(join(rig.cwd, 'd/.gridnodeignore')), false)
  }
})
