// The accounts of this machine that jobs of others run under: looked up by name when a job comes,
// so that what the administrator changes counts from the next job on.
//
// Invariants: no job ever runs as root; the node gives a job another account only if it is root; an
// account that belongs to the system is given by its name in the config, never because a user of
// another site is called like it.

import { userInfo } from 'node:os'
import type { LocalAccount } from './scheduler/driver.ts'
import { run } from './scheduler/exec.ts'
import { Problem } from './problem.ts'

const timeoutMs = 10_000
/** Where people's accounts begin, on all common distributions. */
const ownUidMin = 1_000

/**
 * @param user what the owner is called at home
 * @throws Problem `account`: there is no such account, or it cannot be used
 */
export async function localAccount(
  name: string, user: string, signal: AbortSignal,
): Promise<LocalAccount> {
  const passwd = await run(['getent', 'passwd', name], { timeoutMs, signal })
  const [found, , uid, gid, , home] = passwd.stdout.split('\n')[0]!.split(':')
  if (passwd.code !== 0 || found !== name || uid === undefined || home === undefined) {
    throw new Problem('account', `there is no account ${name} here; see accounts.map in the config`)
  }
  const groups = await run(['id', '-G', name], { timeoutMs, signal })
  const account: LocalAccount = {
    name, uid: Number(uid), gid: Number(gid), home,
    groups: groups.stdout.trim().split(/\s+/).map(Number),
  }
  const whole = [account.uid, account.gid, ...account.groups].every(Number.isSafeInteger)
  if (groups.code !== 0 || !whole || account.groups.length > 1_000) {
    throw new Problem('account', `the groups of ${name} cannot be read: ${groups.stderr.trim()}`)
  }
  if (account.uid === 0) throw new Problem('account', `${name} is root; no job runs as root`)
  if (name === user && account.uid < ownUidMin) {
    throw new Problem('account', `${name} is an account of the system (its number is below ` +
      `${ownUidMin}); who is called so at another site does not get it`)
  }
  const own = userInfo()
  if (own.uid !== 0 && own.uid !== account.uid) {
    const why = `only root can run jobs as ${name}, and this node runs as ${own.username}`
    throw new Problem('account', why)
  }
  return account
}
