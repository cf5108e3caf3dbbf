// Slots, memory and resources of bsub: `-n min[,max]`, `-M` (KB), `-gpu`, and the sections of -R:
// `rusage[mem=4000:lic=1]` (MB, of a host), `span[hosts=1]`, `span[ptile=8]`, `affinity[core(4)]`,
// `select[mem>4000]`; several hosts of different kinds as `1*{…}+8*{…}`. What orders hosts or
// names attributes of one cluster is advice or refused.

import type { Ask, Reading } from './dialect.ts'
import { cameFrom, faultOf, ignore, unsupported } from './dialect.ts'
import type { ChunkOption, JobOptions } from './job-options.ts'
import { coresMax } from './job-options.ts'
import { dealt, layoutFault, layoutOptions } from './layout.ts'
import { countIn, lsfMib } from './quantities.ts'

interface Demands {
  /** Slots of a host; 0 = not said. */
  readonly ptile: number
  readonly oneHost: boolean
  readonly memoryMib: number
  /** What select asks a host to have free: it counts where nothing is reserved. */
  readonly freeMib: number
  readonly coresPerSlot: number
  readonly gpusPerHost: number
  readonly licences: readonly { readonly name: string; readonly count: number }[]
}

const requirementsMax = 4_096

const nothing: Demands = {
  ptile: 0, oneHost: false, memoryMib: 0, freeMib: 0, coresPerSlot: 1, gpusPerHost: 0, licences: [],
}

export function resolveLsf(reading: Reading, asks: readonly Ask[]): void {
  const before = reading.faults.length
  const alone = asks.find(({ name }) => name === 'x')
  const wholeNode = 'a node cannot be had alone; ask for all its cores and memory'
  if (alone) unsupported(reading, alone, wholeNode)
  const hosts = asks.find(({ name }) => name === 'hl')
  if (hosts) ignore(reading, hosts, 'memory is limited by the host that runs it')
  const slots = slotsOf(reading, asks.find(({ name }) => name === 'n'))
  const limit = limitOf(reading, asks.find(({ name }) => name === 'M'))
  const gpus = gpusOf(reading, asks.find(({ name }) => name === 'gpu'))
  const all = asks.filter(({ name }) => name === 'R')
  const compound = all.find(({ value }) => /^\s*[0-9]*\s*\*?\s*\{/.test(value))
  const plain = all.filter((ask) => ask !== compound)
    .reduce((demands, ask) => readSections(reading, ask, ask.value, demands), nothing)
  const chunks = compound ? compoundChunks(reading, compound, { limit, gpus })
    : slotChunks(slots ?? 1, plain, { limit, gpus })
  const [first] = asks.filter(({ name }) => /^(n|R|M|gpu)$/.test(name))
  if (!first) return
  const fault = layoutFault(chunks)
  if (fault !== undefined) faultOf(reading, first, 'bad_value', fault)
  if (reading.faults.length > before) return
  conclude(reading, asks, { chunks, slots, licences: plain.licences })
}

interface Concluded {
  readonly chunks: readonly ChunkOption[]
  readonly slots: number | undefined
  readonly licences: Demands['licences']
}

function conclude(
  reading: Reading, asks: readonly Ask[], { chunks, slots, licences }: Concluded,
): void {
  const options = layoutOptions(chunks)
  const { cores, ...rest } = options
  const shown = slots !== undefined || (cores ?? 1) > 1 ? options : rest
  const merged: JobOptions = { ...shown, ...(licences.length > 0 && { licences }) }
  reading.options.push(merged)
  const from = (...names: readonly string[]): Ask | undefined =>
    names.flatMap((one) => asks.find(({ name }) => one === name) ?? [])[0]
  const sources: readonly (readonly [keyof JobOptions, Ask | undefined])[] = [
    ['chunks', from('n', 'R')], ['cores', from('n', 'R')], ['memoryMib', memoryAsk(asks)],
    ['gpus', from('gpu', 'R')], ['licences', from('R')],
  ]
  for (const [key, ask] of sources) {
    if (ask && (merged[key] !== undefined || (merged.chunks && key !== 'licences'))) {
      cameFrom(reading, key, ask)
    }
  }
  for (const ask of asks) {
    if (/^(x|hl)$/.test(ask.name)) continue
    reading.settings.push({ line: ask.line, option: ask.written, value: ask.value })
  }
}

function memoryAsk(asks: readonly Ask[]): Ask | undefined {
  return asks.find(({ name, value }) => name === 'R' && /\bmem\b/.test(value)) ??
    asks.find(({ name }) => name === 'M')
}

/** `4` or `4,8`: the smallest number will do. */
function slotsOf(reading: Reading, ask: Ask | undefined): number | undefined {
  if (!ask) return undefined
  const match = /^([0-9]+)(?:,([0-9]*))?$/.exec(ask.value.replaceAll(' ', ''))
  const least = match && countIn(match[1]!, coresMax)
  if (least && (!match[2] || Number(match[2]) >= least)) return least
  const form = 'a number of slots such as 4 or 4,8'
  faultOf(reading, ask, 'bad_value', `expected ${form}, got '${ask.value}'`)
  return undefined
}

function limitOf(reading: Reading, ask: Ask | undefined): number {
  if (!ask) return 0
  const read = lsfMib(ask.value.replace(/!$/, ''), 1_024)
  if (read.ok) return read.value
  faultOf(reading, ask, 'bad_value', read.refusal.detail)
  return 0
}

/** `num=2:mode=exclusive_process:mps=no…`, of a host; `-` is one. */
function gpusOf(reading: Reading, ask: Ask | undefined): number {
  if (!ask || ask.value === '-') return ask ? 1 : 0
  let gpus = 1
  for (const part of ask.value.split(':')) {
    const [name = '', value = ''] = part.trim().split('=')
    if (name === 'num') {
      const count = countIn(value.split('/')[0]!, 1_024)
      if (count === undefined) faultOf(reading, ask, 'bad_value', `expected num=2, got '${part}'`)
      else gpus = count
    } else if (name === 'gmodel') {
      reading.options.push({ gpuModel: value.split('-')[0]! })
      cameFrom(reading, 'gpuModel', ask)
    } else if (/^(gmem|glink|gtile|nvlink|mig|block)$/.test(name)) {
      unsupported(reading, { ...ask, written: `${ask.written} ${name}` },
        'it names something of one cluster; say what is needed with #GRID --require')
    } else if (!/^(mode|mps|j_exclusive|aff|gvendor)$/.test(name)) {
      faultOf(reading, ask, 'bad_value', `expected num=2:mode=shared, got '${part}'`)
    }
  }
  return gpus
}

interface Others {
  /** MiB of -M. */
  readonly limit: number
  readonly gpus: number
}

/** Without a span all slots lie on one host. */
function slotChunks(slots: number, demands: Demands, { limit, gpus }: Others): ChunkOption[] {
  const { ptile, oneHost, memoryMib, freeMib, coresPerSlot, gpusPerHost } = demands
  const hosts = ptile === 0 || oneHost ? 1 : Math.ceil(slots / ptile)
  const piles = ptile === 0 || oneHost ? dealt(slots, 1)
    : [
      { nodes: Math.floor(slots / ptile), tasks: ptile },
      { nodes: hosts - Math.floor(slots / ptile), tasks: slots % ptile },
    ].filter((pile) => pile.nodes > 0)
  const reserved = Math.max(memoryMib, limit)
  return piles.map(({ nodes, tasks }) => ({
    nodes,
    cores: tasks * coresPerSlot,
    memoryMib: reserved > 0 ? reserved : freeMib,
    gpus: Math.max(gpus, gpusPerHost),
  }))
}

/** `1*{span[hosts=1] rusage[mem=100]} + 8*{…}`: slots of each kind. */
function compoundChunks(reading: Reading, ask: Ask, others: Others): ChunkOption[] {
  const chunks: ChunkOption[] = []
  for (const text of ask.value.split('+')) {
    const match = /^\s*(?:([0-9]+)\s*\*)?\s*\{([^{}]*)\}\s*$/.exec(text)
    const slots = match && countIn(match[1] ?? '1', coresMax)
    if (!match || !slots) {
      faultOf(reading, ask, 'bad_value', `expected 1*{…}+8*{…}, got '${text.trim()}'`)
      return []
    }
    const demands = readSections(reading, ask, match[2]!, nothing)
    if (demands.licences.length > 0) unsupported(reading, ask, 'licences are asked for outside { }')
    for (const chunk of slotChunks(slots, demands, others)) chunks.push(chunk)
  }
  return chunks
}

/** The sections of one -R; what stands before the first is a select. */
function readSections(reading: Reading, ask: Ask, text: string, so: Demands): Demands {
  if (text.length > requirementsMax) {
    faultOf(reading, ask, 'bad_value', `at most ${requirementsMax} characters are taken`)
    return so
  }
  let demands = so
  const pattern = /([a-z]+)\s*\[([^\]]*)\]/g
  const bare = text.replaceAll(pattern, ' ').trim()
  if (bare !== '') demands = readSelect(reading, ask, bare, demands)
  for (const [, name = '', body = ''] of text.matchAll(pattern)) {
    const own = { ...ask, written: `${ask.written} ${name}` }
    switch (name) {
      case 'select':
        demands = readSelect(reading, own, body, demands)
        break
      case 'rusage':
        demands = readUsage(reading, own, body, demands)
        break
      case 'span':
        demands = readSpan(reading, own, body, demands)
        break
      case 'affinity':
        demands = readAffinity(reading, own, body, demands)
        break
      case 'order': case 'same': case 'cu':
        ignore(reading, own, 'which hosts it takes is for the host site to decide')
        break
      default:
        faultOf(reading, own, 'bad_value', `expected select[], rusage[] or span[], got '${name}[]'`)
    }
  }
  return demands
}

/** Free memory is understood; what is true anywhere is passed over. */
function readSelect(reading: Reading, ask: Ask, text: string, so: Demands): Demands {
  let demands = so
  for (const part of text.split('&&').map((one) => one.trim().replace(/^\(([^()]*)\)$/, '$1'))) {
    const memory = /^(?:mem|maxmem)\s*(?:>=?|==?)\s*([0-9.]+\s*[kmgtKMGT]?[bB]?)$/.exec(part)
    if (memory) {
      const read = lsfMib(memory[1]!, 2 ** 20)
      if (read.ok) demands = { ...demands, freeMib: Math.max(demands.freeMib, read.value) }
      else faultOf(reading, ask, 'bad_value', read.refusal.detail)
    } else if (/^(type\s*==?\s*(any|local)|1|(ut|r15s|r1m)\s*<.*|swp\s*>.*)?$/.test(part)) {
      const why = `${part}: which hosts it takes is for the site to decide`
      if (part !== '') ignore(reading, ask, why)
    } else if (/^n?gpus?(_[a-z]+)?\s*>=?\s*[0-9]+$/.test(part)) {
      ignore(reading, ask, `${part}: GPUs are asked for with -gpu or rusage`)
    } else {
      unsupported(reading, ask, `${part} names something of one cluster; say what is needed with ` +
        '#GRID --require')
    }
  }
  return demands
}

const usagePattern =
  /^([A-Za-z_][A-Za-z0-9_.@-]*)\s*=\s*([0-9.]+\s*[A-Za-z]{0,2})(\/(?:host|job|task))?$/
const gpuNames = /^(ngpus_(physical|excl_p|excl_t|shared)|ngpus|gpus?|ngpus_prohibited)$/

/** `mem=4000:lic=1,lic2=2`; what is free again after a time is reserved for the whole run. */
function readUsage(reading: Reading, ask: Ask, text: string, so: Demands): Demands {
  if (text.includes('||')) {
    unsupported(reading, ask, 'alternatives cannot be asked for: name one')
    return so
  }
  let demands = so
  for (const part of text.split(/[,:]/).map((one) => one.trim())) {
    const match = usagePattern.exec(part)
    const [, name = '', value = ''] = match ?? []
    if (/^(duration|decay)$/.test(name)) {
      ignore(reading, { ...ask, written: `${ask.written} ${name}` }, 'all is reserved to the end')
    } else if (name === 'mem') {
      const read = lsfMib(value, 2 ** 20)
      if (read.ok) demands = { ...demands, memoryMib: Math.max(demands.memoryMib, read.value) }
      else faultOf(reading, ask, 'bad_value', read.refusal.detail)
    } else if (/^(swp|tmp|r15s|r1m|r15m|ut|pg|io|ls|it|scratch|localdisk)$/.test(name)) {
      const why = `${name} cannot be reserved; say what is needed with #GRID --require`
      unsupported(reading, ask, why)
    } else {
      const count = countIn(value, coresMax)
      if (!match || count === undefined) {
        faultOf(reading, ask, 'bad_value', `expected mem=4000 or a licence's count, got '${part}'`)
      } else if (gpuNames.test(name)) {
        demands = { ...demands, gpusPerHost: Math.max(demands.gpusPerHost, count) }
      } else {
        demands = { ...demands, licences: [...demands.licences, { name, count }] }
      }
    }
  }
  return demands
}

function readSpan(reading: Reading, ask: Ask, text: string, so: Demands): Demands {
  let demands = so
  for (const part of text.split(/[,\s]+/).filter((one) => one !== '')) {
    const match = /^(hosts|ptile|stripe|block)=(-?[0-9]+)$/.exec(part)
    const count = match ? Number(match[2]) : 0
    if (match && match[1] === 'hosts' && count === 1) demands = { ...demands, oneHost: true }
    else if (match && match[1] === 'hosts' && count === -1) demands = { ...demands, ptile: 0 }
    else if (match && match[1] === 'ptile' && count >= 1) demands = { ...demands, ptile: count }
    else if (match && /^(stripe|block)$/.test(match[1]!) && count >= 1) {
      demands = { ...demands, ptile: count }
    } else faultOf(reading, ask, 'bad_value', `expected hosts=1 or ptile=N, got '${part}'`)
  }
  return demands
}

/** `core(4)`, `thread(2)`: so many for each slot; how they are bound is the host's affair. */
function readAffinity(reading: Reading, ask: Ask, text: string, so: Demands): Demands {
  const match = /^\s*(core|thread|socket|numa)\s*(?:\(\s*([0-9]+)[^)]*\))?/.exec(text)
  const count = match && countIn(match[2] ?? '1', 1_024)
  if (!match || !count) {
    faultOf(reading, ask, 'bad_value', `expected core(4), got '${text}'`)
    return so
  }
  if (/^(socket|numa)$/.test(match[1]!)) {
    unsupported(reading, ask, 'whole sockets cannot be asked for: say how many cores')
    return so
  }
  return { ...so, coresPerSlot: Math.max(so.coresPerSlot, count) }
}

