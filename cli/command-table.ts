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
  explain: {
    group: jobs,
    summary: 'what a script asks for, line by line',
    load: async () => (await import('./commands/explain.ts')).explain,
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
  peek: {
    group: jobs,
    summary: 'look at the files of a running task',
    load: async () => (await import('./commands/peek.ts')).peek,
  },
  exec: {
    group: jobs,
    summary: 'run a command beside a running task',
    load: async () => (await import('./commands/exec.ts')).exec,
  },
  shell: {
    group: jobs,
    summary: 'open a shell beside a running task',
    load: async () => (await import('./commands/exec.ts')).shell,
  },
  hold: {
    group: jobs,
    summary: 'keep tasks from being started',
    load: async () => (await import('./commands/verbs.ts')).hold,
  },
  release: {
    group: jobs,
    summary: 'take a hold back',
    load: async () => (await import('./commands/verbs.ts')).release,
  },
  alter: {
    group: jobs,
    summary: 'change what a job asks for',
    load: async () => (await import('./commands/alter.ts')).alter,
  },
  signal: {
    group: jobs,
    summary: 'send a signal to running tasks',
    load: async () => (await import('./commands/verbs.ts')).signal,
  },
  suspend: {
    group: jobs,
    summary: 'stop running tasks where they are',
    load: async () => (await import('./commands/verbs.ts')).suspend,
  },
  resume: {
    group: jobs,
    summary: 'let suspended tasks go on',
    load: async () => (await import('./commands/verbs.ts')).resume,
  },
  requeue: {
    group: jobs,
    summary: 'start tasks anew',
    load: async () => (await import('./commands/verbs.ts')).requeue,
  },
  move: {
    group: jobs,
    summary: 'take tasks to other sites',
    load: async () => (await import('./commands/verbs.ts')).move,
  },
  compat: {
    group: jobs,
    summary: 'sbatch, qsub, bsub and the like as gridnode commands',
    load: async () => (await import('./commands/compat.ts')).compat,
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
  reload: {
    group: site,
    summary: 'have the node read its config again',
    load: async () => (await import('./commands/reload.ts')).reload,
  },
  drain: {
    group: site,
    summary: 'take the site out of work',
    load: async () => (await import('./commands/drain.ts')).drain,
  },
  undrain: {
    group: site,
    summary: 'take the site back into work',
    load: async () => (await import('./commands/drain.ts')).undrain,
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
