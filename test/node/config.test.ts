// The config file: what is read, what is refused and in which words, and the file that init writes.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { assert, suite } from '../harness.ts'
import { schedulerKeys, schedulerKinds } from '../../node/config-scheduler.ts'
import { configText } from '../../node/config-text.ts'
import { ConfigProblem, parseConfig, readConfig } from '../../node/config.ts'
import type { Config } from '../../node/config.ts'

const machine = { cores: 8, memoryBytes: 16 * 2 ** 30 }
const choices = {
  site: 'site-a.example', listen: ['/ip4/127.0.0.1/tcp/7700'], scheduler: 'embedded',
} as const
const smallest = `[site]
name = "site-a.example"
[network]
listen = ["/ip4/127.0.0.1/tcp/7700"]
`

const read = (text: string): Config => parseConfig(text, 'gridnode.toml', machine)

function faults(text: string): string {
  const error = assert.throws(() => read(text), /./)
  assert.ok(error instanceof ConfigProblem, String(error.stack))
  return error.message
}

const t = suite('config')

t('has a default for all but the name and the addresses', () => {
  const config = read(smallest)
  assert.equal(config.scheduler, {
    kind: 'embedded',
    cores: 8,
    memoryBytes: 16 * 2 ** 30,
    walltimeSecondsMax: 86_400,
    sandbox: 'auto',
    sandboxShow: [],
    sandboxNetwork: true,
    speedPermille: 1_000,
  })
  assert.equal(config.market.windowMs, 1_000)
  assert.equal(config.market.queueAheadPermille, 1_000)
  assert.equal(config.credit.defaultLimitMicrocredits, 0n)
  assert.equal(config.api.socketMode, 0o600)
})

t('the file that init writes says every key, with the value it has by default', () => {
  const text = configText(choices, machine)
  const written = read(text)
  const own = new Set(schedulerKeys('embedded', machine))
  const others = schedulerKinds.flatMap((kind) => schedulerKeys(kind, machine))
    .filter((key) => !own.has(key))
  const forOthers = new RegExp(`^(${[...others, 'arch'].join('|')}) = `)
  const uncommented = text.replace(/^#(?=("?[a-z_.-]+"?|[a-z_]+) = )/gm, '')
  const lines = uncommented.split('\n').filter((line) => !forOthers.test(line))
  const all = lines.filter((line) => !line.startsWith('"site-b.example"')).join('\n')
  assert.equal(read(all), written)
  const defaults = read(smallest)
  assert.equal({ ...written, credit: defaults.credit }, defaults)
  assert.equal(written.credit.defaultLimitMicrocredits, 100_000_000n)
  for (const key of ['conf', 'bin', 'partition']) assert.match(text, new RegExp(`^#${key} = `, 'm'))
})

t('the file that init writes leaves out no key', () => {
  const text = configText(choices, machine)
  for (const section of ['site', 'network', 'api', 'scheduler', 'tariff', 'market', 'credit',
    'ledger', 'accounts', 'staging', 'limits', 'log']) {
    const kinds = section === 'scheduler'
      ? schedulerKinds.map((kind) => `kind = "${kind}"\n`) : ['']
    for (const kind of kinds) {
      const known = / expected one of (.*)/.exec(faults(`[${section}]\n${kind}zzzzzzzz = 1\n`))?.[1]
      for (const key of known?.split(', ') ?? assert.fail(`no keys of ${section}`)) {
        assert.match(text, new RegExp(`^(#?${key} = |\\[${section}\\.${key}\\]$)`, 'm'))
      }
    }
  }
})

t('reads every unit', () => {
  const config = read(`${smallest}
[scheduler]
kind = "slurm"
conf = "/etc/slurm/slurm.conf"
partition = "batch"
arguments = ["--account=grid"]
memory_enforced = true
draining = true
speed = 1.25
[tariff]
task = "0.000001 cr"
core_hour = "12.5 credits"
load_factor_max = 3
[market]
window = "250ms"
lease = "1h30m"
queue_ahead = 0.5
[credit]
default_limit = "12 cr"
limits = { "site-b.example" = "1000 cr" }
[attributes]
arch = "x86_64"
seats = 4
[staging]
spool_max = "512MiB"
`)
  assert.equal(config.scheduler, {
    kind: 'slurm',
    confPath: '/etc/slurm/slurm.conf',
    binDirectory: undefined,
    partition: 'batch',
    extraArguments: ['--account=grid'],
    memoryEnforced: true,
    speedPermille: 1_250,
  })
  assert.equal(config.tariff.taskMicrocredits, 1n)
  assert.equal(config.tariff.coreHourMicrocredits, 12_500_000n)
  assert.equal(config.tariff.loadFactorPermilleMax, 3_000)
  assert.equal(config.market.windowMs, 250)
  assert.equal(config.market.leaseSeconds, 5_400)
  assert.equal([...config.credit.limitsMicrocredits], [['site-b.example', 1_000_000_000n]])
  assert.equal([...config.attributes], [['arch', 'x86_64'], ['seats', 4]])
  assert.equal(config.staging.spoolBytesMax, 512 * 2 ** 20)
})

t('the ledger is served where it is told to, and nowhere else', () => {
  const listenOf = (value: string) => read(`${smallest}[ledger]\nlisten = ${value}\n`).ledger.listen
  assert.equal(read(smallest).ledger.listen, 'off')
  assert.equal(listenOf('"127.0.0.1:7780"'), { host: '127.0.0.1', port: 7_780 })
  assert.equal(listenOf('"[::1]:0"'), { host: '::1', port: 0 })
  assert.equal(listenOf('"off"'), 'off')
  for (const wrong of [
    '7780', '":7780"', '"localhost:7780"', '"127.0.0.1"', '"127.0.0.1:65536"', '"127.0.0.1:"',
    '"::1:7780"', '"[127.0.0.1]:80"', '"http://127.0.0.1:80"', '"/ip4/127.0.0.1/tcp/7780"', '""',
    'false',
  ]) {
    const text = `${smallest}[ledger]\nlisten = ${wrong}\n`
    assert.match(faults(text), 'ledger.listen: expected an IP address and a port such as')
  }
})

t('reports every problem of a file at once, by line', () => {
  const message = faults(`# a comment
[site]
name = "Site A"

[network]
listn = ["/ip4/127.0.0.1/tcp/7700"]

[scheduler]
kind = "embedded"
partition = "batch"
cores = "four"
memory = 4096

[market]
window = 10
lease = "10 parsecs"
core_hour = "1 cr"

[credit]
default_limit = 100
limits = { "Not A Site" = "1 cr", "site-b.example" = "lots" }

[marketing]
x = 1
`)
  assert.equal(message, `the config has 13 problems:
  gridnode.toml:3: site.name: expected a name of lower-case letters, digits, - and ., such as \
"site-a.example", got "Site A"
  gridnode.toml:5: network.listen: missing; expected listen = ["/ip4/0.0.0.0/tcp/7700"], where \
other sites can reach this one
  gridnode.toml:6: network.listn: unknown key; did you mean listen?
  gridnode.toml:10: scheduler.partition: only for kind = "slurm", and this is "embedded"
  gridnode.toml:11: scheduler.cores: expected a whole number from 1 to 65536, got "four"
  gridnode.toml:12: scheduler.memory: expected a size with its unit such as "4GiB", from 1 MiB to \
1024 TiB, got 4096
  gridnode.toml:15: market.window: expected a time with its unit such as "500ms" or "2s", from \
50ms to 10m, got 10
  gridnode.toml:16: market.lease: expected a time with its unit such as "10m" or "1h30m", from 10s \
to 30d, got "10 parsecs"
  gridnode.toml:17: market.core_hour: unknown key; it belongs in [tariff]
  gridnode.toml:20: credit.default_limit: expected an amount such as "12.5 cr", at most \
9223372036854.775807 cr, got 100
  gridnode.toml:21: credit.limits.Not A Site: expected the name of a site as the key
  gridnode.toml:21: credit.limits.site-b.example: expected an amount such as "12.5 cr", at most \
9223372036854.775807 cr, got "lots"
  gridnode.toml:23: marketing: unknown section; did you mean market?`)
})

t('a file that is empty, no TOML, or not there', (ctx) => {
  assert.equal(faults(''), `the config has 2 problems:
  gridnode.toml:1: site.name: missing; expected name = "site-a.example", the name that the \
federation knows this site by
  gridnode.toml:1: network.listen: missing; expected listen = ["/ip4/0.0.0.0/tcp/7700"], where \
other sites can reach this one`)
  assert.match(faults('[site]\nname = site-a\n'),
    /^the config has a problem:\n {2}gridnode.toml:2: expected TOML, but at column 8: /)
  assert.match(faults('site = 5'), /:1: site: expected a section, got 5/)
  assert.throws(() => readConfig(join(ctx.tmp(), 'gridnode.toml')), /make one with `gridnode init`/)
  const latin = join(ctx.tmp(), 'gridnode.toml')
  writeFileSync(latin, Buffer.from([0x23, 0xe9, 0x0a]))
  assert.throws(() => readConfig(latin), /:1: expected UTF-8 text/)
})

t('names lines across strings, lists and dotted keys', () => {
  const text = `title = """
[market]
window = 1
"""
[network]
listen = [ # the first
  "/ip4/127.0.0.1/tcp/1",
  'bad]',
]
[ site ]
name = 'bad name'
`
  const message = faults(`${text}[market]\nshortlist = 0\n[credit]\n"limits"."a b" = "1 cr"\n`)
  for (const place of [':1: title: unknown key', ':6: network.listen: ', ':11: site.name: ',
    ':13: market.shortlist: expected a whole number from 1 to 16, got 0',
    ':15: credit.limits.a b: ']) {
    assert.match(message, place)
  }
})

t('refuses addresses that cannot be listened on', () => {
  const bad = ['tcp://1.2.3.4', '/ip4/1.2.3/tcp/1', '/ip4/1.2.3.4/tcp/65536', '/dns/a/tcp/1',
    '/ip4/1.2.3.4/udp/1', '/ip4/1.2.3.4/tcp/1/p2p/x', '/ip6/1.2.3.4/tcp/1']
  for (const address of bad) {
    assert.match(faults(smallest.replace('/ip4/127.0.0.1/tcp/7700', address)), ':4: network.listen')
  }
  assert.equal(read(smallest.replace('/ip4/127.0.0.1', '/ip6/::1')).network.listen,
    ['/ip6/::1/tcp/7700'])
  const announced = read(`${smallest}announce = ["/dns/a.example/tcp/7700"]`)
  assert.equal(announced.network.announce, ['/dns/a.example/tcp/7700'])
})

t('refuses values that contradict each other', () => {
  assert.match(faults(`${smallest}[market]\nwindow = "30s"\n`), 'market.bid_validity: expected')
  const own = `${smallest}[credit.limits]\n"site-a.example" = "1 cr"\n`
  assert.match(faults(own), 'owes itself nothing')
  assert.match(faults(`${smallest}[attributes]\ncores_free = 7\n`), ':6: attributes.cores_free: ')
  assert.match(faults(`${smallest}[attributes]\nx = -1\n`), ':6: attributes.x: ')
  assert.match(faults(`${smallest}[api]\nsocket_mode = "0666"\n`), '"0600" (owner only)')
  assert.match(faults(`${smallest}[attributes]\nx = 2026-01-01\n`), 'got a date')
})

t('init can set any key', () => {
  const set = {
    'market.window': '"200ms"', 'tariff.core_hour': '"3 cr"', 'attributes.arch': '"arm64"',
    'credit.limits.site-b.example': '"7 cr"', 'scheduler.speed': '1.5', 'api.socket_mode': '"0660"',
  }
  const config = read(configText({ ...choices, set }, machine))
  assert.equal(config.market.windowMs, 200)
  assert.equal(config.tariff.coreHourMicrocredits, 3_000_000n)
  assert.equal([...config.attributes], [['arch', 'arm64']])
  assert.equal([...config.credit.limitsMicrocredits], [['site-b.example', 7_000_000n]])
  assert.equal(config.scheduler.speedPermille, 1_500)
  assert.equal(config.api.socketMode, 0o660)
  const nothing = { ...choices, set: { nothing: '1' } }
  assert.throws(() => configText(nothing, machine), /expected section.key/)
  const wrong = { ...choices, set: { 'market.windw': '1' } }
  assert.match(faults(configText(wrong, machine)), 'did you mean')
})

t('whatever a file holds, the answer is a config or a list of faults with lines', () => {
  const template = configText(choices, machine).replace(/^#(?=[a-z])/gm, '')
  const pieces = [
    '[', ']', '"', "'", '=', '\n', '#', '{', '}', '.', '\\', '-', '0x', '1e9', 'nan', 'inf', '"""',
    '99999999999999999999', '2026-01-01', 'true', '[[site]]', '__proto__', 'constructor', '\u0000',
  ]
  let state = 1
  const random = (below: number): number => {
    state = (state * 48_271) % 2_147_483_647
    return state % below
  }
  for (let round = 0; round < 3_000; round++) {
    const at = random(template.length)
    const piece = pieces[random(pieces.length)] ?? ''
    const text = template.slice(0, at) + piece + template.slice(at + random(12))
    try {
      read(text)
    } catch (error) {
      assert.ok(error instanceof ConfigProblem, `${String(error)}\n${text}`)
      const lines = text.split('\n').length
      assert.ok(error.faults.length > 0)
      assert.ok(error.faults.every(({ line }) => line >= 1 && line <= lines))
    }
  }
})
