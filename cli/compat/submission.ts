// Hands in what a batch command was given: the directory as it is, the script, the variables that
// a task needs, signed by the user. The record by which its changes come back is there before the
// job.

import { realpathSync } from 'node:fs'
import type { SubmitAnswer } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { toHex } from '../../protocol/base/crypto.ts'
import { decimalOf } from '../../protocol/base/decimal-id.ts'
import { jobIdOf, signJob } from '../../protocol/rules/job.ts'
import type {
  DependenciesOption, EnvironmentOption, JobOptions,
} from '../../protocol/rules/job-options.ts'
import {
  isJobOptionName, joinJobOptions, overrideJobOptions, readJobOption,
} from '../../protocol/rules/job-options.ts'
import type { Context } from '../command.ts'
import { CommandFailure, usageFailure } from '../failure.ts'
import { packSnapshot, uploadSnapshot } from '../inputs.ts'
import { jobDocument } from '../job-request.ts'
import { beginEpochMs, resolveDependencies } from '../job-when.ts'
import { freshNonce, openUser } from '../user-key.ts'
import { startHelper } from './bring-unasked.ts'
import type { Dialect, JobRecord } from './records.ts'
import { openRecords } from './records.ts'
import { readId } from './rows.ts'
import { digestOf, listShare, openShare } from './share.ts'

export interface BatchJob {
  readonly dialect: Dialect
  readonly options: JobOptions
  readonly script: string
  readonly args: readonly string[]
  readonly fallbackName: string
  /** Where the task starts: absolute. */
  readonly directory: string
  /** All variables of the submitter that may travel; else only those of the options. */
  readonly wholeEnvironment: boolean
  readonly streams: { readonly out: string; readonly error: string; readonly join: boolean }
  readonly command: string
}

export interface Submitted {
  readonly job: string
  /** The id as the batch commands print it. */
  readonly id: string
}

/** What changes while it is sent is listed anew so often. */
const triesMax = 6
const noLine = { show: () => undefined, print: () => undefined, clear: () => undefined }

export async function submitBatch(context: Context, batch: BatchJob): Promise<Submitted> {
  for (let tries = 1; ; tries++) {
    try {
      return await submitOnce(context, batch)
    } catch (error) {
      const again = error instanceof CommandFailure &&
        (error.code === 'inputs_changed' || error.code === 'conflict')
      const gone = (error as NodeJS.ErrnoException).code === 'ENOENT'
      if (tries >= triesMax || !(again || gone)) throw error
      await context.terminal.sleep(50 * tries)
    }
  }
}

async function submitOnce(context: Context, batch: BatchJob): Promise<Submitted> {
  const { terminal } = context
  const share = await openShare(batch.directory, terminal)
  const directory = realpathSync(batch.directory)
  const { manifest, chunks } = await listShare(share, terminal)
  const snapshot = packSnapshot(manifest, chunks)
  const client = context.client()
  await uploadSnapshot(snapshot, client, noLine)
  const user = openUser(terminal)
  const options = overrideJobOptions(defaultOptions(terminal.env), {
    ...batch.options,
    outputs: ['**'],
    environment: [
      // Not always the top of what was sent.
      { name: whereVariables[batch.dialect], value: directory },
      ...resolved(batch.options.environment ?? [], terminal.env),
    ],
    ...(batch.wholeEnvironment && { wholeEnvironment: true }),
  })
  const after = await resolveDependencies(context, plainIds(options.dependencies))
  const document = jobDocument({
    options,
    fallbackName: batch.fallbackName,
    script: startingIn(batch.script, { root: share.root, directory }),
    args: batch.args,
    inputs: snapshot,
    user: { name: user.name, publicKeyHex: toHex(user.signer.key.publicKey) },
    nonce: freshNonce(),
    env: travelling(terminal.env),
    dialect: batch.dialect,
    after,
    beginEpochMs: beginEpochMs(options.begin, terminal.nowEpochMs()),
    seenAt: share.root,
  })
  const { note, sid } = signJob(document, user.signer)
  const records = openRecords(terminal)
  const parents = after.flatMap(({ job }) => records.get(job) ?? [])
  await tellOfParents(context, parents.filter((one) => !one.whole && one.root === share.root))
  const record: JobRecord = {
    job: jobIdOf(sid),
    node: context.directory,
    dialect: batch.dialect,
    name: document.name,
    root: share.root,
    directory,
    submittedEpochMs: terminal.nowEpochMs(),
    command: batch.command,
    streams: batch.streams,
    brought: [],
    whole: false,
  }
  records.put(record, {
    files: manifest.files.map((file) => [file.path, digestOf(file.chunks), file.executable]),
    directories: manifest.directories,
  })
  try {
    const { job } = await client.post<SubmitAnswer>(apiPaths.jobs, note)
    startHelper(context)
    return { job, id: decimalOf(job) }
  } catch (error) {
    // Where the answer was lost the job may be there all the same.
    if (error instanceof CommandFailure && error.code !== 'unreachable') records.remove(record.job)
    throw error
  }
}

/** To a person at a terminal; a program that submits reads nothing but the documented line. */
async function tellOfParents({ terminal }: Context, parents: readonly JobRecord[]): Promise<void> {
  if (parents.length === 0 || !terminal.err.tty) return
  const ids = parents.map(({ job }) => decimalOf(job)).join(', ')
  await terminal.err.write(`gridnode: note: the job will see ${parents[0]!.root} as it is now, ` +
    `without what job ${ids} leaves there; submit it when that has ended to have it\n`)
}

/** `12.server` and `12[]` are said of job 12. */
function plainIds(dependencies: DependenciesOption | undefined): DependenciesOption | undefined {
  return dependencies && {
    ...dependencies,
    list: dependencies.list.map((one) => {
      const named = readId(one.job)
      return named && named.task === undefined ? { ...one, job: named.job } : one
    }),
  }
}

/** $GRIDNODE_BATCH_OPTIONS: options of `gridnode submit`, weaker than what is said elsewhere. */
function defaultOptions(env: Readonly<Record<string, string | undefined>>): JobOptions {
  const words = (env['GRIDNODE_BATCH_OPTIONS'] ?? '').split(/\s+/).filter((word) => word !== '')
  const found: JobOptions[] = []
  for (let at = 0; at < words.length; at++) {
    const match = /^--([a-z-]+)(?:=(.*))?$/.exec(words[at]!)
    const name = match?.[1] ?? ''
    if (!isJobOptionName(name) || name === 'in' || name === 'out') {
      throw usageFailure(`GRIDNODE_BATCH_OPTIONS: expected an option of gridnode submit such as ` +
        `--walltime=24h, got '${words[at]}'`)
    }
    const read = readJobOption(name, match?.[2] ?? words[++at] ?? '')
    if (!read.ok) throw usageFailure(`GRIDNODE_BATCH_OPTIONS: --${name}: ${read.refusal.detail}`)
    found.push(read.value)
  }
  return joinJobOptions(found)
}

const whereVariables: Readonly<Record<Dialect, string>> = {
  slurm: 'SLURM_SUBMIT_DIR', pbs: 'PBS_O_WORKDIR', torque: 'PBS_O_WORKDIR',
  grid_engine: 'SGE_O_WORKDIR', lsf: 'LS_SUBCWD',
}

/** What other sites have no business with; name it to send it. */
const isSecret = /(TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|PRIVATE|APIKEY|_KEY)/i

function travelling(
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(env).filter(([name, value]) =>
    !isSecret.test(name) && !(value ?? '').includes('\0')))
}

function resolved(
  named: readonly EnvironmentOption[], env: Readonly<Record<string, string | undefined>>,
): EnvironmentOption[] {
  return named.flatMap(({ name, value = env[name] }) =>
    (value === undefined ? [] : { name, value }))
}

/** A task starts at the top of what was sent; the script goes on to where it was handed in. */
function startingIn(
  script: string, { root, directory }: { readonly root: string; readonly directory: string },
): string {
  if (root === directory) return script
  const quoted = `'${directory.replaceAll("'", "'\\''")}'`
  const [first = '', ...rest] = script.split('\n')
  const change = `cd ${quoted} || exit 1`
  if (/^#!.*\b(sh|bash|dash|ksh|zsh)\b/.test(first)) return [first, change, ...rest].join('\n')
  const end = `GRIDNODE_END_${script.length}`
  return [
    '#!/bin/sh', change, 'file=$(mktemp) && chmod 700 "$file" || exit 1',
    `cat >"$file" <<'${end}'`, script, end, 'exec "$file" "$@"', '',
  ].join('\n')
}
