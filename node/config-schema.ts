// What the config of a site may hold: a schema a section. A default stands here and nowhere else.

import * as v from 'valibot'
import type { Outcome } from '../protocol/base/outcome.ts'
import { ok, refuse } from '../protocol/base/outcome.ts'
import { parseSiteName } from '../protocol/base/ids.ts'
import { limits } from '../protocol/base/limits.ts'
import type { Microcredits } from '../protocol/base/units.ts'
import { microcreditsMax } from '../protocol/base/units.ts'
import { accountPattern, parseExportRule, parseMapRule } from '../protocol/rules/account-map.ts'
import * as fields from './config-fields.ts'
import { queuesSections } from './config-queues.ts'
import { schedulerSchema } from './config-scheduler.ts'
import type { SchedulerRead } from './config-scheduler.ts'

/** What the defaults of the embedded executor are taken from. */
export interface Machine {
  readonly cores: number
  readonly memoryBytes: number
}

const daySeconds = 86_400
const yearSeconds = 366 * daySeconds
const tebibyte = 2 ** 40
const amount = (): fields.Field<Microcredits> => fields.credits(microcreditsMax)

/** Names that a cluster's own figures have in requirements expressions. */
const reservedAttributes = new Set([
  'site', 'scheduler', 'cores_total', 'cores_free', 'memory_mib_total', 'memory_mib_free',
  'tasks_queued', 'tasks_running', 'cores_per_task_max', 'memory_mib_per_task_max',
  'walltime_seconds_max', 'speed_permille', 'rate_task', 'rate_core_hour', 'rate_gib_hour',
  'factor_permille', 'nodes_total', 'gpus_total', 'gpus_free', 'licences', 'queues', 'abilities',
  'reputation_permille', 'product_name', 'total_logical_cpus', 'free_slots', 'waiting_jobs',
  'running_jobs', 'max_slots_per_job', 'max_main_memory', 'max_wall_time', 'platform', 'os_family',
  'network_info',
])

function parseAccount(text: string): Outcome<string, { readonly detail: string }> {
  if (accountPattern.test(text) && text !== 'root') return ok(text)
  return refuse({ detail: `expected an account other than root, got ${JSON.stringify(text)}` })
}

/** Keys that are names of sites. */
const bySite = {
  expected: 'the name of a site',
  ok: (key: string): boolean => parseSiteName(key) !== undefined,
  max: limits.sitesMax,
}

/** The sections that do not depend on the scheduler; a default stands here and nowhere else. */
export const sections = {
  site: v.object({ name: fields.siteName() }),
  network: v.object({
    listen: fields.addresses('listen'),
    announce: v.optional(fields.addresses('announce'), []),
    peers: v.optional(fields.tableOf('peers', bySite, fields.addresses('announce')), {}),
  }),
  api: v.object({ socket_mode: v.optional(fields.socketMode(), '0600') }),
  tariff: v.object({
    task: v.optional(amount(), '0 cr'),
    core_hour: v.optional(amount(), '1 cr'),
    gib_hour: v.optional(amount(), '0 cr'),
    load_factor_max: v.optional(fields.permille({ min: 1_000, max: 1_000_000 }), 2),
  }),
  market: v.object({
    window: v.optional(fields.milliseconds({ min: 50, max: 600_000 }), '1s'),
    bid_validity: v.optional(fields.seconds({ min: 1, max: daySeconds }), '30s'),
    award_within: v.optional(fields.seconds({ min: 1, max: daySeconds }), '30s'),
    lease: v.optional(fields.seconds({ min: 10, max: 30 * daySeconds }), '10m'),
    accept_within: v.optional(fields.seconds({ min: 10, max: 365 * daySeconds }), '1d'),
    interim: v.optional(fields.seconds({ min: 1, max: 30 * daySeconds }), '15m'),
    exposure: v.optional(fields.permille({ min: 1, max: 1_000 }), 0.5),
    auto_accept: v.optional(fields.permille({ min: 0, max: 1_000 }), 0),
    arbiter: v.optional(fields.siteOrNobody(), ''),
    shortlist: v.optional(fields.integer({ min: 1, max: limits.shortlistSites }), 8),
    queue_ahead: v.optional(fields.permille({ min: 0, max: 100_000 }), 1),
    offer_heartbeat: v.optional(fields.milliseconds({ min: 2_000, max: 3_600_000 }), '30s'),
    offer_validity: v.optional(fields.seconds({ min: 5, max: daySeconds }), '2m'),
  }),
  credit: v.object({
    default_limit: v.optional(amount(), '0 cr'),
    limits: v.optional(
      fields.tableOf('credit limits', bySite, amount()),
      {},
    ),
  }),
  ledger: v.object({
    listen: v.optional(fields.listenAddress(), 'off'),
    retention: v.optional(fields.seconds({ min: 0, max: 100 * yearSeconds }), '3650d'),
  }),
  attributes: fields.tableOf(
    'attributes',
    {
      expected: 'a name of a-z, 0-9 and _ that is not one of the cluster\'s own figures',
      ok: (key) => /^[a-z][a-z0-9_]{0,63}$/.test(key) && !reservedAttributes.has(key),
      max: limits.attributesPerOffer,
    },
    fields.attributeValue(),
  ),
  accounts: v.object({
    map: v.optional(fields.lines('rules HOME USER PROJECT = ACCOUNT', parseMapRule), []),
    pool: v.optional(fields.lines('names of accounts', parseAccount), []),
    export: v.optional(
      fields.lines('rules USER PROJECT = SITE', parseExportRule), ['* * = *']),
  }),
  staging: v.object({
    jobs: v.optional(fields.text('a directory', /^[^\u0000]{1,4000}$/), 'spool'),
    spool_max: v.optional(fields.bytes({ min: 2 ** 20, max: 1_024 * tebibyte }), '20GiB'),
    keep_results: v.optional(fields.seconds({ min: 60, max: 10 * yearSeconds }), '30d'),
  }),
  ...queuesSections,
  limits: v.object({
    jobs_open: v.optional(fields.integer({ min: 1, max: limits.jobsOpen }), limits.jobsOpen),
    api_connections: v.optional(fields.integer({ min: 4, max: 10_000 }), 256),
  }),
  log: v.object({
    level: v.optional(fields.word('debug', 'info', 'warn', 'error'), 'info'),
    lines_per_second: v.optional(fields.integer({ min: 1, max: 100_000 }), 200),
  }),
}

export function schemaFor(kind: unknown, machine: Machine) {
  const scheduler = schedulerSchema(kind, machine)
  const optional = <S extends v.GenericSchema>(schema: S) => v.optional(schema, {} as never)
  return v.object({
    site: optional(sections.site),
    network: optional(sections.network),
    api: optional(sections.api),
    scheduler: optional(scheduler as v.GenericSchema<unknown, SchedulerRead>),
    tariff: optional(sections.tariff),
    market: optional(sections.market),
    credit: optional(sections.credit),
    ledger: optional(sections.ledger),
    attributes: optional(sections.attributes),
    accounts: optional(sections.accounts),
    staging: optional(sections.staging),
    queues: optional(sections.queues),
    queue: optional(sections.queue),
    limits: optional(sections.limits),
    log: optional(sections.log),
  })
}

export type ConfigRead = v.InferOutput<ReturnType<typeof schemaFor>>
