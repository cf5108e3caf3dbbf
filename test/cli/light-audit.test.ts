// The light audit of one counterparty: what it reads, what it proves, and each way in which the
// other log can be another one.

import { lightAudit } from '../../cli/verify/light-audit.ts'
import type { LightParts, LightReport } from '../../cli/verify/light-audit.ts'
import { openLiveLog } from '../../node/ledger/live-log.ts'
import { toHex } from '../../protocol/base/crypto.ts'
import { root } from '../../protocol/base/merkle.ts'
import { entryKey, openHead, pairKey } from '../../protocol/rules/ledger-book.ts'
import { directionOf, pairState } from '../../protocol/rules/ledger-pairs.ts'
import { logOrigin } from '../../protocol/rules/statement.ts'
import { assert, suite } from '../harness.ts'
import type { Context } from '../harness.ts'
import { exportOf, memoryFiles, readingStore } from '../rules/ledger-exports.ts'
import type { Files } from '../rules/ledger-exports.ts'
import type { TestSite } from '../rules/ledger-sites.ts'
import { credits, federation, say, start, tell, view } from '../rules/ledger-sites.ts'

const t = suite('light audit')

function reconcile(left: TestSite, right: TestSite): void {
  const { e, n, sid } = directionOf(view(left), left.name, right.name)
  const direction = `${left.name}>${right.name}`
  const state = pairState(view(left), left.name, right.name, { direction, counted: { e, n, sid } })
  const offer = tell(left, right, {
    kind: 'reconcile', side: 'offer', to: right.name, at: start, issued: n,
    received: directionOf(view(left), right.name, left.name).n, state,
  })
  tell(right, left, {
    kind: 'reconcile', side: 'agree', to: left.name, at: start, reconcile: offer.sid,
  })
}

function chatter(from: TestSite, to: TestSite, count: number): void {
  for (let limit = 1; limit <= count; limit++) {
    tell(from, to, { kind: 'credit', to: to.name, at: start, limit: credits(limit) })
  }
}

interface World {
  readonly own: TestSite
  readonly peer: TestSite
  readonly parts: (files: Files, more?: Partial<LightParts>) => LightParts
}

function world(): World {
  const [own, peer] = federation('own.example', 'peer.example') as [TestSite, TestSite]
  const parts: World['parts'] = (files, more = {}) => {
    const { federation: fed, frontier } = openHead(view(own))
    const agreed = view(own).get('ledgerReconciled', pairKey(own.name, peer.name))
    return {
      pair: {
        own: own.name, site: peer.name, origin: logOrigin(peer.name, fed, 1),
        logKey: toHex(peer.log.publicKey),
        ...(agreed && { reconciled: { sid: agreed.sid, index: agreed.index } }),
      },
      async* own(from) {
        for (let index = from; index < frontier.size; index++) {
          yield { index, note: own.tables.get('ledgerEntries')!.get(entryKey(index)) as string }
        }
      },
      files: memoryFiles('peer', files),
      receipt: () => Promise.resolve(undefined),
      ...more,
    }
  }
  return { own, peer, parts }
}

function headOf(at: TestSite): { size: number, root: string } {
  const { frontier } = openHead(view(at))
  return { size: frontier.size, root: toHex(root(frontier)) }
}

function withHead(parts: LightParts, head: { size: number, root: string }): LightParts {
  return { ...parts, pair: { ...parts.pair, head } }
}

function held({ verdict, findings }: LightReport): unknown[] {
  return [verdict, findings]
}

t('reads what is new and proves the rest by a few hashes', async (ctx) => {
  const { own, peer, parts } = world()
  chatter(peer, own, 700)
  const head = headOf(peer)
  reconcile(own, peer)
  chatter(own, peer, 20)
  chatter(peer, own, 30)
  const files = await exportOf(peer, ctx.tmp())
  const read = new Set<string>()
  const counted = withHead(parts(files, {
    files: { name: 'peer', read: async (path, max) => {
      read.add(path)
      return files.get(path)?.subarray(0, max + 1)
    } },
  }), head)
  const report = await lightAudit(counted)
  assert.equal(held(report), ['holds', []])
  // The agreement is the first after the offer.
  assert.equal([report.compared, report.underWay, report.linked], [51, 0, true])
  assert.ok(report.read <= 256 + 55, `it has read ${report.read} of ${report.size}`)
  assert.ok([...read].filter((path) => path.startsWith('tile/entries/')).length <= 2)
})

t('without a reconciliation from the beginning', async (ctx) => {
  const { own, peer, parts } = world()
  chatter(peer, own, 5)
  const report = await lightAudit(parts(await exportOf(peer, ctx.tmp())))
  assert.equal(held(report), ['holds', []])
  assert.equal([report.compared, report.since, report.linked], [5, undefined, false])
})

t('what is under way is no fault', async (ctx) => {
  const { own, peer, parts } = world()
  reconcile(own, peer)
  say(own, { kind: 'credit', to: peer.name, at: start, limit: credits(1) })
  say(peer, { kind: 'credit', to: own.name, at: start, limit: credits(1) })
  const report = await lightAudit(parts(await exportOf(peer, ctx.tmp())))
  assert.equal(held(report), ['holds', []])
  assert.equal(report.underWay, 2)
})

t('a statement that its own log lacks is found', async (ctx) => {
  const { own, peer, parts } = world()
  reconcile(own, peer)
  const files = await exportOf(peer, ctx.tmp())
  chatter(peer, own, 1)
  const report = await lightAudit(parts(files))
  assert.equal(report.verdict, 'broken')
  assert.match(report.findings[0]!, /lacks its own statement/)
})

t('a second history is found by the head that was shown', async (ctx) => {
  const { own, peer, parts } = world()
  const twin = { ...peer, tables: new Map([...peer.tables].map(([k, v]) => [k, new Map(v)])) }
  chatter(peer, own, 3)
  const head = headOf(peer)
  for (let limit = 1; limit <= 9; limit++) {
    say(twin, { kind: 'credit', to: own.name, at: start + limit, limit: credits(limit) })
  }
  const report = await lightAudit(withHead(parts(await exportOf(twin, ctx.tmp())), head))
  assert.equal(report.verdict, 'broken')
  assert.match(report.findings[0]!, /does not continue/)
})

t('an older head than was shown, another key and another log are found', async (ctx) => {
  const { own, peer, parts } = world()
  const files = await exportOf(peer, ctx.tmp())
  chatter(peer, own, 1)
  const cases: [LightParts, RegExp][] = [
    [withHead(parts(files), headOf(peer)), /has shown one of/],
    [parts(await exportOf(own, ctx.tmp())), /expected peer\.example/],
  ]
  const wrongKey = parts(files)
  cases.push([{ ...wrongKey, pair: { ...wrongKey.pair, logKey: toHex(own.log.publicKey) } },
    /not signed by its log key/])
  for (const [given, why] of cases) {
    const report = await lightAudit(given)
    assert.equal(report.verdict, 'broken')
    assert.match(report.findings[0]!, why)
  }
  assert.equal((await lightAudit(parts(new Map()))).verdict, 'unusable')
})

t('no changed byte of what is read passes', async (ctx) => {
  const { own, peer, parts } = world()
  chatter(peer, own, 300)
  const head = headOf(peer)
  reconcile(own, peer)
  chatter(peer, own, 3)
  const files = await exportOf(peer, ctx.tmp())
  for (const [path, bytes] of files) {
    if (path.startsWith('tile/entries/000') && !path.includes('.p')) continue
    for (let at = 0; at < bytes.length; at += Math.max(1, Math.floor(bytes.length / 40))) {
      const changed = Uint8Array.from(bytes)
      changed[at] = changed[at]! ^ 1
      const report = await lightAudit(withHead(
        parts(new Map([...files, [path, changed]])), head))
      // A hash that no path needs may be anything.
      const unused = path.startsWith('tile/0/') || path.startsWith('tile/1/')
      assert.ok(report.verdict !== 'holds' || unused, `${path} at ${at}`)
    }
  }
})

t('a receipt of another place is found', async (ctx: Context) => {
  const { own, peer, parts } = world()
  reconcile(own, peer)
  const before = await exportOf(peer, ctx.tmp())
  const said = tell(own, peer, { kind: 'credit', to: peer.name, at: start, limit: credits(3) })
  const live = await openLiveLog({
    store: readingStore(peer), logKey: peer.log, markPath: `${ctx.tmp()}/mark`,
    quarantined: () => undefined,
  })
  const index = openHead(view(peer)).frontier.size - 1
  const proof = await live.receipt(index)
  const files = await exportOf(peer, ctx.tmp())
  const receipt = (sid: string): Promise<string | undefined> =>
    Promise.resolve(sid === said.sid ? proof : undefined)
  const good = await lightAudit(parts(files, { receipt }))
  assert.equal([...held(good), good.receipts], ['holds', [], 1])
  const hidden = await lightAudit(parts(before, { receipt }))
  assert.equal(hidden.verdict, 'broken')
  assert.match(hidden.findings[0]!, /has given a receipt .* its log has it nowhere/)
})
