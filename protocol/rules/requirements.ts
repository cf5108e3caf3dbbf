// Requirements: a boolean expression (CEL, the Common Expression Language) over what a site
// publishes, such as `cores_total >= 64 && "gcc" in software`. This is the one importer of the
// language's library.
//
// Invariants: the same text over the same attributes gives the same answer at every node, in time
// bounded by the text's length. Hence integers only, no clock, no regular expressions (they can
// take for ever), no loops over lists, and a fixed set of names, checked when the text is
// compiled. Refusals in order of precedence: too_long [REQ-1], syntax [REQ-2], forbidden [REQ-3],
// type [REQ-4].

import { Environment } from '@marcbachmann/cel-js'
import { exceedsBytes } from '../base/encoding.ts'
import { nearest } from '../base/nearest.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'

export type Attributes = Readonly<Record<string, string | number>>

export interface AttributeKind {
  /** `texts` is a map from name to text: software["gcc"]. */
  readonly kind: 'integer' | 'text' | 'texts'
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
  software: { kind: 'texts', help: 'versions: software["gcc"] == "12.2"' },
}

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

export const requirementBytesMax = 4_096

const celLimits = {
  maxAstNodes: 500,
  maxDepth: 50,
  maxListElements: 200,
  maxMapEntries: 0,
  maxCallArguments: 2,
}

const celTypes = { integer: 'int', text: 'string', texts: 'map<string, string>' } as const

const environment = makeEnvironment()

function makeEnvironment(): Environment {
  const made = new Environment({ limits: celLimits })
  for (const [name, { kind }] of Object.entries(requirementAttributes)) {
    made.registerVariable(name, celTypes[kind])
  }
  return made
}

/** Compile once, ask often. */
export function compileRequirement(text: string): Outcome<Requirement, RequirementRefusal> {
  if (exceedsBytes(text, requirementBytesMax)) {
    const detail = `expected at most ${requirementBytesMax} bytes`
    return refuse({ reason: 'too_long', position: requirementBytesMax, detail })
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
  if (checked.type !== 'bool') {
    const detail = `expected an expression that is true or false, this one gives ${checked.type}`
    return refuse({ reason: 'type', position: 0, detail })
  }
  return ok((attributes) => {
    try {
      return ok(parsed(contextOf(attributes)) === true)
    } catch (error) {
      const { code = '' } = error as { code?: string }
      const missing = code === 'unknown_variable' || code === 'no_such_key'
      const { detail } = described(error, text)
      return refuse({ reason: missing ? 'missing' : 'undefined', detail })
    }
  })
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
    if (kind === 'integer' && Number.isSafeInteger(value)) context[name] = BigInt(value!)
  }
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
  return typeof args === 'object' && args !== null && 'op' in args ? [args as Tree] : []
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
