// Whole walks with a site that means harm: what it says comes changed, late, twice or not at all,
// while the others go on as they are. They keep all that the oracle demands, prove no lie of one
// another, and speak to each other without end nowhere.

import { draft } from '../../protocol/base/tables.ts'
import type { Tables } from '../../protocol/base/tables.ts'
import type { CoreTables } from '../../protocol/machine/state.ts'
import type { Site } from '../machine/pair.ts'
import { view } from '../machine/pair.ts'
import { checkRecords } from '../sim/oracle.ts'
import { random } from '../sim/random.ts'
import type { Corpus } from './corpus.ts'
import { demand } from './demand.ts'
import { poolOf } from './pool.ts'
import type { Pool } from './pool.ts'
import type { Target } from './target.ts'
import { walk } from './traffic.ts'

const countersMax = 250
const heardMax = 150
/** Of one table, at the end of a walk of a dozen jobs. */
const recordsMax = 2_500
const liarName = 'site-c.example'

/** An input is the number of a walk. */
export function walkTarget(corpus: Corpus): Target {
  return {
    name: 'walks with a hostile site',
    cost: 6_000,
    seeds: () => [],
    draw: (chance) => String(chance.int(1_000_000_000)),
    check(input) {
      if (!/^[0-9]{1,9}$/.test(input)) return
      hostileWalk(Number(input), corpus)
    },
  }
}

/** All that the liar has to work with was said in this very walk, and its keys are its own. */
function hostileWalk(seed: number, corpus: Corpus): void {
  const chance = random(seed, 'hostile walk')
  const often = chance.pick([30, 150, 500])
  const late: string[] = []
  const heard: string[] = []
  let pool: Pool | undefined
  let liar: Site | undefined
  let checks = 0
  const traffic = walk(chance.pick([3, 3, 4]), 14, random(seed, 'walk'), {
    said(from, _to, encoded) {
      if (heard.length < heardMax) heard.push(encoded)
      else heard[chance.int(heardMax)] = encoded
      if (from.name !== liarName) return [encoded]
      if (!pool || chance.chance(20)) pool = poolOf(heard, new Set([liarName, 'ada']))
      liar = from
      if (!chance.chance(often)) return [encoded]
      switch (chance.int(7)) {
        case 0: return []
        case 1: return [encoded, encoded]
        case 2:
          late.push(encoded)
          return []
        case 3: return [encoded, ...late.splice(0, 3)]
        case 4: return [chance.pick(heard), encoded]
        case 5: return [corpus.mutated(encoded, chance, pool), encoded]
        default: return [corpus.mutated(encoded, chance, pool)]
      }
    },
    happens(_site, happening) {
      // The own world of each is honest, but it may say a thing again.
      const again = happening.kind !== 'jobSubmitted' && chance.chance(20)
      return again ? [happening, happening] : [happening]
    },
    after(site) {
      if (site !== liar && ++checks % 24 === 0) checkHonestSite(site, liar)
    },
  })
  for (const site of traffic.sites) if (site !== liar) checkHonestSite(site, liar)
}

function checkHonestSite(site: Site, liar: Site | undefined): void {
  checkRecords({ identity: { site: site.name } }, draft<CoreTables>(site.tables as Tables))
  for (const [, { accused, what }] of view(site).entries('evidence')) {
    demand(accused === liar?.name,
      `${site.name} has proof against ${accused}, which is honest: ${what}`)
  }
  for (const [table, records] of site.tables) {
    demand(records.size <= recordsMax, `${site.name} keeps ${records.size} records of ${table}`)
  }
  const names = [...view(site).entries('counters')].map(([name]) => name)
  demand(names.length <= countersMax, `${names.length} counters: ${names.slice(0, 300).join(' ')}`)
}
