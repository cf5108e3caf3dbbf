// `gridnode init`: the data directory of a new site, its keys and its configuration.

import { parseBytes } from '../../protocol/base/units.ts'
import type { Arguments } from '../arguments.ts'
import type { Command, Context } from '../command.ts'
import { exitCodes, usageFailure } from '../failure.ts'
import { jsonText } from '../output.ts'

export const init: Command = {
  usage: ['[options] --found FEDERATION SITE', '[options] SITE'],
  about:
    'Makes the data directory of a site: keys that only you can read, a configuration with ' +
    'comments, and with --found the ledger of a new federation. Without it the site can ' +
    "'gridnode join' one. Looks for a batch scheduler and software modules and configures what " +
    'it finds. Never touches a directory that has anything in it. SITE is a name such as ' +
    'cluster.department.example.',
  options: {
    found: { kind: 'value', value: 'NAME', help: 'found a new federation of this name' },
    scheduler: {
      kind: 'value', value: 'KIND',
      help: 'slurm, grid-engine, pbs, torque, lsf, htcondor or embedded (default: what answers)',
    },
    listen: {
      kind: 'list', value: 'ADDRESS',
      help: 'where to take connections (default /ip4/0.0.0.0/tcp/7700; repeat)',
    },
    cores: { kind: 'value', value: 'N', help: 'embedded: cores to offer (default: all)' },
    memory: { kind: 'value', value: 'SIZE', help: 'embedded: memory to offer (default: 3/4)' },
    set: { kind: 'list', value: 'KEY=VALUE', help: 'any other key, its value as TOML (repeat)' },
  },
  examples: [
    ['gridnode init --found physics a.physics.example', 'the first site of a federation'],
    ['gridnode init --dir /srv/grid --scheduler slurm b.physics.example', 'a Slurm cluster'],
    ["gridnode init --set 'market.window=\"200ms\"' c.example", 'with one more key'],
  ],
  run: runInit,
}

async function runInit(context: Context): Promise<number> {
  const { args, directory, json, terminal } = context
  const [site, ...more] = args.words
  if (site === undefined || more.length > 0) {
    throw usageFailure("expected one site's name such as cluster.department.example")
  }
  const enrol = await import('../../node/enrol.ts')
  const made = await enrol.init({ directory, site, ...choices(args) })
  if (json) {
    await terminal.out.write(jsonText(made))
    return exitCodes.done
  }
  const next = made.federation === undefined
    ? [`${context.suggest('join', 'TOKEN')}   with a token from a member (gridnode invite)`]
    : []
  next.push(context.suggest('start'))
  if (made.federation !== undefined) {
    next.push(`${context.suggest('invite')}   for a token by which another site joins`)
  }
  const founded = made.federation === undefined ? '' : `\nfederation ${made.federation}`
  const lines = [
    `site ${made.site} made in ${made.directory}${founded}`,
    `configuration: ${made.configPath}`,
    ...made.notes.map((note) => `note: ${note}`),
    `next:\n${next.map((line) => `  ${line}`).join('\n')}`,
  ]
  await terminal.out.write(`${lines.join('\n')}\n`)
  return exitCodes.done
}

const kinds = ['embedded', 'slurm', 'grid-engine', 'pbs', 'torque', 'lsf', 'htcondor'] as const

interface Choices {
  readonly found?: string
  readonly scheduler?: (typeof kinds)[number]
  readonly look?: boolean
  readonly listen?: readonly string[]
  readonly cores?: number
  readonly memoryBytes?: number
  readonly set?: Readonly<Record<string, string>>
}

/** What the configuration says of these is checked when it is written. */
function choices(args: Arguments): Choices {
  const found = args.value('found')
  const named = args.value('scheduler')
  const scheduler = kinds.find((kind) => kind === named)
  if (named !== undefined && scheduler === undefined) {
    throw usageFailure(`--scheduler: expected one of ${kinds.join(', ')}, got '${named}'`)
  }
  const cores = args.value('cores')
  if (cores !== undefined && !/^[1-9][0-9]{0,5}$/.test(cores)) {
    throw usageFailure(`--cores: expected a number of cores, got '${cores}'`)
  }
  const memory = args.value('memory')
  const memoryBytes = memory === undefined ? undefined : parseBytes(memory)
  if (memory !== undefined && memoryBytes === undefined) {
    throw usageFailure(`--memory: expected a size with its unit such as 4GiB, got '${memory}'`)
  }
  const set = args.list('set').map((text) => {
    const at = text.indexOf('=')
    if (at < 1) throw usageFailure(`--set: expected KEY=VALUE such as market.window="200ms"`)
    return [text.slice(0, at).trim(), text.slice(at + 1).trim()] as const
  })
  const listen = args.list('listen')
  // Whoever says how much of this machine jobs may use means this machine.
  const machine = scheduler === undefined && (cores !== undefined || memoryBytes !== undefined)
  return {
    ...(machine ? { scheduler: 'embedded' } : { look: true }),
    ...(found === undefined ? {} : { found }),
    ...(scheduler === undefined ? {} : { scheduler }),
    ...(listen.length === 0 ? {} : { listen }),
    ...(cores === undefined ? {} : { cores: Number(cores) }),
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    ...(set.length === 0 ? {} : { set: Object.fromEntries(set) }),
  }
}
