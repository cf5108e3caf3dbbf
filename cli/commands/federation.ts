// `gridnode federation`: what all its sites go by. Without a word it shows the policy, the
// allocations and the witnesses' word on this site's ledger; the founder sets the policy, and an
// authority of the policy grants allocations.

import type { FederationAnswer } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { parseSiteName } from '../../protocol/base/ids.ts'
import { formatCredits, parseCredits, parseDurationSeconds } from '../../protocol/base/units.ts'
import type { Microcredits } from '../../protocol/base/units.ts'
import type { Command, Context } from '../command.ts'
import { exitCodes, usageFailure } from '../failure.ts'
import { credits, instant, jsonText, plural, table } from '../output.ts'

export const federation: Command = {
  usage: [
    '[options]',
    'policy --witness SITE [--quorum N] [--authority SITE]',
    'grant SITE NAME CREDITS [--for TIME]',
  ],
  about:
    'Without a word: the policy of the federation, its allocations, and which witnesses have ' +
    "signed that this site's ledger only grows. policy: set by the founder; a quorum of the " +
    'witnesses (more than two thirds) must have signed a head before an allocation is spent. ' +
    'grant: an authority gives SITE an allocation NAME, which jobs name by --allocation.',
  options: {
    witness: { kind: 'list', value: 'SITE', help: 'policy: a witness (repeat)' },
    quorum: { kind: 'value', value: 'N', help: 'policy: so many are enough (default: the least)' },
    authority: { kind: 'list', value: 'SITE', help: 'policy: may grant allocations (repeat)' },
    for: { kind: 'value', value: 'TIME', help: 'grant: valid for so long (default 365d)' },
  },
  examples: [
    ['gridnode federation', 'what is in force'],
    [
      'gridnode federation policy --witness a --witness b --witness c --witness d --authority a',
      'four witnesses, of whom three are a quorum',
    ],
    ['gridnode federation grant b.example physics 5000 --for 90d', 'an allocation'],
  ],
  run: runFederation,
}

async function runFederation(context: Context): Promise<number> {
  const [verb, ...words] = context.args.words
  switch (verb) {
    case undefined: return show(context)
    case 'policy': return setPolicy(context, words)
    case 'grant': return grant(context, words)
    default: throw usageFailure(`expected 'policy' or 'grant', got '${verb}'`)
  }
}

async function show(context: Context): Promise<number> {
  const { terminal, json } = context
  const answer = await context.client().get<FederationAnswer>(apiPaths.federation)
  await terminal.out.write(json ? jsonText(answer) : federationText(context, answer))
  return exitCodes.done
}

function federationText(context: Context, answer: FederationAnswer): string {
  const { style, terminal } = context
  const layout = { width: terminal.out.columns(), style }
  const { policy } = answer
  const title = `${style.bold(answer.name)}, founded by ${answer.founder}`
  const parts = [`${title}\n  ${answer.federation}\n`]
  parts.push(policy
    ? `policy ${policy.version}\n  witnesses    ${policy.witnesses.join(', ') || 'none'}\n` +
      `  quorum       ${policy.quorum} of ${policy.witnesses.length}\n` +
      `  authorities  ${policy.authorities.join(', ') || 'none'}\n`
    : `no policy yet: ${answer.founder} sets one with 'gridnode federation policy'\n`)
  if (answer.grants.length > 0) {
    const amount = (value: string | undefined): string => value === undefined ? '' : credits(value)
    parts.push(table(
      [
        { title: 'ALLOCATION' }, { title: 'OF' }, { title: 'BY' },
        { title: 'AMOUNT', align: 'right' }, { title: 'HELD', align: 'right' },
        { title: 'SPENT', align: 'right' }, { title: 'FREE', align: 'right' }, { title: 'UNTIL' },
      ],
      answer.grants.map((one) => [
        one.name, one.grantee, one.authority, credits(one.amount), amount(one.held),
        amount(one.spent), amount(one.free), instant(one.untilEpochMs),
      ]),
      layout,
    ))
  }
  parts.push(answer.cosigned.length === 0
    ? 'no witness has signed a head of this ledger yet: ' +
      `${plural(answer.entries, 'entry', 'entries')}\n`
    : table(
      [
        { title: 'WITNESS' }, { title: 'SIGNED OUR FIRST', align: 'right' }, { title: 'AT' },
        { title: 'ITS LEDGER HERE', align: 'right' },
      ],
      answer.cosigned.map(({ site, size, seconds }) => [
        site, `${size} entries`, instant(seconds * 1_000),
        String(answer.held.find((one) => one.site === site)?.size ?? ''),
      ]),
      layout,
    ))
  return parts.join('\n')
}

async function setPolicy(context: Context, words: readonly string[]): Promise<number> {
  const { args, terminal, json } = context
  if (words.length > 0) throw usageFailure(`expected options only, got '${words[0]}'`)
  const witnesses = args.list('witness').map((name) => siteOf(name, '--witness'))
  const authorities = args.list('authority').map((name) => siteOf(name, '--authority'))
  const least = witnesses.length === 0 ? 0 : Math.floor((2 * witnesses.length) / 3) + 1
  const quorum = wholeNumber(args.value('quorum') ?? String(least))
  const isQuorum = quorum >= least && quorum <= witnesses.length
  if (!isQuorum) {
    throw usageFailure(`--quorum: expected more than two thirds of the ${witnesses.length} ` +
      `witnesses, from ${least} to ${witnesses.length}, got ${quorum}`)
  }
  const body = { witnesses, quorum, authorities }
  const answer = await context.client().post<{ readonly sid: string }>(apiPaths.policy, body)
  await terminal.out.write(json ? jsonText(answer)
    : `the policy is set: ${quorum} of ${plural(witnesses.length, 'witness', 'witnesses')}\n` +
      `  statement ${answer.sid}\n`)
  return exitCodes.done
}

async function grant(context: Context, words: readonly string[]): Promise<number> {
  const { args, terminal, json } = context
  const [name = '', allocation = '', text = '', ...more] = words
  if (words.length < 3 || more.length > 0) {
    throw usageFailure(`expected SITE NAME CREDITS, got '${words.join(' ')}'`)
  }
  const grantee = siteOf(name, 'SITE')
  const amount = parseCredits(text)
  if (amount === undefined) {
    throw usageFailure(`expected credits such as 5000 or 0.5, got '${text}'`)
  }
  const seconds = parseDurationSeconds(args.value('for') ?? '365d')
  if (seconds === undefined || seconds < 1) {
    throw usageFailure(`--for: expected a time such as 90d or 12h, got '${args.value('for')}'`)
  }
  const starts = terminal.nowEpochMs()
  const body = {
    grantee, name: allocation, amount: String(amount), starts, until: starts + seconds * 1_000,
  }
  const answer = await context.client().post<{ readonly sid: string }>(apiPaths.grants, body)
  await terminal.out.write(json ? jsonText(answer) : grantText(body, amount, answer.sid))
  return exitCodes.done
}

function grantText(
  body: { readonly grantee: string, readonly name: string, readonly until: number },
  amount: Microcredits,
  sid: string,
): string {
  return `${body.grantee} may spend ${formatCredits(amount)} as ${body.name} until ` +
    `${instant(body.until)}\n  statement ${sid}\n`
}

function siteOf(name: string, what: string): string {
  if (parseSiteName(name) !== undefined) return name
  throw usageFailure(`${what}: expected a site's name such as b.example, got '${name}'`)
}

function wholeNumber(text: string): number {
  if (/^[0-9]{1,3}$/.test(text)) return Number(text)
  throw usageFailure(`--quorum: expected a number, got '${text}'`)
}
