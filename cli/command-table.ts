// The commands, in the order in which the help lists them. Each is loaded when it is called, so
// that `gridnode version` pays for no other.

import type { Command } from './command.ts'

export interface CommandEntry {
  readonly group: string
  readonly summary: string
  load(): Promise<Command>
}

const jobs = 'Jobs'
const federation = 'The federation'
const site = 'A site'

export const commandTable: Readonly<Record<string, CommandEntry>> = {
  submit: {
    group: jobs,
    summary: 'hand in a script or a command',
    load: async () => (await import('./commands/submit.ts')).submit,
  },
  status: {
    group: jobs,
    summary: 'list jobs, or show one',
    load: async () => (await import('./commands/status.ts')).status,
  },
  why: {
    group: jobs,
    summary: 'explain where a job runs: bids, refusals, awards',
    load: async () => (await import('./commands/why.ts')).why,
  },
  logs: {
    group: jobs,
    summary: 'print what a job writes, as it appears',
    load: async () => (await import('./commands/logs.ts')).logs,
  },
  fetch: {
    group: jobs,
    summary: 'bring the results here',
    load: async () => (await import('./commands/fetch.ts')).fetch,
  },
  cancel: {
    group: jobs,
    summary: 'end a job',
    load: async () => (await import('./commands/cancel.ts')).cancel,
  },
  offers: {
    group: federation,
    summary: 'what the sites have and what it costs',
    load: async () => (await import('./commands/offers.ts')).offers,
  },
  peers: {
    group: federation,
    summary: 'who is connected, who owes whom',
    load: async () => (await import('./commands/peers.ts')).peers,
  },
  federation: {
    group: federation,
    summary: 'its policy, witnesses and allocations',
    load: async () => (await import('./commands/federation.ts')).federation,
  },
  invite: {
    group: federation,
    summary: 'make a token by which a site joins',
    load: async () => (await import('./commands/invite.ts')).invite,
  },
  ledger: {
    group: federation,
    summary: 'balances, entries, export',
    load: async () => (await import('./commands/ledger.ts')).ledger,
  },
  evidence: {
    group: federation,
    summary: 'proofs that a site lied',
    load: async () => (await import('./commands/evidence.ts')).evidence,
  },
  verify: {
    group: federation,
    summary: 'check exported ledgers, without a node',
    load: async () => (await import('./commands/verify.ts')).verify,
  },
  audit: {
    group: federation,
    summary: "check another site's ledger, live",
    load: async () => (await import('./commands/audit.ts')).audit,
  },
  balance: {
    group: federation,
    summary: 'what is owed: agreed, claimed, disputed; netting',
    load: async () => (await import('./commands/balance.ts')).balance,
  },
  invoice: {
    group: federation,
    summary: 'the account with a site over a period',
    load: async () => (await import('./commands/invoice.ts')).invoice,
  },
  reputation: {
    group: federation,
    summary: 'how far a site has kept its word',
    load: async () => (await import('./commands/reputation.ts')).reputation,
  },
  init: {
    group: site,
    summary: 'make a site: directory, keys, configuration',
    load: async () => (await import('./commands/init.ts')).init,
  },
  join: {
    group: site,
    summary: 'join a federation by a token',
    load: async () => (await import('./commands/join.ts')).join,
  },
  start: {
    group: site,
    summary: 'run the site, in the foreground',
    load: async () => (await import('./commands/start.ts')).start,
  },
  version: {
    group: site,
    summary: 'the version of this program and of the node',
    load: async () => (await import('./commands/version.ts')).version,
  },
  help: {
    group: site,
    summary: 'this list; help COMMAND for more',
    load: async () => (await import('./commands/help.ts')).help,
  },
}
