// The documents say what the code does: rule ids, messages, statements, config keys, commands and
// their options, expressions, counters, links, and the bytes of the ledger's examples.

import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { sharedOptions } from '../cli/command.ts'
import { commandTable } from '../cli/command-table.ts'
import { helpPages } from '../cli/help-pages.ts'
import { ConfigProblem, parseConfig } from '../node/config.ts'
import { schedulerKinds } from '../node/config-scheduler.ts'
import { apiStatus } from '../node/http/local-node.ts'
import { decodeMessage } from '../protocol/machine/messages.ts'
import { requirementAttributes } from '../protocol/rules/requirements.ts'
import { jobOptionNames } from '../protocol/rules/job-options.ts'
import { sbatchOptionNames, treatSbatchOption } from '../protocol/rules/sbatch.ts'
import { assert, suite } from './harness.ts'
import { ledgerExamples } from './ledger-examples.ts'

const root = join(import.meta.dirname, '..')
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const protocol = read('docs/PROTOCOL.md')
const ledger = read('docs/LEDGER.md')
const using = read('docs/USING.md')
const operating = read('docs/OPERATING.md')

const t = suite('the documents')

function filesBelow(folder: string, ending: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith(ending)).map((path) => `${folder}/${path}`)
}

function documents(): string[] {
  const ran = spawnSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.md'], {
    cwd: root, encoding: 'utf8',
  })
  assert.equal(ran.status, 0, `git lists the documents: ${ran.stderr}`)
  return ran.stdout.split('\n').filter((path) => path !== '' && existsSync(join(root, path)))
}

/** The lines below a heading that `holds` says is meant, up to the next one of its level. */
function section(text: string, holds: (heading: string) => boolean): string {
  const lines = text.split('\n')
  const start = lines.findIndex((line) => /^#+ /.test(line) && holds(line))
  if (start < 0) return ''
  const level = lines[start]!.indexOf(' ')
  const end = lines.findIndex((line, at) =>
    at > start && /^#+ /.test(line) && line.indexOf(' ') <= level)
  return lines.slice(start, end < 0 ? undefined : end).join('\n')
}

/** The first cells of a section's table rows, without their backticks. */
function firstCells(text: string): string[] {
  return [...text.matchAll(/^\| (.+?) \|/gm)].map(([, cell = '']) => cell)
    .flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code))
}

function same(found: Iterable<string>, expected: Iterable<string>, what: string): void {
  const order = (values: Iterable<string>): string[] =>
    [...new Set(values)].toSorted((a, b) => (a < b ? -1 : 1))
  assert.equal(order(found), order(expected), what)
}

t('every rule id of the code is stated, and every stated one is used', () => {
  const used = new Set<string>()
  for (const folder of ['protocol', 'node', 'cli', 'test']) {
    for (const path of filesBelow(folder, '.ts')) {
      const source = read(path)
      const range = /\[[A-Z]+-\d+\.\./.exec(source)
      assert.ok(range === null, `${path}: each rule by its own number, not ${range?.[0]}`)
      for (const [, id = ''] of source.matchAll(/\[([A-Z]+-\d+)\]/g)) used.add(id)
    }
  }
  const stated = [...`${protocol}\n${ledger}`.matchAll(/\*\*\[([A-Z]+-\d+)\]\*\*/g)]
    .map(([, id = '']) => id)
  assert.equal(stated.length, new Set(stated).size, 'each rule is stated once')
  // Laws are about the whole; no single place decides them.
  for (const id of stated) if (id.startsWith('LAW-')) used.add(id)
  same(stated, used, 'stated rules and used ones')
})

t('the messages are those of the protocol', () => {
  const nothing = decodeMessage('{"kind":"nothing"}')
  assert.ok(!nothing.ok)
  const kinds = /one of (.+), got/.exec(nothing.refusal.detail)?.[1]?.split(', ') ?? []
  assert.ok(kinds.length > 5, `kinds of messages in: ${nothing.refusal.detail}`)
  const rows = section(protocol, (heading) => heading === '## Messages')
  same([...rows.matchAll(/^\| `([a-z_]+)` \|/gm)].map(([, kind = '']) => kind), kinds, 'messages')
})

t('the timers are those of the machine', () => {
  const step = read('protocol/machine/step.ts')
  const handled = step.slice(step.indexOf('function onTimer'))
  const kinds = [...handled.matchAll(/case '([a-z]+)'/g)].map(([, kind = '']) => kind)
  same(firstCells(section(protocol, (heading) => heading === '## Timers')), kinds, 'timers')
})

t('the ledger shows the bytes that the code makes', () => {
  for (const { kind, note } of ledgerExamples()) {
    assert.ok(ledger.includes(`### ${kind}\n\n\`\`\`\n${note}\`\`\`\n`), `the example of ${kind}`)
  }
})

t('the statements and the invariants are those of the code', () => {
  const source = read('protocol/rules/statement.ts')
  const bodies = source.slice(source.indexOf('const bodies'), source.indexOf('/** The name under'))
  const kinds = [...bodies.matchAll(/^ {2}([a-z]+): (?:record|union)/gm)]
    .map(([, kind = '']) => kind)
  const rows = section(ledger, (heading) => heading === '## Fields')
  const listed = [...rows.matchAll(/^\| `([a-z]+)`(?:, [a-z]+)? \| [a-z]/gm)]
    .map(([, kind = '']) => kind)
  same(listed.filter((kind) => kinds.includes(kind)), kinds, 'kinds of statements')
  const audited = read('protocol/rules/audit.ts')
  const union = audited.slice(audited.indexOf('export type Invariant'))
  const invariants = [...union.slice(0, union.indexOf('\n\n')).matchAll(/'(I\d+)'/g)]
  same(
    [...ledger.matchAll(/^\| (I\d+) \|/gm)].map(([, name = '']) => name),
    invariants.map(([, name = '']) => name), 'invariants',
  )
})

/** The keys of the config's schema, from what it says to a key that it does not know. */
function configKeys(): string[] {
  const unknown = 'q'.repeat(40)
  const wordsFor = (text: string): string[] => {
    try {
      parseConfig(text, 'gridnode.toml', { cores: 1, memoryBytes: 2 ** 30 })
    } catch (error) {
      if (!(error instanceof ConfigProblem)) throw error
      const said = error.faults.find(({ key }) => key.endsWith(unknown))?.message ?? ''
      return /expected one of (.+)$/.exec(said)?.[1]?.split(', ') ?? []
    }
    return []
  }
  const keys: string[] = []
  for (const part of wordsFor(`${unknown} = 1`)) {
    const kinds = part === 'scheduler' ? schedulerKinds.map((kind) => `kind = "${kind}"`) : ['']
    const own = kinds.flatMap((kind) => wordsFor(`[${part}]\n${kind}\n${unknown} = 1`))
    keys.push(...(own.length === 0 ? [part] : own.map((key) => `${part}.${key}`)))
  }
  return keys
}

t('every config key is described, and no other', () => {
  const keys = configKeys()
  assert.ok(keys.length > 30, `keys of the schema: ${keys.join(' ')}`)
  const rows = section(operating, (heading) => heading === '## The config')
  const listed = [...rows.matchAll(/^\| `([a-z_.]+)` \|/gm)].map(([, key = '']) => key)
  same(listed, keys, 'config keys')
})

t('every command and option is described, and no other', async () => {
  const both = `${using}\n${operating}`
  const pages = [...both.matchAll(/^#+ .*`gridnode ([a-z]+)`/gm)].map(([, name = '']) => name)
  for (const [name, entry] of Object.entries(commandTable)) {
    const { options } = await entry.load()
    const page = section(both, (heading) => heading.includes(`\`gridnode ${name}\``))
    assert.ok(page !== '', `a section about \`gridnode ${name}\``)
    const rows = [...page.matchAll(/^\| ([^|]*`--[^|]*) \|/gm)].map(([, cell = '']) => cell)
    const listed = rows.flatMap((cell) => [...cell.matchAll(/--([a-z-]+)/g)])
      .map(([, option = '']) => option)
    same(listed, Object.keys(options), `options of gridnode ${name}`)
    for (const [option, { short }] of Object.entries(options)) {
      const form = short === undefined ? `\`--${option}` : `\`-${short}\`, \`--${option}`
      assert.ok(rows.some((cell) => cell.includes(form)), `gridnode ${name}: ${form}`)
    }
  }
  for (const name of pages) assert.ok(Object.hasOwn(commandTable, name), `there is no ${name}`)
  same(
    firstCells(section(using, (heading) => heading === '## A job'))
      .flatMap((code) => /^--([a-z]+)/.exec(code)?.[1] ?? []),
    Object.keys(sharedOptions), 'options of every command',
  )
  for (const page of Object.keys(helpPages)) {
    assert.ok(using.includes(`\`${page}\``), `help ${page}`)
  }
})

t('job options, Slurm options and expressions are described', () => {
  for (const name of jobOptionNames) assert.ok(using.includes(`\`--${name} `), `--${name}`)
  const scripts = section(using, (heading) => heading === '## Scripts')
  const advice = /Advice is ignored with a note: ([^.]*)\./.exec(scripts)?.[1] ?? ''
  const ignored = sbatchOptionNames.filter((name) => {
    const treated = treatSbatchOption(name, '1')
    return treated.ok && treated.value.kind === 'ignored'
  })
  const listed = [...advice.matchAll(/`([a-z-]+)`/g)].map(([, name = '']) => name)
  same(listed, ignored, 'ignored options')
  const rows = section(using, (heading) => heading === '## Choosing sites')
  for (const [name, { kind, help }] of Object.entries(requirementAttributes)) {
    const row = rows.split('\n').find((line) => line.startsWith(`| \`${name}\` | ${kind} | `))
    assert.equal(row?.split(' | ')[2]?.replace(/ \|$/, '').replaceAll('`', ''), help, name)
  }
})

t('the codes of errors are those of the local interface', () => {
  const json = section(using, (heading) => heading === '## JSON')
  const listed = /Codes of the node: ([^.]*)\./.exec(json)?.[1] ?? ''
  same([...listed.matchAll(/`([a-z_]+)`/g)].map(([, code = '']) => code), Object.keys(apiStatus),
    'codes of errors')
})

t('every counter is described', () => {
  const rows = firstCells(section(operating, (heading) => heading === '## Counters'))
  const described = new Set(rows)
  const counted = new Set<string>()
  for (const path of filesBelow('protocol/machine', '.ts')) {
    const source = read(path)
    for (const [, name = ''] of source.matchAll(/count\(turn, '([a-z_]+)'/g)) counted.add(name)
    for (const [, name = ''] of source.matchAll(/count\(turn, `([a-z_]+_)\$/g)) {
      counted.add(`${name}…`)
    }
  }
  for (const path of filesBelow('node/net', '.ts')) {
    const names = read(path).matchAll(/counters\.add\('([A-Za-z]+)'/g)
    for (const [, name = ''] of names) counted.add(name)
  }
  const missing = [...counted].filter((name) => !described.has(name))
  assert.equal(missing, [], 'counters that are not described')
  const sources = [...filesBelow('protocol/machine', '.ts'), ...filesBelow('node/net', '.ts')]
    .map(read).join('\n')
  const gone = rows.filter((name) => !sources.includes(name.replace('…', '')))
  assert.equal(gone, [], 'described counters that are not counted')
})

/** As the usual renderers make it of a heading. */
function anchorOf(heading: string): string {
  return heading.replace(/^#+ /, '').toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')
}

t('local links lead somewhere', () => {
  for (const path of documents()) {
    const text = read(path).replaceAll(/^```[^]*?^```/gm, '')
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue
      const [file = '', anchor] = target.split('#')
      const found = file === '' ? path : normalize(join(dirname(path), file))
      assert.ok(existsSync(join(root, found)), `${path}: ${target}`)
      if (anchor === undefined) continue
      const headings = [...read(found).matchAll(/^#+ .*$/gm)].map(([line]) => anchorOf(line))
      assert.ok(headings.includes(anchor), `${path}: no heading for ${target}`)
    }
  }
})

t('the readme is short and has the two commands', () => {
  const readme = read('README.md')
  assert.ok(readme.split('\n').length <= 200)
  assert.match(readme, /^ {4}npm start\n {4}npm test$/m)
})
