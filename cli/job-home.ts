// The way to a job's home: this node, or another site of the federation through it. Elsewhere a job
// is found and looked at with requests that its owner signs, each for one home and for the way
// through this node alone.

import type { JobDetail, NodeInfo } from '../node/http/api.ts'
import { apiPaths } from '../node/http/api.ts'
import type { AskAnswer, AskArgs, AskBody, Located, VerbAnswer } from '../node/http/verb-api.ts'
import { askPath } from '../node/http/verb-api.ts'
import { fromBase64, toHex } from '../protocol/base/crypto.ts'
import type { SiteName } from '../protocol/base/ids.ts'
import type { JobRequest } from '../protocol/rules/request.ts'
import { signRequest } from '../protocol/rules/request.ts'
import type { Client, Query } from './client.ts'
import type { Context } from './command.ts'
import { CommandFailure, exitCodes, failure } from './failure.ts'
import type { JobName } from './job-word.ts'
import { jobName } from './job-word.ts'
import { freshNonce, openUser } from './user-key.ts'

export interface JobHome {
  readonly name: JobName
  /** The whole id. */
  readonly job: string
  readonly site: string
  readonly detail: JobDetail
  /** Its client answers for this job as the node does for its own. */
  readonly context: Context
  /** Says it again later. */
  look(): Promise<JobDetail>
}

type Wish = Partial<Pick<JobRequest, 'tasks' | 'signal' | 'sites' | 'change' | 'exec'>>

const followMs = 1_000

/** Throws what the node says of a job that is not known, or not one's own. */
export async function homeOf(context: Context, word: string | undefined): Promise<JobHome> {
  const name = jobName(word)
  const client = context.client()
  if (name.site === undefined) {
    const here = await unlessUnknown(client.get<JobDetail>(apiPaths.job(name.id)))
    if (!(here instanceof CommandFailure)) {
      const look = (): Promise<JobDetail> => client.get<JobDetail>(apiPaths.job(here.job))
      return { name, job: here.job, site: '', detail: here, context, look }
    }
    const found = await located(context, name.id, here)
    return elsewhere(context, { ...name, id: found.job, site: found.site })
  }
  const { site } = await client.get<NodeInfo>(apiPaths.info)
  if (site === name.site) return homeOf(context, bare(name))
  return elsewhere(context, { ...name, site: name.site })
}

function bare({ id, tasks }: JobName): string {
  return tasks === undefined ? id : `${id}[${tasks}]`
}

/** The node's word that it knows no such job is returned; whatever else it refuses, thrown. */
export async function unlessUnknown<T>(answer: Promise<T>): Promise<T | CommandFailure> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof CommandFailure && error.code === 'not_found') return error
    throw error
  }
}

async function located(context: Context, id: string, here: CommandFailure): Promise<Located> {
  try {
    return await valueOf<Located>(context, { site: '', verb: 'locate', job: id })
  } catch (error) {
    // A federation of one, or a job that nobody knows: what the node itself said is better.
    const isUnknown = error instanceof CommandFailure && error.exitCode === exitCodes.failed
    throw isUnknown && error.code !== 'not_found' ? error : here
  }
}

async function elsewhere(
  context: Context, name: JobName & { readonly site: string },
): Promise<JobHome> {
  const { site, id } = name
  const look = (): Promise<JobDetail> =>
    valueOf<JobDetail>(context, { site, verb: 'status', job: id })
  const detail = await look()
  const client = remoteClient(context, { site, job: detail.job })
  const there = { ...context, client: () => client }
  return { name, job: detail.job, site, detail, context: there, look }
}

interface Question {
  readonly site: string
  readonly verb: JobRequest['verb']
  readonly job: string
  readonly wish?: Wish
  readonly args?: AskArgs
  readonly nonce?: string
  readonly isOperator?: boolean
}

/** Signs and asks; throws the refusal. */
async function ask(context: Context, question: Question): Promise<AskAnswer> {
  const client = context.client()
  const { name: user, signer } = openUser(context.terminal)
  const { site: via } = await client.get<NodeInfo>(apiPaths.info)
  const home = question.site === '' && question.verb !== 'locate' ? via : question.site
  const note = signRequest({
    verb: question.verb,
    job: question.job,
    user,
    key: toHex(signer.key.publicKey),
    home,
    via: via as SiteName,
    at: context.terminal.nowEpochMs(),
    nonce: question.nonce ?? freshNonce(),
    ...question.wish,
  }, signer)
  const body: AskBody = { site: home, note, args: question.args ?? {} }
  return client.post<AskAnswer>(question.isOperator ? `${askPath}?operator=1` : askPath, body)
}

async function valueOf<T>(context: Context, question: Question): Promise<T> {
  const answer = await ask(context, question)
  if (answer.kind !== 'value') throw malformed(question.site)
  return answer.value as T
}

function malformed(site: string): CommandFailure {
  return failure('malformed', `${site} gave an answer that does not fit; is it another version?`)
}

/** What the home of a job is asked to do; the same nonce does nothing more. */
export async function askVerb(
  context: Context, home: Pick<JobHome, 'job' | 'site'>,
  wish: Wish & {
    readonly verb: JobRequest['verb']; readonly nonce: string; readonly isOperator: boolean
  },
): Promise<VerbAnswer> {
  const { verb, nonce, isOperator, ...rest } = wish
  const { job, site } = home
  return valueOf<VerbAnswer>(context, { site, verb, job, nonce, isOperator, wish: rest })
}

/** Of a task that runs: its files, or a process beside it. */
export async function askTask<T>(
  context: Context, home: Pick<JobHome, 'job' | 'site'>,
  question: { readonly verb: 'peek' | 'exec'; readonly wish?: Wish; readonly args: AskArgs },
): Promise<T> {
  return valueOf<T>(context, { site: home.site, job: home.job, ...question })
}

/** The jobs of this user whose home is another site. */
export function jobsAt<T>(context: Context, site: string, args: AskArgs): Promise<T> {
  return valueOf<T>(context, { site, verb: 'list', job: '', args })
}

interface Remote {
  readonly site: string
  readonly job: string
}

/** As the node's own client, for one job of another site. */
function remoteClient(context: Context, at: Remote): Client {
  const own = context.client()
  const look = <T>(verb: 'status' | 'why' | 'fetch'): Promise<T> =>
    valueOf<T>(context, { ...at, verb })
  return {
    ...own,
    async get<Answer>(path: string, query?: Query): Promise<Answer> {
      switch (path) {
        case apiPaths.job(at.job): return look<Answer>('status')
        case apiPaths.why(at.job): return look<Answer>('why')
        case apiPaths.results(at.job): return look<Answer>('fetch')
        default: return own.get<Answer>(path, query)
      }
    },
    async *bytes(path, query, signal) {
      if (path === apiPaths.log(at.job)) yield* logOf(context, at, query ?? {}, signal)
      else if (path === apiPaths.resultFile(at.job)) {
        yield* piecesOf(context, at, { verb: 'fetch', args: { path: String(query?.['path']) } })
      } else yield* own.bytes(path, query, signal)
    },
  }
}

async function* logOf(
  context: Context, at: Remote, query: Query, signal: AbortSignal | undefined,
): AsyncIterable<Uint8Array> {
  const task = query['task'] === undefined ? {} : { task: Number(query['task']) }
  const stream = query['stream'] === 'stderr' ? 'stderr' : 'stdout'
  const follow = String(query['follow']) === '1'
  const args = { ...task, stream } as const
  yield* piecesOf(context, at, { verb: 'logs', args, follow, signal })
}

async function* piecesOf(
  context: Context, at: Remote,
  asked: {
    readonly verb: 'logs' | 'fetch'
    readonly args: AskArgs
    readonly follow?: boolean
    readonly signal?: AbortSignal | undefined
  },
): AsyncIterable<Uint8Array> {
  const { verb, args, follow = verb === 'fetch', signal } = asked
  let offset = 0
  for (;;) {
    signal?.throwIfAborted()
    const answer = await ask(context, { ...at, verb, args: { ...args, offset } })
    if (answer.kind !== 'bytes') throw malformed(at.site)
    const bytes = fromBase64(answer.bytes)
    if (!bytes) throw malformed(at.site)
    offset += bytes.length
    if (bytes.length > 0) yield bytes
    if (answer.end || (bytes.length === 0 && !follow)) return
    if (bytes.length === 0) await context.terminal.sleep(followMs, signal)
  }
}
