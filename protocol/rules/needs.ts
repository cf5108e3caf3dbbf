// What a task needs of a site beside cores, memory and time, and the one check of it: the home
// makes it against a site's offer, the host against what it has. What a scheduler lacks is thereby
// refused before there is a contract.
//
// Reasons, in order of precedence: cores [NEED-1], memory [NEED-2], ability [NEED-3], nodes
// [NEED-4], gpus [NEED-5], licences [NEED-6].

import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import type { Shaped } from '../base/shape.ts'
import { integer, list, oneOf, optional, record, text } from '../base/shape.ts'
import { formatBytes } from '../base/units.ts'

/** What a scheduler, as it is set up at a site, may be able to do for a task. */
export const abilityWords = [
  /** Tasks that take several nodes of one kind; of several kinds. */
  'nodes', 'chunks',
  'gpus', 'licences',
  /** A task sees its directory under another path. */
  'seen_at',
  /** Tasks run under an account that the site's map gives to their owner. */
  'accounts',
] as const
export type Ability = (typeof abilityWords)[number]

export const chunkShape = record({
  nodes: integer({ min: 1, max: 65_536 }),
  cores: integer({ min: 1, max: 65_536 }),
  memory_mib: integer({ min: 1, max: 2 ** 32 }),
  gpus: integer({ min: 0, max: 1_024 }),
})
export type JobChunk = Shaped<typeof chunkShape>

export const licenceShape = record({
  name: text({ bytesMax: 64, pattern: /^[A-Za-z0-9._@:-]{1,64}$/ }),
  count: integer({ min: 1, max: 65_536 }),
})
export type Licence = Shaped<typeof licenceShape>

/** As it travels with a call. */
export const needsShape = record({
  abilities: list(oneOf(...abilityWords), { max: abilityWords.length }),
  chunks: optional(list(chunkShape, { min: 1, max: 16 })),
  gpus: integer({ min: 0, max: 65_536 }),
  licences: list(licenceShape, { max: 16 }),
})
export type Needs = Shaped<typeof needsShape>

/** The part of a job document that is looked at here. */
export interface Asking {
  readonly cores: number
  readonly memory_mib: number
  readonly gpus?: number
  readonly chunks?: readonly JobChunk[]
  readonly licences?: readonly Licence[]
  readonly seen_at?: string
}

/** Undefined for most jobs: they need nothing beyond cores, memory and time. */
export function needsOf(job: Asking): Needs | undefined {
  const { chunks, gpus = 0, licences = [] } = job
  const abilities: Ability[] = []
  const several = chunks !== undefined && (chunks.length > 1 || chunks[0]!.nodes > 1)
  if (several) abilities.push('nodes')
  if (chunks !== undefined && chunks.length > 1) abilities.push('chunks')
  if (gpus > 0) abilities.push('gpus')
  if (licences.length > 0) abilities.push('licences')
  if (job.seen_at !== undefined) abilities.push('seen_at')
  if (abilities.length === 0) return undefined
  return { abilities, ...(several && { chunks }), gpus, licences }
}

/**
 * [NEED-7] Why the chunks of a job are not what it says it takes in all; undefined when they are.
 */
export function chunkFault(job: Asking): string | undefined {
  if (!job.chunks) return undefined
  let [cores, memoryMib, gpus] = [0, 0, 0]
  for (const chunk of job.chunks) {
    cores += chunk.nodes * chunk.cores
    memoryMib += chunk.nodes * chunk.memory_mib
    gpus += chunk.nodes * chunk.gpus
  }
  const same = cores === job.cores && memoryMib === job.memory_mib && gpus === (job.gpus ?? 0)
  return same ? undefined : `the chunks are ${cores} cores, ${memoryMib} MiB and ${gpus} ` +
    `graphics processors, the job says ${job.cores}, ${job.memory_mib} and ${job.gpus ?? 0}`
}

/** What a site has, as its offer says or as its host knows. */
export interface Holdings {
  readonly coresTotal: number
  readonly coresPerTaskMax: number
  readonly memoryMibPerTaskMax: number
  readonly nodesTotal: number
  readonly gpusTotal: number
  readonly abilities: readonly string[]
  readonly licences: readonly Licence[]
}

export interface Lack {
  readonly reason: 'cores' | 'memory' | 'ability' | 'nodes' | 'gpus' | 'licences'
  readonly detail: string
}

const abilityTexts: Readonly<Record<Ability, string>> = {
  nodes: 'give a task several nodes',
  chunks: 'give a task nodes of several kinds',
  gpus: 'give a task graphics processors',
  licences: 'count licences',
  seen_at: 'show a task its directory where it was submitted from',
  accounts: 'run tasks under accounts of their own',
}

/** Why no task of this size can ever run at the site, by the first reason that applies. */
export function lackOf(
  task: { readonly cores: number; readonly memory_mib: number; readonly needs?: Needs | undefined },
  site: Holdings,
): Outcome<undefined, Lack> {
  const { needs } = task
  const no = (reason: Lack['reason'], detail: string): Outcome<never, Lack> =>
    refuse({ reason, detail })
  // What has to lie in one node.
  const pieces = needs?.chunks ?? [{ ...task, nodes: 1, gpus: needs?.gpus ?? 0 }]
  for (const piece of pieces) {
    const where = needs?.chunks === undefined ? 'a task wants' : 'a task wants nodes of'
    if (piece.cores > site.coresPerTaskMax) {
      const most = site.coresPerTaskMax
      return no('cores', `${where} ${piece.cores} cores, the site has at most ${most}`)
    }
    if (piece.memory_mib > site.memoryMibPerTaskMax) {
      const [wanted, most] = [piece.memory_mib, site.memoryMibPerTaskMax].map(mib)
      return no('memory', `${where} ${wanted}, the site has at most ${most}`)
    }
  }
  if (task.cores > site.coresTotal) {
    return no('cores', `a task wants ${task.cores} cores, the site has ${site.coresTotal}`)
  }
  if (!needs) return ok(undefined)
  const lacking = needs.abilities.find((ability) => !site.abilities.includes(ability))
  if (lacking) return no('ability', `the site cannot ${abilityTexts[lacking]}`)
  const nodes = pieces.reduce((sum, piece) => sum + piece.nodes, 0)
  if (needs.chunks && nodes > site.nodesTotal) {
    return no('nodes', `a task wants ${nodes} nodes, the site has ${site.nodesTotal}`)
  }
  if (needs.gpus > site.gpusTotal) {
    const detail = `a task wants ${needs.gpus} graphics processors, the site has ${site.gpusTotal}`
    return no('gpus', detail)
  }
  for (const { name, count } of needs.licences) {
    const has = site.licences.find((licence) => licence.name === name)?.count ?? 0
    if (count > has) return no('licences', `a task wants ${count} of ${name}, the site has ${has}`)
  }
  return ok(undefined)
}

function mib(count: number): string {
  return formatBytes(count * 2 ** 20)
}
