// `gridnode offers`: the federation's directory as this node knows it.

import type { OfferRow } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { compareBytes } from '../../protocol/base/ids.ts'
import { formatBytes, formatDuration } from '../../protocol/base/units.ts'
import type { Command, Context } from '../command.ts'
import { exitCodes, failure, usageFailure } from '../failure.ts'
import { credits, jsonText, printable, table } from '../output.ts'

export const offers: Command = {
  usage: ['[options] [SITE...]'],
  about:
    'What each site has, has free and charges, by its newest signed offer. With SITE: all of ' +
    'that, with the attributes that expressions can ask for. * marks this site.',
  options: {
    where: { kind: 'value', short: 'w', value: 'EXPR', help: 'only sites for which EXPR is true' },
    attributes: { kind: 'flag', help: 'list the names that expressions may use' },
  },
  examples: [
    ['gridnode offers', 'all sites'],
    ["gridnode offers --where 'cores_free >= 8 && speed_permille > 1000'", 'who could start now'],
    ["gridnode offers --where '\"gcc\" in software'", 'who has gcc'],
    ['gridnode offers site-b.example', 'one site in full'],
  ],
  run: runOffers,
}

async function runOffers(context: Context): Promise<number> {
  const { args, terminal, json } = context
  if (args.flag('attributes')) return listAttributes(context)
  const where = args.value('where')
  if (where?.trim() === '') throw usageFailure('--where: the expression is empty')
  const all = await context.client().get<readonly OfferRow[]>(apiPaths.offers, { where })
  const rows = args.words.length === 0 ? all : all.filter((row) => args.words.includes(row.site))
  const unknown = args.words.find((word) => !all.some((row) => row.site === word))
  if (unknown !== undefined) {
    const known = all.map((row) => row.site).join(', ') || 'none'
    throw failure('not_found', `no offer of '${unknown}' is known; known are: ${known}`)
  }
  if (json) await terminal.out.write(jsonText(rows))
  else if (args.words.length > 0) {
    await terminal.out.write(rows.map((row) => offerText(context, row)).join('\n'))
  } else await terminal.out.write(offersText(context, rows, where))
  return exitCodes.done
}

function offersText(context: Context, rows: readonly OfferRow[], where?: string): string {
  const { style, terminal } = context
  if (rows.length === 0) {
    return where === undefined
      ? "no offers are known yet. 'gridnode peers' shows who is connected.\n"
      : 'no offer meets the expression.\n'
  }
  const marked = rows.toSorted((a, b) =>
    Number(b.own) - Number(a.own) || compareBytes(a.site, b.site))
  return table(
    [
      { title: 'SITE', shrinkTo: 10 },
      { title: 'FREE', align: 'right' },
      { title: 'CORES', align: 'right' },
      { title: 'MEMORY', align: 'right' },
      { title: 'WAITING', align: 'right' },
      { title: 'SPEED', align: 'right' },
      { title: 'CORE-HOUR', align: 'right' },
      { title: 'LONGEST', align: 'right' },
      { title: 'BY', shrinkTo: 5 },
    ],
    marked.map((row) => [
      `${row.site}${row.own ? '*' : ''}`,
      stateWord(row) ?? String(row.coresFree),
      String(row.coresTotal),
      formatBytes(row.memoryMibTotal * 2 ** 20),
      String(row.tasksQueued),
      speedText(row.speedPermille),
      credits(row.rateCoreHour),
      formatDuration(row.walltimeSecondsMax),
      row.scheduler,
    ]),
    { width: terminal.out.columns(), style },
  )
}

/** What keeps work from a site. One that is drained says that it takes tasks of no core. */
function stateWord({ own, frozen, up, coresPerTaskMax }: OfferRow): string | undefined {
  if (frozen) return 'frozen'
  if (!own && !up) return 'down'
  return coresPerTaskMax === 0 ? 'drained' : undefined
}

/** `1.5x` the reference core. */
function speedText(permille: number): string {
  const digits = String(permille % 1000).padStart(3, '0').replace(/0{1,2}$/, '')
  return `${Math.floor(permille / 1000)}.${digits}x`
}

function offerText(context: Context, row: OfferRow): string {
  const { style } = context
  const facts: (readonly [string, string])[] = [
    ['cores', `${row.coresFree} free of ${row.coresTotal}, at most ${row.coresPerTaskMax} a task`],
    ['memory', `${mib(row.memoryMibFree)} free of ${mib(row.memoryMibTotal)}, ` +
      `at most ${mib(row.memoryMibPerTaskMax)} a task`],
    ['tasks', `${row.tasksRunning} running, ${row.tasksQueued} waiting`],
    ['walltime', `at most ${formatDuration(row.walltimeSecondsMax)}`],
    ['speed', `${speedText(row.speedPermille)} the reference core`],
    ['prices', `${credits(row.rateTask)} cr a task, ${credits(row.rateCoreHour)} cr a core-hour, ` +
      `${credits(row.rateGibHour)} cr a GiB-hour`],
    ['scheduler', row.scheduler],
    ['offer', `number ${row.sequence}, ends in ${formatDuration(row.expiresInSeconds)}`],
    ...Object.entries(row.attributes).map(([name, value]) => [name, String(value)] as const),
  ]
  if (row.frozen) facts.push(['evidence', 'there is proof that it lied; it is not asked'])
  const width = Math.max(...facts.map(([name]) => name.length))
  const state = stateWord(row)
  const where = `${row.own ? ' (this site)' : ''}${state === undefined ? '' : ` (${state})`}`
  const lines = facts.map(([name, text]) =>
    `  ${style.dim(name.padEnd(width))}  ${printable(text)}`)
  return `${style.bold(row.site)}${where}\n${lines.join('\n')}\n`
}

function mib(count: number): string {
  return formatBytes(count * 2 ** 20)
}

async function listAttributes(context: Context): Promise<number> {
  const { requirementAttributes } = await import('../../protocol/rules/requirements.ts')
  const { terminal, json, style } = context
  const entries = Object.entries(requirementAttributes)
  await terminal.out.write(json
    ? jsonText(requirementAttributes)
    : table(
      [{ title: 'NAME' }, { title: 'KIND' }, { title: 'MEANING', shrinkTo: 20 }],
      entries.map(([name, { kind, help }]) => [name, kind, help]),
      { width: terminal.out.columns(), style },
    ))
  return exitCodes.done
}
