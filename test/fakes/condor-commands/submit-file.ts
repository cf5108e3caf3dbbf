// A submit description as condor_submit reads it: `name = value` lines, `+Attribute = expression`,
// `queue N`, the macros $(Cluster), $(ClusterId), $(Process) and $(ProcId), arguments in the newer
// syntax. A command that is none is refused; the real one only warns, but a driver has no use for
// a warning.

import { evaluate } from './class-ads.ts'

const known = new Set([
  'universe', 'executable', 'transfer_executable', 'arguments', 'initialdir', 'getenv', 'output',
  'error', 'input', 'log', 'should_transfer_files', 'request_cpus', 'request_memory',
  'request_gpus', 'request_disk', 'requirements', 'periodic_remove', 'leave_in_queue',
  'notification', 'concurrency_limits', 'hold', 'accounting_group', 'accounting_group_user',
  'priority',
])

export interface SubmitFile {
  readonly commands: ReadonlyMap<string, string>
  readonly count: number
  readonly attributes: Readonly<Record<string, string>>
  argumentsOf(cluster: number, process: number): readonly string[]
}

export function readSubmitFile(text: string): SubmitFile | { readonly fault: string } {
  const commands = new Map<string, string>()
  const attributes: Record<string, string> = {}
  let count: number | undefined
  for (const line of text.split('\n').map((one) => one.trim())) {
    if (line === '' || line.startsWith('#')) continue
    const queue = /^queue(?:\s+(\d+))?$/i.exec(line)
    if (queue) {
      count = Number(queue[1] ?? 1)
      continue
    }
    const match = /^(\+?[\w.]+)\s*=\s*(.*)$/.exec(line)
    if (!match?.[1] || match[2] === undefined) return { fault: `Parse error in line: ${line}` }
    const [, name, value] = match
    if (name.startsWith('+')) attributes[name.slice(1)] = evaluate(value, {}) as string
    else if (!known.has(name.toLowerCase())) return { fault: `unknown command ${name}` }
    else commands.set(name.toLowerCase(), value)
  }
  if (count === undefined) return { fault: 'no queue command' }
  if (!commands.has('executable')) return { fault: 'No executable specified' }
  for (const name of ['requirements', 'periodic_remove', 'leave_in_queue']) {
    try {
      evaluate(commands.get(name) ?? 'true', {})
    } catch {
      return { fault: `Parse error in expression: \n\t${name} = ${commands.get(name)}` }
    }
  }
  const words = splitArguments(commands.get('arguments') ?? '""')
  if (!words) return { fault: 'expected arguments in double quotes' }
  return {
    commands, count, attributes,
    argumentsOf: (cluster, process) => words.map((word) => word
      .replaceAll(/\$\((?:Cluster|ClusterId)\)/gi, String(cluster))
      .replaceAll(/\$\((?:Process|ProcId)\)/gi, String(process))
      .replaceAll(/\$\(DOLLAR\)/gi, '$')),
  }
}

/** `"one 'two and' it''s"`: in all double quotes, within which `''` is `'` and `""` is `"`. */
function splitArguments(text: string): string[] | undefined {
  const inner = /^"(.*)"$/.exec(text)?.[1]?.replaceAll('""', '"')
  if (inner === undefined) return undefined
  const words: string[] = []
  let word: string | undefined
  for (let at = 0; at < inner.length; at++) {
    const letter = inner.charAt(at)
    if (letter === ' ') {
      if (word !== undefined) words.push(word)
      word = undefined
    } else if (letter === "'") {
      word ??= ''
      for (at++; at < inner.length; at++) {
        if (inner.charAt(at) !== "'") word += inner.charAt(at)
        else if (inner.charAt(at + 1) === "'") word += inner.charAt(at++)
        else break
      }
    } else word = (word ?? '') + letter
  }
  if (word !== undefined) words.push(word)
  return words
}
