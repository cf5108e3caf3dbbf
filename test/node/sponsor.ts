// A sponsor for tests of joining: the data directory of a founder, its real core stepped in memory,
// and a real network that answers requests to join.

import { join } from 'node:path'
import { toHex } from '../../protocol/base/crypto.ts'
import type { FederationId, SiteName } from '../../protocol/base/ids.ts'
import { applyWrites } from '../../protocol/base/tables.ts'
import type { Tables } from '../../protocol/base/tables.ts'
import { microcredits } from '../../protocol/base/units.ts'
import type { Answer } from '../../protocol/machine/effects.ts'
import type { Event } from '../../protocol/machine/events.ts'
import type { Self } from '../../protocol/machine/state.ts'
import { coldTables } from '../../protocol/machine/state.ts'
import { step } from '../../protocol/machine/step.ts'
import { formatJoinToken, secretHashOf } from '../../protocol/rules/membership.ts'
import type { JoinToken } from '../../protocol/rules/membership.ts'
import { statementSigner, witnessSignerName } from '../../protocol/rules/statement.ts'
import { clock } from '../../node/clock.ts'
import { init } from '../../node/enrol.ts'
import { entropy } from '../../node/entropy.ts'
import { readKeys, runningKeyUses } from '../../node/identity.ts'
import { startNetwork } from '../../node/net/network.ts'
import { openStore } from '../../node/store/level.ts'
import type { Context } from '../harness.ts'

export interface Sponsor {
  readonly site: SiteName
  readonly federation: FederationId
  readonly tables: Tables
  readonly addresses: readonly string[]
  /** Requests that came, as they came. */
  readonly requests: string[]
  /** Replaces the answer to the next requests; undefined puts the real one back. */
  meddle: ((answer: string) => string) | undefined
  invite(changes?: Partial<JoinToken>): string
  stop(): Promise<void>
}

export const listen = ['/ip4/127.0.0.1/tcp/0']

export async function startSponsor(ctx: Context, name: string): Promise<Sponsor> {
  const directory = join(ctx.tmp(), 'sponsor')
  const { federation, site } = await init({ directory, site: name, found: 'test', listen })
  if (!federation) throw new Error('init founded nothing')
  const keys = readKeys(directory, runningKeyUses)
  const store = await openStore(join(directory, 'db'))
  const tables = await store.loadAll()
  await store.close()
  const self = selfOf(site, federation, keys.statement)
  const happen = (event: Record<string, unknown>): Answer | undefined => {
    const stepped = step(self, tables, { at: clock.now(), request: 'r', ...event } as Event)
    applyWrites(tables, stepped.writes, coldTables)
    for (const effect of stepped.effects) if (effect.kind === 'answer') return effect.answer
    return undefined
  }
  const requests: string[] = []
  const network = await startNetwork({
    site,
    networkSecret: keys.network.secretKey,
    listen,
    members: [],
    federation,
    onMessage() {},
    onPeer() {},
    onGossip: () => 'ignore',
    onRequest: async () => '',
    // oxlint-disable-next-line require-yield
    async *onFetch() {
      throw new Error('nothing to fetch here')
    },
    async onJoin(request) {
      requests.push(request)
      const told = happen({ kind: 'joinRequested', encoded: request })
      if (told?.kind === 'joined') return sponsor.meddle?.(told.encoded) ?? told.encoded
      if (told?.kind !== 'refused') throw new Error('the core gave no answer')
      const { code, detail } = told
      throw Object.assign(new Error(detail), { code: code.replaceAll('_', '-') })
    },
  })
  const addresses = network.addresses()
  happen({ kind: 'started', addresses })
  let stopped: Promise<void> | undefined
  const sponsor: Sponsor = {
    site,
    federation,
    tables,
    addresses,
    requests,
    meddle: undefined,
    invite(changes = {}) {
      const secret = toHex(entropy.randomBytes(16))
      const expires = clock.now() + 3_600_000
      const secretHash = secretHashOf(secret)
      happen({ kind: 'inviteRequested', secretHash, expiresEpochMs: expires })
      const key = toHex(keys.network.publicKey)
      const token = { federation, name: 'test', sponsor: site, key, addresses, secret, expires }
      return formatJoinToken({ ...token, ...changes })
    },
    stop: () => (stopped ??= network.stop()),
  }
  ctx.after(() => sponsor.stop())
  return sponsor
}

function selfOf(
  site: SiteName, federation: FederationId, key: Parameters<typeof statementSigner>[2],
): Self {
  const none = microcredits(0n)
  return {
    site,
    federation,
    signer: { site, epoch: 1, statement: statementSigner(site, 1, key) },
    witness: { name: witnessSignerName(site, 1), key },
    scheduler: 'fake',
    tariff: {
      task: none, coreHour: none, gibHour: none, speedPermille: 1_000, loadFactorMaxPermille: 1_000,
    },
    market: {
      windowMs: 100, bidValidSeconds: 10, leaseSeconds: 60, acceptSeconds: 60,
      interimSeconds: 900, exposurePermille: 500, autoPermille: 0, arbiter: '',
      awardSeconds: 10,
      shortlistSites: 4, queueAheadPermille: 0, roundRetryMsMin: 100, roundRetryMsMax: 1_000,
    },
    credit: { defaultLimit: microcredits(5n), limits: new Map() },
    offers: { validSeconds: 60, heartbeatMs: 10_000 },
    attributes: [],
    keepResultsSeconds: 60,
    jobsOpenMax: 1_000,
    draining: false,
  }
}
