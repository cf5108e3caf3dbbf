// The operators of a simulated federation: now and then one of them says something about money by
// hand, sensible or not, about whatever is open at its site at that moment.

import type { Sid } from '../../protocol/base/ids.ts'
import { draft } from '../../protocol/base/tables.ts'
import { microcredits } from '../../protocol/base/units.ts'
import type { OperatorWord } from '../../protocol/machine/operator-word.ts'
import type { CoreTables } from '../../protocol/machine/state.ts'
import type { Machine } from './machine.ts'
import type { Random } from './random.ts'
import { random } from './random.ts'
import type { World } from './world.ts'

/** Words said in the course of a run; some are refused. */
const wordsPerRun = 12

export function startOperators(world: World): void {
  const { profile, time, machines } = world
  for (let index = 0; index < wordsPerRun; index++) {
    const chance = random(profile.seed, `operator ${index}`)
    const machine = chance.pick(machines)
    time.after(chance.int(profile.minutes * 60_000), () => {
      const word = wordAt(machine, chance)
      if (!word) return
      world.log(`operator of ${machine.identity.site}: ${word.verb}`)
      world.ask(machine, {
        times: 1_000,
        ask: (request) => ({ kind: 'wordRequested', request, word }),
        answered: (answer) => world.log(`operator of ${machine.identity.site}: ${answer.kind}`),
      })
    })
  }
}

function wordAt(machine: Machine, chance: Random): OperatorWord | undefined {
  const tables = machine.process?.loop.tables
  if (!tables) return undefined
  const view = draft<CoreTables>(tables)
  const { site } = machine.identity
  const others = [...view.entries('members')].map(([, member]) => member.site)
    .filter((other) => other !== site)
  if (others.length === 0) return undefined
  const amount = microcredits(BigInt(chance.between(1, 50_000)))
  const [payment] = [...view.entries('ledgerProposals')].flatMap(([sid, proposal]) =>
    proposal.kind === 'settle' && proposal.to === site ? [sid] : [])
  if (payment !== undefined) return { verb: 'settle_agree', settle: payment }
  const hold = [...view.entries('ledgerHolds')].find(([, one]) => one.endedIndex === 0)?.[0]
  const pay: OperatorWord = {
    verb: 'settle', site: chance.pick(others), amount, payer: chance.pick(['us', 'them']),
    reference: `payment ${chance.int(1_000)}`,
  }
  return hold === undefined ? pay : chance.pick([pay, ...aboutHold(hold as Sid, amount)])
}

function aboutHold(hold: Sid, amount: ReturnType<typeof microcredits>): OperatorWord[] {
  return [
    { verb: 'accept', hold },
    { verb: 'dispute', hold, contested: amount, reason: 'a whim', doc: '' },
    { verb: 'offer', hold, amount },
    { verb: 'agree', hold },
    { verb: 'clause', hold },
    { verb: 'forgive_claim', hold, amount },
  ]
}
