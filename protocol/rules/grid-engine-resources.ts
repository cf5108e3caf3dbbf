// Slots, tasks and resources of Grid Engine: `-pe name n[-m]`, `-t n[-m[:s]]`, `-tc n`, `-l`.
// Memory and GPUs are counted for a slot. A parallel environment decides where its slots lie: here
// on one node, as nothing is known of it.

import { ok } from '../base/outcome.ts'
import type { Ask, Reading } from './dialect.ts'
import {
  cameFrom, entry, faultOf, honour, ignore, lastWins, note, take, unsupported,
} from './dialect.ts'
import { coresMax, integerIn } from './job-options.ts'
import { countIn, gridEngineMib, readGridEngineTime, readRun } from './quantities.ts'

/** The memory of a slot, by whichever name a cluster counts it. */
const memoryNames = new Set([
  'h_vmem', 'vf', 'virtual_free', 'mem_free', 'mf', 'h_rss', 'mem', 'memory', 'h_data', 'rmem',
  'm_mem_free', 'mem_requested', 'ram', 'ram_free', 'mem_token', 's_vmem', 'tmem', 'mem_total',
  'mt', 'mem_req', 's_rss', 'memfree',
])
const gpuNames = /^(gpus?|ngpus?|gpu_card|gpu_dev|cuda|nvidia|num_gpus)$/

const limit = 'the walltime limits the job'
const ignoredResources: Readonly<Record<string, string>> = {
  h_cpu: limit, s_cpu: limit, h_core: limit, s_core: limit, h_stack: "the limits are the host's",
  s_stack: "the limits are the host's", s_data: "the limits are the host's",
  h_fsize: "the limits are the host's", s_fsize: "the limits are the host's",
  s_rt: 'no signal is sent before the walltime ends', rerun: 'see -r', re: 'see -r',
  m_core: 'which processors it takes is for the host to decide',
  np_load_avg: 'the load is for the host to judge', load_avg: 'the load is for the host to judge',
}

const oneCluster = 'it names something of one cluster; say what is needed with #GRID --require'
const refusedResources: Readonly<Record<string, string>> = {
  exclusive: 'a node cannot be had alone; ask for all its cores and memory',
  excl: 'a node cannot be had alone; ask for all its cores and memory',
  slots: 'qsub takes slots with -pe only', s: 'qsub takes slots with -pe only',
}
const hostNames = new Set([
  'arch', 'a', 'hostname', 'h', 'host', 'qname', 'q', 'num_proc', 'p', 'tmpdir', 'calendar', 'c',
  'os', 'cpu_type', 'cpu', 'swap_free', 'sf', 'swap_total', 'st', 'used_slots', 'tmpfs', 'tmpfree',
  'm_socket', 'm_thread', 'm_topology', 'm_topology_inuse', 'hostgroup', 'gpu_type', 'gputype',
  'display_win_gui', 'seq_no',
])

export function resolveGridEngine(reading: Reading, asks: readonly Ask[]): void {
  const slots = takeSlots(reading, asks.findLast(({ name }) => name === 'pe'))
  takeTasks(reading, asks)
  for (const ask of asks) {
    if (ask.name === 'binding') {
      ignore(reading, ask, 'which processors it takes is for the host to decide')
    }
  }
  const resources = asks.filter(({ name }) => name === 'l').flatMap((ask) => splitOne(reading, ask))
  const licences: { name: string; count: number }[] = []
  const memory: { ask: Ask; mib: number }[] = []
  for (const ask of lastWins(reading, resources)) {
    const licence = takeResource(reading, ask, { slots, memory })
    if (licence) licences.push(licence)
  }
  takeMemory(reading, memory, slots)
  if (licences.length > 16) {
    const about = resources.at(-1)!
    faultOf(reading, about, 'bad_value', 'at most 16 kinds of licences are taken')
  } else if (licences.length > 0) reading.options.push({ licences })
}

/** Several that each limit the memory: the largest holds for all. */
function takeMemory(
  reading: Reading, memory: readonly { ask: Ask; mib: number }[], slots: number,
): void {
  if (memory.length === 0) return
  const most = memory.reduce((a, b) => b.mib > a.mib ? b : a)
  for (const { ask } of memory) {
    if (ask !== most.ask) ignore(reading, ask, `the memory is that of ${most.ask.written}`)
  }
  honour(reading, most.ask, { memoryMib: most.mib * slots })
}

function splitOne(reading: Reading, ask: Ask): Ask[] {
  return ask.value.split(',').flatMap((part) => {
    const match = /^([A-Za-z_][A-Za-z0-9_.-]*)\s*(?:(=)(?!=)\s*([^]*))?$/.exec(part.trim())
    const written = `${ask.written} ${match?.[1] ?? part.slice(0, 60)}`
    if (!match) {
      faultOf(reading, ask, 'bad_value', `expected name=value such as h_rt=1:0:0, got '${part}'`)
      return []
    }
    // A resource without a value is one that is true.
    return [{ name: match[1]!, value: match[3] ?? 'TRUE', line: ask.line, written }]
  })
}

interface Within {
  readonly slots: number
  readonly memory: { ask: Ask; mib: number }[]
}

/** A whole number of what nothing is known of is taken for a licence. */
function takeResource(
  reading: Reading, ask: Ask, { slots, memory }: Within,
): { name: string; count: number } | undefined {
  const { name, value } = ask
  if (name === 'h_rt') {
    take(reading, ask, readGridEngineTime(value))
    return undefined
  }
  if (memoryNames.has(name)) {
    const mib = gridEngineMib(value)
    if (mib.ok) memory.push({ ask, mib: mib.value })
    else faultOf(reading, ask, 'bad_value', mib.refusal.detail)
    return undefined
  }
  if (gpuNames.test(name)) {
    const gpus = /^true$/i.test(value) ? 1 : integerIn(value, { min: 0, max: 1_024 })
    if (gpus === undefined) faultOf(reading, ask, 'bad_value', `expected a number, got '${value}'`)
    else honour(reading, ask, gpus === 0 ? {} : { gpus: gpus * slots })
    return undefined
  }
  const why = entry(ignoredResources, name)
  if (why !== undefined) {
    ignore(reading, ask, why)
    return undefined
  }
  const count = countIn(value, coresMax)
  const isKnown = hostNames.has(name) || entry(refusedResources, name) !== undefined
  if (isKnown || count === undefined) {
    unsupported(reading, ask, entry(refusedResources, name) ?? oneCluster)
    return undefined
  }
  honour(reading, ask, {})
  cameFrom(reading, 'licences', ask)
  return { name, count: Math.min(coresMax, count * slots) }
}

/** `smp 4`, `orte* 4-8`, `mpi -8`, `mpi 4-`: the smallest number that will do. */
function takeSlots(reading: Reading, ask: Ask | undefined): number {
  if (!ask) return 1
  const [environment = '', range = ''] = ask.value.split(' ')
  const match = /^([0-9]{0,5})(?:-([0-9]{0,5}))?(?:,.*)?$/.exec(range)
  const least = match && countIn(match[1] === '' ? '1' : match[1]!, coresMax)
  if (!match || !least || range === '-' || range === '') {
    const form = 'a number of slots such as 4 or 4-8'
    faultOf(reading, ask, 'bad_value', `expected ${form}, got '${range}'`)
    return 1
  }
  honour(reading, ask, { cores: least })
  if (least > 1 && !/smp|shm|openmp|omp|thread|serial|multicore/i.test(environment)) {
    const why = `where the slots of ${environment} lie is not said: all lie on one node`
    note(reading, ask.line, why)
  }
  return least
}

function takeTasks(reading: Reading, asks: readonly Ask[]): void {
  const ask = asks.findLast(({ name }) => name === 't')
  const limitAsk = asks.findLast(({ name }) => name === 'tc')
  const atOnce = limitAsk ? integerIn(limitAsk.value, { min: 0, max: 100_000 }) : 0
  if (atOnce === undefined) {
    faultOf(reading, limitAsk!, 'bad_value', `expected a number, got '${limitAsk!.value}'`)
  } else if (ask && !/^0(-|$)/.test(ask.value)) {
    take(reading, ask, readRun(ascending(ask.value), atOnce))
    if (limitAsk) take(reading, limitAsk, ok({}))
  } else if (limitAsk && !ask) {
    faultOf(reading, limitAsk, 'bad_value', 'it needs -t')
  } else if (ask) {
    faultOf(reading, ask, 'bad_value', `expected task numbers from 1, got '${ask.value}'`)
  }
}

/** qsub turns 10-1 around. */
function ascending(text: string): string {
  const match = /^([0-9]{1,9})-([0-9]{1,9})(:[0-9]+)?$/.exec(text)
  const turned = match && Number(match[1]) > Number(match[2])
  return turned ? `${match[2]}-${match[1]}${match[3] ?? ''}` : text
}
