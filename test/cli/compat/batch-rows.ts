// Jobs as a node answers them to the batch commands: one in each state, and an array in several.

import type { BatchRow } from '../../../node/http/batch-api.ts'
import { counts } from '../fixtures.ts'
import type { Answer, Asked, Ran, Routes, RunOptions } from '../fixture-node.ts'
import { fixtureEpochMs, fixtureNode, run } from '../fixture-node.ts'
import type { Context } from '../../harness.ts'

process.env['TZ'] = 'UTC'

const second = 1_000

function row(job: string, name: string, over: Partial<BatchRow>): BatchRow {
  return {
    job, name, user: 'alice', state: 'active', note: 'no site can run it now',
    submittedEpochMs: fixtureEpochMs - 100 * second, tasks: counts({}), spent: '0', held: '0',
    sites: [], array: false, waiting: '', parked: '', onHold: '', cores: 2, memoryMib: 512,
    walltimeSeconds: 5_400, gpus: 0, nodes: 1, priority: 1_024, queue: '', project: '',
    seenAt: '/home/alice/run', taskRows: [], ...over,
  }
}

const contract = 'aaaabbbbccccdddd'
const started = { startedEpochMs: fixtureEpochMs - 75 * second }
const over = { ...started, endedEpochMs: fixtureEpochMs - 5 * second }
const ended = { endedEpochMs: fixtureEpochMs - 5 * second }

export const rows: readonly BatchRow[] = [
  row('0000000003e9', 'waits', { state: 'waiting', waiting: '0' }),
  row('0000000003ea', 'runs', {
    taskRows: [{ task: 0, state: 'running', site: 'b.example', contract, ...started }],
  }),
  row('0000000003eb', 'good', {
    state: 'done', ...ended,
    taskRows: [{ task: 0, state: 'done', site: 'b.example', contract, exitCode: 0, ...over }],
  }),
  row('0000000003ec', 'bad', {
    state: 'failed', ...ended,
    taskRows: [{ task: 0, state: 'failed', site: 'c.example', contract, exitCode: 7, ...over }],
  }),
  row('0000000003ed', 'killed', {
    state: 'cancelled', ...ended,
    taskRows: [
      { task: 0, state: 'cancelled', site: 'c.example', contract, exitCode: 143, ...over },
    ],
  }),
  row('0000000003ee', 'slow', {
    state: 'failed', ...ended,
    taskRows: [{
      task: 0, state: 'failed', site: 'c.example', contract, exitCode: 143,
      detail: 'it passed its walltime', ...over,
    }],
  }),
  row('0000000003ef', 'many', {
    array: true, waiting: '4-9', onHold: '10', tasks: counts({ total: 10 }),
    taskRows: [
      { task: 1, state: 'done', site: 'b.example', contract, exitCode: 0, ...over },
      { task: 2, state: 'running', site: 'b.example', contract, ...started },
      { task: 3, state: 'returning', site: 'c.example', contract, ...started },
    ],
  }),
]

const info: Answer = { json: { site: 'a.example', federationName: 'fed', version: '0.1.0' } }

/** As the node chooses among them. */
function batch({ query }: Asked): Answer {
  const named = query['jobs']?.split(',')
  return {
    json: rows.filter((one) => (named === undefined || named.includes(one.job)) &&
      (query['state'] === 'all' || one.endedEpochMs === undefined) &&
      (query['user'] === undefined || one.user === query['user'])),
  }
}

/** A batch command of a flavour, as a client calls it. */
export async function call(
  ctx: Context, as: string, args: readonly string[], routes: Routes = {}, options: RunOptions = {},
): Promise<Ran> {
  const { directory } = await fixtureNode(ctx, {
    'GET /v1/info': info, 'GET /v1/batch': batch, ...routes,
  })
  return run(ctx, ['compat', '--dir', directory, '--as', as, '--', ...args], options)
}
