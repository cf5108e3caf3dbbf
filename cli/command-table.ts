// The commands, in the order in which the help lists them. Each is loaded when it is called, so that
// `gridnode version` pays for no other.

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
  offers: {
    group: federation,
    summary: 'what the sites have and what it costs',
    load: async () => (await import('./commands/offers.ts')).offers,
  },
  version: {
    group: site,
    summary: 'the version of this program and of the node',
    load: async () => (await import('./commands/version.ts')).version,
  },
}
