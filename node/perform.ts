// Effects to doors: one line a kind. What takes time runs in lanes, under the name of what it is
// for, so the same effect asked for twice runs once; its result comes back to the loop as an event.

import { unreachable } from '../protocol/base/assert.ts'
import { rangesValues } from '../protocol/base/ranges.ts'
import type { Effect } from '../protocol/machine/effects.ts'
import { encodeMessage } from '../protocol/machine/messages.ts'
import type { HomeParts } from './home-work.ts'
import { releaseInputs, takeResult } from './home-work.ts'
import type { HostParts } from './host-work.ts'
import {
  cancelTranche, collectTask, controlTranche, removeTranche, stageTranche, submitTranche,
} from './host-work.ts'
import type { Lanes } from './lanes.ts'
import { receiptMessages } from './ledger/give-receipts.ts'
import type { LiveLog } from './ledger/live-log.ts'
import type { PayerReplays } from './ledger/replay-payer.ts'
import { readEntries, readPlaces, searchName } from './ledger/read-entries.ts'
import { dropEntries } from './ledger/prune.ts'
import type { SnapshotFiles } from './ledger/snapshot-files.ts'
import { deniedHead, headMessage } from './ledger/show-head.ts'
import { historyMessage } from './ledger/tell-history.ts'
import { get } from './local/tables.ts'
import type { Watchers } from './local/watchers.ts'
import type { Network } from './net/door.ts'
import type { Store } from './store/level.ts'

export interface PerformParts {
  readonly host: HostParts
  readonly home: HomeParts
  readonly network: Network
  readonly watchers: Watchers
  /** Transfers and files; the scheduler's commands; clearing up. */
  readonly staging: Lanes
  readonly scheduling: Lanes
  readonly clearing: Lanes
  readonly log: LiveLog
  readonly snapshots: SnapshotFiles
  readonly ledger: Pick<Store, 'get' | 'range' | 'commit'>
  readonly payers: PayerReplays
  connectMembers(): void
  /** To the newest head, before anything else leaves. */
  raiseMark(): void
  /** The scheduler will have something new to see. */
  lookSoon(): void
}

export function perform(parts: PerformParts, effect: Effect): void {
  const { host, home, staging, scheduling, clearing } = parts
  switch (effect.kind) {
    case 'send':
      // Lost messages are the core's to send again; the network counts them.
      parts.network.send(effect.to, encodeMessage(effect.message))
      return
    case 'showHead': {
      const { to, known, also, roots } = effect
      return clearing.run(`head ${to}`, async () => {
        const denied = await deniedHead(parts.log, roots)
        if (denied !== undefined) {
          return host.loop.push({ kind: 'headDenied', from: to, size: denied })
        }
        parts.network.send(to, encodeMessage(await headMessage(parts.log, { known, also })))
      })
    }
    case 'showHeads': {
      const { to } = effect
      return clearing.run('heads', async () => {
        const signed = await parts.log.checkpoint()
        host.loop.push({
          kind: 'headShown', size: signed.head.frontier.size, note: signed.note,
        })
        for (const { site, known } of to) {
          const message = await headMessage(parts.log, { known, also: 0 }, signed)
          parts.network.send(site, encodeMessage(message))
        }
      })
    }
    case 'proveHold': {
      const { to, hold, index, note } = effect
      return clearing.run(`prove ${hold}`, async () => {
        const proof = await parts.log.receipt(index, note)
        if (proof === undefined) return
        parts.network.send(to, encodeMessage({ kind: 'hold_proof', hold, proof }))
      })
    }
    case 'giveReceipts': {
      const { to, numbers } = effect
      return clearing.run(`receipts ${to} ${numbers[0]?.n ?? 0}`, async () => {
        for await (const message of receiptMessages(parts.log, { to, numbers })) {
          parts.network.send(to, encodeMessage(message))
        }
      })
    }
    case 'storeSnapshot': {
      const { size, text } = effect
      return clearing.run(`snapshot ${size}`, async () => parts.snapshots.write(size, text))
    }
    case 'dropEntries': {
      const { below } = effect
      return clearing.run('drop entries', async () => {
        await dropEntries(parts.ledger, below)
        host.loop.push({ kind: 'entriesDropped', below })
      })
    }
    case 'replayPayer': {
      const { home: payer, hold, size, root, epoch, closedBy } = effect
      return staging.run(`replay ${hold}`, async (signal) => {
        const head = { size, root, epoch, closedBy }
        const { holds, detail } = await parts.payers.upTo(payer, head, signal)
        if (!holds) host.report.warn('a hold on an allocation is refused', { hold, detail })
        host.loop.push({ kind: 'payerReplayed', hold, holds, detail })
      }, payer)
    }
    case 'readEntries':
      return clearing.run(searchName(effect), async () => {
        const read = await readEntries(parts.ledger, effect)
        if (read) host.loop.push(read)
      })
    case 'tellHistory': {
      const { to } = effect
      return clearing.run(`history ${to}`, async () => {
        const message = await historyMessage(parts.ledger, host.loop.tables, effect)
        parts.network.send(to, encodeMessage(message))
      })
    }
    case 'raiseMark': return parts.raiseMark()
    case 'alarm': return host.report.error(effect.detail)
    case 'readPlaces': {
      const { site, places } = effect
      return clearing.run(`places ${places.join()}`, async () => {
        const taken = await readPlaces(parts.ledger, site, places)
        for (const one of taken) host.loop.push(one)
      })
    }
    case 'publishOffer': return parts.network.publish('offers', effect.note)
    case 'publishCall': return parts.network.publish('announcements', effect.note)
    case 'connectMembers': return parts.connectMembers()
    case 'stageTranche': {
      const { tranche } = effect
      const home = get(host.loop.tables, 'hostTranches', tranche)?.home
      const work = (signal: AbortSignal): Promise<void> => stageTranche(host, tranche, signal)
      return staging.run(`stage ${tranche}`, work, home)
    }
    case 'submitTranche': {
      const { tranche } = effect
      return scheduling.run(`submit ${tranche}`, async (signal) => {
        await submitTranche(host, tranche, signal)
        parts.lookSoon()
      })
    }
    case 'cancelTranche': {
      const { tranche } = effect
      return scheduling.run(`cancel ${tranche}`, async (signal) => {
        await cancelTranche(host, tranche, signal)
        parts.lookSoon()
      })
    }
    case 'controlTranche': {
      const { tranche, n } = effect
      return scheduling.run(`control ${tranche} ${n}`, async (signal) => {
        await controlTranche(host, tranche, n, signal)
        parts.lookSoon()
      })
    }
    case 'collectTask': {
      const { tranche, task } = effect
      return staging.run(`collect ${tranche}/${task}`, (signal) =>
        collectTask(host, tranche, task, signal))
    }
    case 'removeTranche': {
      const { tranche } = effect
      return clearing.run(`remove ${tranche}`, async () => {
        // What still lays out or collects would leave its files behind for ever.
        await staging.end(`stage ${tranche}`)
        const tasks = get(host.loop.tables, 'hostTranches', tranche)?.tasks ?? []
        for (const task of rangesValues(tasks)) await staging.end(`collect ${tranche}/${task}`)
        await removeTranche(host, tranche)
      })
    }
    case 'takeResult':
      // The tranche is in the name: after a lapse another host's result may be due while the first
      // host's transfer still hangs.
      return staging.run(`take ${effect.job}/${effect.task} ${effect.tranche}`, (signal) =>
        takeResult(home, effect, signal), effect.host)
    case 'releaseInputs': {
      const { job } = effect
      return clearing.run(`inputs ${job}`, () => releaseInputs(home, job))
    }
    case 'answer': return parts.watchers.answered(effect.request, effect.answer)
    case 'jobChanged': return parts.watchers.changed(effect.job)
    default: return unreachable(effect)
  }
}
