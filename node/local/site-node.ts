// The local API over the running node: resolves ids, checks who may do what, asks the core by
// events and reads the answers from its tables.

import { sha256Hex, fromHex, toHex } from '../../protocol/base/crypto.ts'
import { parseSealed, verifySealed } from '../../protocol/base/envelope.ts'
import { shaped, integer, jobId, literal, record } from '../../protocol/base/shape.ts'
import type { Hash } from '../../protocol/base/ids.ts'
import { parseHash } from '../../protocol/base/ids.ts'
import { limits } from '../../protocol/base/limits.ts'
import { root } from '../../protocol/base/merkle.ts'
import type { Outcome } from '../../protocol/base/outcome.ts'
import { ok, refuse } from '../../protocol/base/outcome.ts'
import type { Answer } from '../../protocol/machine/effects.ts'
import type { Job, Self } from '../../protocol/machine/state.ts'
import { alarmText } from '../../protocol/machine/quarantine.ts'
import { readJob, userSignerName } from '../../protocol/rules/job.ts'
import { entryKey, ledgerHead } from '../../protocol/rules/ledger-book.ts'
import { formatJoinToken, secretBytes } from '../../protocol/rules/membership.ts'
import { offerAttributes } from '../../protocol/rules/offer.ts'
import { compileRank, compileRequirement } from '../../protocol/rules/requirements.ts'
import type { KeyPair } from '../../protocol/base/crypto.ts'
import { clock } from '../clock.ts'
import { entropy } from '../entropy.ts'
import { inputsOwner, keepInputs } from '../home-work.ts'
import type { NodeInfo, ResultFile } from '../http/api.ts'
import type { ApiReason, ApiRefusal, LocalNode } from '../http/local-node.ts'
import type { LiveLog } from '../ledger/live-log.ts'
import type { SnapshotFiles } from '../ledger/snapshot-files.ts'
import type { Loop } from '../loop.ts'
import type { Network } from '../net/door.ts'
import { messageOf } from '../problem.ts'
import type { Reload } from '../reload.ts'
import type { Serving } from '../serving.ts'
import type { ChunkStore } from '../staging/chunk-store.ts'
import { systemCode } from '../staging/staging-error.ts'
import { exportLedger } from '../store/ledger-export.ts'
import type { Store } from '../store/level.ts'
import { batchRows, resultTree, treeFile } from './batch-view.ts'
import { federationView } from './federation-view.ts'
import { fileBytes, jobEvents, taskLog } from './job-streams.ts'
import type { JobRequests } from './job-requests.ts'
import { logPartsOf } from './job-requests.ts'
import { resultFiles } from './job-results.ts'
import { openRows } from './open-view.ts'
import { jobDetail, jobSummary, tasksOf, whyAnswer } from './job-view.ts'
import { ledgerKeeping } from './ledger-keeping.ts'
import { ledgerNotes } from './ledger-notes.ts'
import { siteLogFile } from './site-log.ts'
import { entryRow, evidenceRows, ledgerSummary, offerRow, peerRows } from './site-view.ts'
import { get, sorted, viewOf } from './tables.ts'
import type { Watchers } from './watchers.ts'

export interface SiteNodeParts {
  readonly self: Self
  readonly loop: Loop
  readonly store: Store
  readonly chunks: ChunkStore
  readonly network: Network
  readonly serving: Serving
  readonly watchers: Watchers
  readonly requests: JobRequests
  readonly logKey: KeyPair
  readonly networkKey: KeyPair
  readonly liveLog: LiveLog
  readonly snapshots: SnapshotFiles
  readonly retentionSeconds: number
  readonly reload: Reload
  info(): Omit<NodeInfo, 'peersUp' | 'peersKnown' | 'federationName'>
}

const requestShape = record({
  verb: literal('cancel'), job: jobId(), at: integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
})
const requestAgeMsMax = 10 * 60_000

type Reason = { ok: false; refusal: ApiRefusal }

function no(reason: ApiReason, detail: string): Reason {
  return refuse({ reason, detail })
}

const answerReasons: Readonly<Record<string, ApiReason>> = {
  not_found: 'not_found', ambiguous: 'ambiguous', too_many_jobs: 'busy', id_taken: 'conflict',
  not_member: 'not_found', bad_dependency: 'malformed',
  queue_unknown: 'malformed', queue_access: 'not_owner', queue_size: 'malformed',
  queue_full: 'busy',
}

function refused(answer: Answer): Reason {
  if (answer.kind !== 'refused') return no('internal', 'the node gave an answer that does not fit')
  return no(answerReasons[answer.code] ?? 'conflict', answer.detail)
}

export function siteNode(parts: SiteNodeParts): LocalNode {
  const { self, loop, chunks, watchers } = parts
  const { tables } = loop

  const jobOf = (id: string): Outcome<Job, ApiRefusal> => {
    const exact = get(tables, 'jobs', id)
    if (exact) return ok(exact)
    const found = sorted(tables, 'jobs').filter(([key]) => key.startsWith(id))
    if (found.length > 1) {
      return no('ambiguous', `${found.length} jobs begin with ${id}; add digits`)
    }
    const only = found[0]
    return only ? ok(only[1]) : no('not_found', `no job ${id} at this site; see gridnode status`)
  }

  return {
    info() {
      const members = tables.get('members')?.size ?? 1
      const head = ledgerHead(viewOf(tables))
      const held = get(tables, 'quarantine', 'own')
      const drained = get(tables, 'drained', 'own')
      return Promise.resolve(ok({
        ...parts.info(),
        federationName: head?.federationName ?? '',
        peersUp: tables.get('links')?.size ?? 0,
        peersKnown: members - 1,
        ...(held && { quarantine: alarmText(held.peer, held.detail) }),
        ...(drained && { drained }),
      }))
    },

    async chunksMissing(hashes) {
      const missing: Hash[] = []
      for (const hash of hashes) if (!(await chunks.has(hash))) missing.push(hash)
      return ok(missing)
    },

    async putChunk(hash, bytes) {
      try {
        await chunks.put(hash, bytes)
        return ok(undefined)
      } catch (error) {
        return stagingRefusal(error)
      }
    },

    submit: (note) => submit(parts, note),

    jobs({ state, user, limit }) {
      const rows = sorted(tables, 'jobs').map(([, job]) => job)
        .filter((job) => state === 'all' || (job.state.kind === 'ended') === (state === 'ended'))
        .filter((job) => user === undefined || job.user === user)
        .sort((a, b) => b.submittedEpochMs - a.submittedEpochMs)
        .slice(0, limit)
      // Looked through once for all jobs: anybody may ask, and there may be very many tasks.
      const all = sorted(tables, 'homeTasks').map(([, task]) => task)
      const tasks = Map.groupBy(all, ({ job }) => job)
      const summaries = rows.map((job) => jobSummary(tables, job, tasks.get(job.id) ?? []))
      return Promise.resolve(ok(summaries))
    },

    job(id) {
      const job = jobOf(id)
      return Promise.resolve(job.ok ? ok(jobDetail(tables, job.value)) : job)
    },

    why(id) {
      const job = jobOf(id)
      return Promise.resolve(job.ok ? ok(whyAnswer(tables, job.value)) : job)
    },

    async cancel(id, note) {
      const job = jobOf(id)
      if (!job.ok) return job
      const allowed = ownerAsked(parts, job.value, note)
      if (allowed) return allowed
      const answer = await watchers.ask((request) =>
        loop.push({ kind: 'cancelRequested', request, job: job.value.id }))
      if (answer.kind !== 'done') return refused(answer)
      return ok(jobDetail(tables, get(tables, 'jobs', job.value.id) ?? job.value))
    },

    ask: (body, isOperator) => parts.requests.ask(body, isOperator),

    events(id, signal) {
      const job = jobOf(id)
      return Promise.resolve(
        job.ok ? ok(jobEvents(tables, watchers, job.value.id, signal)) : job)
    },

    log(id, { task, stream, follow }, signal) {
      const job = jobOf(id)
      if (!job.ok) return Promise.resolve(job)
      const only = onlyTask(parts, job.value, task)
      if (!only.ok) return Promise.resolve(only)
      const asked = { job: job.value.id, task: only.value, stream, follow }
      return Promise.resolve(ok(taskLog(logPartsOf(parts), asked, signal)))
    },

    async results(id) {
      const job = jobOf(id)
      if (!job.ok) return job
      try {
        const found = await resultFiles(tables, chunks, job.value)
        return ok(found.map(({ path, file }): ResultFile =>
          ({ path, sizeBytes: file.sizeBytes, executable: file.executable === 1 })))
      } catch (error) {
        return stagingRefusal(error)
      }
    },

    async resultFile(id, path) {
      const job = jobOf(id)
      if (!job.ok) return job
      const found = (await resultFiles(tables, chunks, job.value)).find((one) => one.path === path)
      if (!found) return no('not_found', `job ${job.value.id} has no result ${path}`)
      const bytes = fileBytes(chunks, found.file)
      return ok({ sizeBytes: found.file.sizeBytes, bytes })
    },

    batch: (query) => Promise.resolve(ok(batchRows(tables, query))),

    async tree(id, task) {
      const job = jobOf(id)
      if (!job.ok) return job
      return resultTree({ tables, chunks }, job.value.id, task).catch(stagingRefusal)
    },

    async treeFile(id, file) {
      const job = jobOf(id)
      if (!job.ok) return job
      return treeFile({ tables, chunks }, job.value.id, file).catch(stagingRefusal)
    },

    offers(where) {
      const compiled = where === undefined ? undefined : compileRequirement(where)
      if (compiled && !compiled.ok) {
        const { position, detail } = compiled.refusal
        return Promise.resolve(no('bad_expression', `at character ${position}: ${detail}`))
      }
      const now = clock.now()
      const rows = sorted(tables, 'offers').flatMap(([, kept]) => {
        const met = compiled?.ok ? compiled.value(offerAttributes(kept.offer)) : ok(true)
        return met.ok && met.value ? [offerRow(tables, self.site, kept, now)] : []
      })
      return Promise.resolve(ok(rows))
    },

    peers: () => Promise.resolve(ok(peerRows(tables, self.site, clock.now()))),

    evidence: () => Promise.resolve(ok(evidenceRows(tables))),

    evidenceDocument(id) {
      const kept = sorted(tables, 'evidence').find(([, { doc }]) => doc === id)?.[1]
      return Promise.resolve(kept ? ok({ id, document: kept.document })
        : no('not_found', `no evidence ${id} is kept here; see gridnode evidence`))
    },

    ledger: () => Promise.resolve(ok(ledgerSummary(tables, self.site))),

    async ledgerEntries({ from, limit }) {
      const rows = []
      const range = parts.store.range('ledgerEntries', entryKey(from), entryKey(from + limit))
      for await (const [key, note] of range) rows.push(entryRow(Number(key), note as string))
      return ok(rows)
    },

    ledgerNotes(from, signal) {
      const below = get(tables, 'pruned', 'own')?.below ?? 0
      if (from < below) {
        return Promise.resolve(no('conflict',
          `entries below ${below} were dropped from this ledger; `
          + `read from ${below} on, or an export that has them`))
      }
      const size = get(tables, 'ledgerHead', 'head')?.frontier.size ?? 0
      return Promise.resolve(ok(ledgerNotes(parts.store, { from, size }, signal)))
    },

    async ledgerExport(directory) {
      try {
        const signed = await parts.liveLog.checkpoint()
        const { snapshots } = parts
        const options = { signed, snapshots }
        const exported = await exportLedger(parts.store, parts.logKey, directory, options)
        const rootHash = toHex(root(signed.head.frontier))
        return ok({ directory, entries: exported.size, rootHash })
      } catch (error) {
        return no('conflict', messageOf(error))
      }
    },

    ...ledgerKeeping(parts),

    siteLogFile: (site, path, signal) => siteLogFile(parts, { site, path, signal }),

    ledgerOpen: () => Promise.resolve(ok(openRows(tables, self.site, clock.now()))),

    async ledgerWord(word) {
      const answer = await watchers.ask((request) =>
        loop.push({ kind: 'wordRequested', request, word }))
      if (answer.kind !== 'spoken') return refused(answer)
      const { sids, detail, note, left } = answer
      return ok({ sids, detail, note, left })
    },

    async reload() {
      const done = parts.reload()
      return done.ok ? done : no('malformed', done.refusal.detail)
    },

    async drain(drain, reason) {
      const answer = await watchers.ask((request) =>
        loop.push({ kind: 'drainRequested', request, drain, reason }))
      return answer.kind === 'done' ? ok({ detail: answer.detail }) : refused(answer)
    },

    async setCredit(site, limit) {
      const answer = await watchers.ask((request) =>
        loop.push({ kind: 'creditRequested', request, site, limit }))
      if (answer.kind !== 'done') return refused(answer)
      const sid = get(tables, 'ledgerDirections', `${self.site}>${site}`)?.sid
      return sid ? ok({ sid }) : no('internal', 'the statement is not on the ledger')
    },

    federation: () => Promise.resolve(ok(federationView(tables, self.site))),

    async setPolicy(policy) {
      return said(await watchers.ask((request) =>
        loop.push({ kind: 'policyRequested', request, policy })))
    },

    async grantAllocation(grant) {
      return said(await watchers.ask((request) =>
        loop.push({ kind: 'grantRequested', request, grant })))
    },

    invite: (validSeconds) => invite(parts, validSeconds),
  }
}

/** A statement that was asked for: its sid is the answer. */
function said(answer: Answer): Outcome<{ sid: Hash }, ApiRefusal> {
  const sid = answer.kind === 'done' ? parseHash(answer.detail) : undefined
  return sid ? ok({ sid }) : refused(answer)
}

async function submit(
  parts: SiteNodeParts, note: string,
): Promise<Outcome<{ job: string; already: boolean }, ApiRefusal>> {
  const { loop, chunks, watchers, self } = parts
  const job = readJob(note)
  if (!job.ok) {
    const { reason, detail } = job.refusal
    return no(reason === 'bad_signature' ? 'bad_signature' : 'malformed', `${reason}: ${detail}`)
  }
  const { document, id } = job.value
  if (document.requirements !== '') {
    const compiled = compileRequirement(document.requirements)
    if (!compiled.ok) {
      const { position, detail } = compiled.refusal
      return no('bad_expression', `requirements, at character ${position}: ${detail}`)
    }
  }
  const rank = document.rank === undefined ? ok(undefined) : compileRank(document.rank)
  if (!rank.ok) {
    const { position, detail } = rank.refusal
    return no('bad_expression', `rank, at character ${position}: ${detail}`)
  }
  for (const site of document.sites) {
    if (site !== self.site && !get(loop.tables, 'members', site)) {
      return no('malformed', `${site} is not a site of this federation; see gridnode peers`)
    }
  }
  const inputs = parseHash(document.inputs)
  if (inputs) {
    try {
      const missing = await keepInputs(chunks, id, inputs)
      if (missing > 0) {
        return no('conflict', `${missing} chunks of the inputs are not here; send them first`)
      }
    } catch (error) {
      return stagingRefusal(error)
    }
  }
  const answer = await watchers.ask((request) =>
    loop.push({ kind: 'jobSubmitted', request, job: job.value }))
  if (answer.kind !== 'submitted') {
    if (!get(loop.tables, 'jobs', id)) await chunks.release(inputsOwner(id))
    return refused(answer)
  }
  return ok({ job: answer.job, already: answer.already })
}

function stagingRefusal(error: unknown): Reason {
  const code = systemCode(error)
  if (code === 'SPOOL_FULL') return no('spool_full', messageOf(error))
  if (code === 'CHUNK_MISSING') return no('conflict', messageOf(error))
  if (code === 'CHUNK_MISMATCH' || code === 'TREE_REFUSED') return no('malformed', messageOf(error))
  throw error
}

/** Undefined when the job's owner signed this request just now. */
function ownerAsked(parts: SiteNodeParts, job: Job, note: string): Reason | undefined {
  const sealed = parseSealed(note, { bytesMax: limits.statementBytes })
  if (!sealed.ok) return no('malformed', `not a signed request: ${sealed.refusal.detail}`)
  const asked = shaped(requestShape, sealed.value.body)
  if (!asked.ok || sealed.value.kind !== 'request') {
    return no('malformed', asked.ok ? 'not a request' : asked.refusal.detail)
  }
  const { document } = get(parts.loop.tables, 'jobNotes', job.id)!
  const verifier = { name: userSignerName(document.user), publicKey: fromHex(document.key)! }
  if (asked.value.job !== job.id || !verifySealed(sealed.value, verifier)) {
    return no('not_owner', `job ${job.id} belongs to ${document.user}, who has another key`)
  }
  const age = Math.abs(clock.now() - asked.value.at)
  return age > requestAgeMsMax ? no('conflict', 'the request is too old; ask again') : undefined
}

function onlyTask(
  parts: SiteNodeParts, job: Job, task: number | undefined,
): Outcome<number, ApiRefusal> {
  const tasks = tasksOf(parts.loop.tables, job.id)
  if (task !== undefined) return ok(task)
  if (job.total === 1) return ok(tasks[0]?.task ?? job.waiting[0]?.[0] ?? 0)
  return no('malformed', `job ${job.id} is an array of ${job.total} tasks; say which with --task N`)
}

async function invite(
  parts: SiteNodeParts, validSeconds: number,
): Promise<Outcome<{ token: string; expiresEpochMs: number }, ApiRefusal>> {
  const { self, loop, watchers } = parts
  const secret = toHex(entropy.randomBytes(secretBytes))
  const expiresEpochMs = clock.now() + validSeconds * 1000
  const answer = await watchers.ask((request) => loop.push({
    kind: 'inviteRequested', request, secretHash: sha256Hex(secret), expiresEpochMs,
  }))
  if (answer.kind !== 'done') return refused(answer)
  const token = formatJoinToken({
    federation: self.federation,
    name: ledgerHead(viewOf(loop.tables))?.federationName ?? '',
    sponsor: self.site,
    key: toHex(parts.networkKey.publicKey),
    addresses: [...parts.network.addresses()].slice(0, 16),
    secret,
    expires: expiresEpochMs,
  })
  return ok({ token, expiresEpochMs })
}
