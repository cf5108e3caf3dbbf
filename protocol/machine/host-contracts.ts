// Contracts at the host: agreed to as bid, filled with the holds that its slots and the home's
// credit have room for, closed when their home or their reservation ends them.

import type { Sid, SiteName } from '../base/ids.ts'
import { contractIdOf, trancheIdOf } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import { emptyRanges } from '../base/ranges.ts'
import { disagreement, tasksCommittedMax } from '../rules/contract.ts'
import type { Logged } from '../rules/ledger.ts'
import type { ContractOffer, PairStatement, StatementOf } from '../rules/statement.ts'
import { capFor } from '../rules/tariff.ts'
import { say } from './delivery.ts'
import { isFrozen } from './evidence.ts'
import { onAuctionClosed } from './host-bids.ts'
import { forgetContract } from './host-book.ts'
import { coresLeft, isDraining, memoryLeft } from './host-capacity.ts'
import { exposedTo } from './host-exposure.ts'
import type { HostContract, HostTranche } from './state.ts'
import { openBidKey } from './state.ts'
import type { Turn } from './turn.ts'
import { count, setTimer } from './turn.ts'

/** However long a lease the home has asked for. */
const unbegunSecondsMax = 600

/** The home's terms: agreed if they are those of an open bid; else its holds will be declined. */
export function onContractOffer(
  turn: Turn, logged: Logged<PairStatement>, terms: ContractOffer,
): void {
  const home = logged.statement.from
  const mine = turn.view.get('openBids', openBidKey(home, terms.auction))
  const why = disagreement(terms, mine, turn.now)
  const known = turn.view.get('hostContracts', contractIdOf(logged.sid))
  const full = [...turn.view.entries('hostContracts')].length >= limits.contractsOpenPerHost
  if (why !== undefined || !mine || known || full) return count(turn, 'contract_not_agreed')
  const agreed = say(turn, {
    kind: 'contract', to: home, side: 'agree', contract: logged.sid,
  })
  if (!agreed.ok) return count(turn, `contract_not_agreed_${agreed.refusal.reason}`)
  onAuctionClosed(turn, home, terms.auction)
  openContract(turn, {
    home,
    sid: logged.sid,
    id: contractIdOf(logged.sid),
    cores: terms.cores,
    memoryMib: terms.memory_mib,
    walltimeSeconds: terms.walltime_s,
    ...(mine.gpus !== undefined && { gpus: mine.gpus }),
    ...(mine.account && { account: mine.account }),
    leaseSeconds: terms.lease_s,
    slots: mine.bid.slots,
    queueSlots: mine.bid.queue_slots,
    tasksMax: terms.tasks_max,
  })
}

export function openContract(
  turn: Turn,
  terms: Omit<
    HostContract,
    'kept' | 'outstanding' | 'running' | 'tranches' | 'reservedUntilEpochMs' | 'open'
  >,
): HostContract {
  const reservedUntilEpochMs = turn.now + turn.self.market.bidValidSeconds * 1000
  const contract: HostContract = {
    ...terms, kept: terms.slots, outstanding: 0, running: 0, tranches: 0, reservedUntilEpochMs,
    open: true,
  }
  turn.view.put('hostContracts', contract.id, contract)
  setTimer(turn, `idle/${contract.id}`, reservedUntilEpochMs)
  return contract
}

/** A hold: taken when the contract has room for its tasks and the home may owe its cap. */
export function answerHold(
  turn: Turn, logged: Logged<PairStatement>, hold: StatementOf<'hold'>,
): void {
  const contract = turn.view.get('hostContracts', contractIdOf(hold.contract))
  const taken = turn.view.get('hostTranches', trancheIdOf(logged.sid))
  const why = taken ? 'id_taken' : noRoom(turn, contract, hold)
  if (why !== undefined || !contract) return decline(turn, hold.from, logged.sid, why ?? '')
  const held = say(turn, { kind: 'held', to: hold.from, hold: logged.sid })
  if (!held.ok) {
    const over = held.refusal.reason === 'over_limit'
    return decline(turn, hold.from, logged.sid, over ? 'credit' : held.refusal.reason)
  }
  const committed = { doc: hold.doc, tasks: hold.tasks }
  takeTranche(turn, contract, { hold: logged.sid, id: trancheIdOf(logged.sid), committed })
}

function noRoom(
  turn: Turn, contract: HostContract | undefined, hold: StatementOf<'hold'>,
): string | undefined {
  if (!contract || contract.home !== hold.from || contract.sid !== hold.contract) {
    return 'bid_expired'
  }
  if (isFrozen(turn.view, hold.from)) return 'frozen'
  if (hold.tasks > limits.tasksPerTranche) return 'no_room'
  // What goes beyond the hold is the host's loss, so it must cover whatever the tasks may cost.
  if (hold.amount < capOf(turn, contract, hold.tasks)) return 'amount'
  if (exposedTo(turn, hold.from) !== undefined) return 'exposure'
  const fits = hold.tasks * contract.cores <= coresLeft(turn)
  if (!contract.open && !fits) return 'contract_closed'
  if (isDraining(turn)) return 'draining'
  const most = tasksCommittedMax(contract)
  if (contract.outstanding + hold.tasks > most) return 'no_room'
  // Slots that it did not use went back: for more than it kept there has to be room.
  const beyond = contract.outstanding + hold.tasks - (most - contract.slots + contract.kept)
  const over = beyond > 0 && (beyond * contract.cores > coresLeft(turn) ||
    beyond * contract.memoryMib > memoryLeft(turn))
  return over ? 'no_room' : undefined
}

function capOf(turn: Turn, contract: HostContract, tasks: number): bigint {
  const { view } = turn
  const terms = contract.sid === '' ? undefined : view.get('ledgerContracts', contract.sid)?.terms
  const tariff = terms && view.get('ledgerTariffs', terms.tariff)
  if (!terms || !tariff) return 0n
  const { cores, memoryMib, walltimeSeconds } = contract
  return capFor(tariff, terms.factor_permille, { tasks, cores, memoryMib, walltimeSeconds })
}

export function decline(turn: Turn, home: SiteName, hold: Sid, reason: string): void {
  count(turn, `hold_declined_${reason}`)
  say(turn, { kind: 'declined', to: home, hold, reason })
}

/** From here the tranche is ours to run; it waits for its documents and the home's go. */
export function takeTranche(
  turn: Turn,
  contract: HostContract,
  named: Pick<HostTranche, 'id' | 'hold' | 'committed'>,
): void {
  const { view, now } = turn
  view.put('hostContracts', contract.id, {
    ...contract,
    outstanding: contract.outstanding + named.committed.tasks,
    tranches: contract.tranches + 1,
  })
  view.put('hostTranches', named.id, {
    ...named,
    contract: contract.id,
    home: contract.home,
    takenEpochMs: now,
    tasks: emptyRanges,
    salt: '',
    phase: 'waiting',
    directive: 'none',
    leaseUntilEpochMs: 0,
    revision: 1,
    ackedRevision: 0,
    sentEpochMs: 0,
    sentRevision: 0,
    taken: emptyRanges,
    open: named.committed.tasks,
    endedEpochMs: 0,
    tries: 0,
    detail: '',
    notice: '',
  })
  // [CLAIM-4] Nothing has begun: slots do not wait for a home that is silent.
  const seconds = Math.min(contract.leaseSeconds, unbegunSecondsMax)
  setTimer(turn, `keep/${named.id}`, now + seconds * 1000)
  turn.toReport.add(named.id)
}

/** [CONTRACT-6] Idle slots are kept for a contract only until its reservation ends. */
export function onContractClosed(
  turn: Turn, from: SiteName, id: HostContract['id'],
): void {
  const contract = turn.view.get('hostContracts', id)
  if (contract?.home !== from) return
  if (contract.tranches > 0) turn.view.put('hostContracts', id, { ...contract, open: false })
  else forgetContract(turn, id)
}

/** Nothing stands under it any more, and nothing new may come. */
export function closeIfOver(turn: Turn, id: HostContract['id']): void {
  const contract = turn.view.get('hostContracts', id)
  if (contract && !contract.open && contract.tranches === 0) forgetContract(turn, id)
}

export function onIdle(turn: Turn, id: HostContract['id']): void {
  const contract = turn.view.get('hostContracts', id)
  if (!contract) return
  if (contract.outstanding > 0) {
    const reservedUntilEpochMs = turn.now + turn.self.market.bidValidSeconds * 1000
    const kept = Math.min(contract.kept, contract.outstanding)
    turn.view.put('hostContracts', id, { ...contract, kept, reservedUntilEpochMs })
    return setTimer(turn, `idle/${id}`, reservedUntilEpochMs)
  }
  if (contract.tranches > 0) turn.view.put('hostContracts', id, { ...contract, open: false })
  else forgetContract(turn, id)
}
