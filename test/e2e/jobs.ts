// Jobs as a user makes them: a key of the test's own, inputs snapshotted and handed over, the
// document signed; and what a test wants to know of their results.

import { createHash, randomBytes } from 'node:crypto'
import { takeSnapshot, uploadSnapshot } from '../../cli/inputs.ts'
import { jobDocument } from '../../cli/job-request.ts'
import type { LiveLine } from '../../cli/progress.ts'
import type { JobDetail, ResultFile, SubmitAnswer } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import type { KeyPair } from '../../protocol/base/crypto.ts'
import { keyPairFromSeed, toHex } from '../../protocol/base/crypto.ts'
import { seal } from '../../protocol/base/envelope.ts'
import { parseRanges } from '../../protocol/base/ranges.ts'
import { microcredits } from '../../protocol/base/units.ts'
import { signJob, userSignerName } from '../../protocol/rules/job.ts'
import type { JobOptions } from '../../protocol/rules/job-options.ts'
import type { Site } from './site.ts'

export interface User {
  readonly name: string
  readonly key: KeyPair
}

export function newUser(name = 'tester'): User {
  return { name, key: keyPairFromSeed(randomBytes(32)) }
}

export const tester = newUser()

export interface Work {
  readonly script: string
  /** Such as `0-9`; a single job when left out. */
  readonly tasks?: string
  readonly atOnce?: number
  /** Paths of files and directories, with the name in the job's directory. */
  readonly inputs?: readonly { readonly path: string; readonly name: string }[]
  readonly outputs?: readonly string[]
  readonly cores?: number
  readonly memoryMib?: number
  readonly walltimeSeconds?: number
  readonly budgetCredits?: number
  readonly startWithinSeconds?: number
  readonly options?: Partial<JobOptions>
  readonly user?: User
}

const noLine: LiveLine = { show: () => undefined, print: () => undefined, clear: () => undefined }

export interface Prepared {
  readonly note: string
  /** Hands over what the node lacks of the inputs. */
  upload(site: Site): Promise<number>
}

export async function prepare(work: Work): Promise<Prepared> {
  const { user = tester } = work
  const inputs = (work.inputs ?? []).map((input) => ({ ...input, from: '/' }))
  const snapshot = await takeSnapshot(inputs, noLine)
  const tasks = work.tasks === undefined ? undefined : parseRanges(work.tasks, { last: 999_999 })
  const document = jobDocument({
    options: {
      ...(tasks && { array: { tasks, atOnce: work.atOnce ?? 0 } }),
      cores: work.cores ?? 1,
      memoryMib: work.memoryMib ?? 64,
      walltimeSeconds: work.walltimeSeconds ?? 60,
      outputs: [...(work.outputs ?? [])],
      budget: microcredits(BigInt(work.budgetCredits ?? 10_000) * 1_000_000n),
      startWithinSeconds: work.startWithinSeconds ?? 600,
      ...work.options,
    } as JobOptions,
    fallbackName: 'test-job',
    script: work.script,
    args: [],
    inputs: snapshot,
    user: { name: user.name, publicKeyHex: toHex(user.key.publicKey) },
    nonce: toHex(randomBytes(16)),
    env: {},
  })
  const { note } = signJob(document, { name: userSignerName(user.name), key: user.key })
  return { note, upload: (site) => uploadSnapshot(snapshot, site.client, noLine) }
}

export async function submit(site: Site, work: Work): Promise<string> {
  const { note, upload } = await prepare(work)
  await upload(site)
  return (await site.client.post<SubmitAnswer>(apiPaths.jobs, note)).job
}

export function cancel(site: Site, job: string, user: User = tester): Promise<JobDetail> {
  const body = { verb: 'cancel', job, at: Date.now() }
  const { note } = seal('request', body, { name: userSignerName(user.name), key: user.key })
  return site.client.post<JobDetail>(apiPaths.cancel(job), note)
}

export function resultsOf(site: Site, job: string): Promise<ResultFile[]> {
  return site.client.get<ResultFile[]>(apiPaths.results(job))
}

/** The bytes of one result file. */
export async function resultBytes(site: Site, job: string, path: string): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of site.client.bytes(apiPaths.resultFile(job), { path })) parts.push(part)
  return Buffer.concat(parts)
}

export async function logOf(
  site: Site, job: string, query: { task?: number; stream?: string; follow?: number } = {},
): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const part of site.client.bytes(apiPaths.log(job), query)) parts.push(part)
  return Buffer.concat(parts).toString()
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
