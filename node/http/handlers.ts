// The routes of the local API: each takes apart one request, asks the node, and says in which form
// the answer goes out. Nothing is decided here.

import { fromHex } from '../../protocol/base/crypto.ts'
import type { Hash } from '../../protocol/base/ids.ts'
import { parseHash, parseSiteName } from '../../protocol/base/ids.ts'
import { limits } from '../../protocol/base/limits.ts'
import type { Outcome } from '../../protocol/base/outcome.ts'
import { ok, refuse } from '../../protocol/base/outcome.ts'
import type { Shape } from '../../protocol/base/shape.ts'
import {
  amount, hash, integer, list, optional, record, shaped, siteName, text,
} from '../../protocol/base/shape.ts'
import { requestBytesMax } from '../../protocol/rules/request.ts'
import { jobNoteBytesMax } from '../../protocol/rules/job.ts'
import { grantNamePattern, witnessesMax } from '../../protocol/rules/statement.ts'
import { apiPaths } from './api.ts'
import { batchPaths } from './batch-api.ts'
import { sitePaths } from './site-api.ts'
import type { ApiRefusal, LocalNode } from './local-node.ts'
import { askShape } from './ask-shape.ts'
import { askPath } from './verb-api.ts'
import { operatorWord, wordShape } from './word-shape.ts'

/** A request whose body is whole and within its bound. */
export interface Call {
  readonly node: LocalNode
  /** What stood in the path's variable place: an id or a hash; empty when it has none. */
  readonly name: string
  readonly query: URLSearchParams
  readonly body: Uint8Array
  /** Whether it came on a socket where one speaks for the whole site. */
  readonly isAdmin: boolean
  /** Fires when the client has gone or the server stops. */
  readonly signal: AbortSignal
}

export type Answer =
  | { readonly kind: 'json'; readonly value: unknown }
  | { readonly kind: 'nothing' }
  /** Newline-delimited JSON. */
  | { readonly kind: 'lines'; readonly items: AsyncIterable<unknown> }
  | {
      readonly kind: 'bytes'
      readonly bytes: AsyncIterable<Uint8Array>
      readonly sizeBytes: number | undefined
    }

type Handled = Promise<Outcome<Answer, ApiRefusal>>

export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT'
  /** With `:id`, `:hash` or `:site` in the variable place. */
  readonly path: string
  readonly bodyBytesMax: number
  /** Names of query parameters; others are refused. */
  readonly query: readonly string[]
  /** Speaks for the whole site: gives credit, admits others, writes files of the node. */
  readonly admin?: true
  handle(call: Call): Handled
}

const id = ':id'
const entriesDefault = 100
const entriesMax = 1_000
const jobsDefault = 100
const jobsMax = 1_000
const batchMax = 10_000
/** More than the longest name of a tile. */
const logPathMax = 128
const inviteSecondsMax = 90 * 86_400

const missingShape = record({ hashes: list(hash(), { max: limits.filesPerManifest }) })
const exportShape = record({ directory: text({ bytesMax: 4_096, pattern: /^\// }) })
/** A sid, or an index. */
const entryPattern = /^([0-9a-f]{64}|0|[1-9][0-9]{0,15})$/
const pruneShape = record({
  below: integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  mirrors: list(text({ bytesMax: 4_096, pattern: /^\// }), { max: 16 }),
  retention_seconds: optional(integer({ min: 0, max: Number.MAX_SAFE_INTEGER })),
})
const drainShape = record({
  drain: integer({ min: 0, max: 1 }), reason: text({ bytesMax: 256 }),
})
const creditShape = record({ site: siteName(), limit: amount() })
const policyShape = record({
  witnesses: list(siteName(), { max: witnessesMax }),
  quorum: integer({ min: 0, max: witnessesMax }),
  authorities: list(siteName(), { max: witnessesMax }),
})
const epochMs = integer({ min: 0, max: 8_640_000_000_000_000 })
const grantShape = record({
  grantee: siteName(),
  name: text({ bytesMax: 63, pattern: grantNamePattern }),
  amount: amount(),
  starts: epochMs,
  until: epochMs,
})
const inviteShape = record({ valid_seconds: integer({ min: 60, max: inviteSecondsMax }) })

export const routes: readonly Route[] = [
  get(apiPaths.info, [], async ({ node }) => json(await node.info())),
  post(apiPaths.chunksMissing, limits.apiBodyBytes, async ({ node, body }) => {
    const asked = readJson(missingShape, body)
    if (!asked.ok) return asked
    const missing = await node.chunksMissing(asked.value.hashes)
    return missing.ok ? json(ok({ missing: missing.value })) : missing
  }),
  {
    method: 'PUT',
    path: apiPaths.chunk(':hash'),
    bodyBytesMax: limits.chunkBytes,
    query: [],
    async handle({ node, name, body }) {
      const named = readHash(name)
      if (!named.ok) return named
      const put = await node.putChunk(named.value, body)
      return put.ok ? ok({ kind: 'nothing' }) : put
    },
  },
  post(apiPaths.jobs, jobNoteBytesMax, async ({ node, body }) => {
    const note = readText(body)
    return note.ok ? json(await node.submit(note.value)) : note
  }),
  get(apiPaths.jobs, ['state', 'user', 'limit'], async ({ node, query }) => {
    const state = oneOf(query, 'state', ['open', 'ended', 'all'])
    if (!state.ok) return state
    const limit = count(query, 'limit', { min: 1, max: jobsMax, otherwise: jobsDefault })
    if (!limit.ok) return limit
    const user = query.get('user') ?? undefined
    return json(await node.jobs({ state: state.value, user, limit: limit.value }))
  }),
  job(apiPaths.job(id), async ({ node, name }) => json(await node.job(name))),
  job(apiPaths.why(id), async ({ node, name }) => json(await node.why(name))),
  {
    ...job(apiPaths.cancel(id), async ({ node, name, body }) => {
      const note = readText(body)
      return note.ok ? json(await node.cancel(name, note.value)) : note
    }),
    method: 'POST',
    bodyBytesMax: limits.statementBytes,
  },
  {
    ...post(askPath, 2 * requestBytesMax, async ({ node, body, query, isAdmin }) => {
      const operator = oneOf(query, 'operator', ['0', '1'])
      if (!operator.ok) return operator
      const asked = readJson(askShape, body)
      if (!asked.ok) return asked
      if (operator.value === '1' && !isAdmin) {
        const detail = 'only who may open the administrator\'s socket asks as an operator'
        return refuse({ reason: 'not_admin', detail })
      }
      return json(await node.ask(asked.value, operator.value === '1'))
    }),
    query: ['operator'],
  },
  job(apiPaths.events(id), async ({ node, name, signal }) => {
    const items = await node.events(name, signal)
    return items.ok ? ok({ kind: 'lines', items: items.value }) : items
  }),
  {
    ...job(apiPaths.log(id), async ({ node, name, query, signal }) => {
      const stream = oneOf(query, 'stream', ['stdout', 'stderr'])
      if (!stream.ok) return stream
      const follow = oneOf(query, 'follow', ['0', '1'])
      if (!follow.ok) return follow
      const task = count(query, 'task', { min: 0, max: limits.taskNumberMax, otherwise: undefined })
      if (!task.ok) return task
      const asked = { task: task.value, stream: stream.value, follow: follow.value === '1' }
      const bytes = await node.log(name, asked, signal)
      return bytes.ok ? ok({ kind: 'bytes', bytes: bytes.value, sizeBytes: undefined }) : bytes
    }),
    query: ['task', 'stream', 'follow'],
  },
  job(apiPaths.results(id), async ({ node, name }) => json(await node.results(name))),
  {
    ...job(apiPaths.resultFile(id), async ({ node, name, query, signal }) => {
      const path = query.get('path') ?? ''
      if (path === '' || Buffer.byteLength(path) > limits.pathBytes + 16) {
        return malformed('expected ?path= with the path of a result as the list of results has it')
      }
      const file = await node.resultFile(name, path, signal)
      return file.ok ? ok({ kind: 'bytes', ...file.value }) : file
    }),
    query: ['path'],
  },
  get(batchPaths.batch, ['jobs', 'state', 'user', 'limit'], async ({ node, query }) => {
    const named = query.get('jobs')?.split(',')
    if (named && (named.length > jobsMax || !named.every((one) => /^[0-9a-f]{12}$/.test(one)))) {
      return malformed(`expected ?jobs= with at most ${jobsMax} whole ids, 12 of 0-9 and a-f each`)
    }
    const state = oneOf(query, 'state', ['open', 'all'])
    if (!state.ok) return state
    const limit = count(query, 'limit', { min: 1, max: batchMax, otherwise: jobsMax })
    if (!limit.ok) return limit
    const user = query.get('user') ?? undefined
    return json(await node.batch({ jobs: named, state: state.value, user, limit: limit.value }))
  }),
  {
    ...job(batchPaths.tree(id), async ({ node, name, query }) => {
      const task = taskOf(query)
      return task.ok ? json(await node.tree(name, task.value)) : task
    }),
    query: ['task'],
  },
  {
    ...job(batchPaths.treeFile(id), async ({ node, name, query, signal }) => {
      const task = taskOf(query)
      if (!task.ok) return task
      const path = query.get('path') ?? ''
      if (path === '' || Buffer.byteLength(path) > limits.pathBytes) {
        return malformed('expected ?path= with the path of a file as the tree has it')
      }
      const file = await node.treeFile(name, { task: task.value, path }, signal)
      return file.ok ? ok({ kind: 'bytes', ...file.value }) : file
    }),
    query: ['task', 'path'],
  },
  get(apiPaths.offers, ['where'], async ({ node, query }) =>
    json(await node.offers(query.get('where') ?? undefined))),
  get(apiPaths.peers, [], async ({ node }) => json(await node.peers())),
  get(apiPaths.ledger, [], async ({ node }) => json(await node.ledger())),
  get(apiPaths.ledgerEntries, ['from', 'limit'], async ({ node, query }) => {
    const from = count(query, 'from', { min: 0, max: Number.MAX_SAFE_INTEGER, otherwise: 0 })
    if (!from.ok) return from
    const limit = count(query, 'limit', { min: 1, max: entriesMax, otherwise: entriesDefault })
    if (!limit.ok) return limit
    return json(await node.ledgerEntries({ from: from.value, limit: limit.value }))
  }),
  get(apiPaths.ledgerNotes, ['from'], async ({ node, query, signal }) => {
    const from = count(query, 'from', { min: 0, max: Number.MAX_SAFE_INTEGER, otherwise: 0 })
    if (!from.ok) return from
    const items = await node.ledgerNotes(from.value, signal)
    return items.ok ? ok({ kind: 'lines', items: items.value }) : items
  }),
  get(apiPaths.ledgerReceipt, ['entry'], async ({ node, query }) => {
    const entry = query.get('entry') ?? ''
    if (entryPattern.test(entry)) return json(await node.ledgerReceipt(entry))
    return malformed('expected ?entry= with a statement\'s sid or the index of its entry')
  }),
  {
    ...get(apiPaths.ledgerDigest, ['day'], async ({ node, query }) => {
      const day = count(query, 'day', { min: 0, max: 100_000_000, otherwise: undefined })
      if (!day.ok) return day
      if (day.value === undefined) return malformed('expected ?day= with days since 1970')
      return json(await node.ledgerDigest(day.value))
    }),
    admin: true,
  },
  {
    ...get(apiPaths.ledgerDocuments, ['job'], async ({ node, query }) => {
      const name = query.get('job') ?? ''
      if (/^[0-9a-f]{4,12}$/.test(name)) return json(await node.ledgerDocuments(name))
      return malformed('expected ?job= with 4 to 12 of 0-9 and a-f')
    }),
    admin: true,
  },
  admin(apiPaths.ledgerSnapshot, limits.statementBytes, async ({ node, body }) => {
    const asked = readJson(record({}), body)
    return asked.ok ? json(await node.ledgerSnapshot()) : asked
  }),
  admin(apiPaths.ledgerPrune, 16 * limits.statementBytes, async ({ node, body }) => {
    const asked = readJson(pruneShape, body)
    if (!asked.ok) return asked
    const { below, mirrors, retention_seconds: retentionSeconds } = asked.value
    return json(await node.ledgerPrune({ below, mirrors, retentionSeconds }))
  }),
  get(apiPaths.ledgerPair(':site'), [], async ({ node, name }) => {
    const site = parseSiteName(name)
    return site ? json(await node.ledgerPair(site)) : malformed('expected the name of a site')
  }),
  admin(apiPaths.ledgerExport, limits.statementBytes, async ({ node, body }) => {
    const asked = readJson(exportShape, body)
    return asked.ok ? json(await node.ledgerExport(asked.value.directory)) : asked
  }),
  get(apiPaths.siteLogFile(':site'), ['path'], async ({ node, name, query, signal }) => {
    const site = parseSiteName(name)
    if (!site) return malformed('expected the name of a site in the path')
    const path = query.get('path') ?? ''
    if (path === '' || path.length > logPathMax) {
      return malformed('expected ?path= with checkpoint, or a tile as tlog-tiles names it')
    }
    const file = await node.siteLogFile(site, path, signal)
    return file.ok ? ok({ kind: 'bytes', ...file.value }) : file
  }),
  get(apiPaths.federation, [], async ({ node }) => json(await node.federation())),
  admin(apiPaths.policy, limits.statementBytes, async ({ node, body }) => {
    const asked = readJson(policyShape, body)
    return asked.ok ? json(await node.setPolicy(asked.value)) : asked
  }),
  admin(apiPaths.grants, limits.statementBytes, async ({ node, body }) => {
    const asked = readJson(grantShape, body)
    return asked.ok ? json(await node.grantAllocation(asked.value)) : asked
  }),
  get(apiPaths.evidence, [], async ({ node }) => json(await node.evidence())),
  get(apiPaths.evidenceDocument(':hash'), [], async ({ node, name }) => {
    const named = readHash(name)
    return named.ok ? json(await node.evidenceDocument(named.value)) : named
  }),
  get(apiPaths.ledgerOpen, [], async ({ node }) => json(await node.ledgerOpen())),
  admin(apiPaths.ledgerWord, limits.statementBytes, async ({ node, body }) => {
    const asked = readJson(wordShape, body)
    return asked.ok ? json(await node.ledgerWord(operatorWord(asked.value))) : asked
  }),
  admin(sitePaths.reload, limits.statementBytes, async ({ node }) => json(await node.reload())),
  admin(sitePaths.drain, limits.statementBytes, async ({ node, body }) => {
    const asked = readJson(drainShape, body)
    return asked.ok ? json(await node.drain(asked.value.drain === 1, asked.value.reason)) : asked
  }),
  admin(apiPaths.credit, limits.statementBytes, async ({ node, body }) => {
    const asked = readJson(creditShape, body)
    return asked.ok ? json(await node.setCredit(asked.value.site, asked.value.limit)) : asked
  }),
  admin(apiPaths.invites, limits.statementBytes, async ({ node, body }) => {
    const asked = readJson(inviteShape, body)
    return asked.ok ? json(await node.invite(asked.value.valid_seconds)) : asked
  }),
]

type Handle = (call: Call) => Handled

function get(path: string, query: readonly string[], handle: Handle): Route {
  return { method: 'GET', path, bodyBytesMax: 0, query, handle }
}

function post(path: string, bodyBytesMax: number, handle: Handle): Route {
  return { method: 'POST', path, bodyBytesMax, query: [], handle }
}

function admin(path: string, bodyBytesMax: number, handle: Handle): Route {
  return { ...post(path, bodyBytesMax, handle), admin: true }
}

/** A GET about one job, whose id has been checked for shape. */
function job(path: string, handle: Handle): Route {
  return get(path, [], async (call) => {
    if (/^[0-9a-f]{4,12}$/.test(call.name)) return handle(call)
    const came = JSON.stringify(call.name.slice(0, 64))
    return malformed(`expected a job's id, 4 to 12 of 0-9 and a-f, got ${came}`)
  })
}

function taskOf(query: URLSearchParams): Outcome<number, ApiRefusal> {
  return count(query, 'task', { min: 0, max: limits.taskNumberMax, otherwise: 0 })
}

function malformed(detail: string): { readonly ok: false; readonly refusal: ApiRefusal } {
  return refuse({ reason: 'malformed', detail })
}

function json(value: Outcome<unknown, ApiRefusal>): Outcome<Answer, ApiRefusal> {
  return value.ok ? ok({ kind: 'json', value: value.value }) : value
}

function readHash(name: string): Outcome<Hash, ApiRefusal> {
  const named = fromHex(name) && parseHash(name)
  if (named) return ok(named)
  return malformed('expected a chunk\'s hash, 64 of 0-9 and a-f, in the path')
}

function readText(body: Uint8Array): Outcome<string, ApiRefusal> {
  try {
    return ok(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body))
  } catch {
    return malformed('expected UTF-8 text, got other bytes')
  }
}

function readJson<T>(shape: Shape<T>, body: Uint8Array): Outcome<T, ApiRefusal> {
  const read = readText(body)
  if (!read.ok) return read
  let value: unknown
  try {
    value = JSON.parse(read.value)
  } catch (error) {
    const why = error instanceof Error ? error.message : ''
    return malformed(`expected JSON: ${why.slice(0, 200)}`)
  }
  const decoded = shaped(shape, value)
  return decoded.ok ? decoded : malformed(decoded.refusal.detail)
}

/** A parameter with a fixed set of values; the first is the default. */
function oneOf<const Word extends string>(
  query: URLSearchParams, name: string, words: readonly [Word, ...Word[]],
): Outcome<Word, ApiRefusal> {
  const came = query.get(name) ?? words[0]
  const found = words.find((word) => word === came)
  if (found !== undefined) return ok(found)
  const got = JSON.stringify(came.slice(0, 64))
  return malformed(`expected ${name} to be ${words.join(' or ')}, got ${got}`)
}

function count<Otherwise extends number | undefined>(
  query: URLSearchParams,
  name: string,
  range: { readonly min: number; readonly max: number; readonly otherwise: Otherwise },
): Outcome<number | Otherwise, ApiRefusal> {
  const came = query.get(name)
  if (came === null) return ok(range.otherwise)
  const value = /^(0|[1-9][0-9]{0,15})$/.test(came) ? Number(came) : -1
  if (value >= range.min && value <= range.max) return ok(value)
  const expected = `a whole number from ${range.min} to ${range.max}`
  return malformed(`expected ${name} to be ${expected}, got ${JSON.stringify(came.slice(0, 64))}`)
}
