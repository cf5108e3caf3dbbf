// How many cores, nodes, GPUs and how much memory Slurm's options ask for together, as sbatch and
// slurmctld (22.05) count them:
// - tasks: --ntasks; else nodes x --ntasks-per-node; else, with --nodes or -B, one a node (times
//   sockets and cores of -B); else GPUs x --ntasks-per-gpu; else one;
// - fewer tasks than nodes: as many nodes as tasks;
// - nodes that are not said: one, as any layout would do.
// Of a range of nodes the smallest number is taken.

import { divUp } from '../base/units.ts'
import type { Ask, Reading } from './dialect.ts'
import { cameFrom, faultOf, ignore, note, unsupported } from './dialect.ts'
import type { ChunkOption, JobOptions } from './job-options.ts'
import { dealtBoth, layoutFault, layoutOptions, nodesMax } from './layout.ts'
import { countIn, slurmMib } from './quantities.ts'

type Asks = ReadonlyMap<string, Ask>

interface Counts {
  readonly reading: Reading
  readonly asks: Asks
}

/** The chunks of one component; undefined after a fault. */
export function sbatchChunks(reading: Reading, asks: Asks): ChunkOption[] | undefined {
  const before = reading.faults.length
  const counts = { reading, asks }
  const nodes = nodesOf(counts)
  const extra = extraInfo(counts)
  const gpuCounts = gpuAsks(counts)
  const perTask = coresPerTask(counts, gpuCounts)
  const perTaskAsk = asks.get('gpus-per-task')
  if (perTaskAsk && !asks.has('gpus') && !asks.has('ntasks')) {
    faultOf(reading, perTaskAsk, 'bad_value', 'sbatch takes it only with --gpus or --ntasks')
  }
  if (reading.faults.length > before) return undefined
  const asked = tasksOf(counts, { nodes, extra, gpus: gpuCounts })
  const used = nodes === undefined ? nodesByTasks(counts, asked) : Math.min(nodes, asked)
  const minimum = Math.max(count(counts, 'mincpus') ?? 1, extra)
  const piles = dealtBoth(used, { tasks: asked, gpus: gpuCounts.total ?? 0 })
  const chunks = piles.map(({ nodes: many, tasks, gpus: share }): ChunkOption => {
    const cores = Math.max(tasks * perTask, minimum)
    const gpus = gpuCounts.perNode ??
      (gpuCounts.total === undefined ? (gpuCounts.perTask ?? 0) * tasks : share)
    return { nodes: many, cores, gpus, memoryMib: memoryOfNode(counts, { cores, gpus }) }
  })
  const fault = layoutFault(chunks)
  if (fault !== undefined) {
    faultOf(reading, asks.get('nodes') ?? asks.get('ntasks') ?? firstOf(asks), 'bad_value', fault)
  }
  return reading.faults.length > before ? undefined : chunks
}

function firstOf(asks: Asks): Ask {
  return [...asks.values()][0]!
}

/** Marks what was asked as honoured; the result is that of all together. */
export function honourLayout(reading: Reading, asks: Asks, chunks: readonly ChunkOption[]): void {
  const options = perCore(asks, layoutOptions(chunks))
  const { cores, ...rest } = options
  const countsCores = [...asks.keys()].some((name) => !/^(mem|gres|gpus)/.test(name))
  const shown: JobOptions = countsCores || (cores ?? 1) > 1 ? options : rest
  if (Object.keys(shown).length > 0) reading.options.push(shown)
  const from = (...names: readonly string[]): Ask | undefined =>
    [...asks].find(([name]) => names.includes(name.split(' ')[0]!))?.[1]
  const cells = ['ntasks', 'ntasks-per-node', 'cpus-per-task', 'extra-node-info', 'nodes',
    'ntasks-per-gpu', 'cpus-per-gpu', 'mincpus', 'cores-per-socket', 'sockets-per-node']
  const sources: readonly (readonly [keyof JobOptions, Ask | undefined])[] = [
    ['chunks', from('nodes', ...cells) ?? firstOf(asks)], ['cores', from(...cells)],
    ['memoryMib', from('mem', 'mem-per-cpu', 'mem-per-gpu')],
    ['memoryMibPerCore', from('mem-per-cpu')],
    ['gpus', from('gpus', 'gpus-per-node', 'gres', 'gpus-per-task', 'gpus-per-socket')],
  ]
  for (const [key, ask] of sources) {
    if (ask && (shown[key] !== undefined || (shown.chunks && key !== 'memoryMibPerCore'))) {
      cameFrom(reading, key, ask)
    }
  }
  for (const ask of asks.values()) {
    reading.settings.push({ line: ask.line, option: ask.written, value: ask.value })
  }
  const runVariables = variablesOf(asks)
  if (runVariables.length > 0) reading.options.push({ runVariables })
}

const variableOf: readonly (readonly [option: string, variable: string])[] = [
  ['ntasks', 'SLURM_NTASKS'], ['cpus-per-task', 'SLURM_CPUS_PER_TASK'],
  ['ntasks-per-node', 'SLURM_NTASKS_PER_NODE'], ['gpus-per-node', 'SLURM_GPUS_PER_NODE'],
  ['gpus-per-task', 'SLURM_GPUS_PER_TASK'], ['cpus-per-gpu', 'SLURM_CPUS_PER_GPU'],
]

/** As sbatch sets them from its options, and the number of tasks. */
function variablesOf(asks: Asks): { name: string; value: string }[] {
  const variables = variableOf.flatMap(([option, name]) => {
    const value = asks.get(option)?.value
    return value === undefined ? [] : [{ name, value }]
  })
  const [nodes, perNode] = ['nodes', 'ntasks-per-node'].map((name) => asks.get(name)?.value)
  const count = /^[0-9]+/.exec(nodes ?? '1')?.[0]
  if (!asks.has('ntasks') && (nodes !== undefined || perNode !== undefined)) {
    const tasks = Number(count) * Number(perNode ?? '1')
    if (tasks > 1) variables.push({ name: 'SLURM_NTASKS', value: String(tasks) })
  }
  const perCpu = asks.get('mem-per-cpu')
  const mib = perCpu && slurmMib(perCpu.value)
  if (mib?.ok) variables.push({ name: 'SLURM_MEM_PER_CPU', value: String(mib.value) })
  return variables
}

/** Memory of a core stays one on a single node, so that other cores may be asked for over it. */
function perCore(asks: Asks, options: JobOptions): JobOptions {
  const ask = asks.get('mem-per-cpu')
  const mib = ask && slurmMib(ask.value)
  if (!mib?.ok || options.memoryMib === undefined) return options
  const { memoryMib, ...rest } = options
  return { ...rest, memoryMibPerCore: mib.value }
}

function count({ reading, asks }: Counts, name: string): number | undefined {
  const ask = asks.get(name)
  if (!ask) return undefined
  const value = countIn(ask.value, nodesMax)
  if (value === undefined) {
    const form = `a number from 1 to ${nodesMax}`
    faultOf(reading, ask, 'bad_value', `expected ${form}, got '${ask.value}'`)
  }
  return value
}

/** N, N-M or N-, with k for 1024. */
function nodesOf(counts: Counts): number | undefined {
  const ask = counts.asks.get('nodes')
  if (!ask) return undefined
  const match = /^([0-9]{1,6})(k?)(?:-([0-9]{0,6})(k?))?$/i.exec(ask.value)
  const least = match ? Number(match[1]) * (match[2] === '' ? 1 : 1_024) : 0
  const most = match?.[3] ? Number(match[3]) * (match[4] === '' ? 1 : 1_024) : least
  if (least >= 1 && least <= nodesMax && (most >= least || match![3] === '')) return least
  const detail = `expected a number of nodes such as 4 or 2-4, got '${ask.value}'`
  faultOf(counts.reading, ask, 'bad_value', detail)
  return undefined
}

/** The product of sockets, cores and threads that -B and its like name; 1 without. */
function extraInfo(counts: Counts): number {
  const ask = counts.asks.get('extra-node-info')
  if (!ask && !counts.asks.has('nodes')) return 1
  const own = ['sockets-per-node', 'cores-per-socket']
    .map((name) => count(counts, name) ?? 1).reduce((a, b) => a * b)
  if (!ask) return own
  const parts = ask.value.split(':')
  let product = 1
  for (const part of parts) {
    const value = part === '*' ? 1 : countIn(part.split('-')[0]!, 1_024)
    if (value === undefined || parts.length > 3) {
      const detail = `expected sockets:cores:threads such as 2:10, got '${ask.value}'`
      faultOf(counts.reading, ask, 'bad_value', detail)
      return 1
    }
    product *= value
  }
  return product
}

interface GpuCounts {
  readonly total: number | undefined
  readonly perNode: number | undefined
  readonly perTask: number | undefined
}

function gpuAsks(counts: Counts): GpuCounts {
  const { asks, reading } = counts
  const gres = gresGpus(counts)
  const perSocket = gpuCount(counts, 'gpus-per-socket')
  if (perSocket !== undefined && !asks.has('sockets-per-node')) {
    unsupported(reading, asks.get('gpus-per-socket')!, 'it needs --sockets-per-node')
  }
  const sockets = count(counts, 'sockets-per-node') ?? 1
  return {
    total: gpuCount(counts, 'gpus'),
    perNode: gpuCount(counts, 'gpus-per-node') ?? gres ??
      (perSocket === undefined ? undefined : perSocket * sockets),
    perTask: gpuCount(counts, 'gpus-per-task'),
  }
}

/** `2`, `v100:2`, `a100`; GPUs of several kinds are refused. */
function gpuCount(counts: Counts, name: string): number | undefined {
  const ask = counts.asks.get(name)
  return ask && gpuList(counts.reading, ask, ask.value.split(','))
}

function gpuList(reading: Reading, ask: Ask, parts: readonly string[]): number | undefined {
  let sum = 0
  const models = new Set<string>()
  for (const part of parts) {
    const match = /^(?:([A-Za-z_][A-Za-z0-9_.-]*)(?::|$))?([0-9]{1,5})?(?:\(.*\))?$/.exec(part)
    if (!match || part === '') {
      const detail = `expected a number such as 2, got '${ask.value}'`
      faultOf(reading, ask, 'bad_value', detail)
      return undefined
    }
    if (match[1] !== undefined) models.add(match[1])
    sum += Number(match[2] ?? '1')
  }
  const [gpuModel] = models
  if (models.size > 1) unsupported(reading, ask, 'GPUs of several kinds cannot be asked for')
  if (gpuModel !== undefined) {
    reading.options.push({ gpuModel })
    cameFrom(reading, 'gpuModel', ask)
  }
  return sum
}

/** `gpu:2`, `gpu:v100:2`; other kinds of generic resources are names of one cluster. */
function gresGpus({ reading, asks }: Counts): number | undefined {
  const ask = asks.get('gres')
  if (!ask || /^(none|)$/i.test(ask.value)) return undefined
  const gpus: string[] = []
  for (const part of ask.value.split(',')) {
    const match = /^(?:gres[:/])?gpu(?::(.*))?$/i.exec(part)
    if (match) gpus.push(match[1] ?? '1')
    else if (!part.endsWith(':0')) {
      unsupported(reading, ask, `${part} names something of one cluster; say what is needed with ` +
        '#GRID --require')
    }
  }
  return gpus.length === 0 ? undefined : gpuList(reading, ask, gpus)
}

function coresPerTask(counts: Counts, gpus: GpuCounts): number {
  const own = count(counts, 'cpus-per-task')
  const perGpu = count(counts, 'cpus-per-gpu')
  if (own !== undefined || perGpu === undefined) return own ?? 1
  return perGpu * Math.max(1, gpus.perTask ?? gpus.perNode ?? gpus.total ?? 1)
}

function tasksOf(
  counts: Counts,
  { nodes, extra, gpus }: { nodes: number | undefined; extra: number; gpus: GpuCounts },
): number {
  const own = count(counts, 'ntasks')
  if (own !== undefined) {
    if (nodes !== undefined && own < nodes) {
      const ask = counts.asks.get('nodes')!
      ignore(counts.reading, ask, `${own} tasks lie on ${own} nodes at most`)
    }
    return own
  }
  const perNode = count(counts, 'ntasks-per-node')
  if (perNode !== undefined) return perNode * (nodes ?? 1)
  const perGpu = count(counts, 'ntasks-per-gpu')
  if (perGpu !== undefined) {
    return perGpu * (gpus.total ?? (gpus.perNode ?? 1) * (nodes ?? 1))
  }
  if (gpus.perTask && gpus.total) return Math.max(1, Math.floor(gpus.total / gpus.perTask))
  return (nodes ?? 1) * extra
}

/** Without --nodes: as many as --ntasks-per-node needs, else one. */
function nodesByTasks(counts: Counts, tasks: number): number {
  const perNode = count(counts, 'ntasks-per-node')
  const nodes = perNode === undefined ? 1 : divUp(tasks, perNode)
  const ask = counts.asks.get('ntasks')
  if (nodes === 1 && tasks > 1 && ask) {
    const why = 'no number of nodes is said: all tasks lie on one; say how many with --nodes'
    note(counts.reading, ask.line, why)
  }
  return nodes
}

function memoryOfNode(
  { reading, asks }: Counts, { cores, gpus }: { cores: number; gpus: number },
): number {
  const own = (['mem', 'mem-per-cpu', 'mem-per-gpu'] as const).filter((name) => asks.has(name))
  const [name] = own
  if (name === undefined) return 0
  const ask = asks.get(name)!
  const mib = slurmMib(ask.value)
  if (!mib.ok) {
    if (!reading.faults.some((fault) => fault.line === ask.line && fault.option === ask.written)) {
      faultOf(reading, ask, 'bad_value', mib.refusal.detail)
    }
    return 0
  }
  return mib.value * (name === 'mem' ? 1 : name === 'mem-per-cpu' ? cores : Math.max(1, gpus))
}

