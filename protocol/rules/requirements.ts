// Requirements and ranks: expressions (CEL, the Common Expression Language) over what a site
// publishes, such as `cores_total >= 64 && "gcc" in software`; a requirement is true or false, a
// rank a number, the larger the better. This is the one importer of the language's library. Texts
// are ordered as versions are: `kernel >= "2.6.5"`.
//
// Invariants: the same text over the same attributes gives the same answer at every node, in time
// bounded by the text's length. Hence integers only, no clock, no regular expressions (they can
// take for ever), no loops over lists, and a fixed set of names, checked when the text is
// compiled. Refusals in order of precedence: too_long [REQ-1], syntax [REQ-2], forbidden [REQ-3],
// type [REQ-4].

import { Environment } from '@marcbachmann/cel-js'
import { serialize } from '@marcbachmann/cel-js/serialize'
import { exceedsBytes } from '../base/encoding.ts'
import { nearest } from '../base/nearest.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import { compareVersions } from './version-order.ts'

/** A list of texts, or numbers by name, beside texts and numbers. */
export type Attribute = string | number | readonly string[] | Readonly<Record<string, number>>
export type Attributes = Readonly<Record<string, Attribute>>

export interface AttributeKind {
  /** `texts` is a map from name to text: software["gcc"]; `integers` to a number. */
  readonly kind: 'integer' | 'text' | 'texts' | 'integers' | 'list'
  readonly help: string
}

/** Every name that an expression may use, with its unit. */
export const requirementAttributes: Readonly<Record<string, AttributeKind>> = {
  site: { kind: 'text', help: "the site's name" },
  scheduler: { kind: 'text', help: 'its scheduler: embedded, slurm' },
  cores_total: { kind: 'integer', help: 'cores of the site' },
  cores_free: { kind: 'integer', help: 'cores free when the offer was made' },
  memory_mib_total: { kind: 'integer', help: 'memory of the site, in MiB' },
  memory_mib_free: { kind: 'integer', help: 'memory free when the offer was made, in MiB' },
  tasks_queued: { kind: 'integer', help: 'tasks that wait at the site' },
  tasks_running: { kind: 'integer', help: 'tasks that run at the site' },
  cores_per_task_max: { kind: 'integer', help: 'the most cores one task can have' },
  memory_mib_per_task_max: { kind: 'integer', help: 'the most memory one task can have, in MiB' },
  walltime_seconds_max: { kind: 'integer', help: 'the longest walltime, in seconds' },
  speed_permille: { kind: 'integer', help: 'speed of a core; 1000 = the reference core' },
  rate_task: { kind: 'integer', help: 'price of starting a task, in microcredits' },
  rate_core_hour: { kind: 'integer', help: 'price of a core-hour, in microcredits' },
  rate_gib_hour: { kind: 'integer', help: 'price of a GiB-hour, in microcredits' },
  factor_permille: { kind: 'integer', help: 'what it asks now; 1000 = its posted prices' },
  os: { kind: 'text', help: 'operating system, such as linux' },
  os_version: { kind: 'text', help: 'its name and version, such as debian-12' },
  arch: { kind: 'text', help: 'architecture: x86_64, aarch64' },
  cpu_model: { kind: 'text', help: 'model of the processors' },
  interconnect: { kind: 'text', help: 'network between nodes, such as infiniband' },
  software: { kind: 'texts', help: 'versions: software["gcc"] >= "12.2"' },
  kernel: { kind: 'text', help: 'version of the kernel: kernel >= "5.10"' },
  gpu_model: { kind: 'text', help: 'model of the graphics processors' },
  gpus_total: { kind: 'integer', help: 'graphics processors of the site' },
  gpus_free: { kind: 'integer', help: 'of them free when the offer was made' },
  nodes_total: { kind: 'integer', help: 'nodes of the site' },
  licences: { kind: 'integers', help: 'as many as there are: licences["matlab"] >= 2' },
  queues: { kind: 'list', help: 'its queues: "long" in queues' },
  abilities: { kind: 'list', help: 'what it can do: "gpus" in abilities' },
  reputation_permille: {
    kind: 'integer', help: 'how it kept its word to us; 500: a stranger',
  },
  product_name: { kind: 'text', help: 'GLUE 2 for scheduler' },
  total_logical_cpus: { kind: 'integer', help: 'GLUE 2 for cores_total' },
  free_slots: { kind: 'integer', help: 'GLUE 2 for cores_free' },
  waiting_jobs: { kind: 'integer', help: 'GLUE 2 for tasks_queued' },
  running_jobs: { kind: 'integer', help: 'GLUE 2 for tasks_running' },
  max_slots_per_job: { kind: 'integer', help: 'GLUE 2 for cores_per_task_max' },
  max_main_memory: { kind: 'integer', help: 'GLUE 2 for memory_mib_per_task_max' },
  max_wall_time: { kind: 'integer', help: 'GLUE 2 for walltime_seconds_max' },
  platform: { kind: 'text', help: 'GLUE 2 for arch' },
  os_family: { kind: 'text', help: 'GLUE 2 for os' },
  network_info: { kind: 'text', help: 'GLUE 2 for interconnect' },
}

/** The names of the GLUE 2 information model (GFD.147) for what has another one here. */
const synonyms: readonly (readonly [glue: string, own: string])[] =
  Object.entries(requirementAttributes).flatMap(([name, { help }]) => {
    const own = /^GLUE 2 for ([a-z_]+)$/.exec(help)?.[1]
    return own === undefined ? [] : [[name, own] as const]
  })

/** An attribute `software_gcc` of an offer is `software["gcc"]`. */
const textsPrefixes = Object.entries(requirementAttributes)
  .filter(([, attribute]) => attribute.kind === 'texts')
  .map(([name]) => ({ name, prefix: `${name}_` }))

export interface RequirementRefusal {
  readonly reason: 'too_long' | 'syntax' | 'forbidden' | 'type'
  /** Where in the text, counted in characters from 0. */
  readonly position: number
  readonly detail: string
}

export interface RequirementUnknown {
  /** `missing`: the site does not publish what is needed; `undefined`: there is no value. */
  readonly reason: 'missing' | 'undefined'
  readonly detail: string
}

/** Whether a site's attributes meet the requirement; a refusal counts as no. */
export type Requirement = (attributes: Attributes) => Outcome<boolean, RequirementUnknown>

/** How much a site is worth; what does not publish what is needed comes last. */
export type Rank = (attributes: Attributes) => Outcome<bigint, RequirementUnknown>

export const requirementBytesMax = 4_096

const celLimits = {
  maxAstNodes: 500,
  maxDepth: 50,
  maxListElements: 200,
  maxMapEntries: 0,
  maxCallArguments: 2,
}

const celTypes = {
  integer: 'int', text: 'string', texts: 'map<string, string>', integers: 'map<string, int>',
  list: 'list<string>',
} as const

const environment = makeEnvironment(celLimits)

/** For what an expression becomes when its comparisons are calls of `ordered`. */
const evaluator = makeEnvironment({ ...celLimits, maxAstNodes: 5_000, maxDepth: 500 })
  .registerFunction('ordered(int, int): int', (a: bigint, b: bigint) =>
    a < b ? -1n : a > b ? 1n : 0n)
  .registerFunction('ordered(string, string): int', (a: string, b: string) =>
    BigInt(Math.sign(compareVersions(a, b))))
  .registerFunction('ordered(bool, bool): int', (a: boolean, b: boolean) =>
    BigInt(Number(a) - Number(b)))

function makeEnvironment(limits: typeof celLimits): Environment {
  const made = new Environment({ limits })
  for (const [name, { kind }] of Object.entries(requirementAttributes)) {
    made.registerVariable(name, celTypes[kind])
  }
  return made
}

/** Compile once, ask often. */
export function compileRequirement(text: string): Outcome<Requirement, RequirementRefusal> {
  const compiled = compile(text, { type: 'bool', words: 'that is true or false' })
  if (!compiled.ok) return compiled
  const { ask } = compiled.value
  return ok((attributes) => {
    const value = ask(attributes)
    return value.ok ? ok(value.value === true) : value
  })
}

/** An expression that gives a whole number. */
export function compileRank(text: string): Outcome<Rank, RequirementRefusal> {
  const compiled = compile(text, { type: 'int', words: 'that is a whole number' })
  if (!compiled.ok) return compiled
  const { ask } = compiled.value
  return ok((attributes) => {
    const value = ask(attributes)
    return value.ok ? ok(value.value as bigint) : value
  })
}

interface Compiled {
  readonly ask: (attributes: Attributes) => Outcome<unknown, RequirementUnknown>
}

function compile(
  text: string, wanted: { readonly type: 'bool' | 'int'; readonly words: string },
): Outcome<Compiled, RequirementRefusal> {
  if (exceedsBytes(text, requirementBytesMax)) {
    const detail = `expected at most ${requirementBytesMax} bytes`
    return refuse({ reason: 'too_long', position: requirementBytesMax, detail })
  }
  if (!text.isWellFormed()) {
    const position = [...text].findIndex((letter) => !letter.isWellFormed())
    return refuse({ reason: 'syntax', position, detail: 'half of a character stands here' })
  }
  let parsed: ReturnType<Environment['parse']>
  try {
    parsed = environment.parse(text)
  } catch (error) {
    return refuse({ reason: 'syntax', ...described(error, text) })
  }
  const forbidden = findForbidden(parsed.ast as unknown as Tree)
  if (forbidden) return refuse({ reason: 'forbidden', ...forbidden })
  const checked = parsed.check()
  if (!checked.valid) return refuse({ reason: 'type', ...described(checked.error, text) })
  if (checked.type !== wanted.type) {
    const detail = `expected an expression ${wanted.words}, this one gives ${checked.type}`
    return refuse({ reason: 'type', position: 0, detail })
  }
  let asked: ReturnType<Environment['parse']>
  try {
    asked = evaluator.parse(written(ordered(parsed.ast as unknown as Tree)))
  } catch (error) {
    return refuse({ reason: 'syntax', position: 0, detail: described(error, text).detail })
  }
  const ask: Compiled['ask'] = (attributes) => {
    try {
      return ok(asked(contextOf(attributes)))
    } catch (error) {
      const { code = '' } = error as { code?: string }
      const missing = code === 'unknown_variable' || code === 'no_such_key'
      const { detail } = described(error, text)
      return refuse({ reason: missing ? 'missing' : 'undefined', detail })
    }
  }
  return ok({ ask })
}

/** The library writes a character beyond U+FFFF as the two halves that it then does not read. */
function written(tree: Tree): string {
  const halves = /\\\\|\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})/gi
  return serialize(tree as never).replace(halves, (all, high?: string, low?: string) => {
    if (high === undefined || low === undefined) return all
    const code = 0x1_0000 + ((Number.parseInt(high, 16) & 0x3ff) << 10)
      + (Number.parseInt(low, 16) & 0x3ff)
    return `\\U${code.toString(16).padStart(8, '0')}`
  })
}

const comparisons = new Set(['<', '<=', '>', '>='])

/** The same with `a < b` as `ordered(a, b) < 0`: the language would compare texts by letters. */
function ordered(tree: Tree): Tree {
  const args = orderedArgs(tree.args)
  if (!comparisons.has(tree.op)) return { ...tree, args }
  const call = { ...tree, op: 'call', args: ['ordered', args] }
  return { ...tree, args: [call, { ...tree, op: 'value', args: 0n }] }
}

function orderedArgs(args: unknown): unknown {
  if (Array.isArray(args)) return args.map(orderedArgs)
  return isTree(args) ? ordered(args) : args
}

/** What the expression sees; a value of the wrong type counts as not published. */
function contextOf(attributes: Attributes): Record<string, unknown> {
  const context: Record<string, unknown> = {}
  for (const { name, prefix } of textsPrefixes) {
    const texts = Object.entries(attributes)
      .filter(([key, value]) => key.startsWith(prefix) && typeof value === 'string')
      .map(([key, value]) => [key.slice(prefix.length), value] as const)
    context[name] = new Map(texts)
  }
  for (const [name, { kind }] of Object.entries(requirementAttributes)) {
    const value = Object.hasOwn(attributes, name) ? attributes[name] : undefined
    if (kind === 'text' && typeof value === 'string') context[name] = value
    if (kind === 'integer' && Number.isSafeInteger(value)) context[name] = BigInt(value as number)
    if (kind === 'list' && Array.isArray(value)) context[name] = value
    if (kind === 'integers' && typeof value === 'object' && !Array.isArray(value)) {
      const numbers = Object.entries<unknown>(value).flatMap(([key, count]) =>
        typeof count === 'number' && Number.isSafeInteger(count)
          ? [[key, BigInt(count)] as const] : [])
      context[name] = new Map(numbers)
    }
  }
  for (const [glue, own] of synonyms) if (own in context) context[glue] = context[own]
  return context
}

/** The library's syntax tree, as far as it is read here. */
interface Tree {
  readonly op: string
  readonly args: unknown
  readonly start: number
}

const operators = new Set([
  'value', 'id', '!_', '-_', '==', '!=', '<', '<=', '>', '>=', '+', '-', '*', '/', '%',
  'in', '&&', '||', '?:', 'list', '[]', '.', 'call', 'rcall',
])
const functions = new Set(['size', 'has', 'startsWith', 'endsWith', 'contains'])
const functionsText = 'size, has, startsWith, endsWith and contains'

/** The first thing that is not on the lists above, in the order of the text. */
function findForbidden(tree: Tree): { position: number; detail: string } | undefined {
  const at = (detail: string): { position: number; detail: string } =>
    ({ position: tree.start, detail })
  if (!operators.has(tree.op)) return at(`'${tree.op}' cannot be used here`)
  if (tree.op === 'value') {
    const kind = typeof tree.args
    if (kind === 'bigint' || kind === 'string' || kind === 'boolean') return undefined
    if (kind === 'number') return at(`expected an integer, got ${String(tree.args)}`)
    return at('expected an integer, a text, true or false')
  }
  if (tree.op === 'call' || tree.op === 'rcall') {
    const [name] = tree.args as readonly string[]
    if (!functions.has(name!)) {
      return at(`the function '${name}' cannot be used here; there are ${functionsText}`)
    }
  }
  for (const inner of treesIn(tree.args)) {
    const found = findForbidden(inner)
    if (found) return found
  }
  return undefined
}

function treesIn(args: unknown): Tree[] {
  if (Array.isArray(args)) return args.flatMap(treesIn)
  return isTree(args) ? [args] : []
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && 'op' in value
}

function described(error: unknown, text: string): { position: number; detail: string } {
  const { summary, message = '', range, code } = error as {
    summary?: string
    message?: string
    range?: { start: number }
    code?: string
  }
  const detail = summary ?? message.split('\n', 1)[0] ?? ''
  const position = Math.max(0, Math.min(range?.start ?? 0, text.length))
  if (code !== 'unknown_variable') return { position, detail }
  const name = detail.slice(detail.lastIndexOf(' ') + 1)
  if (Object.hasOwn(requirementAttributes, name)) {
    return { position, detail: `no ${name} is published` }
  }
  const near = nearest(name, Object.keys(requirementAttributes))
  return {
    position,
    detail: `unknown name '${name}'${near === undefined ? '' : `; did you mean ${near}?`}`,
  }
}
