// Allocations at the host: a hold that an allocation pays is `held` only after the home has shown
// it in a head with the witnesses' cosignatures, and the home's whole log up to that head was
// replayed here: only that shows that the allocation was not spent elsewhere.
//
// [GRANT-2] A host says `held` on an allocation only after proof and replay; else it declines, in
//   time.

import { openCosignatures, quorumTime } from '../base/cosignature.ts'
import { fromHex, toHex } from '../base/crypto.ts'
import type { ContractId, Sid, SiteName } from '../base/ids.ts'
import { compareBytes, contractIdOf } from '../base/ids.ts'
import type { Verifier } from '../base/note.ts'
import { parseTlogProof, verifyTlogProof } from '../base/tlog-proof.ts'
import type { View } from '../base/tables.ts'
import type { Logged } from '../rules/ledger.ts'
import { openHead } from '../rules/ledger-book.ts'
import { logVerifier } from '../rules/ledger-keys.ts'
import type { PairStatement, StatementOf } from '../rules/statement.ts'
import { parseStatement, witnessSignerName } from '../rules/statement.ts'
import type { EventOf } from './events.ts'
import { policyOf } from './home-grants.ts'
import { answerHold, closeIfOver, decline } from './host-contracts.ts'
import type { MessageOf } from './messages.ts'
import type { CoreTables } from './state.ts'
import type { Turn } from './turn.ts'
import { count, setTimer } from './turn.ts'

/** An award waits no longer for its answer. */
const proofMsMax = 60_000

/** A hold: answered at once, unless an allocation pays; then it waits for its proof. */
export function onHold(
  turn: Turn, logged: Logged<PairStatement>, hold: StatementOf<'hold'>,
): void {
  const contract = contractIdOf(hold.contract)
  if (hold.grant === '' || !turn.view.get('hostContracts', contract)) {
    return answerHold(turn, logged, hold)
  }
  const grant = turn.view.get('ledgerGrants', hold.grant)
  if (policyOf(turn.view).quorum === 0 || !grant || turn.now > grant.untilEpochMs) {
    return decline(turn, hold.from, logged.sid, 'grant')
  }
  const { sid, note, index } = logged
  turn.view.put('holdChecks', sid, { home: hold.from, contract, note, index, size: 0 })
  countAwaited(turn, contract, 1)
  setTimer(turn, `check/${sid}`, turn.now + proofMsMax)
}

/** [GRANT-2] The first half: the hold stands in a head that the quorum has seen. */
export function onHoldProof(turn: Turn, from: SiteName, message: MessageOf<'hold_proof'>): void {
  const { view } = turn
  const check = view.get('holdChecks', message.hold)
  const member = view.get('ledgerMembers', from)
  if (check?.home !== from || check.size > 0 || !member) return
  const { witnesses, quorum } = policyOf(view)
  const parsed = parseTlogProof(message.proof)
  const log = logVerifier(member, from, { fed: openHead(view).federation, epoch: member.epoch })
  const proven = parsed.ok && log
    ? verifyTlogProof(parsed.value, { leaf: Buffer.from(check.note), log }) : undefined
  if (!proven?.ok) return count(turn, 'hold_proof_refused')
  const verifiers = witnesses.filter((site) => site !== from)
    .map((site) => currentWitness(view, site))
    .filter((one): one is Verifier => one !== undefined)
  const cosigned = openCosignatures(proven.value.note, verifiers)
  if (quorum === 0 || !quorumTime(cosigned, { witnesses: verifiers, quorum }).met) {
    return count(turn, 'hold_proof_without_quorum')
  }
  // [GRANT-3] Who begins anew may have left out what it spent: whoever it spent it at has closed.
  const closedBy = member.epoch === 1 ? [] : [...view.entries('ledgerMembers')]
    .map(([site]) => site as SiteName).filter((site) => site !== from).sort(compareBytes)
  const { size, rootHash } = proven.value.checkpoint
  view.put('holdChecks', message.hold, { ...check, size })
  turn.effects.push({
    kind: 'replayPayer', home: from, hold: message.hold, size, root: toHex(rootHash),
    epoch: member.epoch, closedBy,
  })
}

function currentWitness(view: View<CoreTables>, site: SiteName): Verifier | undefined {
  const member = view.get('ledgerMembers', site)
  const publicKey = member && fromHex(member.keys.witness)
  return member && publicKey
    ? { name: witnessSignerName(site, member.epoch), publicKey } : undefined
}

/** [GRANT-2] The second half: the home's own log, replayed, covers the hold; or it does not. */
export function onPayerReplayed(turn: Turn, event: EventOf<'payerReplayed'>): void {
  const { view } = turn
  const check = view.get('holdChecks', event.hold)
  if (!check) return
  checked(turn, event.hold, check.contract)
  setTimer(turn, `check/${event.hold}`, undefined)
  if (view.get('ledgerHolds', event.hold)?.state === 'asked') answerChecked(turn, event, check)
  closeIfOver(turn, check.contract)
}

function answerChecked(
  turn: Turn, event: EventOf<'payerReplayed'>, check: CoreTables['holdChecks'],
): void {
  const parsed = parseStatement(check.note)
  const statement = parsed.ok ? parsed.value.statement : undefined
  if (!event.holds || statement?.kind !== 'hold') {
    count(turn, 'payer_refused')
    return decline(turn, check.home, event.hold, 'grant')
  }
  const { note, index } = check
  answerHold(turn, { sid: event.hold, note, statement, index }, statement)
}

/** A contract is remembered while holds of it wait for their proof. */
function countAwaited(turn: Turn, id: ContractId, change: number): void {
  const contract = turn.view.get('hostContracts', id)
  if (!contract) return
  turn.view.put('hostContracts', id, { ...contract, tranches: contract.tranches + change })
}

function checked(turn: Turn, hold: Sid, contract: ContractId): void {
  turn.view.remove('holdChecks', hold)
  countAwaited(turn, contract, -1)
}

/** No proof in time, or no replay: the home may try another site. */
export function onCheckDue(turn: Turn, hold: Sid): void {
  const check = turn.view.get('holdChecks', hold)
  if (!check) return
  checked(turn, hold, check.contract)
  if (turn.view.get('ledgerHolds', hold)?.state === 'asked') {
    decline(turn, check.home, hold, 'grant')
  }
  // It may have been over but for this hold.
  closeIfOver(turn, check.contract)
}

/** After a start: a replay that was under way is over; the home proves again. */
export function resumeChecks(turn: Turn): void {
  for (const [hold, check] of Array.from(turn.view.entries('holdChecks'))) {
    turn.view.put('holdChecks', hold, { ...check, size: 0 })
  }
}
