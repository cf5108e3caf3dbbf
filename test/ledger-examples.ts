// One statement of each kind, byte for byte as docs/LEDGER.md shows them: two sites, fixed keys,
// one job. Run by itself it prints them, for whoever changes the format on purpose.

import type { KeyPair } from '../protocol/base/crypto.ts'
import { signNote } from '../protocol/base/note.ts'
import { encode } from '../protocol/base/encoding.ts'
import { trancheCommitment } from '../protocol/rules/contract.ts'
import { checkpointText } from '../protocol/rules/ledger.ts'
import { entryKey } from '../protocol/rules/ledger-book.ts'
import { capFor, price } from '../protocol/rules/tariff.ts'
import type { TestSite } from './rules/ledger-sites.ts'
import {
  credits, federation, hashOf, keyFor, offerInput, start, tariffInput, tell, view,
} from './rules/ledger-sites.ts'

export interface Example {
  /** The heading under which docs/LEDGER.md shows it. */
  readonly kind: string
  readonly note: string
}

const rates = { task: 0, core: 1_000_000, gib: 0 }
const trancheDocument = { salt: '00112233445566778899aabbccddeeff', tasks: '1-2' }

export function ledgerExamples(): readonly Example[] {
  const [home, host] = federation('home.example', 'host.example') as [TestSite, TestSite]
  const examples: Example[] = [
    { kind: 'federation', note: entryOf(home, 0) },
    { kind: 'genesis', note: entryOf(home, 1) },
    { kind: 'policy', note: host.policy ?? '' },
  ]
  const say = (kind: string, from: TestSite, to: TestSite, input: object) => {
    const said = tell(from, to, { at: start, to: to.name, kind: kind.split(' ')[0], ...input } as
      Parameters<typeof tell>[2])
    examples.push({ kind, note: said.note })
    return said.sid
  }
  const tariff = say('tariff', host, home, tariffInput(rates))
  say('credit', host, home, { limit: credits(100_000_000) })
  const contract = say('contract, the offer', home, host, {
    ...offerInput(host, tariff, {
      auction: '7b81f5607a7a3446', walltime_s: 600, lease_s: 600, tasks_max: 100_000,
      interim_s: 900, exposure_permille: 500, auto_permille: 0, arbiter: '',
    }),
    kind: 'contract',
  })
  say('contract, the agreement', host, home, { kind: 'contract', side: 'agree', contract })
  const task = { tasks: 1, cores: 1, memoryMib: 1_024, walltimeSeconds: 600 }
  const cap = capFor({ task: credits(0), core_hour: credits(rates.core), gib_hour: credits(0) },
    1_000, task)
  const hold = (tasks: number): object => ({
    contract,
    amount: credits(cap * BigInt(tasks)),
    tasks,
    valid_until: start + 3_600_000,
    grant: '',
    doc: trancheCommitment(trancheDocument),
  })
  const first = say('hold', home, host, hold(2))
  say('held', host, home, { hold: first })
  const used = { tasks: 2, core_s: 90, gib_s: 90 }
  const amount = price(
    { task: credits(0), core_hour: credits(rates.core), gib_hour: credits(0) }, 1_000, used)
  const meter = hashOf('gridnode/v1/meter\n' + encode([trancheDocument.salt, []]))
  const usage = say('usage', host, home, { hold: first, amount, final: 1, ...used, meter })
  say('accept', home, host, { hold: first, usage, amount, final: 1 })
  const { sid: second } = tell(home, host, {
    kind: 'hold', to: host.name, at: start, ...hold(1),
  } as Parameters<typeof tell>[2])
  say('declined', host, home, { hold: second, reason: 'no_room' })
  const { sid: third } = tell(home, host, {
    kind: 'hold', to: host.name, at: start, ...hold(1),
  } as Parameters<typeof tell>[2])
  tell(host, home, { kind: 'held', to: home.name, at: start, hold: third })
  say('void', host, home, { hold: third, reason: 'nothing was run' })
  return [...examples, { kind: 'checkpoint', note: checkpointOf(home, keyFor(home.name, 'log')) }]
}

function entryOf({ tables }: TestSite, index: number): string {
  const note = tables.get('ledgerEntries')?.get(entryKey(index))
  return typeof note === 'string' ? note : ''
}

function checkpointOf(at: TestSite, key: KeyPair): string {
  const text = checkpointText(view(at))
  return signNote(text, { name: text.slice(0, text.indexOf('\n')), key })
}

if (import.meta.main) {
  for (const { kind, note } of ledgerExamples()) console.log(`${kind}\n\n${note}`)
}
