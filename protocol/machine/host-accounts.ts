// The local account of a job's owner, chosen when the host bids and kept as long as a bid, a
// contract or a tranche of it is remembered: so an account of the pool has one owner at a time.

import type { SiteName } from '../base/ids.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import type { Owner } from '../rules/account-map.ts'
import { accountFor } from '../rules/account-map.ts'
import type { ChosenAccount } from '../rules/contract.ts'
import type { Turn } from './turn.ts'

type NoAccount = { readonly reason: 'account'; readonly detail: string }

/** Undefined where everything runs under the node's own account. */
export function accountOf(
  turn: Turn, home: SiteName, named: Omit<Owner, 'home'> | undefined,
): Outcome<ChosenAccount | undefined, NoAccount> {
  const rules = turn.self.accounts
  if (!rules || rules.map.length === 0) return ok(undefined)
  if (!named) {
    const detail = 'tasks run under accounts of their owners here, and the call names nobody'
    return refuse({ reason: 'account', detail })
  }
  const owner = { home, ...named }
  let had: string | undefined
  const taken = new Set<string>()
  for (const { name, owner: other } of chosen(turn)) {
    if (isSame(owner, other)) had = name
    else taken.add(name)
  }
  const account = accountFor(rules, owner, { had, taken })
  return account.ok ? ok({ name: account.value, owner }) : account
}

function* chosen({ view, now }: Turn): Iterable<ChosenAccount> {
  for (const [, bid] of view.entries('openBids')) {
    if (bid.account && bid.expiresEpochMs > now) yield bid.account
  }
  // A contract is remembered as long as a tranche of it is.
  for (const [, { account }] of view.entries('hostContracts')) if (account) yield account
}

function isSame(one: Owner, other: Owner): boolean {
  return one.home === other.home && one.user === other.user
}

/** Whether the job that came is of whom the account was chosen for. */
export function isOwners(
  account: ChosenAccount | undefined,
  job: { readonly user: string; readonly project?: string },
): boolean {
  if (!account) return true
  return account.owner.user === job.user && account.owner.project === (job.project ?? '')
}
