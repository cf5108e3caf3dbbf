// Which local account runs a job of another site's user, with the consent of both sides: the home
// says whose jobs may go where (`export`), the host who they are there (`map`). Rules are lines of
// words; the first that matches counts, and `*` matches everything.
//
// [ACCOUNT-1] `map`: `HOME USER PROJECT = ACCOUNT`. ACCOUNT is a name, `{user}` for the same name
//   as at home, `pool` for one of the pool that nobody else uses, or `none`. Who matches no rule
//   runs nothing here. A site without a map runs everything under its node's own account.
// [ACCOUNT-2] `export`: `USER PROJECT = SITE`, SITE also `none`. Who matches no rule stays at home.
// [ACCOUNT-3] An account of the pool belongs to one owner as long as a bid, a contract or a tranche
//   of that owner is remembered; the same owner gets the same one.

import type { SiteName } from '../base/ids.ts'
import { parseSiteName } from '../base/ids.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'

/** Whose job it is, as its home says; the project is '' for none. */
export interface Owner {
  readonly home: SiteName
  readonly user: string
  readonly project: string
}

export interface MapRule {
  readonly home: string
  readonly user: string
  readonly project: string
  /** A name, `{user}`, `pool` or `none`. */
  readonly account: string
}

export interface ExportRule {
  readonly user: string
  readonly project: string
  /** A name, `*` or `none`. */
  readonly site: string
}

export interface AccountRules {
  readonly map: readonly MapRule[]
  readonly pool: readonly string[]
  readonly export: readonly ExportRule[]
}

export const accountPattern = /^[a-z_][a-z0-9_.-]{0,31}$/
const userPattern = /^(\*|[A-Za-z0-9._-]{1,64})$/
const projectPattern = /^(\*|[A-Za-z0-9._-]{1,63})$/

export interface BadRule {
  readonly reason: 'bad_rule'
  readonly detail: string
}

export function parseMapRule(text: string): Outcome<MapRule, BadRule> {
  const form = 'HOME USER PROJECT = ACCOUNT such as "a.example * physics = pool"'
  const words = wordsOf(text, 3)
  if (!words) return bad(form, text)
  const [home = '', user = '', project = '', account = ''] = words
  if (home !== '*' && !parseSiteName(home)) return bad('the name of a site or *', home)
  if (!userPattern.test(user)) return bad('a user or *', user)
  if (!projectPattern.test(project)) return bad('a project or *', project)
  const special = account === 'pool' || account === 'none' || account === '{user}'
  if (!special && !accountPattern.test(account)) {
    return bad('an account, {user}, pool or none', account)
  }
  if (account === 'root') return bad('an account other than root', account)
  return ok({ home, user, project, account })
}

export function parseExportRule(text: string): Outcome<ExportRule, BadRule> {
  const words = wordsOf(text, 2)
  if (!words) return bad('USER PROJECT = SITE such as "ada * = b.example"', text)
  const [user = '', project = '', site = ''] = words
  if (!userPattern.test(user)) return bad('a user or *', user)
  if (!projectPattern.test(project)) return bad('a project or *', project)
  const special = site === '*' || site === 'none'
  if (!special && !parseSiteName(site)) return bad('the name of a site, * or none', site)
  return ok({ user, project, site })
}

/** `count` words, `=`, one word. */
function wordsOf(text: string, count: number): readonly string[] | undefined {
  const words = text.trim().split(/\s+/)
  if (words.length !== count + 2 || words[count] !== '=') return undefined
  return [...words.slice(0, count), words[count + 1]!]
}

function bad(expected: string, got: string): Outcome<never, BadRule> {
  return refuse({ reason: 'bad_rule', detail: `expected ${expected}, got ${JSON.stringify(got)}` })
}

/** [ACCOUNT-2] Whether the home lets a job of this user go to the site. */
export function mayGo(
  rules: AccountRules | undefined,
  { user, project }: { readonly user: string; readonly project: string },
  site: SiteName,
): boolean {
  if (!rules) return true
  const rule = rules.export.find((one) => matches(one.user, user) &&
    matches(one.project, project) && (one.site === 'none' || matches(one.site, site)))
  return rule !== undefined && rule.site !== 'none'
}

function matches(pattern: string, text: string): boolean {
  return pattern === '*' || pattern === text
}

/**
 * [ACCOUNT-1] [ACCOUNT-3] The owner's account here; `taken` are those of the pool that others have,
 * `had` is the one that the owner has.
 */
export function accountFor(
  rules: AccountRules,
  owner: Owner,
  pool: { readonly had: string | undefined; readonly taken: ReadonlySet<string> },
): Outcome<string, { readonly reason: 'account'; readonly detail: string }> {
  const no = (detail: string): Outcome<never, { reason: 'account'; detail: string }> =>
    refuse({ reason: 'account', detail })
  const rule = rules.map.find((one) => matches(one.home, owner.home) &&
    matches(one.user, owner.user) && matches(one.project, owner.project))
  const who = `${owner.user} of ${owner.home}` + (owner.project === '' ? '' : `, ${owner.project}`)
  if (!rule || rule.account === 'none') return no(`${who} has no account here`)
  if (rule.account === '{user}') {
    const fits = accountPattern.test(owner.user) && owner.user !== 'root'
    return fits ? ok(owner.user) : no(`${owner.user} is no name of an account here`)
  }
  if (rule.account !== 'pool') return ok(rule.account)
  if (pool.had !== undefined && rules.pool.includes(pool.had)) return ok(pool.had)
  const free = rules.pool.find((account) => !pool.taken.has(account))
  return free === undefined ? no('all accounts of the pool are in use') : ok(free)
}
