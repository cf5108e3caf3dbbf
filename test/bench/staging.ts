// Staging 256 MiB from one process to another over the real network on loopback, against `cp` on
// the same disk and, where a server can be started, `scp` over loopback.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { entropy } from '../../node/entropy.ts'
import type { Network } from '../../node/net/door.ts'
import { startNetwork } from '../../node/net/network.ts'
import { openChunkStore } from '../../node/staging/chunk-store.ts'
import { fetchTree } from '../../node/staging/transfer.ts'
import { openWorkspace } from '../../node/staging/workspace.ts'
import { keyPairFromSeed, sha256, sha256Hex } from '../../protocol/base/crypto.ts'
import type { Hash, SiteName, TrancheId } from '../../protocol/base/ids.ts'
import type { Figure } from './figures.ts'
import { paired, seconds, timeFigure } from './figures.ts'

const sizeBytes = 256 * 2 ** 20
const rounds = 3
const federation = sha256Hex('bench federation')
const server = 'bench-server' as SiteName

interface Served {
  readonly addresses: readonly string[]
  readonly treeHash: Hash
  stop(): Promise<void>
}

async function startServer(directory: string, file: string): Promise<Served> {
  const program = join(import.meta.dirname, 'programs', 'serve-tree.ts')
  const child = spawn(process.execPath, [program, directory, file, federation], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const [line] = await once(createInterface({ input: child.stdout }), 'line') as [string]
  const { addresses, treeHash } = JSON.parse(line) as Omit<Served, 'stop'>
  return {
    addresses,
    treeHash,
    async stop() {
      child.stdin.end()
      await once(child, 'exit')
    },
  }
}

async function connect(served: Served): Promise<Network> {
  let up: () => void
  const isUp = new Promise<void>((resolve) => (up = resolve))
  const network = await startNetwork({
    site: 'bench-client' as SiteName,
    networkSecret: sha256('bench client'),
    listen: ['/ip4/127.0.0.1/tcp/0'],
    members: [{
      site: server,
      networkKey: keyPairFromSeed(sha256('bench server')).publicKey,
      addresses: served.addresses,
    }],
    federation,
    onMessage: () => undefined,
    onPeer: (_, state) => { if (state === 'up') up() },
    onGossip: () => 'ignore',
    onRequest: () => Promise.reject(new Error('no requests here')),
    onFetch: () => { throw new Error('nothing to fetch here') },
  })
  await isUp
  return network
}

/** Into a fresh store and laid out in a fresh directory, as for a job. */
async function stage(directory: string, served: Served, network: Network): Promise<number> {
  const place = mkdtempSync(join(directory, 'staged-'))
  const store = await openChunkStore({ directory: join(place, 'chunks'), bytesMax: 4 * 2 ** 30 })
  const workspace = await openWorkspace({ spool: join(place, 'spool'), store })
  const spent = await seconds(async () => {
    const manifest = await fetchTree({
      source: { fetch: (header, signal) => network.fetch(server, header, signal) },
      scope: 'in/bench',
      treeHash: served.treeHash,
      store,
      owner: 'bench',
      signal: AbortSignal.timeout(120_000),
    })
    await workspace.place(manifest, workspace.directory('00'.repeat(8) as TrancheId, 0))
  })
  await workspace.close()
  rmSync(place, { recursive: true })
  return spent
}

async function copy(directory: string, argv: readonly string[]): Promise<number> {
  const target = join(directory, 'copied')
  const spent = await seconds(() => {
    const [command = '', ...args] = argv
    const done = spawnSync(command, [...args, target], { stdio: ['ignore', 'ignore', 'pipe'] })
    if (done.status !== 0) throw new Error(`${command} failed: ${String(done.stderr)}`)
  })
  rmSync(target)
  return spent
}

interface Sshd {
  readonly scp: readonly string[]
  stop(): Promise<void>
}

/**
 * A server of our own on loopback with keys of its own; undefined where there is none installed.
 */
async function startSshd(directory: string, file: string): Promise<Sshd | undefined> {
  const program = '/usr/sbin/sshd'
  if (!existsSync(program)) return undefined
  const home = join(directory, 'ssh')
  mkdirSync(home, { mode: 0o700 })
  mkdirSync('/run/sshd', { recursive: true, mode: 0o755 })
  for (const name of ['host', 'user']) {
    spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(home, name)])
  }
  spawnSync('cp', [join(home, 'user.pub'), join(home, 'authorized')])
  const port = await freePort()
  const config = [
    `Port ${port}`, 'ListenAddress 127.0.0.1', `HostKey ${join(home, 'host')}`, 'UsePAM no',
    `AuthorizedKeysFile ${join(home, 'authorized')}`, 'StrictModes no', 'PidFile none',
    'PermitRootLogin yes', 'Subsystem sftp internal-sftp', '',
  ]
  writeFileSync(join(home, 'config'), config.join('\n'))
  const child = spawn(program, ['-D', '-f', join(home, 'config')], { stdio: 'ignore' })
  const scp = [
    'scp', '-q', '-P', String(port), '-i', join(home, 'user'), '-o', 'StrictHostKeyChecking=no',
    '-o', 'UserKnownHostsFile=/dev/null', '-o', 'BatchMode=yes', `127.0.0.1:${file}`,
  ]
  return {
    scp,
    async stop() {
      child.kill()
      if (child.exitCode === null) await once(child, 'exit')
    },
  }
}

async function freePort(): Promise<number> {
  const listener = createServer().listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const { port } = listener.address() as { port: number }
  listener.close()
  await once(listener, 'close')
  return port
}

export async function stagingFigures(): Promise<Figure[]> {
  const directory = mkdtempSync(join(tmpdir(), 'gridnode-bench-'))
  const file = join(directory, 'input')
  const piece = entropy.randomBytes(2 ** 20)
  const pieces: Uint8Array[] = []
  // Each MiB differs, or the store would keep one chunk for all.
  for (let at = 0; at < sizeBytes / 2 ** 20; at++) {
    piece[0] = at & 255
    piece[1] = at >> 8
    pieces.push(piece.slice())
  }
  writeFileSync(file, Buffer.concat(pieces))
  const served = await startServer(directory, file)
  const network = await connect(served)
  const sshd = await startSshd(directory, file)
  try {
    const ours = (): Promise<number> => stage(directory, served, network)
    const figures = [timeFigure('256 MiB staged to a host', 'cp',
      await paired(rounds, ours, () => copy(directory, ['cp', file])))]
    if (sshd) {
      figures.push(timeFigure('256 MiB staged to a host', 'scp over loopback',
        await paired(rounds, ours, () => copy(directory, sshd.scp))))
    }
    return figures
  } finally {
    await network.stop()
    await served.stop()
    await sshd?.stop()
    rmSync(directory, { recursive: true, force: true })
  }
}
