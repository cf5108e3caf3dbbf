// I13, from the bytes alone: what a host keeps to show later opens what was said openly. Each kept
// record is found by its hash in the host's own log, and sums up to what the claim says.

import { createHash } from 'node:crypto'
import { unpack } from '../../protocol/base/record.ts'
import { canonical } from './canonical.ts'
import type { Json, Log } from './log-bytes.ts'
import { demand } from './oracle.ts'

interface Report {
  readonly state: string
  readonly how: string
  readonly started_ms: number
  readonly core_s: number
}

export function checkDocuments({ machine, site, leaves }: Log): void {
  // What a restored site says of its earlier work it says from what others have told it.
  if (machine.restores > 0) return
  const kept = machine.disk.records('documentLines') as ReadonlyMap<string, string>
  for (const [key, packed] of kept) {
    for (const line of unpack(packed) as readonly string[]) {
      const document = JSON.parse(line) as Json
      const told = (what: string) => () => `${site}: ${String(document['kind'])} of ${key}: ${what}`
      if (document['kind'] === 'tranche') {
        const { salt, tasks } = document
        const doc = hashOf('gridnode/v1/tranche\n', { salt, tasks })
        const hold = leaves.find((leaf) => leaf.kind === 'hold' && leaf.body['doc'] === doc)
        demand(hold !== undefined, 'I13', told('opens no hold'))
        const count = sizeOf(String(tasks))
        demand(hold!.body['tasks'] === count, 'I13', told(`lists ${count} tasks`))
      } else {
        const reports = document['reports'] as readonly Report[]
        const meter = hashOf('gridnode/v1/meter\n', [document['salt'], reports])
        const usage = leaves.find((leaf) => leaf.kind === 'usage' && leaf.body['meter'] === meter)
        demand(usage !== undefined, 'I13', told('opens no claim'))
        const ran = reports.filter((one) => one.state === 'ended' && one.started_ms > 0 &&
          one.how !== 'lost' && one.how !== 'refused')
        const coreSeconds = ran.reduce((sum, one) => sum + one.core_s, 0)
        // What was claimed while tasks ran, and run again, stays claimed.
        const before = leaves.filter(({ kind, body }) =>
          kind === 'usage' && body['hold'] === usage!.body['hold'] && body !== usage!.body)
        const most = (field: string, now: number): number =>
          Math.max(now, ...before.map(({ body }) => Number(body[field])))
        const { core_s: claimed, tasks } = usage!.body as { core_s: number; tasks: number }
        demand(claimed <= most('core_s', coreSeconds) && tasks <= most('tasks', ran.length), 'I13',
          told(`is ${ran.length} tasks and ${coreSeconds} s, claimed ${tasks} and ${claimed}`))
      }
    }
  }
}

function hashOf(domain: string, value: unknown): string {
  return createHash('sha256').update(domain).update(canonical(value)).digest('hex')
}

/** Of `1-3,7`. */
function sizeOf(ranges: string): number {
  return ranges.split(',').reduce((sum, range) => {
    const [first = '', last = first] = range.split('-')
    return sum + Number(last) - Number(first) + 1
  }, 0)
}
