// Replays of homes whose allocations pay: what a restored home has lost does not refuse it, what it
// may have left out does, and no log fills the memory.

import type { SiteName } from '../../protocol/base/ids.ts'
import { toHex } from '../../protocol/base/crypto.ts'
import { root } from '../../protocol/base/merkle.ts'
import { encodeBundle, parseTilePath, tileWidth } from '../../protocol/base/tiles.ts'
import type { PayerBounds, PayerHead, PayerReplays } from '../../node/ledger/replay-payer.ts'
import { openPayerReplays, payerBounds } from '../../node/ledger/replay-payer.ts'
import { entryKey, ledgerHead } from '../../protocol/rules/ledger-book.ts'
import { directionOf, logPublic, openEpoch, sealGenesis } from '../../protocol/rules/ledger.ts'
import type { LedgerSigner } from '../../protocol/rules/ledger.ts'
import { rootSigner, statementSigner } from '../../protocol/rules/statement.ts'
import { assert, suite } from '../harness.ts'
import type { TestSite } from '../rules/ledger-sites.ts'
import {
  credits, federation, hashOf, hear, keyFor, must, say, start, step, tell, view,
} from '../rules/ledger-sites.ts'

const t = suite('replays of payers')

/** Serves the entries of the site that `log` names at that moment. */
function replaysOf(
  log: { at: TestSite }, bounds: PayerBounds = payerBounds,
): PayerReplays {
  return openPayerReplays({
    async *fetch(_site: SiteName, header: string) {
      const { path } = JSON.parse(header) as { path: string }
      const tile = parseTilePath(path)
      if (!tile) throw new Error(`not a tile: ${path}`)
      const from = tile.index * tileWidth
      const entries = Array.from({ length: tile.width }, (_, at) =>
        Buffer.from(view(log.at).get('ledgerEntries', entryKey(from + at)) ?? ''))
      yield Uint8Array.of(1)
      yield encodeBundle(entries)
    },
  }, bounds)
}

function headOf(at: TestSite, closedBy: readonly SiteName[] = []): PayerHead {
  const head = ledgerHead(view(at))
  if (!head) throw new Error('an open ledger')
  const { frontier, epoch } = head
  return { size: frontier.size, root: toHex(root(frontier)), epoch, closedBy }
}

function grow(at: TestSite, to: TestSite, entries: number, limit = 1): void {
  for (let n = 0; n < entries; n++) {
    say(at, { kind: 'credit', to: to.name, at: start, limit: credits(limit + n) })
  }
}

const never = new AbortController().signal

t('a home that was put back and went on otherwise is replayed from the start', async () => {
  const [home, host] = federation('home.example', 'host.example') as [TestSite, TestSite]
  const [restored, other] = federation('home.example', 'host.example') as [TestSite, TestSite]
  const log = { at: home }
  const payers = replaysOf(log)
  grow(home, host, 300)
  assert.equal(await payers.upTo(home.name, headOf(home), never), { holds: true, detail: '' })
  log.at = restored
  grow(restored, other, 305, 1_000)
  assert.equal(await payers.upTo(home.name, headOf(restored), never), { holds: true, detail: '' })
  // What was cosigned is not what it gives.
  const wrong = await payers.upTo(home.name, { ...headOf(restored), root: '00'.repeat(32) }, never)
  assert.equal(wrong.holds, false)
  assert.match(wrong.detail, /not the one that was cosigned/)
})

t('a log that breaks a rule is refused from then on', async () => {
  const [home, host] = federation('home.example', 'host.example') as [TestSite, TestSite]
  const log = { at: home }
  const payers = replaysOf(log)
  grow(home, host, 3)
  const head = headOf(home)
  const size = head.size - 1
  const entries = home.tables.get('ledgerEntries') as Map<string, unknown>
  const last = entries.get(entryKey(size))
  entries.set(entryKey(size), entries.get(entryKey(size - 1)))
  assert.match((await payers.upTo(home.name, head, never)).detail, /in the log already/)
  entries.set(entryKey(size), last)
  assert.equal((await payers.upTo(home.name, head, never)).holds, false)
})

t('books of a size that no honest home has are not kept in memory', async () => {
  const [home, host] = federation('home.example', 'host.example') as [TestSite, TestSite]
  const payers = replaysOf({ at: home }, { recordsMax: 12, allRecordsMax: 20 })
  for (let n = 0; n < 20; n++) {
    say(home, { kind: 'digest', to: '*', at: start, day: n, count: 0, root: hashOf('day') })
  }
  grow(home, host, 1)
  assert.match((await payers.upTo(home.name, headOf(home), never)).detail, /more than 12 records/)
})

t('who begins anew pays nobody with an allocation before all have closed', async () => {
  const [home, host, third] = federation('home.example', 'host.example', 'third.example') as
    [TestSite, TestSite, TestSite]
  const payers = replaysOf({ at: home })
  grow(home, host, 2)
  const statement = keyFor(home.name, 'statement 2')
  const genesis = must(sealGenesis(rootSigner(home.name, home.root), {
    fed: ledgerHead(view(home))?.federation as never, site: home.name, at: start,
    keys: {
      ...home.keys, statement: toHex(statement.publicKey),
      log: toHex(keyFor(home.name, 'log 2').publicKey),
    },
    after: { epoch: 1, genesis: view(home).get('ledgerMembers', home.name)?.genesis as never,
      closes: [] },
  })).note
  must(step(home, (v) => openEpoch(v, home.name, genesis)))
  const signer: LedgerSigner = {
    site: home.name, epoch: 2, statement: statementSigner(home.name, 2, statement),
  }
  const again: TestSite = { ...home, signer }
  const close = (from: TestSite): void => {
    must(step(from, (v) => logPublic(v, from.name, genesis)))
    const [theirs, ours] = [
      directionOf(view(home), home.name, from.name), directionOf(view(from), from.name, home.name),
    ]
    // What the home had said and lost is not asked here: both hold the same.
    for (const [key, note] of view(home).entries('ledgerEntries')) {
      if (Number(key) > 3 && note.includes(`"to":"${from.name}"`)) must(hear(from, home, note))
    }
    tell(from, again, {
      kind: 'reconcile', to: home.name, at: start, side: 'close', epoch: 2, ends: theirs.e,
      received: theirs.n, last: theirs.sid, issued: ours.n, own: ours.sid,
    })
  }
  const closedBy = [host.name, third.name]
  close(host)
  const early = await payers.upTo(home.name, headOf(home, closedBy), never)
  assert.match(early.detail, /third\.example has not closed/)
  close(third)
  assert.equal((await payers.upTo(home.name, headOf(home, closedBy), never)).holds, true)
})
