// What the embedded executor puts around a task: a view of the machine of its own by bubblewrap
// (bwrap), and another account by setpriv. The result is a list of words before the command.
//
// Inside: the system read-only, the task's directory writable under its own path and, if asked for,
// under another; a `/tmp` of its own on the disk that goes with the directory; no home directories,
// nothing of the node, no other task's directory or process; no capabilities and no new ones; where
// it stays root, none of the system's sockets. The network is the machine's unless switched off.
//
// bubblewrap would die of the signal by which a task is asked to end, and take the task with it
// before it has cleaned up: so it ignores SIGTERM, and the command gets it back.

import { existsSync, lstatSync, readdirSync, readlinkSync } from 'node:fs'
import { dirname, join, normalize, relative, sep } from 'node:path'
import type { LocalAccount } from './driver.ts'
import { SchedulerFailure } from './driver.ts'
import { run } from './exec.ts'

export interface SandboxOptions {
  /** Directories of which a task sees nothing, such as the node's own. */
  readonly hide: readonly string[]
  /** Below those, what it may read all the same. */
  readonly show: readonly string[]
  readonly network: boolean
}

export interface Sandboxed {
  readonly directory: string
  readonly seenAt?: string | undefined
  readonly account?: LocalAccount | undefined
}

const hiddenAlways = ['/home', '/root', '/var/tmp']
/**
 * Without rights of its own, root is still root to whoever answers at a socket there: the system's
 * own manager would start anything for it. What finds names of machines stays.
 */
const hiddenFromRoot = '/run'
const shownToRoot = ['stub-resolv.conf', 'resolv.conf'].map((name) =>
  `/run/systemd/resolve/${name}`).concat('/run/NetworkManager/resolv.conf', '/run/resolvconf')
/** Nobody's working directory; what a task wants to see there it would not find. */
const systemDirectories = [
  '/bin', '/boot', '/dev', '/etc', '/lib', '/lib32', '/lib64', '/libx32', '/proc', '/run', '/sbin',
  '/sys', '/usr',
]
/** Where a directory is rebuilt to put one more into it, so many entries are shown. */
const entriesMax = 1_024

/** Of the task's directory, what it sees as /tmp. */
export const temporaryName = join('.gridnode', 'tmp')

/**
 * The sandbox if there is to be one; of `auto`, if it works here.
 * @throws SchedulerFailure `missing`: it does not
 */
export async function openSandbox(
  wanted: { readonly kind: 'auto' | 'bubblewrap' } & SandboxOptions | undefined,
): Promise<SandboxOptions | undefined> {
  if (!wanted) return undefined
  const fault = await sandboxFault(wanted)
  if (fault === undefined) return wanted
  if (wanted.kind === 'auto') return undefined
  throw new SchedulerFailure('missing', `the sandbox does not work: ${fault}; ` +
    'install bubblewrap, or set scheduler.sandbox = "none"')
}

/** Undefined when bubblewrap works here, else why not. */
async function sandboxFault(options: SandboxOptions): Promise<string | undefined> {
  try {
    const probe = [...bubblewrapWords(options, {}), '--', 'true']
    const { code, stderr } = await run(probe, { timeoutMs: 10_000 })
    if (code === 0) return undefined
    return `bwrap ended with ${code}: ${stderr.trim().slice(0, 200)}`
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** Why a task cannot see its directory under that path; undefined when it can. */
export function seenAtFault(seenAt: string): string | undefined {
  const path = normalize(seenAt)
  const top = `/${path.split('/')[1] ?? ''}`
  if (path === '/' || systemDirectories.includes(top)) {
    return `expected a working directory, got ${seenAt}, which is the system's`
  }
  return undefined
}

/** The words before a task's command. */
export function sandboxWords(options: SandboxOptions, task: Sandboxed): string[] {
  const keep = task.account ? ['--cap-add', 'CAP_SETUID', '--cap-add', 'CAP_SETGID'] : []
  return [
    ...bubblewrapWords(options, task), ...keep, '--',
    ...accountWords(task.account), 'env', '--default-signal=TERM',
  ]
}

/** Runs what follows under the account, with no way back. */
export function accountWords(account: LocalAccount | undefined): string[] {
  if (!account) return []
  const { uid, gid, groups } = account
  return [
    'setpriv', `--reuid=${uid}`, `--regid=${gid}`, `--groups=${groups.join(',')}`,
    '--inh-caps=-all', '--no-new-privs', '--',
  ]
}

/**
 * Enters the directory and opens the streams of a task with the rights of its account: others may
 * not enter it, and it may have put links in the streams' place.
 */
export function streamWords({ account, directory, seenAt }: Sandboxed): string[] {
  if (!account) return []
  const script = 'cd "$1" && shift && exec "$@" >>.gridnode/stdout 2>>.gridnode/stderr'
  return ['sh', '-c', script, 'gridnode-streams', seenAt ?? directory]
}

function bubblewrapWords(options: SandboxOptions, task: Partial<Sandboxed>): string[] {
  const { directory, seenAt } = task
  // What lies in /tmp, or in another one, is hidden with it.
  const isRoot = process.getuid?.() === 0 && !task.account
  const fromRoot = isRoot ? [hiddenFromRoot] : []
  const all = [...new Set([...hiddenAlways, ...fromRoot, ...options.hide])]
    .filter((path) => existsSync(path))
  const hidden = all.filter((path) => !['/tmp', ...all].some((other) => isBelow(path, other)))
  const places = directory === undefined ? []
    : [directory, ...(seenAt === undefined ? [] : [normalize(seenAt)])]
  const empty = ['/tmp', ...hidden]
  const rebuilt = places.flatMap((path) => baseToRebuild(path, empty) ?? [])
  const roots = ['/', ...empty, ...rebuilt]
  return [
    'env', '--ignore-signal=TERM', 'bwrap',
    '--die-with-parent', '--unshare-pid', '--unshare-ipc', '--cap-drop', 'ALL',
    ...(options.network ? [] : ['--unshare-net']),
    ...entriesOf('/', ['dev', 'proc', 'tmp']), '--dev', '/dev', '--proc', '/proc',
    // Before what is hidden: it shows all that lies there.
    ...rebuilt.flatMap((path) => ['--perms', '0755', '--tmpfs', path, ...entriesOf(path)]),
    ...hidden.flatMap((path) => ['--perms', '0755', '--tmpfs', path]),
    ...[...(isRoot ? shownToRoot : []), ...options.show]
      .flatMap((path) => ['--ro-bind-try', path, path]),
    ...(directory === undefined ? ['--perms', '1777', '--tmpfs', '/tmp']
      : ['--bind', join(directory, temporaryName), '/tmp']),
    ...places.flatMap((path) => [...wayTo(path, roots), '--bind', directory!, path]),
    ...(directory === undefined || task.account ? [] : ['--chdir', seenAt ?? directory]),
    '--setenv', 'HOME', '/tmp', '--setenv', 'TMPDIR', '/tmp',
  ]
}

/**
 * bubblewrap can make a directory only in what is its own. Where `path` is not there, the lowest
 * directory on the way that is must be shown anew, with what it holds.
 */
function baseToRebuild(path: string, empty: readonly string[]): string | undefined {
  if (empty.some((one) => isBelow(path, one)) || existsSync(path)) return undefined
  let base = dirname(path)
  while (!existsSync(base)) base = dirname(base)
  return base === '/' ? undefined : base
}

/** Makes the directories on the way, open to every account. */
function wayTo(path: string, roots: readonly string[]): string[] {
  const root = roots.filter((one) => isBelow(path, one)).sort((a, b) => b.length - a.length)[0]!
  const words: string[] = []
  let here = root
  for (const name of relative(root, path).split(sep).slice(0, -1)) {
    here = join(here, name)
    words.push('--perms', '0755', '--dir', here)
  }
  return words
}

function isBelow(path: string, directory: string): boolean {
  const way = relative(directory, path)
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`)
}

function entriesOf(directory: string, except: readonly string[] = []): string[] {
  const names = readdirSync(directory).filter((name) => !except.includes(name))
  return names.slice(0, entriesMax).flatMap((name) => {
    const path = join(directory, name)
    const isLink = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()
    return isLink ? ['--symlink', readlinkSync(path), path] : ['--ro-bind-try', path, path]
  })
}
