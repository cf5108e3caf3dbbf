// The demo's federation: three sites on this machine that differ in size, speed and price, made by
// the commands that an administrator types.

import { readFileSync } from 'node:fs'
import type { InviteAnswer, NodeInfo, OfferRow, PeerRow } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { CommandFailure, exitCodes } from '../failure.ts'
import { cut, printable } from '../output.ts'
import type { Node, Processes } from './processes.ts'
import type { Screen } from './screen.ts'
import type { Visitor } from './visitor.ts'
import { until } from './waiting.ts'

interface Plan {
  readonly site: string
  readonly cores: number
  readonly memory: string
  readonly set: Readonly<Record<string, string>>
}

/** The first founds the federation, and is where jobs are submitted. */
const plans: readonly [Plan, ...Plan[]] = [
  {
    site: 'alder', cores: 2, memory: '1GiB',
    // A window ends early when everybody has answered; a busy machine may need more than usual.
    set: {
      'tariff.task': '"0.01 cr"', 'tariff.core_hour': '"1 cr"', 'scheduler.speed': '1.0',
      'market.window': '"5s"',
    },
  },
  {
    site: 'birch', cores: 4, memory: '4GiB',
    set: { 'tariff.task': '"0.02 cr"', 'tariff.core_hour': '"1.6 cr"', 'scheduler.speed': '1.5' },
  },
  {
    site: 'cedar', cores: 3, memory: '2GiB',
    set: {
      'tariff.task': '"0.005 cr"', 'tariff.core_hour': '"0.6 cr"', 'scheduler.speed': '0.8',
      'staging.spool_max': '"8MiB"',
    },
  },
]

export const home = plans[0].site
export const siteNames: readonly string[] = plans.map(({ site }) => site)
const federationName = 'grove'
const startSeconds = 60
const meetSeconds = 60

export interface Parts {
  readonly screen: Screen
  readonly processes: Processes
  readonly visitor: Visitor
  readonly directory: string
  readonly signal: AbortSignal
}

/** Makes, starts and joins the sites; in the end each knows the offers of all. */
export async function openFederation(parts: Parts): Promise<void> {
  const { screen } = parts
  for (const plan of plans) await screen.command(initArguments(plan))
  await Promise.all(plans.map((plan) => runAlone(parts, initArguments(plan))))
  await screen.line()
  await screen.say(
    `${home} founds the federation and starts. Then it invites the others: a token lets one site ` +
      'join, once, and what the federation has signed so far is checked before it is believed.',
  )
  await screen.line()
  await screen.command(['start', '--dir', home])
  await startSite(parts, home)
  const others = plans.slice(1).map(({ site }) => site)
  for (const site of others) await join(parts, site)
  for (const site of others) await screen.command(['start', '--dir', site])
  await Promise.all(others.map((site) => startSite(parts, site)))
  await until({ ...wait(parts, meetSeconds), what: 'all sites to know the offers of all' },
    () => everybodyMet(parts))
}

function initArguments({ site, cores, memory, set }: Plan): string[] {
  return [
    'init', '--dir', site, ...(site === home ? ['--found', federationName] : []),
    '--listen', '/ip4/127.0.0.1/tcp/0', '--cores', String(cores), '--memory', memory,
    ...Object.entries(set).flatMap(([key, value]) => ['--set', `${key}=${value}`]), site,
  ]
}

async function join(parts: Parts, site: string): Promise<void> {
  const { screen, visitor } = parts
  await screen.line(
    screen.style.cyan(`$ gridnode invite --dir ${home} | gridnode join --dir ${site} -`))
  const { token } = await visitor.ask<InviteAnswer>(home, ['invite'])
  const said = await runAlone(parts, ['join', '--dir', site, '-'], token)
  await screen.line(said.split('\n')[0])
}

/** Of what loads the node's own parts: a process of its own. */
async function runAlone(parts: Parts, args: readonly string[], stdin?: string): Promise<string> {
  const { processes, signal } = parts
  const ran = await processes.run(args, { signal, ...(stdin === undefined ? {} : { stdin }) })
  if (ran.code === 0) return ran.out
  throw new Error(`gridnode ${args.join(' ')} ended with ${ran.code}: ${ran.err.trim()}`)
}

async function startSite(parts: Parts, site: string): Promise<void> {
  parts.processes.startNode(site)
  await until({ ...wait(parts, startSeconds), what: `the node of ${site} to answer` },
    () => answers(parts, site))
}

function wait({ signal }: Parts, seconds: number): { seconds: number; signal: AbortSignal } {
  return { seconds, signal }
}

async function answers(parts: Parts, site: string): Promise<NodeInfo | undefined> {
  try {
    return await parts.visitor.client(site).get<NodeInfo>(apiPaths.info)
  } catch (error) {
    const notYet = error instanceof CommandFailure && error.exitCode === exitCodes.unreachable
    if (notYet) return undefined
    throw error
  }
}

async function everybodyMet(parts: Parts): Promise<true | undefined> {
  for (const site of siteNames) {
    const client = parts.visitor.client(site)
    const offers = await client.get<readonly OfferRow[]>(apiPaths.offers)
    const peers = await client.get<readonly PeerRow[]>(apiPaths.peers)
    const others = siteNames.filter((name) => name !== site)
    const met = siteNames.every((name) => offers.some((row) => row.site === name && row.up)) &&
      others.every((name) => peers.some((row) =>
        row.site === name && row.state === 'up' && row.undelivered === 0 &&
        row.creditGiven !== '0' && row.creditReceived !== '0'))
    if (!met) return undefined
  }
  return true
}

const logLinesShown = 8
const logColumns = 200

/** The last lines of a node's log, in short, for a failure's report. */
export function lastLogLines({ logPath }: Node): string[] {
  let text: string
  try {
    text = readFileSync(logPath, 'utf8')
  } catch {
    return []
  }
  const lines = text.split('\n').filter((line) => line !== '').slice(-logLinesShown)
  return lines.map((line) => cut(printable(shortLine(line)), logColumns))
}

/** `12:04:31 warn: the text key=value`; what is no line of the log stays as it is. */
function shortLine(line: string): string {
  try {
    const { at, level, text, ...fields } = JSON.parse(line) as Readonly<Record<string, unknown>>
    const rest = Object.entries(fields).map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    const mark = level === 'info' ? '' : `${String(level)}: `
    return [String(at).slice(11, 19), `${mark}${String(text)}`, ...rest].join(' ')
  } catch {
    return line
  }
}
