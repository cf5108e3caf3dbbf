// A federation of real processes for the tests here: made by the same init, invite and join that
// people use, with short times, and questions that tests ask of it again and again.

import { spawnSync } from 'node:child_process'
import { join as joinPath } from 'node:path'
import type {
  ExportAnswer, InviteAnswer, JobDetail, LedgerEntryRow, LedgerSummary, OfferRow, PeerRow,
  WhyAnswer,
} from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { init, join } from '../../node/enrol.ts'
import { directoryFiles } from '../../cli/verify/log-files.ts'
import type { VerifyReport } from '../../cli/verify/verify.ts'
import { verifyLogs } from '../../cli/verify/verify.ts'
import type { SchedulerKind } from '../../node/config-scheduler.ts'
import type { Context } from '../harness.ts'
import { assert, eventually } from '../harness.ts'
import type { Site } from './site.ts'
import { freePort, program, siteAt } from './site.ts'

export interface SitePlan {
  readonly name: string
  readonly cores?: number
  readonly memoryMib?: number
  readonly scheduler?: SchedulerKind
  /** Over the federation's. */
  readonly set?: Readonly<Record<string, string>>
}

export interface FederationPlan {
  readonly sites: readonly SitePlan[]
  readonly set?: Readonly<Record<string, string>>
  /** Where each site runs and listens; on 127.0.0.1 of this machine when left out. */
  readonly network?: Network
}

export interface Network {
  /** A multiaddr. */
  listen(site: string): string
  /** Words before a command that run it where the site is. */
  within(site: string): readonly string[]
}

export interface Federation {
  readonly directory: string
  readonly sites: readonly Site[]
  site(name: string): Site
}

const quick = {
  'market.window': '"400ms"',
  'market.bid_validity': '"5s"',
  'market.award_within': '"4s"',
  'market.lease': '"12s"',
  'market.queue_ahead': '0.0',
  'credit.default_limit': '"10000 cr"',
  'tariff.core_hour': '"3600 cr"',
  'tariff.load_factor_max': '1.0',
  'log.level': '"debug"',
}

/** All sites up, each with the offers of all. The first founds, the others join by its token. */
export async function openFederation(ctx: Context, plan: FederationPlan): Promise<Federation> {
  const { network } = plan
  const directory = ctx.tmp()
  const sites: Site[] = []
  for (const [index, one] of plan.sites.entries()) {
    const own = joinPath(directory, one.name)
    await init({
      directory: own,
      site: one.name,
      listen: [network?.listen(one.name) ?? `/ip4/127.0.0.1/tcp/${await freePort()}`],
      ...(index === 0 && { found: 'testers' }),
      ...(one.scheduler && { scheduler: one.scheduler }),
      ...((one.scheduler ?? 'embedded') === 'embedded' && {
        cores: one.cores ?? 2, memoryBytes: (one.memoryMib ?? 4_096) * 2 ** 20,
      }),
      set: {
        ...quick,
        // Tasks of tests tell what they did in files outside.
        ...((one.scheduler ?? 'embedded') === 'embedded' && { 'scheduler.sandbox': '"none"' }),
        ...plan.set, ...one.set,
      },
    })
    sites.push(siteAt(ctx, one.name, own, network?.within(one.name)))
  }
  const [founder, ...others] = sites
  await founder!.start()
  for (const site of others) {
    const { token } = await founder!.client.post<InviteAnswer>(
      apiPaths.invites, { valid_seconds: 600 })
    if (network) runThere(network.within(site.name), ['join', '--dir', site.directory, token])
    else await join({ directory: site.directory, token })
  }
  await Promise.all(others.map((site) => site.start()))
  const federation: Federation = {
    directory,
    sites,
    site: (name) => sites.find((site) => site.name === name)!,
  }
  await everybodyMeets(federation)
  return federation
}

/** A command of the program, where a site is; its output. */
export function runThere(within: readonly string[], words: readonly string[]): string {
  const [command = program, ...others] = [...within, program, ...words]
  const ran = spawnSync(command, others, { encoding: 'utf8', timeout: 60_000 })
  if (ran.status === 0) return ran.stdout
  const why = ran.error?.message ?? ran.stderr
  throw new Error(`gridnode ${words[0]} ended with ${ran.status}: ${why}\n${ran.stdout}`)
}

/** Every site that runs is linked to every other, has its offer, and is owed no statement. */
export async function everybodyMeets(
  { sites }: Pick<Federation, 'sites'>, timeoutSeconds = 40,
): Promise<void> {
  const up = sites.filter((site) => site.running())
  for (const { name, client } of up) {
    await eventually(async () => {
      const offers = await client.get<OfferRow[]>(apiPaths.offers)
      const peers = await client.get<PeerRow[]>(apiPaths.peers)
      const here = (one: Site): boolean => offers.some((row) => row.site === one.name && row.up)
      const met = (one: Site): boolean => one.name === name ||
        peers.some((row) => row.site === one.name && row.undelivered === 0)
      return up.every((one) => here(one) && met(one))
    }, { timeoutSeconds, what: `${name} sees all other sites` })
  }
}

export function jobOf(site: Site, job: string): Promise<JobDetail> {
  return site.client.get<JobDetail>(apiPaths.job(job))
}

export function whyOf(site: Site, job: string): Promise<WhyAnswer> {
  return site.client.get<WhyAnswer>(apiPaths.why(job))
}

export function ledgerOf(site: Site): Promise<LedgerSummary> {
  return site.client.get<LedgerSummary>(apiPaths.ledger)
}

export async function entriesOf(site: Site): Promise<LedgerEntryRow[]> {
  const entries: LedgerEntryRow[] = []
  for (;;) {
    const query = { from: entries.length, limit: 1_000 }
    const page = await site.client.get<LedgerEntryRow[]>(apiPaths.ledgerEntries, query)
    if (page.length === 0) return entries
    entries.push(...page)
  }
}

const endStates = ['done', 'failed', 'cancelled', 'expired']

/** The job's last word. */
export function ended(site: Site, job: string, timeoutSeconds = 40): Promise<JobDetail> {
  return untilJob(site, job, ({ state }) => endStates.includes(state), timeoutSeconds)
}

/** As soon as `holds` is true of the job. */
export async function untilJob(
  site: Site, job: string, holds: (detail: JobDetail) => boolean, timeoutSeconds = 40,
): Promise<JobDetail> {
  let last: JobDetail | undefined
  try {
    return await eventually(async () => {
      last = await jobOf(site, job)
      return holds(last) ? last : undefined
    }, { timeoutSeconds, what: `job ${job}: ${holds.toString().slice(0, 120)}` })
  } catch (cause) {
    const why = await whyOf(site, job).catch(String)
    const log = site.log().slice(-3_000)
    const details = JSON.stringify({ last: { ...last, script: '' }, why }, undefined, 1)
    throw Object.assign(new Error(String(cause), { cause }), { details: `${details}\n${log}` })
  }
}

/** Nothing is held or claimed any more at any site, and everything that was said has arrived. */
export async function settled(
  { sites }: Pick<Federation, 'sites'>, timeoutSeconds = 40,
): Promise<void> {
  for (const site of sites.filter((one) => one.running())) {
    await eventually(async () => {
      const { pairs } = await ledgerOf(site)
      const peers = await site.client.get<PeerRow[]>(apiPaths.peers)
      const closed = pairs.every(({ heldByUs, heldByThem }) =>
        heldByUs === '0' && heldByThem === '0')
      return closed && peers.every(({ undelivered }) => undelivered === 0)
    }, { timeoutSeconds, what: `${site.name} has no open hold and nothing undelivered` })
  }
}

let exports = 0

/** Exports every ledger and verifies all of them offline: no finding and no open hold. */
export async function booksHold(federation: Federation): Promise<VerifyReport> {
  await settled(federation)
  const files = []
  for (const { name, client } of federation.sites.filter((one) => one.running())) {
    const directory = joinPath(federation.directory, `export-${exports++}-${name}`)
    await client.post<ExportAnswer>(apiPaths.ledgerExport, { directory })
    files.push(directoryFiles(directory))
  }
  const report = await verifyLogs(files)
  assert.equal(report.findings, [], 'the ledgers hold')
  assert.equal(report.verdict, 'holds')
  assert.equal(report.openHolds, [], 'no hold is open')
  await balancesAgree(federation)
  return report
}

/** What one side says the other owes is what the other says it owes. */
export async function balancesAgree({ sites }: Pick<Federation, 'sites'>): Promise<void> {
  const said = new Map<string, bigint>()
  for (const site of sites.filter((one) => one.running())) {
    for (const pair of (await ledgerOf(site)).pairs) {
      said.set(`${site.name}>${pair.site}`, BigInt(pair.balance))
    }
  }
  for (const [names, balance] of said) {
    const other = said.get(names.split('>').toReversed().join('>'))
    if (other !== undefined) assert.equal(other, -balance, `both sides of ${names}`)
  }
}
