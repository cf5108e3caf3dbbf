// What is asked of a job by its owner or an operator: at this site, or passed on to the job's home
// over the members' connections. Who passes it on is not trusted: the home reads the owner's
// signature, and takes the note from the site alone that it names [ASK-1].
//
// Invariants: whoever may not ask is told what one is told whose job is not there [ASK-3]; answers,
// questions, their rate and their time are bounded.

import { toBase64 } from '../../protocol/base/crypto.ts'
import { decode, encode } from '../../protocol/base/encoding.ts'
import type { JobId, SiteName } from '../../protocol/base/ids.ts'
import { compareBytes, parseSiteName } from '../../protocol/base/ids.ts'
import { limits } from '../../protocol/base/limits.ts'
import type { Outcome } from '../../protocol/base/outcome.ts'
import { ok, refuse } from '../../protocol/base/outcome.ts'
import { record, shaped, text } from '../../protocol/base/shape.ts'
import type { Job } from '../../protocol/machine/state.ts'
import { taskKey } from '../../protocol/machine/state.ts'
import type { JobRequest, RequestRefusal } from '../../protocol/rules/request.ts'
import { isVerb, readRequest, requestBytesMax } from '../../protocol/rules/request.ts'
import { clock } from '../clock.ts'
import type { ApiReason, ApiRefusal } from '../http/local-node.ts'
import { apiStatus } from '../http/local-node.ts'
import { argsShape, listMax } from '../http/ask-shape.ts'
import type { AskAnswer, AskArgs, AskBody } from '../http/verb-api.ts'
import type { Loop } from '../loop.ts'
import type { Network } from '../net/door.ts'
import { openRate } from '../net/rate.ts'
import { askMark } from '../serving.ts'
import { taskMark } from '../task-door.ts'
import { messageOf } from '../problem.ts'
import type { Serving } from '../serving.ts'
import type { ChunkStore } from '../staging/chunk-store.ts'
import { fileBytes, taskLog } from './job-streams.ts'
import type { LogParts } from './job-streams.ts'
import { resultFiles } from './job-results.ts'
import { jobDetail, jobSummary, whyAnswer } from './job-view.ts'
import { get } from './tables.ts'
import type { Watchers } from './watchers.ts'

export interface RequestParts {
  readonly self: { readonly site: SiteName }
  readonly loop: Loop
  readonly chunks: ChunkStore
  readonly network: Pick<Network, 'request' | 'peersUp' | 'isUp'>
  readonly serving: Pick<Serving, 'request'>
  readonly watchers: Watchers
  /** Public keys in hexadecimal: theirs is every job of this site. */
  readonly operators: ReadonlySet<string>
}

type Asked = Promise<Outcome<AskAnswer, ApiRefusal>>

export interface JobRequests {
  /** From the local API; `isOperator`: by whom the administrator's socket is open to. */
  ask(body: AskBody, isOperator: boolean): Asked
  /** From another site; a text each way. */
  answer(from: SiteName, question: string): Promise<string>
}

const bytesMax = 256 * 1024
const scriptCharactersMax = 64 * 1024
const askTimeoutMs = 30_000
const peekTimeoutMs = 10_000
const locateTimeoutMs = 5_000
const locateAtOnce = 8
const locateMax = 256
const asksPerMinute = 1_200
const questionBytesMax = 2 * requestBytesMax

/** Where the output of tasks is read: here, or at the host that runs them. */
export function logPartsOf(
  { self, loop, chunks, serving, network }: Pick<
    RequestParts, 'self' | 'loop' | 'chunks' | 'serving' | 'network'
  >,
): LogParts {
  return {
    tables: loop.tables,
    site: self.site,
    store: chunks,
    peekLocal: (_, request) => serving.request(self.site, request),
    peekRemote: ({ host }, request, stop) =>
      network.request(host, request, { timeoutMs: peekTimeoutMs, signal: stop }),
  }
}

const reasons: Readonly<Record<RequestRefusal['reason'], ApiReason>> = {
  malformed: 'malformed', bad_signature: 'bad_signature', too_old: 'conflict',
  not_here: 'malformed',
}

export function jobRequests(parts: RequestParts): JobRequests {
  const { self, network } = parts
  const rate = openRate(asksPerMinute, limits.sitesMax)
  return {
    async ask({ site, note, args }, isOperator) {
      if (site === self.site) return answerHere(parts, { note, args, from: self.site, isOperator })
      if (site === '') return locate(parts, note)
      const to = parseSiteName(site)
      if (!to || !get(parts.loop.tables, 'members', to)) {
        return no('not_found', `${site} is not a site of this federation; see gridnode peers`)
      }
      if (!network.isUp(to)) return no('peer_down', `${to} is not connected now; try again later`)
      return passOn(parts, to, { note, args }, askTimeoutMs)
    },

    async answer(from, question) {
      if (!rate.allow(from)) return JSON.stringify(no('busy', 'too many requests; slow down'))
      const answered = await answerHere(parts, { ...readQuestion(question), from })
      return JSON.stringify(answered)
    },
  }
}

function no(reason: ApiReason, detail: string): Outcome<never, ApiRefusal> {
  return refuse({ reason, detail })
}

function readQuestion(question: string): { note: string; args: AskArgs } {
  const shape = record({ note: text({ bytesMax: requestBytesMax }), args: argsShape })
  try {
    if (question.length > questionBytesMax) return { note: '', args: {} }
    const read = shaped(shape, JSON.parse(question.slice(askMark.length)))
    return read.ok ? read.value : { note: '', args: {} }
  } catch {
    return { note: '', args: {} }
  }
}

async function passOn(
  parts: RequestParts, to: SiteName, question: { note: string; args: AskArgs }, timeoutMs: number,
): Asked {
  try {
    const text = askMark + JSON.stringify(question)
    const answer: unknown = JSON.parse(await parts.network.request(to, text, { timeoutMs }))
    return readAnswer(to, answer)
  } catch (error) {
    return no('peer_down', `${to} did not answer: ${messageOf(error)}`)
  }
}

/** Nothing that another site says is taken as it is. */
function readAnswer(from: SiteName, answer: unknown): Outcome<AskAnswer, ApiRefusal> {
  const said = (answer ?? {}) as {
    ok?: unknown; value?: AskAnswer; refusal?: { reason?: unknown; detail?: unknown }
  }
  if (said.ok === true && said.value?.kind === 'value') return ok(said.value)
  if (said.ok === true && said.value?.kind === 'bytes') return ok(said.value)
  const { reason, detail } = said.refusal ?? {}
  const isKnown = typeof reason === 'string' && Object.hasOwn(apiStatus, reason)
  if (!isKnown || typeof detail !== 'string') return no('peer_down', `${from} gave no answer`)
  return no(reason as ApiReason, detail.slice(0, 1_000))
}

/** Asks the members that are connected, a few at a time; the home alone says yes, to the owner. */
async function locate(parts: RequestParts, note: string): Asked {
  const here = await answerHere(parts, { note, args: {}, from: parts.self.site })
  if (here.ok || here.refusal.reason !== 'not_found') return here
  const sites = parts.network.peersUp().slice(0, locateMax)
  const members = (parts.loop.tables.get('members')?.size ?? 1) - 1
  let found: AskAnswer | undefined
  const next = async (): Promise<void> => {
    for (let site = sites.shift(); site && !found; site = sites.shift()) {
      const answer = await passOn(parts, site, { note, args: {} }, locateTimeoutMs)
      if (answer.ok) found = answer.value
    }
  }
  const asked = sites.length
  await Promise.all(Array.from({ length: locateAtOnce }, next))
  if (found) return ok(found)
  const away = asked < members ? `; ${members - asked} others are not connected now` : ''
  return no('not_found', `no job of yours by that id is here or at the ${asked} sites that were ` +
    `asked${away}. With JOB@SITE its home is asked directly`)
}

interface Question {
  readonly note: string
  readonly args: AskArgs
  readonly from: SiteName
  readonly isOperator?: boolean
}

async function answerHere(parts: RequestParts, question: Question): Asked {
  const { tables } = parts.loop
  const { site } = parts.self
  const read = readRequest(question.note, { site, from: question.from, nowMs: clock.now() })
  if (!read.ok) return no(reasons[read.refusal.reason], read.refusal.detail)
  const request = read.value
  const isOperator = question.isOperator === true || parts.operators.has(request.key)
  if (request.verb === 'list') return ok(value(listOf(parts, request, question.args)))
  const job = jobFor(parts, request, isOperator)
  if (!job.ok) return job
  if (isVerb(request.verb)) return act(parts, job.value, request)
  switch (request.verb) {
    case 'locate': return ok(value({ site, job: job.value.id }))
    case 'status': return ok(value(shortDetail(parts, job.value)))
    case 'why': return ok(value(whyAnswer(tables, job.value)))
    case 'peek': case 'exec': return taskPiece(parts, job.value, request, question)
    case 'logs': return logPiece(parts, job.value, question.args)
    default: return resultPiece(parts, job.value, question.args)
  }
}

function value(of: unknown): AskAnswer {
  return { kind: 'value', value: of }
}

/** What travels is bounded: of a long script its beginning. */
function shortDetail({ loop: { tables } }: RequestParts, job: Job) {
  const detail = jobDetail(tables, job)
  return { ...detail, script: detail.script.slice(0, scriptCharactersMax) }
}

/** [ASK-3] Among the jobs that one may ask for; the others are as if they were not there. */
function jobFor(
  { loop: { tables } }: RequestParts, { job: word, key }: JobRequest, isOperator: boolean,
): Outcome<Job, ApiRefusal> {
  // Any member may ask, with any key: what there is is gone through, not put in order.
  const mine: Job[] = []
  for (const id of tables.get('jobs')?.keys() ?? []) {
    if (word === '' || !id.startsWith(word)) continue
    if (!isOperator && get(tables, 'jobNotes', id)?.document.key !== key) continue
    mine.push(get(tables, 'jobs', id)!)
  }
  const [only] = mine
  if (mine.length > 1) return no('ambiguous', `${mine.length} jobs begin with ${word}; add digits`)
  return only ? ok(only) : no('not_found', `no job ${word} that you may ask for is known here`)
}

function listOf(
  { loop: { tables } }: RequestParts, { key }: JobRequest, { state = 'all', limit }: AskArgs,
) {
  return [...tables.get('jobs')?.keys() ?? []]
    .filter((id) => get(tables, 'jobNotes', id)?.document.key === key)
    .map((id) => get(tables, 'jobs', id)!)
    .filter((job) => state === 'all' || (job.state.kind === 'ended') === (state === 'ended'))
    .sort((a, b) => b.submittedEpochMs - a.submittedEpochMs || compareBytes(a.id, b.id))
    .slice(0, limit ?? listMax)
    .map((job) => jobSummary(tables, job))
}

const verbReasons: Readonly<Record<string, ApiReason>> = {
  not_found: 'not_found', busy: 'busy', malformed: 'malformed',
}

async function act(parts: RequestParts, job: Job, asked: JobRequest): Asked {
  const { loop, watchers } = parts
  const answer = await watchers.ask((request) =>
    loop.push({ kind: 'verbRequested', request, job: job.id, asked }))
  if (answer.kind === 'refused') {
    return no(verbReasons[answer.code] ?? 'conflict', answer.detail)
  }
  if (answer.kind !== 'done') return no('internal', 'the node gave an answer that does not fit')
  const now = get(loop.tables, 'jobs', job.id) ?? job
  return ok(value({ detail: answer.detail, job: shortDetail(parts, now) }))
}

/** What is asked of a running task goes on to its host. */
async function taskPiece(
  parts: RequestParts, job: Job, request: JobRequest, { note, args }: Question,
): Asked {
  const { self, loop, network, serving } = parts
  const { exec } = request
  const number = exec?.task ?? args.task ?? (job.total === 1 ? onlyTask(parts, job.id) : undefined)
  if (number === undefined) {
    const detail = `job ${job.id} is an array of ${job.total} tasks; say which with --task N`
    return no('malformed', detail)
  }
  const task = get(loop.tables, 'homeTasks', taskKey(job.id, number))
  if (!task || task.state !== 'running') {
    const state = task?.state ?? 'waiting'
    return no('conflict', `task ${number} of job ${job.id} does not run now: it is ${state}`)
  }
  const offset = args.offset ?? 0
  const asked = request.verb === 'exec'
    ? { kind: 'exec', tranche: task.tranche, task: number, note, offset }
    : { kind: 'look', tranche: task.tranche, task: number, path: args.path ?? '', offset }
  const text = taskMark + encode(asked)
  try {
    const answer = task.host === self.site ? await serving.request(self.site, text)
      : await network.request(task.host, text, { timeoutMs: askTimeoutMs })
    return readTaskAnswer(answer)
  } catch (error) {
    return no('peer_down', `${task.host} did not answer: ${messageOf(error)}`)
  }
}

function readTaskAnswer(answer: string): Outcome<AskAnswer, ApiRefusal> {
  const read = decode(answer, { bytesMax: 1024 * 1024 })
  const said = (read.ok ? read.value : {}) as Readonly<Record<string, unknown>>
  if (said['kind'] === 'refused') return no('conflict', String(said['detail']).slice(0, 500))
  if (said['kind'] === 'over') return no('conflict', 'the task has ended at its host')
  return ok(value(said))
}

async function logPiece(parts: RequestParts, job: Job, args: AskArgs): Asked {
  const { task, stream = 'stdout', offset = 0 } = args
  const number = task ?? (job.total === 1 ? onlyTask(parts, job.id) : undefined)
  if (number === undefined) {
    const detail = `job ${job.id} is an array of ${job.total} tasks; say which with --task N`
    return no('malformed', detail)
  }
  const asked = { job: job.id, task: number, stream, follow: false, offset }
  const over = isTaskOver(parts, job.id, number)
  const pieces = taskLog(logPartsOf(parts), asked, clock.deadline(askTimeoutMs))
  const { bytes, end } = await firstBytes(pieces)
  return ok({ kind: 'bytes', bytes: toBase64(bytes), end: end && over })
}

function onlyTask({ loop: { tables } }: RequestParts, id: JobId): number {
  const found = /^[0-9]+/.exec(get(tables, 'jobNotes', id)?.document.tasks ?? '')
  return Number(found?.[0] ?? 0)
}

function isTaskOver({ loop: { tables } }: RequestParts, id: JobId, task: number): boolean {
  const job = get(tables, 'jobs', id)
  const key = `${id}/${String(task).padStart(9, '0')}`
  const state = get(tables, 'homeTasks', key)?.state ?? ''
  return job?.state.kind === 'ended' || ['done', 'failed', 'cancelled'].includes(state)
}

async function resultPiece(parts: RequestParts, job: Job, { path, offset }: AskArgs): Asked {
  const { loop: { tables }, chunks } = parts
  const found = await resultFiles(tables, chunks, job)
  if (path === undefined) {
    return ok(value(found.map(({ path: name, file }) =>
      ({ path: name, sizeBytes: file.sizeBytes, executable: file.executable === 1 }))))
  }
  const one = found.find((result) => result.path === path)
  if (!one) return no('not_found', `job ${job.id} has no result ${path}`)
  const { bytes, end } = await firstBytes(fileBytes(chunks, one.file, offset ?? 0))
  return ok({ kind: 'bytes', bytes: toBase64(bytes), end })
}

/** As much as travels in one answer, and whether that was all. */
async function firstBytes(
  pieces: AsyncIterable<Uint8Array>,
): Promise<{ readonly bytes: Uint8Array; readonly end: boolean }> {
  const parts: Uint8Array[] = []
  let size = 0
  for await (const piece of pieces) {
    parts.push(piece.subarray(0, bytesMax - size))
    const left = bytesMax - size
    size += Math.min(piece.length, left)
    if (piece.length > left || size === bytesMax) return { bytes: Buffer.concat(parts), end: false }
  }
  return { bytes: Buffer.concat(parts), end: true }
}
