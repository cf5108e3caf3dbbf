// How a site begins: `init` makes its data directory, and either founds a federation or leaves the
// site to `join` one by a member's token.
//
// Invariants: init makes a whole directory or nothing, and never touches one that has anything in
// it; a site that joins believes nothing that it has not checked from the federation's own
// statement on; its ledger opens in one commit, after which it is a member; until then the same
// token can be used again, because the request is the same (the genesis is kept in `join.pending`).

import {
  existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync,
} from 'node:fs'
import { basename, dirname, join as joinPath, resolve } from 'node:path'
import { fromHex, toHex } from '../protocol/base/crypto.ts'
import type { FederationId, SiteName } from '../protocol/base/ids.ts'
import { parseSiteName } from '../protocol/base/ids.ts'
import { draft } from '../protocol/base/tables.ts'
import type { CoreTables } from '../protocol/machine/state.ts'
import { ledgerHead } from '../protocol/rules/ledger-book.ts'
import { openLedger, sealFederation, sealGenesis } from '../protocol/rules/ledger.ts'
import type { JoinAnswer, JoinToken } from '../protocol/rules/membership.ts'
import {
  encodeJoinRequest, parseJoinToken, readJoinAnswer,
} from '../protocol/rules/membership.ts'
import { parseStatement, rootSigner } from '../protocol/rules/statement.ts'
import { clock } from './clock.ts'
import type { Config } from './config.ts'
import type { Machine } from './config-schema.ts'
import { configFileName, localMachine, parseConfig, readConfig } from './config.ts'
import { configText } from './config-text.ts'
import type { SchedulerKind } from './config-scheduler.ts'
import { entropy } from './entropy.ts'
import { createFile, replaceFile, syncDirectory } from './files.ts'
import type { Keys } from './identity.ts'
import { keyUses, makeKeys, readKeys, siteKeysOf } from './identity.ts'
import { verifiedAnswer, wordsOf } from './join-answer.ts'
import type { Joined } from './join-answer.ts'
import { acquireLock } from './lock.ts'
import { messageOf, Problem, systemCode } from './problem.ts'
import { isoTime } from './report.ts'
import { openStore } from './store/level.ts'
import type { Store } from './store/level.ts'
import { advice, ownAddresses, survey } from './surroundings.ts'

export type { Joined } from './join-answer.ts'

export const databaseName = 'db'
const pendingName = 'join.pending'
const joinTimeoutMs = 30_000
const keysInGenesis = ['log', 'statement', 'witness', 'network'] as const

export interface InitOptions {
  readonly directory: string
  readonly site: string
  /** The name of the federation to found; a site that is to join one leaves it out. */
  readonly found?: string
  /** Embedded when left out, or what is there with `look`. */
  readonly scheduler?: SchedulerKind
  /** Look for a scheduler and software on this machine, and configure what is found. */
  readonly look?: boolean
  readonly listen?: readonly string[]
  /** For the embedded executor; all cores and three quarters of the memory when left out. */
  readonly cores?: number
  readonly memoryBytes?: number
  /** Further keys of the config as TOML, such as `{ 'market.window': '"200ms"' }`. */
  readonly set?: Readonly<Record<string, string>>
}

export interface Initialized {
  readonly directory: string
  readonly configPath: string
  readonly site: SiteName
  readonly federation: FederationId | undefined
  /** Sentences for the administrator: what to look at next. */
  readonly notes: readonly string[]
}

/** @throws Problem `exists`, `config`, `system`; nothing is left behind then */
export async function init(given: InitOptions): Promise<Initialized> {
  const seen = given.look ? await survey(given.scheduler) : undefined
  const options = seen === undefined ? given
    : { ...given, scheduler: seen.scheduler, set: { ...seen.set, ...given.set } }
  const directory = resolve(options.directory)
  const machine = localMachine()
  const { config, text } = plannedConfig(options, machine)
  const federationName = options.found
  if (federationName !== undefined) demandFederationName(federationName)
  demandNothingThere(directory)
  const building = joinPath(
    dirname(directory), `.${basename(directory)}.${toHex(entropy.randomBytes(6))}`,
  )
  try {
    mkdirSync(dirname(directory), { recursive: true })
    mkdirSync(building, { mode: 0o700 })
    const keys = makeKeys(building)
    createFile(joinPath(building, configFileName), text, 0o600)
    const federation = federationName === undefined
      ? undefined
      : await found(building, config, keys, federationName)
    syncDirectory(building)
    // Takes the place of an empty directory, and fails when anything has come into it since.
    renameSync(building, directory)
    syncDirectory(dirname(directory))
    return {
      directory,
      configPath: joinPath(directory, configFileName),
      site: config.site.name,
      federation,
      notes: seen?.notes ?? await advice(config, machine),
    }
  } catch (cause) {
    rmSync(building, { recursive: true, force: true })
    if (cause instanceof Problem) throw cause
    const taken = ['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(systemCode(cause))
    if (taken) demandNothingThere(directory)
    throw new Problem('system', `cannot make ${directory}: ${messageOf(cause)}`, cause)
  }
}

function plannedConfig(
  options: InitOptions, machine: Machine,
): { readonly config: Config; readonly text: string } {
  if (!parseSiteName(options.site)) {
    throw new Problem('config', 'expected a site\'s name of lower-case letters, digits, - and ., ' +
      `such as site-a.example, got ${JSON.stringify(options.site)}`)
  }
  const { site, cores, memoryBytes, set } = options
  const text = configText({
    site,
    listen: options.listen ?? ['/ip4/0.0.0.0/tcp/7700'],
    scheduler: options.scheduler ?? 'embedded',
    ...(cores === undefined ? {} : { cores }),
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    ...(set === undefined ? {} : { set }),
  }, machine)
  return { config: parseConfig(text, configFileName, machine), text }
}

function demandFederationName(name: string): void {
  if (/^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/.test(name)) return
  throw new Problem('config', 'expected a federation\'s name of at most 63 lower-case letters, ' +
    `digits, - and ., got ${JSON.stringify(name)}`)
}

function demandNothingThere(directory: string): void {
  const stats = statSync(directory, { throwIfNoEntry: false })
  if (!stats) return
  if (!stats.isDirectory()) {
    throw new Problem('exists', `expected a new directory, but ${directory} is a file`)
  }
  const names = readdirSync(directory)
  if (names.length === 0) return
  const what = names.includes(configFileName)
    ? `${directory} is the data directory of a site already (it has a ${configFileName})`
    : `${directory} is not empty (it has ${names.slice(0, 3).join(', ')})`
  throw new Problem('exists', `${what}; nothing was changed. Choose another --dir.`)
}

/** Opens the ledger of a new federation, with this site as its founder. */
async function found(
  directory: string, config: Config, keys: Keys, name: string,
): Promise<FederationId> {
  const site = config.site.name
  const at = clock.now()
  const root = rootSigner(site, keys.root)
  const nonce = toHex(entropy.randomBytes(16))
  const federation = granted(sealFederation(root, { name, founder: site, nonce, at }))
  const fed = federation.sid
  const genesis = granted(sealGenesis(root, { fed, site, keys: siteKeysOf(keys), at }))
  const store = await openStore(joinPath(directory, databaseName))
  try {
    const view = draft<CoreTables>(new Map())
    granted(openLedger(view, site, { federation: federation.note, genesis: genesis.note }))
    view.put('federationNote', 'own', federation.note)
    const addresses = ownAddresses(config)
    const own = { site, genesis: genesis.note, policy: '', addresses, renewals: [] }
    view.put('members', site, own)
    await store.commit(view.writes())
  } finally {
    await store.close()
  }
  return fed
}

/** A refusal of our own statement: only a name that the config lets through could cause it. */
function granted<T>(
  outcome: { ok: true; value: T } | { ok: false; refusal: { readonly reason: string } },
): T {
  if (outcome.ok) return outcome.value
  throw new Problem('config', `the ledger refuses its first entries: ${wordsOf(outcome.refusal)}`)
}

export interface JoinOptions {
  readonly directory: string
  readonly token: string
  readonly timeoutMs?: number
}

/**
 * Makes the site of `directory` a member of the token's federation. @throws Problem `token`,
 * `exists`, `unreachable`, `refused`, `untrue`, `locked`, `config`, `key`; it can be repeated after
 * any of them
 */
export async function join(options: JoinOptions): Promise<Joined> {
  const directory = resolve(options.directory)
  const token = readToken(options.token)
  const config = readConfig(joinPath(directory, configFileName))
  const keys = readKeys(directory, keyUses)
  if (token.sponsor === config.site.name) {
    const what = `this token was made by ${token.sponsor} itself`
    throw new Problem('token', `${what}; use it at another site`)
  }
  const lock = acquireLock(directory)
  try {
    return await joinLocked({ ...options, directory }, { token, config, keys })
  } finally {
    lock.release()
  }
}

interface Joining {
  readonly token: JoinToken
  readonly config: Config
  readonly keys: Keys
}

function readToken(text: string): JoinToken {
  const token = parseJoinToken(text.trim())
  if (!token.ok) {
    throw new Problem('token', `not a token to join with: ${token.refusal.detail}`)
  }
  if (token.value.addresses.length === 0) {
    throw new Problem('token', `the token names no address of ${token.value.sponsor}; set ` +
      'network.announce there and invite again')
  }
  if (token.value.expires <= clock.now()) {
    throw new Problem('token', `the token expired at ${isoTime(token.value.expires)}; ask ` +
      `${token.value.sponsor} for a new one (gridnode invite)`)
  }
  return token.value
}

async function joinLocked(options: JoinOptions, joining: Joining): Promise<Joined> {
  const { directory } = options
  const store = await openDatabase(directory)
  try {
    await demandNoMember(store, directory)
    const genesis = genesisOf(directory, joining)
    const answer = await askSponsor(options, joining, genesis)
    const self = joining.config.site.name
    const { view, joined } = verifiedAnswer(answer, { token: joining.token, self, genesis })
    // From here on we are a member.
    await store.commit(view.writes())
    rmSync(joinPath(directory, pendingName), { force: true })
    return joined
  } finally {
    await store.close()
  }
}

async function openDatabase(directory: string): Promise<Store> {
  try {
    return await openStore(joinPath(directory, databaseName))
  } catch (cause) {
    throw new Problem('system', messageOf(cause), cause)
  }
}

async function demandNoMember(store: Store, directory: string): Promise<void> {
  const tables = await store.loadAll()
  const head = ledgerHead(draft<CoreTables>(tables))
  if (!head) return
  throw new Problem('exists', `${head.site} is a member of ${head.federationName} already ` +
    `(${head.federation.slice(0, 16)}); start it with \`gridnode start --dir ${directory}\``)
}

/** The genesis of this site in this federation: the one that was sent before, if there is one. */
function genesisOf(directory: string, { token, config, keys }: Joining): string {
  const path = joinPath(directory, pendingName)
  const site = config.site.name
  const siteKeys = siteKeysOf(keys)
  if (existsSync(path)) {
    const note = readFileSync(path, 'utf8')
    const parsed = parseStatement(note)
    const said = parsed.ok ? parsed.value.statement : undefined
    const same = said?.kind === 'genesis' && said.fed === token.federation &&
      said.from === site && said.root === toHex(keys.root.publicKey) &&
      keysInGenesis.every((use) => said.keys[use] === siteKeys[use])
    if (same) return note
  }
  const root = rootSigner(site, keys.root)
  const at = clock.now()
  const { note } = granted(sealGenesis(root, { fed: token.federation, site, keys: siteKeys, at }))
  replaceFile(path, note, 0o600)
  return note
}

async function askSponsor(
  options: JoinOptions, { token, config, keys }: Joining, genesis: string,
): Promise<JoinAnswer> {
  const { joinVia } = await import('./net/network.ts')
  const { sponsor, addresses, secret } = token
  let encoded: string
  try {
    encoded = await joinVia({
      networkSecret: keys.network.secretKey,
      addresses,
      sponsorKey: fromHex(token.key)!,
      federation: token.federation,
      request: encodeJoinRequest({ secret, genesis, addresses: ownAddresses(config) }),
      timeoutMs: options.timeoutMs ?? joinTimeoutMs,
    })
  } catch (cause) {
    throw sponsorProblem(token, cause)
  }
  const answer = readJoinAnswer(encoded)
  if (answer.ok) return answer.value
  const why = answer.refusal.detail
  throw new Problem('untrue', `${sponsor} gave an answer that cannot be read: ${why}`)
}

function sponsorProblem({ sponsor, addresses }: JoinToken, cause: unknown): Problem {
  const code = systemCode(cause)
  if (code.startsWith('refused')) {
    return new Problem('refused', `${sponsor} refuses: ${messageOf(cause)}`, cause)
  }
  const words = `${sponsor} gave no answer. Tried ${addresses.join(', ')}: ${messageOf(cause)}. ` +
    'Is it running, and reachable from here? The token can be used again.'
  return new Problem('unreachable', words, cause)
}
