// Who may import what: the architecture, as far as a machine can keep it. Types count like values,
// because a type that is known is a dependency too. Each outside thing has one door; a new package,
// a new rules file or a new door is added here, on purpose, and nowhere else.

import { posix } from 'node:path'
import { importsOf, type Import } from './source-text.ts'

/** The walk. A rules file imports only files that stand before it in this list. */
export const rulesInOrder: readonly string[] = [
  'statement-fields', 'statement', 'ruling', 'tariff', 'membership',
  'needs', 'account-map', 'job', 'queue', 'dependency', 'request', 'job-options',
  'dialect', 'layout', 'quantities', 'begin-time', 'dependency-words', 'script-lines',
  'sbatch', 'sbatch-layout', 'slurm-script', 'pbs-resources', 'pbs-options', 'pbs',
  'grid-engine-resources', 'grid-engine-options', 'grid-engine',
  'bsub-resources', 'bsub-options', 'bsub', 'directives',
  'dialect-variables', 'output-paths', 'version-order', 'requirements',
  'offer', 'announce', 'queue-wait', 'bid', 'award', 'late-binding', 'contract', 'stage',
  'stage-outputs', 'run',
  'digest', 'clause',
  'ledger-refusal', 'ledger-book', 'ledger-keys', 'ledger-accounts', 'ledger-holds',
  'ledger-pairs', 'ledger-publics', 'ledger-entry', 'ledger', 'ledger-state',
  'ledger-history', 'hold-outcomes', 'invoice', 'evidence', 'netting', 'reputation',
  'audit-causes', 'audit-documents', 'audit', 'audit-pairs',
]

/** Package or built-in module (or a prefix that ends in `/`) → the files or folders that may. */
const doors: readonly (readonly [module: string, mayImport: readonly string[]])[] = [
  ['@noble/', ['protocol/base/crypto.ts', 'test/']],
  ['sodium-native', ['cli/verify/signature-check.ts', 'test/']],
  ['@marcbachmann/cel-js', ['protocol/rules/requirements.ts']],
  ['node:crypto', [
    'protocol/base/crypto.ts', 'node/entropy.ts', 'node/identity.ts', 'cli/user-key.ts', 'test/',
  ]],
  ['node:child_process', [
    'node/scheduler/exec.ts', 'node/scheduler/starter-process.ts', 'cli/demo/',
    'cli/compat/bring-unasked.ts', 'test/',
  ]],
  ['node:timers', ['node/clock.ts', 'cli/', 'test/']],
  ['node:perf_hooks', ['node/clock.ts', 'test/']],
  ['node:worker_threads', ['node/', 'cli/verify/', 'test/']],
  ['libp2p', ['node/net/', 'test/']],
  ['@libp2p/', ['node/net/', 'test/']],
  ['@chainsafe/', ['node/net/', 'test/']],
  ['@multiformats/', ['node/net/', 'test/']],
  ['level', ['node/store/level.ts', 'test/']],
  ['smol-toml', ['node/config']],
  ['valibot', ['node/']],
  ['uvu', ['test/harness.ts']],
  ['fast-check', ['test/']],
  ['node:test', []],
  ['node:assert', []],
]

/** What the command line may load, but only when the command that needs it runs. */
const lazyForCli = ['node/start.ts', 'node/enrol.ts', 'node/recover.ts']

/** What is wrong with the imports of one file, a sentence each, with the line. */
export function importViolations(path: string, source: string): string[] {
  return importsOf(source).flatMap((one) => {
    const problem = one.specifier.startsWith('.')
      ? relativeProblem(path, one)
      : doorProblem(path, one.specifier)
    return problem === undefined ? [] : [`${path}:${one.line}: ${problem}`]
  })
}

function relativeProblem(path: string, one: Import): string | undefined {
  if (!one.specifier.endsWith('.ts')) return `'${one.specifier}' must end in .ts`
  const target = posix.join(posix.dirname(path), one.specifier)
  if (path.startsWith('test/')) return undefined
  if (target.startsWith('test/')) return `nothing outside test/ imports ${target}`
  const [folder] = path.split('/')
  if (folder === 'protocol') return protocolProblem(path, target)
  if (folder === 'node') return under(target, ['protocol/', 'node/'], 'node/')
  if (folder === 'cli') {
    if (lazyForCli.includes(target)) {
      return one.dynamic ? undefined : `${target} is loaded with import(), where it is needed`
    }
    const seen = [
      'protocol/', 'cli/', 'node/http/api.ts', 'node/http/batch-api.ts', 'node/http/verb-api.ts',
      'node/http/site-api.ts',
    ]
    return under(target, seen, 'cli/')
  }
  return `${folder ?? path} is no folder of the architecture`
}

function under(target: string, allowed: readonly string[], who: string): string | undefined {
  if (allowed.some((prefix) => target.startsWith(prefix))) return undefined
  return `${who} imports only ${allowed.join(', ')}; not ${target}`
}

function protocolProblem(path: string, target: string): string | undefined {
  const [, layer = ''] = path.split('/')
  const before = { base: ['base'], rules: ['base', 'rules'], machine: ['base', 'rules', 'machine'] }
  const allowed = layer in before ? before[layer as keyof typeof before] : undefined
  if (allowed === undefined) return `protocol/ has base, rules and machine; not ${layer}`
  const prefixes = allowed.map((name) => `protocol/${name}/`)
  const outside = under(target, prefixes, `protocol/${layer}/`)
  if (outside !== undefined || layer !== 'rules' || !target.startsWith('protocol/rules/')) {
    return outside
  }
  const [mine, other] = [path, target].map((file) => posix.basename(file, '.ts'))
  const place = rulesInOrder.indexOf(mine ?? '')
  const otherPlace = rulesInOrder.indexOf(other ?? '')
  if (place < 0 || otherPlace < 0) return undefined
  if (otherPlace < place) return undefined
  return `${mine} stands before ${other} in the walk and cannot import it (test/import-rules.ts)`
}

function doorProblem(path: string, specifier: string): string | undefined {
  const door = doors.find(([name]) =>
    specifier === name || specifier.startsWith(name.endsWith('/') ? name : `${name}/`))
  if (door) {
    const allowed = door[1]
    if (allowed.some((prefix) => path.startsWith(prefix))) return undefined
    return `'${specifier}' is imported only by ${allowed.join(', ') || 'nobody'}`
  }
  if (path.startsWith('protocol/')) return `protocol/ imports no '${specifier}'`
  if (specifier.startsWith('node:')) return undefined
  return `'${specifier}' has no door: add one to test/import-rules.ts, or mend the name`
}
