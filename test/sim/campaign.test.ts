// The simulator's command line from inside: a campaign is bounded and counted, a command replays
// what it says, a failing run is made smaller. The last word is a campaign over seeds that nobody
// has tried: a short one, and in CI a longer one.
// time limit: 400 s

import { randomInt } from 'node:crypto'
import { assert, suite } from '../harness.ts'
import { campaign, summed } from './campaign.ts'
import { commandFor, leavable, profileOf } from './profile.ts'
import { lawOf, shrink } from './shrink.ts'

const t = suite('campaigns')

t('a campaign says each seed and counts them', () => {
  const lines: string[] = []
  const wanted = { first: 1, last: 2, overrides: {
    kind: 'calm', jobs: 1, sites: 2, length: 1, without: ['grantEveryMs'],
  } }
  const counts = campaign(wanted, (line) => lines.push(line))
  assert.equal([counts.seeds, counts.jobs, counts.failed.length], [2, 2, 0])
  assert.match(lines[1]!, /^seed 2 calm: 2 sites, 1 jobs, 0 crashes, \d+ commits/)
  assert.match(summed(counts, wanted).join('\n'), /2 seeds: 2 jobs.*\n0 failed/)
})

t('a campaign that is out of time begins no other seed', () => {
  const counts = campaign({ first: 1, last: 9, secondsMax: 0, overrides: {} }, () => undefined)
  assert.equal(counts.seeds, 0)
})

t('what was said instead of the seed is in the command that replays it', () => {
  const overrides = { kind: 'lossy', sites: 2, length: 1, without: ['loss', 'skew'] }
  const command = 'npm run sim -- --seed 7 --kind lossy --sites 2 --length 1 --without loss,skew'
  assert.equal(commandFor(7, overrides), command)
  const profile = profileOf(7, overrides)
  assert.equal(profile.command, command)
  assert.equal([profile.faults.loss, profile.sites.length, profile.minutes], [0, 2, 1])
  assert.ok(profile.sites.every(({ skewMs }) => skewMs === 0))
})

t('what is left out shifts nothing else of a profile', () => {
  const { command: _, ...whole } = profileOf(9, { kind: 'all' })
  const without = ['loss', 'garbageEveryMs']
  const { command: __, ...less } = profileOf(9, { kind: 'all', without })
  assert.equal(less, { ...whole, faults: { ...whole.faults, loss: 0, garbageEveryMs: 0 } })
})

t('a failing run is made smaller as long as the same law breaks', () => {
  const said: string[] = []
  const shrunk = shrink(3, { kind: 'all', jobs: 8, sites: 5 }, {
    secondsMax: 60,
    say: (line) => said.push(line),
    attempt: ({ faults, jobs, sites, name }) => faults.loss > 0 && jobs >= 2 && sites.length >= 3
      ? { law: 'law 1', lines: jobs * sites.length }
      : name === 'all' && jobs === 1 ? { law: 'law 2', lines: 1 } : undefined,
  })
  assert.equal(shrunk?.law, 'law 1')
  const { jobs, sites } = profileOf(3, shrunk!.overrides)
  assert.equal([jobs, sites.length], [2, 3])
  assert.equal(leavable(profileOf(3, shrunk!.overrides)), ['loss'])
  assert.ok(said.length > 3)
})

t('a run that does not fail is not made smaller', () => {
  const options = { secondsMax: 1, say: () => undefined, attempt: () => undefined }
  assert.equal(shrink(1, {}, options), undefined)
})

/** Longer where nobody waits for it. */
const randomSeconds = /^(1|true)$/i.test(process.env['CI'] ?? '') ? 75 : 5

t('seeds that nobody has tried keep the laws', () => {
  const first = randomInt(1_000, 999_000_000)
  const wanted = { first, last: first + 10_000, secondsMax: randomSeconds, overrides: {} }
  const failures: string[] = []
  const counts = campaign(wanted, (line) => {
    if (!/^seed \d+ \w+: /.test(line)) failures.push(line)
  })
  console.log(`\n  seeds ${first} to ${first + counts.seeds - 1}: ` +
    summed(counts, wanted).join('; '))
  assert.equal(failures, [])
}, { timeoutSeconds: 300 })

t('the law that broke is read from the error', () => {
  const of = (text: string) => lawOf(new Error('seed 1 failed', { cause: new Error(text) }))
  assert.equal(of('laws 1 and 5: still open'), 'laws 1 and 5')
  assert.equal(of('law 2: site-a started x 2 times'), 'law 2')
  assert.equal(of('AWARD-2: site-a, auctions x'), 'AWARD-2')
  assert.equal(of('time stands still: a loop'), 'time stands still: a loop')
})
