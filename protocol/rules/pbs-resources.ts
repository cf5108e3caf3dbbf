// What `-l` of qsub asks for. PBS Pro counts chunks (`select=2:ncpus=4:mem=8gb+1:ncpus=16`), its
// older form and Torque nodes (`nodes=2:ppn=4+1:ppn=8`). Beside nodes, `mem` is of the whole job
// and `pmem` of a process; beside select only what is about the whole job may stand.

import { divUp } from '../base/units.ts'
import type { Ask, PbsFlavour, Reading } from './dialect.ts'
import {
  cameFrom, entry, faultOf, firstWins, ignore, lastWins, note, take, unsupported,
} from './dialect.ts'
import type { ChunkOption, EnvironmentOption, JobOptions } from './job-options.ts'
import { layoutFault, layoutOptions, nodesMax, sumsOf } from './layout.ts'
import { countIn, pbsMib, readPbsTime } from './quantities.ts'

/**
 * The single resources of all -l, those that count. Of the script the first of a name counts in PBS
 * Pro, the last in Torque; the command line counts over the script.
 */
export function splitPbsResources(
  reading: Reading, asks: readonly Ask[], flavour: PbsFlavour,
): Ask[] {
  const split = asks.flatMap((ask) => splitOne(reading, ask))
  const command = lastWins(reading, split.filter(({ line }) => line === 0))
  const script = split.filter(({ line }) => line > 0)
  if (flavour === 'torque') return lastWins(reading, [...script, ...command])
  return firstWins(reading, [...command, ...script])
}

function splitOne(reading: Reading, ask: Ask): Ask[] {
  const found: Ask[] = []
  for (const part of partsOf(ask.value)) {
    const match = /^([A-Za-z_][A-Za-z0-9_.-]*)\s*=\s*([^]*)$/.exec(part.trim())
    const value = match?.[2]!.replace(/^(["'])([^]*)\1$/, '$2')
    if (match && value !== undefined && value !== '') {
      const name = match[1]!.toLowerCase()
      found.push({ name, value, line: ask.line, written: `${ask.written} ${name}` })
    } else {
      faultOf(reading, ask, 'bad_value', `expected name=value such as mem=4gb, got '${part}'`)
    }
  }
  return found
}

/** Commas in quotes or brackets belong to the value. */
function partsOf(text: string): string[] {
  const parts: string[] = []
  let [part, quote, depth] = ['', '', 0]
  for (const character of text) {
    if (quote !== '') quote = character === quote ? '' : quote
    else if (character === '"' || character === "'") quote = character
    else if (character === '[') depth++
    else if (character === ']') depth--
    if (character === ',' && quote === '' && depth <= 0) {
      parts.push(part)
      part = ''
    } else {
      part += character
    }
  }
  return [...parts, part]
}

const ignoredResources: Readonly<Record<string, string>> = {
  cput: 'the walltime limits the job',
  pcput: 'the walltime limits the job',
  epilogue: 'it is a script of one cluster',
  file: 'the host limits its files',
  nice: 'the order of jobs is the policy of each site',
  prologue: 'it is a script of one cluster',
}

const oneCluster = 'it names something of one cluster; say what is needed with #GRID --require'
const refusedResources: Readonly<Record<string, string>> = {
  min_walltime: 'cannot be honoured: say one walltime',
  max_walltime: 'cannot be honoured: say one walltime',
  naccesspolicy: 'cannot be honoured; ask for all cores and the memory of a node',
}

type Resources = ReadonlyMap<string, Ask>

const ofNodes = new Set([
  'select', 'place', 'nodes', 'ncpus', 'mem', 'pmem', 'vmem', 'pvmem', 'procs', 'ngpus', 'gpus',
  'mpiprocs', 'ompthreads', 'mppwidth',
])

export function resolvePbsResources(
  reading: Reading, asks: readonly Ask[], flavour: PbsFlavour,
): void {
  const nodes = new Map<string, Ask>()
  for (const ask of asks) {
    if (ask.name === 'walltime') {
      take(reading, ask, readPbsTime(ask.value, flavour === 'torque'))
    } else if (ofNodes.has(ask.name)) {
      nodes.set(ask.name, ask)
    } else {
      const why = entry(ignoredResources, ask.name)
      if (why !== undefined) ignore(reading, ask, why)
      else unsupported(reading, ask, entry(refusedResources, ask.name) ?? oneCluster)
    }
  }
  const [first] = nodes.values()
  if (!first) return
  const before = reading.faults.length
  const chunks = chunksOf(reading, nodes)
  const fault = layoutFault(chunks)
  const about = nodes.get('select') ?? nodes.get('nodes') ?? first
  if (fault !== undefined) faultOf(reading, about, 'bad_value', fault)
  if (reading.faults.length > before || chunks.length === 0) return
  honourNodes(reading, nodes, chunks)
}

function honourNodes(reading: Reading, nodes: Resources, chunks: readonly ChunkOption[]): void {
  const options = layoutOptions(chunks)
  const { cores, ...rest } = options
  const saysCores = [...nodes.keys()].some((name) => !/^p?v?mem$/.test(name))
  reading.options.push(saysCores ? options : rest)
  const shown: JobOptions = saysCores ? options : rest
  const from = (...names: readonly string[]): Ask | undefined =>
    names.flatMap((name) => nodes.get(name) ?? [])[0]
  const sources: readonly (readonly [keyof JobOptions, Ask | undefined])[] = [
    ['chunks', from('select', 'nodes')],
    ['cores', from('select', 'nodes', 'ncpus', 'procs', 'mppwidth', 'mpiprocs')],
    ['memoryMib', from('mem', 'pmem', 'vmem', 'pvmem') ??
      (/mem=/.test(from('select', 'nodes')?.value ?? '') ? from('select', 'nodes') : undefined)],
    ['gpus', from('ngpus', 'gpus', 'select', 'nodes')],
  ]
  for (const [key, ask] of sources) {
    if (ask && (shown[key] !== undefined || shown.chunks)) cameFrom(reading, key, ask)
  }
  const select = nodes.get('select')
  if (select) processesOf(reading, select.value)
  for (const ask of nodes.values()) {
    reading.settings.push({ line: ask.line, option: ask.written, value: ask.value })
  }
}

function chunksOf(reading: Reading, nodes: Resources): ChunkOption[] {
  const select = nodes.get('select')
  if (!select) return nodeChunks(reading, nodes)
  const others = ['nodes', 'ncpus', 'mem', 'vmem', 'procs', 'ngpus', 'mpiprocs', 'ompthreads']
  for (const name of others) {
    const ask = nodes.get(name)
    if (ask) {
      const why = `qsub refuses it beside select (${select.written}); put it into the chunk`
      unsupported(reading, ask, why)
    }
  }
  return placed(reading, nodes.get('place'), selectChunks(reading, select))
}

/**
 * Processes of each node, which its file of nodes tells: `2+1:mpiprocs=4` becomes `2x1 1x4`. A
 * chunk that does not say how many has one, however many cores it has (PBS Pro, User's Guide).
 */
function processesOf(reading: Reading, select: string): void {
  const slots = select.split('+').map((chunk) => {
    const nodes = /^[0-9]+/.exec(chunk)?.[0] ?? '1'
    return `${nodes}x${/:mpiprocs=([0-9]+)/.exec(`:${chunk}`)?.[1] ?? '1'}`
  })
  if (slots.length > 16) return
  const runVariables = [{ name: 'GRIDNODE_SLOTS', value: slots.join(' ') }]
  reading.options.push({ runVariables })
}

/** `N:ncpus=4:mem=8gb+…`; a chunk has one core when it does not say how many. */
function selectChunks(reading: Reading, ask: Ask): ChunkOption[] {
  const chunks: ChunkOption[] = []
  for (const text of ask.value.split('+')) {
    const parts = text.split(':')
    const nodes = /^[0-9]+$/.test(parts[0]!) ? countIn(parts.shift()!, nodesMax) : 1
    if (nodes === undefined || text === '') {
      faultOf(reading, ask, 'bad_value', `expected chunks such as 2:ncpus=4:mem=8gb, got '${text}'`)
      return []
    }
    let chunk = { nodes, cores: 1, memoryMib: 0, gpus: 0 }
    for (const part of parts) chunk = { ...chunk, ...chunkPart(reading, ask, part) }
    chunks.push(chunk)
  }
  return chunks
}

function chunkPart(reading: Reading, ask: Ask, part: string): Partial<ChunkOption> {
  const match = /^([A-Za-z_][A-Za-z0-9_]*)=(.+)$/.exec(part)
  const [, name = '', value = ''] = match ?? []
  const own = { ...ask, written: `${ask.written} ${name === '' ? part : name}` }
  switch (name.toLowerCase()) {
    case 'ncpus': return { cores: numberOf(reading, own, value) }
    case 'ngpus':
    case 'naccelerators': return value === '0' ? {} : { gpus: numberOf(reading, own, value) }
    case 'mem': return { memoryMib: mibOf(reading, own, value) }
    case 'mpiprocs':
      numberOf(reading, own, value)
      return {}
    case 'ompthreads':
      threads(reading, own, value)
      return {}
    case 'vmem':
      ignore(reading, own, 'the memory of a chunk is its mem')
      return {}
  }
  if (match) unsupported(reading, own, oneCluster)
  else faultOf(reading, ask, 'bad_value', `expected name=value in the chunk, got '${part}'`)
  return {}
}

function threads(reading: Reading, ask: Ask, value: string): void {
  numberOf(reading, ask, value)
  const variable: EnvironmentOption = { name: 'OMP_NUM_THREADS', value }
  reading.options.push({ environment: [variable] })
}

function numberOf(reading: Reading, ask: Ask, value: string): number {
  const count = countIn(value, nodesMax)
  if (count !== undefined) return count
  faultOf(reading, ask, 'bad_value', `expected a number from 1 to ${nodesMax}, got '${value}'`)
  return 1
}

function mibOf(reading: Reading, ask: Ask, value: string): number {
  const read = pbsMib(value)
  if (read.ok) return read.value
  faultOf(reading, ask, 'bad_value', read.refusal.detail)
  return 0
}

/** `pack` puts all chunks on one node; to have nodes alone cannot be promised. */
function placed(reading: Reading, ask: Ask | undefined, chunks: ChunkOption[]): ChunkOption[] {
  if (!ask) return chunks
  let pack = false
  for (const word of ask.value.toLowerCase().split(':')) {
    if (word === 'pack') pack = true
    else if (/^excl(host)?$/.test(word)) {
      unsupported(reading, ask, 'a node cannot be had alone; ask for all its cores and memory')
    } else if (word.startsWith('group=')) {
      ignore(reading, ask, 'which of its nodes it takes is for the host to decide')
    } else if (!/^(free|v?scatter|shared?)$/.test(word)) {
      faultOf(reading, ask, 'bad_value', `expected free, pack or scatter, got '${word}'`)
    }
  }
  return pack && chunks.length > 0 ? [{ ...sumsOf(chunks), nodes: 1 }] : chunks
}

/** Without select: nodes=, procs= or ncpus=, and memory of the job or of a process. */
function nodeChunks(reading: Reading, resources: Resources): ChunkOption[] {
  const nodes = resources.get('nodes')
  const chunks = nodes ? nodesChunks(reading, nodes) : oneChunk(reading, resources)
  const cpus = resources.get('ncpus')
  const total = nodes && cpus ? numberOf(reading, cpus, cpus.value) : undefined
  const sums = sumsOf(chunks)
  const gpus = resources.get('ngpus') ?? resources.get('gpus')
  const each = gpus && gpus.value !== '0' ? numberOf(reading, gpus, gpus.value) : 0
  const place = resources.get('place')
  const threaded = resources.get('ompthreads')
  if (threaded) threads(reading, threaded, threaded.value)
  const wide = total === undefined || sums.cores > sums.nodes ? 0 : divUp(total, sums.nodes)
  return placed(reading, place, chunks.map((chunk) => {
    const cores = Math.max(chunk.cores, wide)
    const memoryMib = Math.max(chunk.memoryMib, memoryOf(reading, resources, { cores, sums }))
    return { ...chunk, cores, memoryMib, gpus: Math.max(chunk.gpus, each) }
  }))
}

function oneChunk(reading: Reading, resources: Resources): ChunkOption[] {
  const ask = resources.get('ncpus') ?? resources.get('procs') ?? resources.get('mppwidth') ??
    resources.get('mpiprocs')
  const cores = ask ? numberOf(reading, ask, ask.value) : 1
  if (ask && cores > 1 && ask.name !== 'ncpus') {
    const why = 'no number of nodes is said: all processes lie on one; say it with ' +
      'nodes=2:ppn=8'
    note(reading, ask.line, why)
  }
  return [{ nodes: 1, cores, memoryMib: 0, gpus: 0 }]
}

/** `2:ppn=4:gpus=1+1:ppn=8`; a name of a node or a property is of one cluster. */
function nodesChunks(reading: Reading, ask: Ask): ChunkOption[] {
  const [spec = '', ...suffixes] = ask.value.split('#')
  if (suffixes.some((suffix) => suffix !== 'shared')) {
    unsupported(reading, ask, 'a node cannot be had alone; ask for all its cores and memory')
  }
  return spec.split('+').map((text): ChunkOption => {
    const parts = text.split(':')
    const nodes = /^[0-9]+$/.test(parts[0]!) ? numberOf(reading, ask, parts.shift()!) : 1
    let chunk = { nodes, cores: 1, memoryMib: 0, gpus: 0 }
    for (const part of parts) {
      const [name = '', value = ''] = part.split('=')
      const own = { ...ask, written: `${ask.written} ${name}` }
      if (/^(ppn|ncpus|cpp)$/.test(name)) chunk = { ...chunk, cores: numberOf(reading, own, value) }
      else if (/^n?gpus$/.test(name)) chunk = { ...chunk, gpus: numberOf(reading, own, value) }
      else if (name === 'mem') chunk = { ...chunk, memoryMib: mibOf(reading, own, value) }
      else if (name === 'mpiprocs') numberOf(reading, own, value)
      else if (/^(shared|exclusive(_(thread|process))?|default|reseterr)$/.test(name)) {
        ignore(reading, own, 'how its GPUs are set is for the host to decide')
      } else {
        unsupported(reading, own, `${name === '' ? 'this' : name} names a node or a property of ` +
          'one cluster; say what is needed with #GRID --require')
      }
    }
    return chunk
  })
}

interface Within {
  readonly cores: number
  readonly sums: ChunkOption
}

/** Of one node: its share of what is said of the job, and its processes' own. */
function memoryOf(reading: Reading, resources: Resources, { cores, sums }: Within): number {
  const [mem, pmem] = [resources.get('mem'), resources.get('pmem')]
  const known = mem ?? pmem
  const [total, each] = known ? [mem, pmem] : [resources.get('vmem'), resources.get('pvmem')]
  for (const name of known ? ['vmem', 'pvmem'] : []) {
    const ask = resources.get(name)
    const isSaid = reading.ignored.some(({ option, line }) =>
      option === ask?.written && line === ask.line)
    if (ask && !isSaid) ignore(reading, ask, `the memory is that of ${known!.name}`)
  }
  const share = total ? divUp(mibOf(reading, total, total.value), sums.nodes) : 0
  return Math.max(share, each ? mibOf(reading, each, each.value) * cores : 0)
}

