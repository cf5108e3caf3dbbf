// What a script's comments ask for: Slurm's rules of reading, each option, each refusal with its
// line.

import fc from 'fast-check'
import { limits } from '../../protocol/base/limits.ts'
import { rangesSize } from '../../protocol/base/ranges.ts'
import type { Directives } from '../../protocol/rules/directives.ts'
import { describeFault, readDirectives } from '../../protocol/rules/directives.ts'
import type { JobOptions } from '../../protocol/rules/job-options.ts'
import {
  jobOptionNames, joinJobOptions, overrideJobOptions, readJobOption,
} from '../../protocol/rules/job-options.ts'
import { assert, suite } from '../harness.ts'

function script(...lines: readonly string[]): string {
  return ['#!/bin/sh', ...lines, ''].join('\n')
}

function read(...lines: readonly string[]): Directives {
  const found = assert.accepted(readDirectives(script(...lines)))
  const { runVariables: _run, ...rest } = found.options
  return { ...found, options: rest }
}

function options(...lines: readonly string[]): JobOptions {
  return read(...lines).options
}

/** Each fault as a person reads it. */
function faults(text: string): string[] {
  return assert.refused(readDirectives(text), 'bad_script').faults.map(describeFault)
}

const where = suite('where directives stand')

where('in the first column, before the first command; comments and blanks do not end them', () => {
  const found = read('', '# a comment', '   # indented', '  #SBATCH -c 8', '##SBATCH -c 9',
    '# SBATCH -c 10', '#SBATCH -c 2', 'echo hello', '#SBATCH -c 3', "cat <<'E'", '#GRID --cores 5')
  assert.equal([found.options, found.lines], [{ cores: 2 }, { cores: 8 }])
  assert.equal(found.ignored.map(({ line, option }) => [line, option]),
    [[10, '#SBATCH'], [12, '#GRID']])
  assert.match(found.ignored[0]!.why, 'it comes after the first command (line 9)')
})

where('a command on the very second line ends them', () => {
  assert.equal(options('set -e', '#SBATCH -c 2'), {})
})

where('#SBATCH needs no blank after it, #GRID stands alone', () => {
  assert.equal(options('#SBATCH--mem=5', '#GRIDLOCK is a word', '#GRID_X --cores 2'),
    { memoryMib: 5 })
  assert.equal(options('#GRID--cores 2'), { cores: 2 })
  assert.equal(faults(script('#GRID: --cores 2')),
    ["line 2: #GRID: expected an option such as --cores=4, got ':'"])
})

where('refuses what is no script', () => {
  assert.equal(faults(''), ['line 1: the script is empty'])
  assert.equal(faults(' \n\t\n'), ['line 1: the script is empty'])
  assert.equal(faults('echo hello\n'), [
    "line 1: expected #! and the path of an interpreter such as #!/bin/sh, got 'echo hello'",
  ])
  assert.match(faults('#!/bin/sh\necho a\r\n')[0]!, /^line 2: a DOS line break \(CR LF\)/)
})

const words = suite('how a line is split')

words('quotes, backslashes, and a comment from an unquoted # even inside a word', () => {
  const environment = (line: string): unknown => options(line).environment
  assert.equal(environment(`#GRID --env 'A=it is' --env "B=#1 \\" x" --env C=\\#2 # --env D=3`), [
    { name: 'A', value: 'it is' }, { name: 'B', value: '#1 " x' }, { name: 'C', value: '#2' },
  ])
  assert.equal(environment('#GRID --env A=1#2'), [{ name: 'A', value: '1' }])
  assert.equal(environment(`#GRID --env A='x'"y"z`), [{ name: 'A', value: 'xyz' }])
  assert.equal(faults(script('#GRID --name "a')), ['line 2: #GRID: a quote that is not closed'])
})

words('long options with = or a blank, short ones joined or not, flags together', () => {
  assert.equal(options('#SBATCH --cpus-per-task=2 --mem 3', '#SBATCH -t5 -J name -Qv'),
    { cores: 2, memoryMib: 3, walltimeSeconds: 300, name: 'name' })
})

words('abbreviations that mean one option', () => {
  assert.equal(options('#SBATCH --cpus-per-t=2 --job=x --tasks=1'), { cores: 2, name: 'x' })
  assert.equal(faults(script('#SBATCH --n=2')).length, 1)
  assert.match(faults(script('#SBATCH --mem-per=2'))[0]!,
    'line 2: #SBATCH --mem-per: may mean --mem-per-cpu, --mem-per-gpu; write it out')
})

words('all #SBATCH lines are one list, as they are for sbatch', () => {
  assert.equal(options('#SBATCH --cpus-per-task', '#SBATCH 3'), { cores: 3 })
  assert.equal(faults(script('#SBATCH -c 1', '#SBATCH --time')),
    ['line 3: #SBATCH --time: a value is missing'])
})

const slurm = suite('#SBATCH')

slurm('time: minutes, M:S, H:M:S, days; up to a whole minute; fields may pass 59', () => {
  const seconds = (text: string): unknown => options(`#SBATCH -t ${text}`).walltimeSeconds
  const minutes = { '1': 1, '90': 90, '0:1': 1, '1:30': 2, '1:0:0': 60, '0:90:59': 91, '2-0': 2_880,
    '1-12': 2_160, '0-1:30': 90, '0-0:0:61': 2, '100:100': 102 }
  for (const [text, expected] of Object.entries(minutes)) {
    assert.equal([text, seconds(text)], [text, expected * 60])
  }
  for (const text of ['0', '0:0', 'UNLIMITED', 'infinite', '-1']) {
    assert.match(faults(script(`#SBATCH --time=${text}`))[0]!, 'expected a limit')
  }
  for (const text of ['1h', '1:2:3:4', '1-', '1-2:3:4:5', '', '367-0']) {
    assert.equal([text, faults(script(`#SBATCH --time=${text}`)).length], [text, 1])
  }
})

slurm('memory: MiB without a unit, K rounded up, integers only, not all of a node', () => {
  const mib = (text: string): unknown => options(`#SBATCH --mem=${text}`).memoryMib
  const cases = {
    '1': 1, '4G': 4_096, '4GB': 4_096, '2t': 2_097_152, '1K': 1, '1025K': 2, '7mb': 7,
  }
  for (const [text, expected] of Object.entries(cases)) {
    assert.equal([text, mib(text)], [text, expected])
  }
  assert.match(faults(script('#SBATCH --mem=0'))[0]!, 'all the memory of a node cannot be asked')
  for (const text of ['1.5G', '4X', '-1', 'G', '99999999T']) {
    assert.equal([text, faults(script(`#SBATCH --mem=${text}`)).length], [text, 1])
  }
})

slurm('memory of a core and memory of a task take each other\'s place', () => {
  assert.match(faults(script('#SBATCH --mem=5', '#SBATCH --mem-per-cpu=6'))[0]!,
    'line 3: #SBATCH --mem-per-cpu: it excludes #SBATCH --mem (line 2)')
  assert.equal(options('#SBATCH --mem-per-cpu=6'), { memoryMibPerCore: 6 })
  assert.equal(options('#SBATCH --mem-per-cpu=6', '#GRID --memory 1GiB'), { memoryMib: 1_024 })
})

slurm('array: ranges, steps, lists, a limit, brackets', () => {
  const array = (text: string): unknown => options(`#SBATCH -a ${text}`).array
  assert.equal(array('0-15'), { tasks: [[0, 15]], atOnce: 0 })
  assert.equal(array('1-7:3,9,2%4'), { tasks: [[1, 2], [4, 4], [7, 7], [9, 9]], atOnce: 4 })
  assert.equal(array('[0-3,3-5]%2'), { tasks: [[0, 5]], atOnce: 2 })
  assert.equal(array('[0-3%2]'), { tasks: [[0, 3]], atOnce: 2 })
  for (const text of ['', '5-1', '1-', 'a', '1-5:0', '[1-2', '1]', '1%0', '1,,2', '1-2:', '-3']) {
    assert.equal([text, faults(script(`#SBATCH --array=${text}`)).length], [text, 1])
  }
})

slurm('array: what is too many is refused before it is made', () => {
  const most = assert.accepted(readJobOption('array', `1-${limits.tasksPerJob}`))
  assert.equal(rangesSize(most.array!.tasks), limits.tasksPerJob)
  const many = ['0-999999999', '0-999999998:2', '1-60000,70000-120000']
  for (const text of [`0-${limits.tasksPerJob}`, ...many]) {
    assert.match(assert.refused(readJobOption('array', text), 'bad_value').detail, 'at most 100000')
  }
})

slurm('tasks lie on one node unless a number of nodes is said', () => {
  assert.equal(options('#SBATCH -n 1 -N 1-1 --ntasks-per-node=1'), { cores: 1 })
  const found = read('#SBATCH --ntasks=4 -c 2')
  assert.equal(found.options, { cores: 8 })
  assert.match(found.ignored[0]!.why, 'all tasks lie on one')
})

slurm('export: names, or the whole environment', () => {
  assert.equal(options('#SBATCH --export=NONE'), {})
  const { environment } = options('#SBATCH --export=A,B=2')
  assert.equal(environment, [{ name: 'A' }, { name: 'B', value: '2' }])
  assert.equal(options('#SBATCH --export=ALL,A=1'),
    { wholeEnvironment: true, environment: [{ name: 'A', value: '1' }] })
})

slurm('advice is ignored and reported, never in silence', () => {
  const { options: found, ignored } = read(
    '#SBATCH --mail-type=END --mail-user=a@b --nice --nice=5', '#SBATCH -o out.%j -e err.%j')
  assert.equal(found, { stdoutPath: 'out.%j', stderrPath: 'err.%j' })
  assert.equal(ignored.map(({ line, option }) => `${line} ${option}`), [
    '2 #SBATCH --nice', '2 #SBATCH --mail-type', '2 #SBATCH --mail-user', '2 #SBATCH --nice',
  ])
  assert.match(ignored[1]!.why, 'no mail is sent')
})

slurm('[SCRIPT-3] what cannot be honoured is an error with its line; all of them at once', () => {
  assert.equal(
    faults(script('#SBATCH -q fast', '#SBATCH --constraint=x --gpus=2-3', '#SBATCH -x a',
      '#SBATCH --exclusive -w b', '#SBATCH --frobnicate --tine=3 -Z stray')).map((text) =>
      text.split(': ').slice(0, 2).join(': ')),
    [
      'line 2: #SBATCH -q', 'line 3: #SBATCH --constraint', 'line 3: #SBATCH --gpus',
      'line 4: #SBATCH -x', 'line 5: #SBATCH --exclusive', 'line 5: #SBATCH -w',
      'line 6: #SBATCH --frobnicate', 'line 6: #SBATCH --tine', 'line 6: #SBATCH -Z',
      'line 6: #SBATCH',
    ],
  )
  assert.match(faults(script('#SBATCH --tine=3'))[0]!, 'no such option; did you mean --time?')
})

const grid = suite('#GRID')

grid('knows each option, with = and with a blank', () => {
  assert.equal(options(
    '#GRID --name "two words" --cores=4 --memory 1500MB --walltime 1h30m --array=0-3',
    '#GRID --in data --in a/b=c --out x/*.csv --out y --budget 1.5 --policy soonest',
    `#GRID --require 'os == "linux"' --place remote --sites a.example,b.example`,
    '#GRID --start-within 2:00:00 --env HOME --env X=',
  ), {
    name: 'two words', cores: 4, memoryMib: 1_431, walltimeSeconds: 5_400,
    array: { tasks: [[0, 3]], atOnce: 0 },
    inputs: [{ path: 'data' }, { path: 'a/b', name: 'c' }], outputs: ['x/*.csv', 'y'],
    budget: 1_500_000n, policy: 'soonest', requirements: 'os == "linux"', place: 'remote',
    sites: ['a.example', 'b.example'], startWithinSeconds: 7_200,
    environment: [{ name: 'HOME' }, { name: 'X', value: '' }],
  })
})

grid('refuses bad values, unknown options, missing values and stray words', () => {
  assert.equal(faults(script('#GRID --cores 0 --corse 4 --policy best stray', '#GRID --name')), [
    "line 2: #GRID --cores: expected a number of cores from 1 to 65536, got '0'",
    'line 2: #GRID --corse: there is no such option; did you mean --cores?',
    "line 2: #GRID --policy: expected one of cheapest, soonest, balanced, got 'best'",
    "line 2: #GRID: expected an option such as --cores=4, got 'stray'",
    'line 3: #GRID --name: a value is missing',
  ])
  for (const name of jobOptionNames) {
    assert.equal([name, readJobOption(name, '').ok], [name, false])
  }
})

grid('[SCRIPT-2] wins over #SBATCH wherever it stands, and the last of a kind wins', () => {
  const found = read('#GRID --cores 8', '#SBATCH -c 2 -J slurm', '#SBATCH -c 3')
  assert.equal([found.options, found.lines], [{ cores: 8, name: 'slurm' }, { cores: 2, name: 3 }])
})

grid('a stronger source replaces, variables by name', () => {
  const weak = options('#GRID --in a --env X=1 --env Y=1 --cores 2')
  const strong = joinJobOptions([{ inputs: [{ path: 'b' }] }, { environment: [{ name: 'X' }] }])
  assert.equal(overrideJobOptions(weak, strong), {
    inputs: [{ path: 'b' }], cores: 2, environment: [{ name: 'Y', value: '1' }, { name: 'X' }],
  })
})

const dialects = suite('other dialects')

dialects('[SCRIPT-1] the first directive says which, wherever its scheduler looks', () => {
  const dialect = (...lines: readonly string[]): unknown => read(...lines).dialect
  assert.equal(dialect('#PBS -l nodes=1', '#PBS -N x'), 'pbs')
  assert.equal(dialect('#PBS -t 1-4'), 'torque')
  assert.equal(dialect('true', ' # BSUB -n 4'), 'lsf')
  assert.equal(dialect('true', '#$ -N x'), 'grid_engine')
  assert.equal(dialect('#PBS -N x', '#SBATCH -c 2', '#GRID --cores 2'), 'pbs')
  assert.equal(dialect('#GRID --cores 2'), undefined)
  assert.equal(options('true', '#PBS -N x', '#$HOME is a comment', '#$ is money'), {})
  const asked = assert.accepted(
    readDirectives(script('#SBATCH -c 2', '#PBS -l ncpus=3'), { dialect: 'pbs' }))
  assert.equal(asked.options, { cores: 3 })
})

dialects('are reported as ignored when the first says the same', () => {
  const found = read('#SBATCH -c 2', '#PBS -l ncpus=2')
  assert.equal(found.options, { cores: 2 })
  assert.equal(found.ignored.map(({ line, option }) => [line, option]), [[3, '#PBS']])
})

const anything = suite('any text')

anything('is read or refused, never a failure, and read the same twice', () => {
  const piece = fc.constantFrom(
    '#SBATCH ', '#GRID ', '#PBS -N x', '--', '-', '=', '"', "'", '\\', '#', ' ', '\t', 'mem',
    'array', 'time', 'cores', 'in', 'c', 't', '4', '0-9:2%3', ':', '%', '[', ']', ',', 'G', '\0',
    '\u2028', '__proto__', 'constructor', '\n', 'echo', '\ud800', '-1', '99999999999999999999',
  )
  fc.assert(fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
    const text = `#!/bin/sh\n${pieces.join('')}\n`
    const once = readDirectives(text)
    assert.equal(readDirectives(text), once)
    if (!once.ok) assert.ok(once.refusal.faults.length > 0)
  }), { numRuns: 2_000 })
})
