// The readers of protocol/rules: statements, jobs and their options, what the market says, trees,
// membership, proofs, private documents, books.

import { fromHex } from '../../protocol/base/crypto.ts'
import { decode, encode } from '../../protocol/base/encoding.ts'
import type { Outcome } from '../../protocol/base/outcome.ts'
import { shaped, unshape } from '../../protocol/base/shape.ts'
import { rangesSize } from '../../protocol/base/ranges.ts'
import { decodeMessage, encodeMessage } from '../../protocol/machine/messages.ts'
import { readAnnouncement, unfit } from '../../protocol/rules/announce.ts'
import {
  formatDocument, openDocuments, readDocument,
} from '../../protocol/rules/audit-documents.ts'
import { openReplay, readLeaf } from '../../protocol/rules/audit.ts'
import { readBidAnswer } from '../../protocol/rules/bid.ts'
import {
  trancheCommitment, trancheDocumentShape, trancheTasks,
} from '../../protocol/rules/contract.ts'
import { formatDigestRecord, readDigestRecord } from '../../protocol/rules/digest.ts'
import {
  checkEvidence, encodeEvidence, evidenceContext, readEvidence,
} from '../../protocol/rules/evidence.ts'
import { readJob } from '../../protocol/rules/job.ts'
import { isJobOptionName, jobOptionNames, readJobOption } from '../../protocol/rules/job-options.ts'
import { loadBook } from '../../protocol/rules/ledger-state.ts'
import {
  encodeJoinAnswer, encodeJoinRequest, formatJoinToken, parseJoinToken, readAddresses,
  readJoinAnswer, readJoinRequest,
} from '../../protocol/rules/membership.ts'
import { considerOffer, offerAttributes } from '../../protocol/rules/offer.ts'
import { compileRequirement } from '../../protocol/rules/requirements.ts'
import { readRuling, sealRuling } from '../../protocol/rules/ruling.ts'
import { sbatchOptionNames, treatSbatchOption } from '../../protocol/rules/sbatch.ts'
import {
  describeStageRefusal, manifestOf, packTree, unpackManifest, unpackRoot,
} from '../../protocol/rules/stage.ts'
import {
  enterName, isHopeless, matchOutputs, parseOutputPatterns, standingAtRoot, takenBy,
} from '../../protocol/rules/stage-outputs.ts'
import { parseStatement } from '../../protocol/rules/statement.ts'
import { draft } from '../../protocol/base/tables.ts'
import type { CoreTables } from '../../protocol/machine/state.ts'
import { microcredits } from '../../protocol/base/units.ts'
import { genesisOf, identityOf, must } from '../sim/identity.ts'
import { jobWith } from '../sim/users.ts'
import { goodOffer } from '../rules/market-notes.ts'
import type { Corpus } from './corpus.ts'
import { demand, same } from './demand.ts'
import { scriptTargets } from './script-targets.ts'
import type { Target } from './target.ts'

const detailMax = 3_000_000

/** What is refused says why, in a text that quotes no more than came. */
function detailed(read: Outcome<unknown, { readonly reason: string }>, input: string): void {
  if (read.ok) return
  const { reason, ...rest } = read.refusal
  demand(typeof reason === 'string' && reason !== '', 'a refusal has a reason')
  const detail = JSON.stringify(rest)
  demand(detail.length <= detailMax + 8 * input.length, `a detail of ${detail.length} characters`)
}

export function rulesTargets(corpus: Corpus): Target[] {
  return [...signed(corpus), ...market(corpus), ...jobs(corpus), ...trees, ...members(corpus),
    ...proofs(corpus)]
}

const signed = (corpus: Corpus): Target[] => [
  {
    name: 'messages',
    cost: 3,
    seeds: () => corpus.messages,
    check(input) {
      const read = decodeMessage(input)
      detailed(read, input)
      if (read.ok) same(encodeMessage(read.value), input)
    },
  },
  {
    name: 'statements',
    cost: 3,
    seeds: () => corpus.notes,
    check(input) {
      const read = parseStatement(input)
      detailed(read, input)
      if (!read.ok) return
      const { kind, ...body } = read.value.statement
      same(`gridnode/v1/${kind}\n${encode(unshape(body))}\n`, read.value.sealed.open.text)
    },
  },
  {
    name: 'leaves of a log',
    cost: 3,
    bytes: true,
    seeds: () => corpus.notes.map((note) => Buffer.from(note).toString('latin1')),
    check(input) {
      const raw = Buffer.from(input, 'latin1')
      const read = readLeaf(raw)
      if ('note' in read) same(Buffer.from(read.note), raw)
    },
  },
  {
    name: 'leaves replayed',
    cost: 30,
    seeds: () => [corpus.leaves.join('\u0001')],
    draw(chance, [all = ''], pool) {
      const leaves = all.split('\u0001')
      const at = chance.int(leaves.length)
      leaves[at] = chance.chance(300)
        ? chance.pick(leaves) : corpus.mutated(leaves[at]!, chance, pool)
      return leaves.slice(0, at + 8).join('\u0001')
    },
    check(input) {
      const replay = openReplay(identityOf(0).site, () => true)
      for (const leaf of input.split('\u0001')) replay.leaf(Buffer.from(leaf))
      replay.head()
    },
  },
  {
    name: 'rulings',
    cost: 3,
    seeds: () => [sealRuling({
      fed: 'ab'.repeat(32) as never, hold: 'cd'.repeat(32) as never, amount: microcredits(5n),
      at: 7,
    }, identityOf(2).signer.statement), ...corpus.notes.slice(0, 20)],
    check(input) {
      const read = readRuling(input)
      detailed(read, input)
      if (!read.ok) return
      const again = sealRuling(read.value.ruling, identityOf(2).signer.statement)
      same(again.slice(0, again.lastIndexOf('\n\n') + 1), read.value.sealed.open.text)
    },
  },
]

const market = (corpus: Corpus): Target[] => {
  const federation = corpus.moments[0]!.self.federation
  const of = (kind: string): string[] =>
    corpus.notes.filter((note) => note.startsWith(`gridnode/v1/${kind}\n`))
  const [one, two] = [identityOf(0), identityOf(1)]
  const expected = { federation, from: two.site, verifier: corpus.verifierOf(two.site)! }
  return [
    {
      name: 'offers',
      cost: 4,
      seeds: () => of('offer'),
      check(input) {
        const read = considerOffer(input, {
          federation, verifierOf: corpus.verifierOf, known: () => undefined,
          nowEpochMs: corpus.moments[0]!.nowMs,
        })
        detailed(read, input)
        if (!read.ok) return
        const attributes = offerAttributes(read.value.offer)
        for (const requirement of requirements) {
          const compiled = compileRequirement(requirement)
          if (compiled.ok) compiled.value(attributes)
        }
        unfit(jobWith({}).document, undefined, microcredits(1n), {
          offer: read.value.offer, own: false, up: true, mayGo: true, rank: 0n, attributes,
          taskCap: microcredits(1n), creditLeft: microcredits(0n),
        })
      },
    },
    {
      name: 'calls',
      cost: 4,
      seeds: () => of('announce'),
      check: (input) => detailed(readAnnouncement(input, expected), input),
    },
    {
      name: 'bids',
      cost: 4,
      seeds: () => [...of('bid'), ...of('refusal')],
      check: (input) => detailed(readBidAnswer(input, { ...expected, from: one.site }), input),
    },
    {
      name: 'requirements',
      cost: 4,
      seeds: () => requirements,
      check(input) {
        const compiled = compileRequirement(input)
        detailed(compiled, input)
        if (!compiled.ok) return
        const { position = 0 } = compiled as { position?: number }
        demand(position <= input.length, 'a position within the text')
        for (const offer of [goodOffer(), goodOffer({ attributes: [
          { kind: 'text', name: 'software_gcc', value: '12.2' },
          { kind: 'number', name: 'cores_total', value: 3 },
        ] })]) {
          const met = compiled.value(offerAttributes(offer))
          if (met.ok) demand(typeof met.value === 'boolean', 'true or false')
          else detailed(met, input)
        }
      },
    },
  ]
}

const requirements = [
  'cores_total >= 64 && "gcc" in software', 'software["gcc"] == "12.2"', 'true', 'cores_free > 0',
  'size(os) > 2 || os.startsWith("lin")', 'rate_core_hour * 2 / 3 % 7 < -1',
  '!(arch in ["x86_64"])',
  'has(software.gcc) ? speed_permille > 1 : false', '((((1))))+1==2', '[1,2,3][0] == 1',
  `${'('.repeat(40)}true${')'.repeat(40)}`, '1 + 2 * 3 - 4 / 2 >= 9223372036854775807',
]


const jobs = (corpus: Corpus): Target[] => [
  {
    name: 'jobs',
    cost: 4,
    seeds: () => [jobWith({}).note, jobWith({ tasks: '1-9,12', array: 1, environment: [
      { name: 'A', value: 'b' }] }).note, ...corpus.notes.slice(0, 5)],
    check(input) {
      const read = readJob(input)
      detailed(read, input)
      if (!read.ok) return
      demand(rangesSize(read.value.tasks) >= 1, 'a task')
      compileRequirement(read.value.document.requirements)
      parseOutputPatterns(read.value.document.outputs)
    },
  },
  ...scriptTargets,
  {
    name: 'options of a job',
    cost: 1,
    seeds: () => ['name x', 'cores 4', 'memory 4GiB', 'walltime 1h30m', 'walltime 1:00:00',
      'array 0-15:2%4', 'array [1,5,7-9]', 'in a=b', 'out results/*.csv', 'env A=1', 'budget 1.5',
      'policy cheapest', 'place home', 'sites a.example,b', 'start-within 2d', 'mem 4G',
      'time 2-12:00',
      'export A,B=2', 'nodes 1-1', 'mem-per-cpu 100K', 'allocation physics-2026', 'require true'],
    check(input) {
      const space = input.indexOf(' ')
      const name = space < 0 ? input : input.slice(0, space)
      const value = space < 0 ? '' : input.slice(space + 1)
      for (const one of isJobOptionName(name) ? [name] : jobOptionNames) {
        const read = readJobOption(one, value)
        detailed(read, input)
        if (!read.ok) continue
        const { cores = 1, memoryMib = 1, walltimeSeconds = 1, array, budget } = read.value
        for (const count of [cores, memoryMib, walltimeSeconds]) {
          demand(Number.isSafeInteger(count) && count >= 1, `a count: ${count}`)
        }
        if (array) demand(rangesSize(array.tasks) <= 100_000, 'no more tasks than a job has')
        if (budget !== undefined) demand(budget >= 0n, 'no negative budget')
      }
      const names = ['mem', 'time', 'array', 'export']
      for (const one of sbatchOptionNames.includes(name) ? [name] : names) {
        treatSbatchOption(one, value)
      }
    },
  },
  {
    name: 'documents of tranches',
    cost: 1,
    seeds: () => [encode({ salt: '00'.repeat(16), tasks: '1-9,12' })],
    check(input) {
      const value = decode(input, { bytesMax: 100_000 })
      const document = value.ok ? shaped(trancheDocumentShape, value.value) : value
      if (!document.ok) return
      const committed = { doc: trancheCommitment(document.value), tasks: 10 }
      const tasks = trancheTasks(document.value, committed)
      if (tasks) demand(rangesSize(tasks) === 10, 'as many as were paid for')
    },
  },
]

const chunk = 'ab'.repeat(32) as never
const packed = must(packTree(must(manifestOf({
  files: [
    { path: 'a/b.txt', executable: 0, sizeBytes: 3, chunks: [chunk] },
    { path: 'a/c', executable: 1, sizeBytes: 0, chunks: [] },
  ],
  directories: ['empty', 'a/d'],
}))))
const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')

const trees: readonly Target[] = [
  {
    name: 'roots and manifests of trees',
    cost: 2,
    seeds: () => packed.chunks.map(({ bytes }) => Buffer.from(bytes).toString('utf8')),
    check(input) {
      const raw = /^[\0-\xff]*$/.test(input) ? Buffer.from(input, 'latin1') : Buffer.from(input)
      const root = unpackRoot(raw)
      if (root.ok) demand(root.value.chunks.length > 0, 'a root has chunks')
      else describeStageRefusal(root.refusal)
      const manifest = unpackManifest({ chunks: [chunk], sizeBytes: raw.length }, raw)
      if (!manifest.ok) return void describeStageRefusal(manifest.refusal)
      const again = packTree(manifest.value)
      demand(again.ok, 'what was read can be packed')
      if (again.ok) same(latin1(again.value.chunks[0]!.bytes), latin1(raw))
    },
  },
  {
    name: 'output patterns',
    cost: 2,
    seeds: () => ['out.txt\nresults/*.csv', '**/a?/**\nb/', 'a*b*c*d*e*f*', '**/**/**/x', 'é/*'],
    check(input) {
      const read = parseOutputPatterns(input.split('\n'))
      if (!read.ok) return void describeStageRefusal(read.refusal)
      const path = input.split('\n')[0]!.replaceAll(/[*?]/g, 'a')
      const files = [path, 'a/b/c.csv', `${'a/'.repeat(50)}x`]
      matchOutputs(read.value, { files, directories: ['a'] })
      let standing = standingAtRoot(read.value)
      for (const name of ['a'.repeat(255), 'aa', path]) {
        standing = enterName(read.value, standing, name)
      }
      isHopeless(standing)
      takenBy(read.value, standing, 'directory')
    },
  },
]

const members = (corpus: Corpus): Target[] => [
  {
    name: 'join tokens',
    cost: 1,
    seeds: () => [formatJoinToken({
      federation: 'ab'.repeat(32) as never, name: 'nåme', sponsor: identityOf(0).site,
      key: 'cd'.repeat(32), addresses: ['/ip4/192.0.2.7/tcp/7700'], secret: '5e'.repeat(16),
      expires: 9,
    })],
    draw(chance, [token = ''], pool) {
      const prefix = token.slice(0, token.indexOf('.') + 1)
      const text = Buffer.from(token.slice(prefix.length), 'base64url').toString('utf8')
      if (chance.chance(300)) return corpus.mutated(token, chance, pool)
      const changed = corpus.mutated(text, chance, pool)
      const raw = Buffer.from(changed, chance.chance(500) ? 'utf8' : 'latin1')
      if (raw.length > 0 && chance.chance(400)) raw[chance.int(raw.length)] = chance.int(256)
      const mark = chance.chance(100) ? [0xef, 0xbb, 0xbf] : []
      return prefix + Buffer.concat([Buffer.from(mark), raw]).toString('base64url')
    },
    check(input) {
      const read = parseJoinToken(input)
      detailed(read, input)
      if (read.ok) same(formatJoinToken(read.value), input)
    },
  },
  {
    name: 'requests to join and answers',
    cost: 3,
    seeds: () => [
      encodeJoinRequest({
        secret: '5e'.repeat(16), addresses: ['/dns4/a.example/tcp/1'],
        genesis: genesisOf(identityOf(3), 'ab'.repeat(32) as never, 1),
      }),
      encodeJoinAnswer({ federation: corpus.notes[0]!, members: [
        { genesis: corpus.notes[1]!, policy: '', addresses: [], renewals: [corpus.notes[2]!] }] }),
    ],
    check(input) {
      const request = readJoinRequest(input)
      detailed(request, input)
      if (request.ok) same(encodeJoinRequest(request.value), input)
      const answer = readJoinAnswer(input)
      detailed(answer, input)
      if (answer.ok) same(encodeJoinAnswer(answer.value), input)
      readAddresses([input])
    },
  },
]

const proofs = (corpus: Corpus): Target[] => [
  {
    name: 'proofs of lies',
    cost: 12,
    seeds: () => corpus.evidence,
    check(input) {
      const read = readEvidence(input)
      detailed(read, input)
      if (read.ok) same(encodeEvidence(read.value), input)
      const { tables } = corpus.moments.at(-1)!
      const checked = checkEvidence(input, evidenceContext(draft<CoreTables>(tables)))
      detailed(checked, input)
      if (!checked.ok) return
      const signers = corpus.signers(input)
      demand(signers.has(checked.value.accused), 'the accused has signed something of it')
    },
  },
  {
    name: 'private documents',
    cost: 4,
    seeds: () => [
      formatDocument({ kind: 'job', note: jobWith({}).note }),
      formatDocument({ kind: 'bid', note: 'x' }),
      formatDocument({ kind: 'tranche', salt: '00'.repeat(16), tasks: '1-9' }),
      encode({ kind: 'meter', salt: '00'.repeat(16), reports: corpus.reports }),
      formatDocument({
        kind: 'digest', day: 1, count: 1, index: 0, proof: [], root: 'ab'.repeat(32) as never,
        record: digestRecord,
      }),
    ],
    check(input) {
      const read = readDocument(input)
      detailed(read, input)
      if (!read.ok) return
      const documents = openDocuments([read.value])
      for (const { statement } of corpus.statements) {
        documents.open(statement, undefined)
        read.value.mismatch(statement, { tasks: 1, core_s: 1, gib_s: 1 })
      }
    },
  },
  {
    name: 'records of a digest',
    cost: 1,
    seeds: () => [formatDigestRecord(digestRecord)],
    check(input) {
      const read = readDigestRecord(input)
      detailed(read, input)
      if (read.ok) same(formatDigestRecord(read.value), input)
    },
  },
  {
    name: 'books',
    cost: 20,
    seeds: () => corpus.books,
    check(input) {
      const read = loadBook(input)
      detailed(read, input)
      if (read.ok) demand(fromHex(read.value.state)?.length === 32, 'a state')
    },
  },
]

const digestRecord = {
  job: 'ab'.repeat(6) as never, user: 'ada', task: 0, cores: 1, core_s: 2, gib_s: 3, started_ms: 4,
  ended_ms: 5, how: 'exited', exit_code: 0, salt: '00'.repeat(16),
}
