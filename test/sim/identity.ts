// Sites of the simulator with their keys, and how they come into a federation: the founder opens
// its ledger, the others ask a running member to admit them, as a real node does. Keys are the
// same for every seed: nothing decides by them, and checking new ones takes long.

import { keyPairFromSeed, sha256, toHex } from '../../protocol/base/crypto.ts'
import type { KeyPair } from '../../protocol/base/crypto.ts'
import type { FederationId, SiteName } from '../../protocol/base/ids.ts'
import { parseSiteName } from '../../protocol/base/ids.ts'
import type { Signer } from '../../protocol/base/note.ts'
import type { Outcome } from '../../protocol/base/outcome.ts'
import type { Write } from '../../protocol/base/tables.ts'
import { draft } from '../../protocol/base/tables.ts'
import type { CoreTables } from '../../protocol/machine/state.ts'
import type { LedgerSigner } from '../../protocol/rules/ledger.ts'
import {
  admitMember, logPublic, openLedger, sealFederation, sealGenesis,
} from '../../protocol/rules/ledger.ts'
import { readJoinAnswer } from '../../protocol/rules/membership.ts'
import type { SiteKeys } from '../../protocol/rules/statement.ts'
import { rootSigner, statementSigner, witnessSignerName } from '../../protocol/rules/statement.ts'

export interface Identity {
  readonly site: SiteName
  readonly root: KeyPair
  readonly log: KeyPair
  readonly keys: SiteKeys
  readonly signer: LedgerSigner
  readonly witness: Signer
  readonly addresses: readonly string[]
}

export interface Founded {
  readonly federation: FederationId
  readonly note: string
  readonly writes: readonly Write[]
}

const pairs = new Map<string, KeyPair>()

export function keyFor(name: string, use: string): KeyPair {
  const named = `${name} ${use}`
  let pair = pairs.get(named)
  if (!pair) pairs.set(named, (pair = keyPairFromSeed(sha256(named))))
  return pair
}

export function must<T, R>(outcome: Outcome<T, R>): T {
  if (outcome.ok) return outcome.value
  throw new Error(`refused: ${JSON.stringify(outcome.refusal, (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value)}`)
}

export function identityOf(index: number): Identity {
  const name = `site-${'abcdefgh'[index] ?? index}.example`
  const site = parseSiteName(name)
  if (!site) throw new Error(`not a site name: ${name}`)
  const publicOf = (use: string): string => toHex(keyFor(name, use).publicKey)
  return {
    site,
    root: keyFor(name, 'root'),
    log: keyFor(name, 'log'),
    keys: {
      log: publicOf('log'),
      statement: publicOf('statement'),
      witness: publicOf('witness'),
      network: publicOf('network'),
    },
    signer: {
      site, epoch: 1, statement: statementSigner(site, 1, keyFor(name, 'statement')),
    },
    witness: { name: witnessSignerName(site, 1), key: keyFor(name, 'witness') },
    addresses: [`/ip4/192.0.${2 + (index >> 7)}.${(index & 127) + 1}/tcp/7700`],
  }
}

export function genesisOf(of: Identity, fed: FederationId, at: number): string {
  const { site, keys, root } = of
  return must(sealGenesis(rootSigner(site, root), { fed, site, keys, at })).note
}

/** The founder's first records. */
export function found(founder: Identity, nonce: string, at: number): Founded {
  const { site, root, addresses } = founder
  const sealed = must(sealFederation(rootSigner(site, root), {
    name: 'simulated', founder: site, nonce, at,
  }))
  const genesis = genesisOf(founder, sealed.sid, at)
  const view = draft<CoreTables>(new Map())
  must(openLedger(view, site, { federation: sealed.note, genesis }))
  view.put('federationNote', 'own', sealed.note)
  view.put('members', site, { site, genesis, policy: '', addresses, renewals: [] })
  return { federation: sealed.sid, note: sealed.note, writes: view.writes() }
}

/** A newcomer's first records, from the answer to its request to join. */
export function join(of: Identity, genesis: string, encoded: string): readonly Write[] {
  const { federation, members } = must(readJoinAnswer(encoded))
  const view = draft<CoreTables>(new Map())
  must(openLedger(view, of.site, { federation, genesis }))
  view.put('federationNote', 'own', federation)
  let waiting = members
  for (let learnt = true; learnt && waiting.length > 0;) {
    const left = waiting.filter((member) => {
      const notes = { genesis: member.genesis, ...(member.policy && { policy: member.policy }) }
      const admitted = admitMember(view, of.site, notes)
      if (!admitted.ok) return true
      view.put('members', admitted.value.site, { site: admitted.value.site, ...member })
      for (const note of member.renewals) must(logPublic(view, of.site, note))
      return false
    })
    learnt = left.length < waiting.length
    waiting = left
  }
  if (waiting.length > 0) throw new Error(`${waiting.length} members could not be admitted`)
  return view.writes()
}
