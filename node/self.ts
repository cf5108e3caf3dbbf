// Who this node is, from its keys, its ledger and its config; and the scheduler that the config
// names.

import { cpus, machine, platform, release } from 'node:os'
import { join } from 'node:path'
import { unreachable } from '../protocol/base/assert.ts'
import type { Tables } from '../protocol/base/tables.ts'
import type { Self } from '../protocol/machine/state.ts'
import type { LedgerHead } from '../protocol/rules/ledger-book.ts'
import { statementSigner, witnessSignerName } from '../protocol/rules/statement.ts'
import type { Config } from './config.ts'
import type { SlurmConfig } from './config-scheduler.ts'
import type { Keys } from './identity.ts'
import { get } from './local/tables.ts'
import { Problem } from './problem.ts'
import type { Driver } from './scheduler/driver.ts'
import { EmbeddedDriver } from './scheduler/embedded.ts'
import { gridEngineDriver } from './scheduler/grid-engine.ts'
import { htcondorDriver } from './scheduler/htcondor.ts'
import { lsfDriver } from './scheduler/lsf.ts'
import { pbsDriver } from './scheduler/pbs.ts'
import { slurmDriver } from './scheduler/slurm.ts'
import { torqueDriver } from './scheduler/torque.ts'

const roundRetryMsMin = 2_000
const roundRetryMsMax = 60_000

/** @throws Problem `config` when the ledger was opened for another site, or not at all */
export function selfOf(config: Config, keys: Keys<'statement' | 'witness'>, tables: Tables): Self {
  const head = get(tables, 'ledgerHead', 'head')
  if (!head) {
    throw new Problem('config', 'this site belongs to no federation yet; ask a member for a ' +
      'token (gridnode invite) and use it here: gridnode join TOKEN')
  }
  demandSameSite(config, head)
  const { site, epoch, federation } = head
  return {
    site,
    federation,
    signer: { site, epoch, statement: statementSigner(site, epoch, keys.statement) },
    witness: { name: witnessSignerName(site, epoch), key: keys.witness },
    scheduler: config.scheduler.kind,
    ...settingsOf(config),
  }
}

/** What the administrator has set, and may set anew while the node runs. */
export type Settings = Omit<
  Self, 'site' | 'federation' | 'signer' | 'witness' | 'scheduler'
>

export function settingsOf(config: Config): Settings {
  return {
    tariff: {
      task: config.tariff.taskMicrocredits,
      coreHour: config.tariff.coreHourMicrocredits,
      gibHour: config.tariff.gibHourMicrocredits,
      speedPermille: config.scheduler.speedPermille,
      loadFactorMaxPermille: config.tariff.loadFactorPermilleMax,
    },
    market: {
      windowMs: config.market.windowMs,
      bidValidSeconds: config.market.bidValiditySeconds,
      leaseSeconds: config.market.leaseSeconds,
      acceptSeconds: config.market.acceptWithinSeconds,
      interimSeconds: config.market.interimSeconds,
      exposurePermille: config.market.exposurePermille,
      autoPermille: config.market.autoAcceptPermille,
      arbiter: config.market.arbiter,
      awardSeconds: config.market.awardWithinSeconds,
      shortlistSites: config.market.shortlistSites,
      queueAheadPermille: config.market.queueAheadPermille,
      roundRetryMsMin,
      roundRetryMsMax,
    },
    credit: {
      defaultLimit: config.credit.defaultLimitMicrocredits,
      limits: config.credit.limitsMicrocredits,
    },
    offers: {
      validSeconds: config.market.offerValiditySeconds,
      heartbeatMs: config.market.offerHeartbeatMs,
    },
    jobsOpenMax: config.limits.jobsOpenMax,
    attributes: [...new Map([...ownMachine(), ...config.attributes])]
      .map(([name, value]) => ({ name, value })),
    keepResultsSeconds: config.staging.keepResultsSeconds,
    draining: config.draining,
    accounts: config.accounts,
    queues: config.queues,
  }
}

/** What the node's own machine is, unless the config says what the cluster's are. */
function ownMachine(): (readonly [string, string])[] {
  const model = cpus()[0]?.model.trim() ?? ''
  return [
    ['os', platform()], ['arch', machine()], ['kernel', release()],
    ...(model === '' ? [] : [['cpu_model', model.slice(0, 128)] as const]),
  ]
}

function demandSameSite(config: Config, head: LedgerHead): void {
  const { name } = config.site
  if (head.site === name) return
  throw new Problem('config', `the config says site.name = "${name}", but this directory is ` +
    `${head.site}'s; a site keeps its name: set it back`)
}

export function driverFor(config: Config, directory: string): Driver {
  const { scheduler } = config
  if (scheduler.kind === 'embedded') {
    return new EmbeddedDriver({
      stateDirectory: join(directory, 'embedded'),
      cores: scheduler.cores,
      memoryBytes: scheduler.memoryBytes,
      walltimeSecondsMax: scheduler.walltimeSecondsMax,
      speedPermille: scheduler.speedPermille,
      ...(scheduler.sandbox !== 'none' && {
        sandbox: {
          kind: scheduler.sandbox, hide: [directory], show: scheduler.sandboxShow,
          network: scheduler.sandboxNetwork,
        },
      }),
    })
  }
  const stateDirectory = join(directory, scheduler.kind)
  switch (scheduler.kind) {
    case 'grid-engine': return gridEngineDriver({ ...scheduler.driver, stateDirectory })
    case 'pbs': return pbsDriver({ ...scheduler.driver, stateDirectory })
    case 'torque': return torqueDriver({ ...scheduler.driver, stateDirectory })
    case 'lsf': return lsfDriver({ ...scheduler.driver, stateDirectory })
    case 'htcondor': return htcondorDriver({ ...scheduler.driver, stateDirectory })
    case 'slurm': return slurmFor(scheduler, stateDirectory)
    default: return unreachable(scheduler)
  }
}

function slurmFor(scheduler: SlurmConfig, stateDirectory: string): Driver {
  const { confPath, binDirectory, partition, extraArguments, memoryEnforced } = scheduler
  return slurmDriver({
    stateDirectory,
    ...(confPath !== undefined && { confPath }),
    ...(binDirectory !== undefined && { binDirectory }),
    ...(partition !== undefined && { partition }),
    extraArguments,
    memoryEnforced,
  })
}
