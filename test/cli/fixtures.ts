// Answers of a node, typed by its API: a federation of three sites and jobs in several states.

import type {
  JobDetail, JobSummary, OfferRow, PeerRow, TaskCounts, WhyAnswer,
} from '../../node/http/api.ts'
import { fixtureEpochMs } from './fixture-node.ts'

const second = 1_000

export function counts(some: Partial<TaskCounts>): TaskCounts {
  return {
    total: 1, waiting: 0, queued: 0, running: 0, done: 0, failed: 0, cancelled: 0, ...some,
  }
}

export const activeJob: JobSummary = {
  job: '3f2a91c0b7d4',
  name: 'count-words',
  user: 'alice',
  state: 'active',
  note: '5 tasks run at b.example and c.example, 8 wait for a slot',
  submittedEpochMs: fixtureEpochMs - 95 * second,
  tasks: counts({ total: 16, waiting: 8, running: 5, done: 3 }),
  spent: '120000',
  held: '400000',
  sites: ['b.example', 'c.example'],
}

export const doneJob: JobSummary = {
  job: '3f2b000000aa',
  name: 'a name that is rather longer than the column that it has to fit into',
  user: 'alice',
  state: 'done',
  note: 'all tasks are done and paid for',
  submittedEpochMs: fixtureEpochMs - 7_200 * second,
  endedEpochMs: fixtureEpochMs - 7_000 * second,
  tasks: counts({ done: 1 }),
  spent: '12000000',
  held: '0',
  sites: ['cluster-with-a-long-name.department.university.example'],
}

export const failedJob: JobSummary = {
  ...activeJob,
  job: '77aa00112233',
  state: 'failed',
  note: '1 of 2 tasks failed',
  endedEpochMs: fixtureEpochMs - 5 * second,
  tasks: counts({ total: 2, done: 1, failed: 1 }),
  held: '0',
}

export const activeDetail: JobDetail = {
  ...activeJob,
  script: '#!/bin/sh\nwc -w "$1"\n',
  cores: 2,
  memoryMib: 512,
  walltimeSeconds: 600,
  policy: 'soonest',
  budget: '5000000',
  inputsBytes: 3_500_000,
  outputs: ['counts/*.txt', 'log'],
  requirements: 'os == "linux" && cores_total >= 4',
  taskRows: [
    ...[0, 1, 2].map((task) => ({
      task, state: 'done' as const, site: 'b.example', contract: 'aaaabbbbccccdddd', exitCode: 0,
      startedEpochMs: fixtureEpochMs - 60 * second, endedEpochMs: fixtureEpochMs - 50 * second,
    })),
    ...[3, 4, 5, 6].map((task) => ({
      task, state: 'running' as const, site: 'b.example', contract: 'aaaabbbbccccdddd',
      startedEpochMs: fixtureEpochMs - 12 * second,
    })),
    {
      task: 7, state: 'running', site: 'c.example', contract: '1111222233334444',
      startedEpochMs: fixtureEpochMs - 3 * second,
    },
  ],
  contracts: [
    {
      contract: 'aaaabbbbccccdddd', site: 'b.example', slots: 4, tasks: 7, held: '280000',
      claimed: '120000', accepted: '120000', state: 'open',
      leaseUntilEpochMs: fixtureEpochMs + 300 * second,
    },
    {
      contract: '1111222233334444', site: 'c.example', slots: 1, tasks: 1, held: '120000',
      claimed: '0', accepted: '0', state: 'open',
    },
  ],
}

export const failedDetail: JobDetail = {
  ...activeDetail,
  ...failedJob,
  contracts: [],
  taskRows: [
    {
      task: 1, state: 'failed', site: 'c.example', contract: '1111222233334444', exitCode: 7,
      detail: 'the output counts/*.txt is missing',
      startedEpochMs: fixtureEpochMs - 12 * second, endedEpochMs: fixtureEpochMs - 10 * second,
    },
    {
      task: 0, state: 'done', site: 'b.example', contract: 'aaaabbbbccccdddd', exitCode: 0,
      startedEpochMs: fixtureEpochMs - 60 * second, endedEpochMs: fixtureEpochMs - 50 * second,
    },
  ],
}

export const offerRow: OfferRow = {
  site: 'a.example',
  own: true,
  up: true,
  coresTotal: 4,
  coresFree: 2,
  memoryMibTotal: 8_192,
  memoryMibFree: 4_096,
  tasksQueued: 3,
  tasksRunning: 2,
  coresPerTaskMax: 4,
  memoryMibPerTaskMax: 8_192,
  walltimeSecondsMax: 86_400,
  speedPermille: 1_000,
  rateTask: '1000',
  rateCoreHour: '50000',
  rateGibHour: '5000',
  scheduler: 'embedded',
  attributes: { os: 'linux', arch: 'x86_64', software_gcc: '12.2' },
  sequence: 17,
  expiresInSeconds: 240,
}

export const offerRows: readonly OfferRow[] = [
  {
    ...offerRow, site: 'b.example', own: false, coresTotal: 128, coresFree: 96,
    speedPermille: 1_500, rateCoreHour: '80000', scheduler: 'slurm', memoryMibTotal: 524_288,
  },
  offerRow,
  {
    ...offerRow, site: 'cluster-with-a-long-name.department.university.example', own: false,
    up: false, speedPermille: 850,
  },
]

export const whyAnswer: WhyAnswer = {
  job: '3f2a91c0b7d4',
  note: '5 tasks run at b.example and c.example, 8 wait for a slot',
  rounds: [
    {
      round: 1,
      openedEpochMs: fixtureEpochMs - 94 * second,
      closedEpochMs: fixtureEpochMs - 93 * second,
      policy: 'soonest',
      rows: [
        {
          site: 'b.example', verdict: 'bid', slots: 4, queueSlots: 8, startInSeconds: 0,
          completionInSeconds: 400, taskPrice: '40000', awardedTasks: 7, rank: 1,
        },
        {
          site: 'c.example', verdict: 'bid', slots: 1, startInSeconds: 30,
          completionInSeconds: 600, taskPrice: '120000', awardedTasks: 1, rank: 2,
        },
        {
          site: 'a.example', verdict: 'unfit', reason: 'too_large',
          detail: 'a task asks for 2 cores of 512 MiB; the largest task here has 1 core',
        },
        {
          site: 'd.example', verdict: 'refused', reason: 'credit',
          detail: 'a.example would owe 12.00 cr, the limit is 10.00 cr',
        },
        { site: 'e.example', verdict: 'silent' },
      ],
    },
  ],
}

export const peerRows: readonly PeerRow[] = [
  {
    site: 'b.example', state: 'up', addresses: ['/ip4/127.0.0.1/tcp/4001'], admittedBy: 'a.example',
    offerAgeSeconds: 12, creditGiven: '10000000', creditReceived: '20000000', balance: '-120000',
    undelivered: 0,
  },
  {
    site: 'c.example', state: 'down', addresses: ['/ip4/127.0.0.1/tcp/4002'],
    admittedBy: 'b.example', creditGiven: '0', creditReceived: '5000000', balance: '0',
    undelivered: 3, trouble: 'connection refused since 2m',
  },
]
