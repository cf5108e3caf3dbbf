// The readers of node/: frames, transfers, the local API's routes, the config, what schedulers and
// supervisors print, records and marks on the disk.

import { mkdtempSync, rmSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encode } from '../../protocol/base/encoding.ts'
import { sha256Hex } from '../../protocol/base/crypto.ts'
import type { Hash } from '../../protocol/base/ids.ts'
import { unshape } from '../../protocol/base/shape.ts'
import { ok } from '../../protocol/base/outcome.ts'
import { ConfigProblem, parseConfig } from '../../node/config.ts'
import { configText } from '../../node/config-text.ts'
import { tomlLines } from '../../node/toml-lines.ts'
import { routes } from '../../node/http/handlers.ts'
import type { LocalNode } from '../../node/http/local-node.ts'
import { logHeader, openPeerLog } from '../../node/ledger/peer-log.ts'
import { netBounds } from '../../node/net/bounds.ts'
import { readError } from '../../node/net/exchange.ts'
import {
  frameKind, frameOf, readBody, readHeader, readText, textOf,
} from '../../node/net/frames.ts'
import type { Pipe } from '../../node/net/pipe.ts'
import { placeRows } from '../../node/scheduler/batch-rows.ts'
import { failureOf } from '../../node/scheduler/batch-shell.ts'
import {
  parseCompletions, parseCounts, parseExit, parseIndexes, parseJobs, parseNodes, parseSubmitted,
  parseTimeLimit, refusalOf,
} from '../../node/scheduler/slurm-output.ts'
import { parseEnd, parseTimes } from '../../node/scheduler/supervisor.ts'
import {
  decodeRequest, encodeFrameHead, encodeRequest, openFrameReader,
} from '../../node/staging/frames.ts'
import { readMark } from '../../node/store/mark.ts'
import { openRecord, sealRecord } from '../../node/store/sealed-record.ts'
import type { Random } from '../sim/random.ts'
import type { Corpus } from './corpus.ts'
import { codeOf, demand, onlyThrows, same } from './demand.ts'
import { mutateBytes, mutateText } from './mutate.ts'
import type { Target } from './target.ts'

export function nodeTargets(corpus: Corpus): Target[] {
  return [...frames(corpus), ...api(corpus), ...texts, ...files(corpus)]
}

/** A stream that gives these bytes and ends. */
function pipeOf(bytes: Uint8Array): Pipe {
  let at = 0
  const take = (count: number): Promise<Uint8Array | undefined> => {
    demand(count <= 64 * 1024 * 1024, `a reader asks for ${count} bytes at once`)
    if (at === bytes.length) return Promise.resolve(undefined)
    if (at + count > bytes.length) {
      return Promise.reject(Object.assign(new Error('the stream broke'), { code: 'broken' }))
    }
    at += count
    return Promise.resolve(bytes.subarray(at - count, at))
  }
  const never = (): never => {
    throw new Error('nobody writes here')
  }
  return {
    closed: new AbortController().signal, readExactly: take,
    readSome: (most) => take(Math.min(most, 1)),
    hasRoom: never, room: never, write: never, progress: never, finish: never, abort: never,
  }
}

const isFailure = (error: unknown): boolean =>
  /^(broken|malformed|refused)/.test(String(codeOf(error)))
const isStaging = (error: unknown): boolean =>
  /^(FRAME_BROKEN|TRANSFER_INTERRUPTED|REQUEST_REFUSED)$/.test(String(codeOf(error)))
const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')

async function expecting(
  work: () => Promise<unknown>, isExpected: (error: unknown) => boolean,
): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!isExpected(error)) throw error
  }
}

const named = (text: string): Hash => sha256Hex(text)

const frames = (corpus: Corpus): Target[] => [
  {
    name: 'frames between nodes',
    cost: 3,
    bytes: true,
    seeds: () => [
      ...corpus.messages.slice(0, 20).map((one) => latin1(frameOf(frameKind.text, one))),
      latin1(frameOf(frameKind.error, 'busy\ntoo much')), latin1(frameOf(frameKind.ping, '')),
    ],
    async check(input) {
      const bytes = Buffer.from(input, 'latin1')
      const bound = netBounds.requestBytes
      await expecting(() => readText(pipeOf(bytes), frameKind.text, bound), isFailure)
      await expecting(async () => {
        const pipe = pipeOf(bytes)
        for (let left = 100; left > 0; left--) {
          const header = await readHeader(pipe, bound)
          if (!header) return
          demand(header.bytes <= bound, 'a length within its bound')
          if (header.kind === frameKind.error) await readError(pipe, header.bytes)
          textOf(await readBody(pipe, header.bytes))
        }
      }, isFailure)
    },
  },
  {
    name: 'requests for chunks',
    cost: 1,
    seeds: () => [
      encodeRequest({ scope: 'in/abababababababab', hashes: [named('a'), named('b')] }),
    ],
    check(input) {
      const read = onlyThrows(() => decodeRequest(input), isStaging)
      if (read) same(encodeRequest(read), input)
    },
  },
  {
    name: 'frames of chunks',
    cost: 2,
    bytes: true,
    seeds: () => [latin1(Buffer.concat([
      encodeFrameHead(named('a'), 3), Buffer.from('abc'), encodeFrameHead(named('b'), 'absent'),
      encodeFrameHead(named('c'), 'refused'),
    ]))],
    async check(input) {
      const rest = [...input.slice(0, 4_096).matchAll(/[^]{1,7}/g)].map(([piece]) => piece)
      const reader = openFrameReader(() => {
        const piece = rest.shift()
        return Promise.resolve(piece === undefined ? undefined : Buffer.from(piece, 'latin1'))
      })
      await expecting(async () => {
        for (const name of ['a', 'b', 'c']) {
          const content = await reader.head(named(name))
          if (typeof content !== 'number') continue
          demand(content <= 4 * 1024 * 1024, 'no more than a chunk')
          await reader.fill(new Uint8Array(content))
        }
        await reader.end()
      }, isStaging)
    },
  },
  {
    name: 'headers for files of a log',
    cost: 2,
    seeds: () => [logHeader('checkpoint'), logHeader('tile/0/x001/000.p/7')],
    async check(input) {
      const log = openPeerLog({ file: () => Promise.resolve(undefined) },
        { filesPerMinute: 1e9, bytesPerMinute: 1e12 })
      log.isAsked(input)
      await expecting(async () => {
        for await (const piece of log.serve(corpus.moments[0]!.site, input)) {
          demand(piece.length === 1, 'a file that is not there')
        }
      }, (error) => codeOf(error) === 'malformed')
    },
  },
]

/** A node that demands of whatever it is asked that it can be signed, and answers nothing much. */
const node = new Proxy({} as LocalNode, {
  get: () => (...asked: readonly unknown[]) => {
    for (const one of asked) {
      if (one instanceof Uint8Array || one instanceof AbortSignal || one === undefined) continue
      encode(unshape(withoutFlags(one)))
    }
    return Promise.resolve(ok({ items: [] }))
  },
})

/** Not all that a node is asked is said to others. */
function withoutFlags(value: unknown): unknown {
  if (typeof value === 'boolean') return 0
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, member]) =>
    [key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), withoutFlags(member)]))
}

const bodies = (corpus: Corpus): string[] => [
  ...['accept', 'clause', 'agree'].map((verb) => `{"verb":"${verb}","hold":"abcd"}`),
  '{"verb":"dispute","hold":"abcd","contested":"1","reason":"too much","doc":""}',
  '{"verb":"settle","site":"site-b.example","amount":"5","payer":"us","reference":"bank 7"}',
  '{"verb":"forgive_balance","site":"site-b.example","amount":"5","reference":"x"}',
  '{"verb":"ruling","hold":"abcd","note":"x"}',
  '{"verb":"close","site":"site-b.example","forgive":1}',
  `{"hashes":["${'ab'.repeat(32)}"]}`, '{"directory":"/tmp/x"}', '{"site":"a","limit":"5"}',
  '{"below":5,"mirrors":["/a"],"retention_seconds":7}', '{"valid_seconds":600}', '{}',
  '{"witnesses":["a","b"],"quorum":2,"authorities":[]}',
  '{"grantee":"a","name":"physics","amount":"5","starts":1,"until":2}', corpus.notes[0]!,
]

const queries = [
  'from=1&limit=5', 'path=checkpoint', 'task=0&stream=stderr', 'where=true', 'entry=0', 'day=1',
  'job=abcd', 'state=open&user=ada&limit=3',
]

/** The server takes headers of so many bytes. */
const urlMax = 16 * 1024

const api = (corpus: Corpus): Target[] => [{
  name: 'routes of the local API',
  cost: 3,
  seeds: () => bodies(corpus).flatMap((body) =>
    ['5', '12'].map((at) => `${at}\nabcd\nfrom=1&limit=5\n${body}`)),
  draw(chance, seeds, pool) {
    const [, , , ...body] = chance.pick(seeds).split('\n')
    const query = mutateText(chance.pick(queries), chance, ['&from=2'])
    const name = chance.pick(['abcd', 'ab'.repeat(32), 'site-b.example', pool.text(chance)])
    const whole = corpus.mutated(body.join('\n'), chance, pool)
    const head = [name, query].map((line) => line.replaceAll('\n', ''))
    return [chance.int(routes.length), ...head, escaped(whole, chance)].join('\n')
  },
  async check(input) {
    const [at = '', name = '', query = '', ...body] = input.split('\n')
    const route = routes[Number(at) % routes.length]
    const whole = Buffer.from(body.join('\n'))
    if (!route || whole.length > Math.max(route.bodyBytesMax, 1_000)) return
    const outcome = await route.handle({
      node, name: name.slice(0, urlMax), query: new URLSearchParams(query.slice(0, urlMax)),
      body: whole, isAdmin: false,
      signal: new AbortController().signal,
    })
    demand(outcome.ok || typeof outcome.refusal.detail === 'string', 'an answer')
  },
}]

/** JSON can name characters that no text can hold. */
function escaped(text: string, chance: Random): string {
  const odd = chance.pick(['\\ud800', '\\udc00', '\\u0000', '\\u001b', '\\u2028', '\\u0041'])
  if (!chance.chance(250)) return text
  return text.replace(chance.pick(['too much', 'bank 7', 'physics']), odd)
}

const machine = { cores: 8, memoryBytes: 2 ** 34 }
const config = configText({
  site: 'site-a.example', scheduler: 'embedded', listen: ['/ip4/127.0.0.1/tcp/0'],
} as never, machine)
const slurm = (name: string): string =>
  readFileSync(join(import.meta.dirname, '..', 'fixtures', 'slurm', name), 'utf8')

function counts(...all: readonly number[]): void {
  for (const one of all) demand(Number.isSafeInteger(one) && one >= 0, `a count: ${one}`)
}

const texts: readonly Target[] = [
  {
    name: 'config',
    cost: 30,
    seeds: () => [config, config.replaceAll(/^#([a-z_]+ =)/gm, '$1'),
      config.replace('"embedded"', '"slurm"'), '[a.b]\n"c d" = [1,\n2]\n'],
    check(input) {
      const isProblem = (error: unknown): boolean => error instanceof ConfigProblem
        && error.faults.every(({ line }) => line >= 1)
      onlyThrows(() => parseConfig(input, 'config.toml', machine), isProblem)
      tomlLines(input).lineOf(['site', 'name'])
    },
  },
  {
    name: 'output of Slurm',
    cost: 3,
    seeds: () => ['errors.txt', 'jobcomp.txt', 'sinfo.txt', 'squeue-counts.txt', 'squeue-mixed.txt',
      'squeue-timeout.txt'].map(slurm)
      .concat('0-3,9%5', '1-7:2', '768', '3:0', '2-12:00:00', '7;c'),
    check(input) {
      const rows = parseJobs(input) ?? []
      for (const { exitCode = 0, startEpochMs, endEpochMs, positions = [] } of rows) {
        counts(exitCode, startEpochMs, endEpochMs, ...positions.slice(0, 1_000))
        demand(exitCode <= 255, `an exit code: ${exitCode}`)
      }
      placeRows(rows, rows[0]?.jobId ?? '1', 5)
      const nodes = parseNodes(input)
      if (nodes) {
        const { queues, ...totals } = nodes
        counts(...Object.values(totals))
        for (const { name: _, ...queue } of queues) counts(...Object.values(queue) as number[])
      }
      const { queued, running } = parseCounts(input)
      counts(queued, running, parseExit(input), parseTimeLimit(input) ?? 0)
      parseIndexes(input)
      parseSubmitted(input)
      parseCompletions(input, new Set(['ab'.repeat(8)]))
      failureOf(input)
      refusalOf(input)
    },
  },
  {
    name: "supervisors' records",
    cost: 1,
    seeds: () => [
      'end exited 0 123\n0m1.25s 0m0.03s\n1m1s 0m2.5s\ndone\n', 'end lost -1 0\n\n\ndone\n',
    ],
    check(input) {
      const end = parseEnd(input, 7)
      if (end) {
        counts(end.durationMs, end.cpuMs)
        demand(end.exitCode >= -1 && end.exitCode <= 255, `an exit code: ${end.exitCode}`)
      }
      counts(parseTimes(input))
    },
  },
]

const scratch = mkdtempSync(join(tmpdir(), 'gridnode-fuzz-'))
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }))

const files = (corpus: Corpus): Target[] => [
  {
    name: 'records with their checksums',
    cost: 2,
    seeds: () => [sealRecord('a/b', { a: 1n, b: 'x' }), sealRecord('a/b', [1, null])],
    check(input) {
      onlyThrows(() => openRecord('a/b', input), (error) => codeOf(error) === 'CORRUPT')
    },
  },
  {
    name: 'marks',
    cost: 60,
    bytes: true,
    seeds: () => {
      const mark = { origin: corpus.logVerifier.name, size: 5, root: 'ab'.repeat(32) }
      return [encode({ ...mark, check: sha256Hex(`${mark.origin}\n5\n${mark.root}\n`) })]
    },
    draw: (chance, seeds) => mutateBytes(seeds[0]!, chance, []),
    check(input) {
      const path = join(scratch, 'mark')
      writeFileSync(path, Buffer.from(input, 'latin1'))
      const mark = onlyThrows(() => readMark(path), (error) => codeOf(error) === 'CORRUPT')
      if (mark) demand(mark.size === 5, 'only what was written')
    },
  },
]
