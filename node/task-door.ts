// What a home may look at and do in a task of its job that runs here: list and read the files of
// its directory, and have the owner's own process beside it.
//
// Invariants: nothing outside the task's directory is read, no link is followed; a process is begun
// only by a request that the owner of the job has signed, once; sessions, their time, and what they
// hold of output are bounded; none outlives the task.

import { fromBase64, toBase64 } from '../protocol/base/crypto.ts'
import { decode, encode } from '../protocol/base/encoding.ts'
import type { SiteName, TrancheId } from '../protocol/base/ids.ts'
import { limits } from '../protocol/base/limits.ts'
import { integer, literal, record, shaped, text, trancheId, union } from '../protocol/base/shape.ts'
import { taskKey } from '../protocol/machine/state.ts'
import type { Exec } from '../protocol/rules/request.ts'
import { readExec, requestAgeMsMax, requestBytesMax } from '../protocol/rules/request.ts'
import { clock } from './clock.ts'
import { get } from './local/tables.ts'
import type { Loop } from './loop.ts'
import { messageOf } from './problem.ts'
import type { Driver } from './scheduler/driver.ts'
import type { Piped } from './scheduler/exec.ts'
import { spawnPiped } from './scheduler/exec.ts'
import type { Workspace } from './staging/workspace.ts'

export interface TaskDoorParts {
  readonly loop: Loop
  readonly workspace: Workspace
  readonly driver: Pick<Driver, 'enter'>
}

export interface TaskDoor {
  isAsked(request: string): boolean
  answer(from: SiteName, request: string): Promise<string>
  stop(): void
}

/** Before a request for a task; the others between nodes have other beginnings. */
export const taskMark = 'gridnode/task\n'

const count = integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const askedShape = union('kind', {
  look: record({
    kind: literal('look'),
    tranche: trancheId(),
    task: integer({ min: 0, max: limits.taskNumberMax }),
    /** '' is the directory itself. */
    path: text({ bytesMax: limits.pathBytes }),
    offset: count,
  }),
  exec: record({
    kind: literal('exec'),
    tranche: trancheId(),
    task: integer({ min: 0, max: limits.taskNumberMax }),
    /** The owner's signed request. */
    note: text({ bytesMax: requestBytesMax }),
    /** From which byte of the output on. */
    offset: count,
  }),
})

const lookBytesMax = 256 * 1024
const sessionsMax = 64
const sessionsPerHome = 16
const sessionsPerTask = 4
/** Input that the process has not read yet; what comes then is asked for again. */
const unreadBytesMax = 1024 * 1024
/** Output that nobody has fetched; then the process waits. */
const heldBytesMax = 1024 * 1024
/** So long a request waits for output before it says that there is none; less where one types. */
const waitMs = 1_000
const typingWaitMs = 80
/** A session that nobody asks for. */
const idleMs = 60_000
const sweepMs = 1_000
const spentMax = 100_000

interface Session {
  /** Of the owner and of what he calls it: others may have heard of the latter. */
  readonly key: string
  readonly home: SiteName
  readonly tranche: TrancheId
  readonly task: number
  process: Piped | undefined
  output: Buffer
  /** Bytes of output that were fetched and dropped. */
  dropped: number
  taken: number
  code: number | undefined
  lastAskedMs: number
  readonly waitMs: number
  wake: (() => void) | undefined
}

type Said = Readonly<Record<string, string | number>>

export function openTaskDoor({ loop, workspace, driver }: TaskDoorParts): TaskDoor {
  const sessions = new Map<string, Session>()
  /** Those that are over, as long as their first request could come again. */
  const spent = new Map<string, number>()
  // What was over before that is not remembered.
  const openedMs = clock.now()

  const runs = (tranche: TrancheId, task: number): boolean =>
    get(loop.tables, 'hostTasks', taskKey(tranche, task))?.state === 'running'

  const drop = (session: Session): void => {
    session.process?.kill()
    sessions.delete(session.key)
    spent.set(session.key, clock.monotonicMs())
  }

  const sweeper = clock.every(sweepMs, () => {
    const now = clock.monotonicMs()
    for (const session of sessions.values()) {
      const isOver = !runs(session.tranche, session.task)
      if (isOver) session.process?.kill()
      if (now - session.lastAskedMs > idleMs) drop(session)
    }
    for (const [key, at] of spent) if (now - at > 2 * requestAgeMsMax) spent.delete(key)
  })

  const begin = async (
    session: Session, { command, terminal, rows, columns }: Exec,
  ): Promise<string | undefined> => {
    if (!driver.enter) return 'nobody can be let into the tasks of this scheduler'
    const entered = await driver.enter(session.tranche, session.task, clock.deadline(waitMs * 10))
    if (!entered.ok) return entered.refusal.words
    if (sessions.get(session.key) !== session) return 'this host is about to stop'
    const { words, environment, cwd } = entered.value
    const argv = terminal === 1 ? onTerminal(command, { rows, columns }) : command
    session.process = spawnPiped([...words, ...argv], {
      env: { ...environment, TERM: terminal === 1 ? 'xterm' : 'dumb' },
      cwd,
      onOutput(bytes) {
        session.output = Buffer.concat([session.output, bytes])
        if (session.output.length >= heldBytesMax) session.process?.pause()
        session.wake?.()
      },
      onExit(code) {
        session.code = code
        session.wake?.()
      },
    })
    return undefined
  }

  const sessionOf = async (
    asked: { key: string; home: SiteName; tranche: TrancheId; task: number },
    { exec, at }: { exec: Exec; at: number },
  ): Promise<Session | string> => {
    if (spent.has(asked.key)) return 'this session is over'
    if (exec.command.length === 0) return 'there is no such session; it may have been idle too long'
    if (at < openedMs) return 'this host has started since that was asked; ask again'
    const open = [...sessions.values()]
    const ofTask = open.filter(({ tranche, task }) =>
      tranche === asked.tranche && task === asked.task)
    const ofHome = open.filter(({ home }) => home === asked.home)
    if (sessions.size >= sessionsMax || ofTask.length >= sessionsPerTask ||
      ofHome.length >= sessionsPerHome || spent.size >= spentMax) {
      return `${ofTask.length} sessions are open in this task, ${ofHome.length} of ` +
        `${asked.home}; end one, or try again later`
    }
    const session: Session = {
      ...asked, process: undefined, output: Buffer.alloc(0), dropped: 0,
      taken: 0, code: undefined, lastAskedMs: clock.monotonicMs(), wake: undefined,
      waitMs: exec.terminal === 1 ? typingWaitMs : waitMs,
    }
    sessions.set(session.key, session)
    const why = await begin(session, exec).catch(messageOf)
    if (why === undefined) return session
    drop(session)
    return why
  }

  const exec = async (
    tranche: TrancheId, { note, offset, task }: { note: string; offset: number; task: number },
  ): Promise<Said> => {
    const known = get(loop.tables, 'hostTranches', tranche)
    const job = known && get(loop.tables, 'hostJobs', known.contract)
    if (!known || !job) return over()
    const { key } = job.document
    const read = readExec(note, { key, home: known.home, nowMs: clock.now() })
    if (!read.ok) return refused(read.refusal.detail)
    const { exec: asked, job: id } = read.value
    const isMeant = id !== '' && job.job.startsWith(id) && asked.task === task
    const name = `${key}/${asked.session}`
    const open = sessions.get(name)
    if (!isMeant || (open && (open.tranche !== tranche || open.task !== task))) {
      return refused('it is for another task')
    }
    if (!open && !runs(tranche, task)) return refused('it does not run now')
    const session = open ?? await sessionOf(
      { key: name, home: known.home, tranche, task }, read.value)
    if (typeof session === 'string') return refused(session)
    session.lastAskedMs = clock.monotonicMs()
    takeInput(session, asked)
    return fetched(session, offset, drop)
  }

  return {
    isAsked: (request) => request.startsWith(taskMark),
    async answer(from, request) {
      const value = decode(request.slice(taskMark.length), { bytesMax: 2 * requestBytesMax })
      const asked = value.ok ? shaped(askedShape, value.value) : value
      if (!asked.ok) return encode(refused(asked.refusal.detail))
      const { tranche, task } = asked.value
      if (get(loop.tables, 'hostTranches', tranche)?.home !== from) return encode(over())
      try {
        if (asked.value.kind === 'exec') return encode(await exec(tranche, asked.value))
        const { path, offset } = asked.value
        const directory = workspace.directory(tranche, task)
        return encode(await look(workspace, directory, { path, offset }))
      } catch (error) {
        return encode(refused(messageOf(error)))
      }
    },
    stop() {
      sweeper.stop()
      for (const session of sessions.values()) session.process?.kill()
      sessions.clear()
    },
  }
}

function over(): Said {
  return { kind: 'over' }
}

function refused(detail: string): Said {
  return { kind: 'refused', detail: detail.slice(0, 500) }
}

/** Each byte once, however often a request comes. */
function takeInput(session: Session, { input, before, end }: Exec): void {
  const bytes = fromBase64(input)
  const { process } = session
  if (!bytes || !process || session.code !== undefined) return
  if (process.unreadBytes() >= unreadBytesMax) return
  const fresh = bytes.subarray(Math.max(0, session.taken - before))
  if (before <= session.taken && fresh.length > 0) {
    process.write(fresh)
    session.taken = before + bytes.length
  }
  if (end === 1 && session.taken === before + bytes.length) process.closeInput()
}

/** What was written from `offset` on; waits a little while there is nothing. */
async function fetched(
  session: Session, offset: number, drop: (session: Session) => void,
): Promise<Said> {
  const begin = Math.max(0, offset - session.dropped)
  session.output = session.output.subarray(Math.min(begin, session.output.length))
  session.dropped = Math.max(session.dropped, offset)
  if (session.output.length < heldBytesMax) session.process?.resume()
  if (session.output.length === 0 && session.code === undefined) {
    await new Promise<void>((resolve) => {
      const timer = clock.after(session.waitMs, resolve)
      session.wake = () => {
        timer.stop()
        resolve()
      }
    })
    session.wake = undefined
  }
  const bytes = session.output.subarray(0, lookBytesMax)
  const isAll = bytes.length === session.output.length
  const ended = session.code !== undefined && isAll
  // The last word may be lost on its way: it is kept until nobody asks any more.
  if (ended && bytes.length === 0) drop(session)
  return {
    kind: 'session', bytes: toBase64(bytes), taken: session.taken, over: ended ? 1 : 0,
    code: session.code ?? 0,
  }
}

/** `script` (util-linux) gives the command a terminal of its own. */
function onTerminal(
  command: readonly string[], { rows, columns }: { rows: number; columns: number },
): readonly string[] {
  const size = rows > 0 && columns > 0 ? `stty rows ${rows} cols ${columns} 2>/dev/null; ` : ''
  const words = command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
  return ['script', '-qefc', `${size}exec ${words}`, '/dev/null']
}

async function look(
  workspace: Workspace, directory: string, at: { path: string; offset: number },
): Promise<Said> {
  const { path, offset } = at
  const seen = await workspace.look(directory, path, { offset, bytesMax: lookBytesMax })
  if (seen.kind === 'directory') {
    const entries = JSON.stringify(seen.entries)
    return { kind: 'directory', entries }
  }
  return { kind: 'file', bytes: toBase64(seen.bytes), size: seen.sizeBytes }
}
