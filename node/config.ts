// The config of a site: `gridnode.toml` in its data directory, read once at start. What it may hold
// is in config-schema.ts; init writes it with comments (config-text.ts).
//
// Invariants: a config that was read is complete and within its bounds; every problem of a file is
// reported at once, each with file, line, key, what was expected and what came; no key is ever
// ignored.

import { readFileSync, statSync } from 'node:fs'
import { availableParallelism, totalmem } from 'node:os'
import { parse, TomlError } from 'smol-toml'
import * as v from 'valibot'
import type { SiteName } from '../protocol/base/ids.ts'
import type { Microcredits } from '../protocol/base/units.ts'
import type { AccountRules } from '../protocol/rules/account-map.ts'
import type { QueueRules } from '../protocol/rules/queue.ts'
import type { ListenAddress } from './config-fields.ts'
import { describe, isTable } from './config-fields.ts'
import { buildQueues, queueFaults } from './config-queues.ts'
import type { SchedulerConfig } from './config-scheduler.ts'
import { buildScheduler, schedulerKeys, schedulerKinds } from './config-scheduler.ts'
import type { ConfigRead, Machine } from './config-schema.ts'
import { schemaFor, sections } from './config-schema.ts'
import { nearestFew } from '../protocol/base/nearest.ts'
import { messageOf, Problem, systemCode } from './problem.ts'
import { tomlLines } from './toml-lines.ts'

export const configFileName = 'gridnode.toml'

export interface Config {
  readonly site: { readonly name: SiteName }
  readonly network: {
    readonly listen: readonly string[]
    /** Empty: what we listen on. */
    readonly announce: readonly string[]
    /** Where to look for members whose addresses, as they told them, are not right any more. */
    readonly peers: ReadonlyMap<SiteName, readonly string[]>
  }
  readonly api: { readonly socketMode: number }
  readonly scheduler: SchedulerConfig
  /** Finish what is here and take no new work. */
  readonly draining: boolean
  readonly tariff: {
    readonly taskMicrocredits: Microcredits
    readonly coreHourMicrocredits: Microcredits
    readonly gibHourMicrocredits: Microcredits
    /** Prices rise in proportion to the load from 1000 (idle) to this (full). */
    readonly loadFactorPermilleMax: number
  }
  readonly market: {
    readonly windowMs: number
    readonly bidValiditySeconds: number
    /** Of a host, to answer an award. */
    readonly awardWithinSeconds: number
    readonly leaseSeconds: number
    readonly acceptWithinSeconds: number
    /** How often a host claims for a tranche that still runs. */
    readonly interimSeconds: number
    readonly exposurePermille: number
    readonly autoAcceptPermille: number
    /** '' for nobody. */
    readonly arbiter: SiteName | ''
    readonly shortlistSites: number
    /** Tasks taken beyond the free slots, in thousandths of the cores. */
    readonly queueAheadPermille: number
    readonly offerHeartbeatMs: number
    readonly offerValiditySeconds: number
  }
  readonly credit: {
    readonly defaultLimitMicrocredits: Microcredits
    readonly limitsMicrocredits: ReadonlyMap<SiteName, Microcredits>
  }
  readonly ledger: {
    /** Where the log is served over HTTP for everybody. */
    readonly listen: ListenAddress | 'off'
    /** So old are entries before they may be pruned. */
    readonly retentionSeconds: number
  }
  readonly attributes: ReadonlyMap<string, string | number>
  readonly queues: QueueRules | undefined
  readonly staging: {
    readonly spoolBytesMax: number
    readonly keepResultsSeconds: number
    /** Where jobs lie while they run; relative to the data directory. */
    readonly jobsDirectory: string
  }
  /** Under which local accounts jobs run, and whose of ours may go where. */
  readonly accounts: AccountRules
  readonly limits: { readonly jobsOpenMax: number; readonly apiConnectionsMax: number }
  readonly log: {
    readonly level: 'debug' | 'info' | 'warn' | 'error'
    readonly linesPerSecondMax: number
  }
}

export interface ConfigFault {
  /** 1-based. */
  readonly line: number
  /** Such as `market.window`; empty when the text is no TOML. */
  readonly key: string
  readonly message: string
}

export class ConfigProblem extends Problem {
  readonly faults: readonly ConfigFault[]

  constructor(file: string, faults: readonly ConfigFault[]) {
    const lines = faults.map(({ line, key, message }) =>
      `  ${file}:${line}: ${key === '' ? '' : `${key}: `}${message}`)
    const count = faults.length === 1 ? 'a problem' : `${faults.length} problems`
    super('config', `the config has ${count}:\n${lines.join('\n')}`)
    this.faults = faults
  }
}

const configBytesMax = 1024 * 1024

/** What is expected of the keys that have no default. */
const required: Readonly<Record<string, string>> = {
  'site.name': 'name = "site-a.example", the name that the federation knows this site by',
  'network.listen': 'listen = ["/ip4/0.0.0.0/tcp/7700"], where other sites can reach this one',
}

/** Cores and three quarters of the memory of this machine. */
export function localMachine(): Machine {
  const mebibyte = 2 ** 20
  return {
    cores: Math.min(availableParallelism(), 65_536),
    memoryBytes: Math.max(1, Math.floor((totalmem() * 3) / 4 / mebibyte)) * mebibyte,
  }
}

/** @throws ConfigProblem with every fault of the file; Problem when it cannot be read. */
export function readConfig(path: string, machine: Machine = localMachine()): Config {
  return parseConfig(readText(path), path, machine)
}

/** @throws Problem or ConfigProblem: it is not there, too long or no text */
export function readText(path: string): string {
  let bytes: Buffer
  try {
    const { size } = statSync(path)
    if (size > configBytesMax) {
      throw new Problem('config', `${path}: expected at most ${configBytesMax} bytes, got ${size}`)
    }
    bytes = readFileSync(path)
  } catch (cause) {
    if (cause instanceof Problem) throw cause
    if (systemCode(cause) === 'ENOENT') {
      throw new Problem('config', `no config at ${path}; make one with \`gridnode init\``, cause)
    }
    throw new Problem('config', `cannot read the config ${path}: ${messageOf(cause)}`, cause)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new ConfigProblem(path, [{ line: 1, key: '', message: 'expected UTF-8 text' }])
  }
}

/** Pure but for `machine`, which is given. */
export function parseConfig(text: string, file: string, machine: Machine): Config {
  const tree = parseToml(text, file)
  const lines = tomlLines(text)
  const kind = isTable(tree['scheduler']) ? tree['scheduler']['kind'] : undefined
  const schema = schemaFor(kind, machine)
  const faults: ConfigFault[] = []
  const complain = (path: readonly string[], message: string): void => {
    faults.push({ line: lines.lineOf(path), key: path.join('.'), message })
  }
  for (const [path, message] of unknownKeys(tree, kind, machine)) complain(path, message)
  const decoded = v.safeParse(schema, tree)
  if (!decoded.success) {
    for (const issue of decoded.issues) {
      const path = (issue.path ?? []).map((item) => String(item.key))
      complain(path, messageFor(issue, path))
    }
  } else {
    for (const [path, message] of contradictions(decoded.output)) complain(path, message)
  }
  if (faults.length > 0) {
    faults.sort((left, right) => left.line - right.line)
    throw new ConfigProblem(file, faults)
  }
  return build((decoded as { output: ConfigRead }).output)
}

function parseToml(text: string, file: string): Record<string, unknown> {
  try {
    return parse(text, { integersAsBigInt: true }) as Record<string, unknown>
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const what = error.message.split('\n')[0]?.replace(/^Invalid TOML document: /, '') ?? ''
    const message = `expected TOML, but at column ${error.column}: ${what}`
    throw new ConfigProblem(file, [{ line: error.line, key: '', message }])
  }
}

function messageFor(issue: v.BaseIssue<unknown>, path: readonly string[]): string {
  const missing = issue.type === 'object' && issue.received === 'undefined'
  if (missing) return `missing; expected ${required[path.join('.')] ?? 'a value'}`
  if (issue.type === 'object') return `expected a section, got ${describe(issue.input)}`
  return issue.message
}

/** Every key that no schema names, with what may have been meant. */
function* unknownKeys(
  tree: Record<string, unknown>, kind: unknown, machine: Machine,
): Iterable<readonly [readonly string[], string]> {
  const keysOf = (section: string): readonly string[] | undefined => {
    if (section === 'scheduler') return schedulerKeys(kind, machine)
    const schema = sections[section as keyof typeof sections]
    return 'entries' in schema ? Object.keys(schema.entries) : undefined
  }
  const names = [...Object.keys(sections), 'scheduler']
  for (const [section, value] of Object.entries(tree)) {
    if (!names.includes(section)) {
      yield [[section], `unknown ${isTable(value) ? 'section' : 'key'}${meant(section, names)}`]
      continue
    }
    const known = keysOf(section)
    if (!known || !isTable(value)) continue
    for (const key of Object.keys(value)) {
      if (known.includes(key)) continue
      const others = schedulerKinds.filter((one) => schedulerKeys(one, machine).includes(key))
      const elsewhere = names.find((one) => one !== section && keysOf(one)?.includes(key))
      if (section === 'scheduler' && others.length > 0) {
        const right = others.map((one) => JSON.stringify(one)).join(', ')
        const own = schedulerKinds.find((one) => one === kind) ?? 'embedded'
        yield [[section, key], `only for kind = ${right}, and this is "${own}"`]
      } else if (elsewhere !== undefined) {
        yield [[section, key], `unknown key; it belongs in [${elsewhere}]`]
      } else yield [[section, key], `unknown key${meant(key, known)}`]
    }
  }
}

function meant(word: string, candidates: readonly string[]): string {
  const [best] = nearestFew(word, candidates, 1)
  return best ? `; did you mean ${best}?` : `; expected one of ${candidates.join(', ')}`
}

/** Values that are right by themselves and wrong together. */
function* contradictions(read: ConfigRead): Iterable<readonly [readonly string[], string]> {
  const { window, bid_validity, offer_heartbeat, offer_validity } = read.market
  if (bid_validity * 1_000 <= window) {
    const why = 'expected longer than market.window, or no bid of ours could win'
    yield [['market', 'bid_validity'], why]
  }
  if (offer_validity * 1_000 <= offer_heartbeat) {
    const why = 'expected longer than market.offer_heartbeat, or our offers lapse in between'
    yield [['market', 'offer_validity'], why]
  }
  const { map, pool } = read.accounts
  if (map.some((rule) => rule.account === 'pool') && pool.length === 0) {
    yield [['accounts', 'pool'], 'expected names of accounts, as accounts.map gives out the pool']
  }
  yield* queueFaults(read)
  for (const [site] of read.credit.limits) {
    if (site !== read.site.name) continue
    yield [['credit', 'limits', site], 'expected another site; a site owes itself nothing']
  }
}

function build(read: ConfigRead): Config {
  const { api, tariff, market, credit, staging, log } = read
  return {
    site: { name: read.site.name },
    network: {
      ...read.network,
      peers: new Map(read.network.peers as readonly (readonly [SiteName, readonly string[]])[]),
    },
    api: { socketMode: api.socket_mode },
    scheduler: buildScheduler(read.scheduler),
    draining: read.scheduler.draining!,
    tariff: {
      taskMicrocredits: tariff.task,
      coreHourMicrocredits: tariff.core_hour,
      gibHourMicrocredits: tariff.gib_hour,
      loadFactorPermilleMax: tariff.load_factor_max,
    },
    market: {
      windowMs: market.window,
      bidValiditySeconds: market.bid_validity,
      awardWithinSeconds: market.award_within,
      leaseSeconds: market.lease,
      acceptWithinSeconds: market.accept_within,
      interimSeconds: market.interim,
      exposurePermille: market.exposure,
      autoAcceptPermille: market.auto_accept,
      arbiter: market.arbiter,
      shortlistSites: market.shortlist,
      queueAheadPermille: market.queue_ahead,
      offerHeartbeatMs: market.offer_heartbeat,
      offerValiditySeconds: market.offer_validity,
    },
    credit: {
      defaultLimitMicrocredits: credit.default_limit,
      limitsMicrocredits: new Map(credit.limits as readonly (readonly [SiteName, Microcredits])[]),
    },
    ledger: { listen: read.ledger.listen, retentionSeconds: read.ledger.retention },
    attributes: new Map(read.attributes),
    accounts: read.accounts,
    queues: buildQueues(read),
    staging: {
      spoolBytesMax: staging.spool_max, keepResultsSeconds: staging.keep_results,
      jobsDirectory: staging.jobs,
    },
    limits: {
      jobsOpenMax: read.limits.jobs_open,
      apiConnectionsMax: read.limits.api_connections,
    },
    log: { level: log.level, linesPerSecondMax: log.lines_per_second },
  }
}
