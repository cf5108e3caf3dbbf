// The variables that a script of a scheduler finds while it runs, on whatever scheduler its host
// has: a preface in plain sh that is run in front of the script, in the task's directory.
//
// [VAR-1] A task of a job with a dialect finds that dialect's variables; the job's id is in base
//   ten, that of a task its number in the array. What the document itself sets stays as it is.
// [VAR-2] Variables of the host's own scheduler do not reach the script. On a Slurm host a Slurm
//   script's srun finds its allocation all the same.
// [VAR-3] Nodes, where a dialect names them, are those that the host's scheduler gave; each as
//   often as it gives cores, or processes where the script said how many.

import { decimalOf } from '../base/decimal-id.ts'
import type { Ranges } from '../base/ranges.ts'
import type { Dialect } from './dialect.ts'
import type { JobDocument } from './job.ts'

export interface TaskFacts {
  readonly document: JobDocument
  /** 12 hexadecimal digits. */
  readonly job: string
  /** Of the whole array. */
  readonly tasks: Ranges
  readonly task: number
  readonly home: string
  readonly site: string
}

/** Undefined for a job without a dialect, which needs no preface. */
export function dialectPreface(facts: TaskFacts): string | undefined {
  const { dialect } = facts.document
  if (dialect === undefined) return undefined
  const given = new Set(facts.document.environment.map(({ name }) => name))
  const own = variablesOf(facts, dialect).filter(([name]) => !given.has(name))
  const lines = own.map(([name, value]) => `export ${name}=${value}`)
  return [
    '#!/bin/sh', '# Sets the variables that the script knows, and runs it.',
    nodesWords, forgetWords(dialect, given), slotsWords(facts.document), ...lines,
    'exec ./.gridnode/script "$@"', '',
  ].join('\n')
}

/** A value as sh reads it back; the plain ones stand in single quotes. */
type Assigned = readonly [name: string, value: string]

function quoted(text: string | number): string {
  return `'${String(text).replaceAll("'", "'\\''")}'`
}

/** What the host's scheduler gave, before its variables are forgotten: gn_nodes, a name a line. */
const nodesWords = `gn_here=$(hostname 2>/dev/null || uname -n)
gn_nodes=
if [ -n "$SLURM_JOB_NODELIST" ]; then
  gn_nodes=$(scontrol show hostnames "$SLURM_JOB_NODELIST" 2>/dev/null)
elif [ -n "$PBS_NODEFILE" ] && [ -r "$PBS_NODEFILE" ]; then
  gn_nodes=$(awk '!seen[$1]++ { print $1 }' "$PBS_NODEFILE")
elif [ -n "$PE_HOSTFILE" ] && [ -r "$PE_HOSTFILE" ]; then
  gn_nodes=$(awk '{ print $1 }' "$PE_HOSTFILE")
elif [ -n "$LSB_MCPU_HOSTS" ]; then
  gn_nodes=$(printf '%s\\n' $LSB_MCPU_HOSTS | awk 'NR % 2')
fi
[ -n "$gn_nodes" ] || gn_nodes=$gn_here`

/** GE and PBS set some without a prefix. */
const plainNames = 'ARC ENVIRONMENT JOB_ID JOB_NAME JOB_SCRIPT NCPUS NHOSTS NQUEUES NSLOTS PE ' +
  'PE_HOSTFILE QUEUE REQUEST RESTARTED TASK_ID LS_SUBCWD LS_JOBPID LS_EXEC_T'

/** How commands find their scheduler: no part of a job. */
const settings = [
  'SLURM_CONF', 'PBS_CONF_FILE', 'PBS_EXEC', 'PBS_HOME', 'PBS_SERVER', 'PBS_DEFAULT', 'SGE_ROOT',
  'SGE_CELL', 'SGE_CLUSTER_NAME', 'SGE_QMASTER_PORT', 'SGE_EXECD_PORT', 'SGE_ARCH',
]

/** [VAR-2] */
function forgetWords(dialect: Dialect, given: ReadonlySet<string>): string {
  const kept = [...given].filter((name) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
  const keep = [...settings, ...kept].join('|')
  const srun = dialect === 'slurm' ? `
gn_srun=$(command -v srun 2>/dev/null)
if [ -n "$SLURM_JOB_ID" ] && [ -n "$gn_srun" ]; then
  mkdir -p .gridnode/bin && {
    printf '#!/bin/sh\\n'
    export -p | grep '^export SLURM_[A-Z0-9_]*=.*[^\\\\]$' | grep -v "='[^']*$" | \\
      grep -v '="[^"]*$'
    printf 'exec "%s" "$@"\\n' "$gn_srun"
  } >.gridnode/bin/srun && chmod 700 .gridnode/bin/srun && PATH=$PWD/.gridnode/bin:$PATH
fi` : ''
  return `${srun}
for gn_name in $(env | sed -n -e 's/^\\(SLURMD*_[A-Za-z0-9_]*\\)=.*/\\1/p' \\
  -e 's/^\\(SBATCH_[A-Za-z0-9_]*\\)=.*/\\1/p' -e 's/^\\(PBS_[A-Za-z0-9_]*\\)=.*/\\1/p' \\
  -e 's/^\\(LSB_[A-Za-z0-9_]*\\)=.*/\\1/p' -e 's/^\\(SGE_[A-Za-z0-9_]*\\)=.*/\\1/p') \\
  ${plainNames}; do
  case $gn_name in ${keep}) ;; *) unset "$gn_name" ;; esac
done`.trimStart()
}

/** Files of nodes: gn_slots is \`COUNTxSLOTS …\` over the nodes in their order. */
function slotsWords(document: JobDocument): string {
  const said = document.environment.find(({ name }) => name === 'GRIDNODE_SLOTS')?.value
  const slots = said !== undefined && /^[0-9]+x[0-9]+( [0-9]+x[0-9]+)*$/.test(said) ? said
    : document.chunks?.map(({ nodes, cores }) => `${nodes}x${cores}`).join(' ') ??
      `1x${document.cores}`
  const expand = 'BEGIN { n = split(slots, part, " "); for (i = 1; i <= n; i++) { ' +
    'split(part[i], x, "x"); for (j = 0; j < x[1]; j++) each[++all] = x[2] } }'
  return `gn_slots='${slots}'
printf '%s\\n' "$gn_nodes" | awk -v slots="$gn_slots" '${expand}
  { print $1, (NR <= all) ? each[NR] : 1 }' >.gridnode/hosts
gn_count=$(awk 'END { print NR }' .gridnode/hosts)
gn_all=$(awk '{ sum += $2 } END { print sum }' .gridnode/hosts)`
}

function variablesOf(facts: TaskFacts, dialect: Dialect): Assigned[] {
  switch (dialect) {
    case 'slurm': return slurm(facts)
    case 'pbs': return pbs(facts, 'pbs')
    case 'torque': return pbs(facts, 'torque')
    case 'lsf': return lsf(facts)
    case 'grid_engine': return gridEngine(facts)
  }
}

const nodeFile = (action: string, file: string): string =>
  `$(awk '${action}' .gridnode/hosts >.gridnode/${file}; printf %s "$PWD/.gridnode/${file}")`
const joined = (action: string): string => `"$(awk '${action}' .gridnode/hosts)"`
const commaNames = `BEGIN { ORS = "" } NR > 1 { print "," } { print $1 }`
const manyNames = `BEGIN { ORS = "" } { for (i = 0; i < $2; i++) { print gap $1; gap = " " } }`
/** Slurm writes 4(x2),3. */
const runs = `function out() { if (n) { print gap last (n > 1 ? "(x" n ")" : ""); gap = "," } }
  BEGIN { ORS = "" } $2 != last { out(); n = 0; last = $2 } { n++ } END { out() }`

function slurm({ document, job, tasks, task, home, site }: TaskFacts): Assigned[] {
  const id = decimalOf(job)
  const [chunk] = document.chunks ?? []
  const perNode = chunk?.memory_mib ?? document.memory_mib
  const array: Assigned[] = document.array === 0 ? [] : [
    ['SLURM_ARRAY_JOB_ID', id], ['SLURM_ARRAY_TASK_ID', String(task)],
    ['SLURM_ARRAY_TASK_COUNT', String(arrayOf(tasks).count)],
    ['SLURM_ARRAY_TASK_MIN', String(arrayOf(tasks).first)],
    ['SLURM_ARRAY_TASK_MAX', String(arrayOf(tasks).last)],
    ['SLURM_ARRAY_TASK_STEP', String(arrayOf(tasks).step)],
  ]
  const gpus: Assigned[] = document.gpus === undefined ? [] : [
    ['SLURM_GPUS', String(document.gpus)],
    ['SLURM_GPUS_ON_NODE', String(chunk?.gpus ?? document.gpus)],
  ]
  return [
    ['SLURM_JOB_ID', id], ['SLURM_JOBID', id], ['SLURM_JOB_NAME', quoted(document.name)],
    ['SLURM_JOB_USER', quoted(document.user)], ['SLURM_CLUSTER_NAME', quoted(site)],
    ['SLURM_JOB_PARTITION', quoted(document.queue ?? 'gridnode')],
    ['SLURM_JOB_ACCOUNT', quoted(document.project ?? '')],
    ['SLURM_SUBMIT_HOST', quoted(home)], ['SLURM_SUBMIT_DIR', '"$PWD"'],
    ['SLURM_JOB_NODELIST', joined(commaNames)], ['SLURM_NODELIST', '"$SLURM_JOB_NODELIST"'],
    ['SLURM_JOB_NUM_NODES', '$gn_count'], ['SLURM_NNODES', '$gn_count'],
    ['SLURM_JOB_CPUS_PER_NODE', joined(runs)], ['SLURMD_NODENAME', '$gn_here'],
    ['SLURM_CPUS_ON_NODE', String(chunk?.cores ?? document.cores)],
    ['SLURM_MEM_PER_NODE', String(perNode)], ['SLURM_NODEID', '0'], ['SLURM_PROCID', '0'],
    ['SLURM_LOCALID', '0'], ['SLURM_NTASKS', '1'], ['SLURM_NPROCS', '"$SLURM_NTASKS"'],
    ['SLURM_TASKS_PER_NODE', '"${SLURM_NTASKS_PER_NODE:-$SLURM_NTASKS}"'],
    ['SLURM_TASK_PID', '$$'], ...gpus, ...array,
  ]
}

function pbs(
  { document, job, task, home }: TaskFacts, flavour: 'pbs' | 'torque',
): Assigned[] {
  const id = decimalOf(job)
  const isArray = document.array === 1
  const [chunk] = document.chunks ?? []
  const cores = String(chunk?.cores ?? document.cores)
  const queue = quoted(document.queue ?? 'gridnode')
  const own: Assigned[] = flavour === 'torque' ? [
    ...(isArray ? [['PBS_ARRAYID', String(task)] as const] : []),
    ['PBS_NUM_NODES', '$gn_count'], ['PBS_NUM_PPN', cores], ['PBS_NP', '$gn_all'],
    ['PBS_VNODENUM', '0'], ['PBS_WALLTIME', String(document.walltime_seconds)],
  ] : [
    ...(isArray ? [
      ['PBS_ARRAY_INDEX', String(task)] as const, ['PBS_ARRAY_ID', quoted(`${id}[]`)] as const,
      ['PBS_ARRAYID', String(task)] as const,
    ] : []),
    ['NCPUS', cores], ['OMP_NUM_THREADS', cores],
  ]
  return [
    ['PBS_JOBID', quoted(isArray ? `${id}[${task}]` : id)],
    ['PBS_JOBNAME', quoted(document.name)], ['PBS_ENVIRONMENT', 'PBS_BATCH'],
    ['PBS_QUEUE', queue], ['PBS_O_QUEUE', queue], ['PBS_O_HOST', quoted(home)],
    ['PBS_O_WORKDIR', '"$PWD"'], ['PBS_O_LOGNAME', quoted(document.user)],
    ['PBS_O_HOME', '"$HOME"'], ['PBS_O_PATH', '"$PATH"'], ['PBS_O_SHELL', '"$SHELL"'],
    ['PBS_O_LANG', '"$LANG"'], ['PBS_O_SYSTEM', '"$(uname -s)"'], ['PBS_JOBDIR', '"$PWD"'],
    ['PBS_NODEFILE', nodeFile('{ for (i = 0; i < $2; i++) print $1 }', 'nodes')],
    ['PBS_TASKNUM', '1'], ['PBS_NODENUM', '0'], ...own, temporary,
  ]
}

const temporary: Assigned =
  ['TMPDIR', '"$PWD/.gridnode/tmp"; mkdir -p "$TMPDIR"']

function lsf({ document, job, tasks, task, home, site }: TaskFacts): Assigned[] {
  const id = decimalOf(job)
  const isArray = document.array === 1
  return [
    ['LSB_JOBID', id], ['LSB_BATCH_JID', quoted(isArray ? `${id}[${task}]` : id)],
    ['LSB_JOBINDEX', isArray ? String(task) : '0'],
    ...(isArray ? [
      ['LSB_JOBINDEX_STEP', String(arrayOf(tasks).step)] as const,
      ['LSB_JOBINDEX_END', String(arrayOf(tasks).last)] as const,
    ] : []),
    ['LSB_JOBNAME', quoted(isArray ? `${document.name}[${task}]` : document.name)],
    ['LSB_QUEUE', quoted(document.queue ?? 'gridnode')],
    ['LSB_PROJECT_NAME', quoted(document.project ?? 'default')],
    ['LSB_SUB_HOST', quoted(home)], ['LSB_SUB_USER', quoted(document.user)],
    ['LSB_EXEC_CLUSTER', quoted(site)], ['LS_SUBCWD', '"$PWD"'], ['LS_JOBPID', '$$'],
    ['LSB_DJOB_NUMPROC', '$gn_all'], ['LSB_MAX_NUM_PROCESSORS', '$gn_all'],
    ['LSB_HOSTS', joined(manyNames)],
    ['LSB_MCPU_HOSTS', joined('BEGIN { ORS = "" } { print gap $1 " " $2; gap = " " }')],
    ['LSB_DJOB_HOSTFILE', nodeFile('{ for (i = 0; i < $2; i++) print $1 }', 'nodes')],
  ]
}

function gridEngine({ document, job, tasks, task, home }: TaskFacts): Assigned[] {
  const isArray = document.array === 1
  const { first, last, step } = arrayOf(tasks)
  const ofArray = (value: number): string => isArray ? String(value) : 'undefined'
  const queue = quoted(document.queue ?? 'gridnode')
  const line = `{ print $1, $2, "${document.queue ?? 'gridnode'}@" $1, "UNDEFINED" }`
  return [
    ['JOB_ID', decimalOf(job)], ['JOB_NAME', quoted(document.name)],
    ['REQUEST', quoted(document.name)], ['JOB_SCRIPT', '"$PWD/.gridnode/script"'],
    ['SGE_TASK_ID', ofArray(task)], ['SGE_TASK_FIRST', ofArray(first)],
    ['SGE_TASK_LAST', ofArray(last)], ['SGE_TASK_STEPSIZE', ofArray(step)],
    ['NSLOTS', '$gn_all'], ['NHOSTS', '$gn_count'], ['NQUEUES', '1'], ['QUEUE', queue],
    ['ENVIRONMENT', 'BATCH'], ['RESTARTED', '0'],
    ...(document.cores > 1 ? [['PE', 'gridnode'] as const] : []),
    ['PE_HOSTFILE', nodeFile(line, 'pe')], ['SGE_O_WORKDIR', '"$PWD"'],
    ['SGE_CWD_PATH', '"$PWD"'], ['SGE_O_HOST', quoted(home)],
    ['SGE_O_LOGNAME', quoted(document.user)], ['SGE_O_HOME', '"$HOME"'],
    ['SGE_O_PATH', '"$PATH"'], ['SGE_O_SHELL', '"$SHELL"'], ['HOSTNAME', '$gn_here'],
    temporary, ['TMP', '"$TMPDIR"'],
  ]
}

/** First, last, count and, where the numbers have one, the step of an array. */
function arrayOf(tasks: Ranges): { first: number; last: number; count: number; step: number } {
  const first = tasks[0]?.[0] ?? 0
  const last = tasks.at(-1)?.[1] ?? 0
  const count = tasks.reduce((sum, [from, to]) => sum + to - from + 1, 0)
  const gap = tasks.length > 1 ? tasks[1]![0] - tasks[0]![1] : 1
  const isEven = tasks.every(([from, to], i) =>
    from === to && (i === 0 || from - tasks[i - 1]![1] === gap))
  return { first, last, count, step: isEven ? gap : 1 }
}
