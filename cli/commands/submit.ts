// `gridnode submit`: reads the script and its directives, hashes and hands over the inputs, signs
// the job.

import type { SubmitAnswer } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { toHex } from '../../protocol/base/crypto.ts'
import { formatBytes, formatCredits } from '../../protocol/base/units.ts'
import type { Directives } from '../../protocol/rules/directives.ts'
import type { JobDocument } from '../../protocol/rules/job.ts'
import { signJob } from '../../protocol/rules/job.ts'
import type { OptionTable } from '../arguments.ts'
import type { Command, Context } from '../command.ts'
import { wrap } from '../command.ts'
import { exitCodes, usageFailure } from '../failure.ts'
import type { PlacedInput } from '../inputs.ts'
import { takeSnapshot, uploadSnapshot } from '../inputs.ts'
import type { JobRequest } from '../job-request.ts'
import { jobDocument } from '../job-request.ts'
import type { Work } from '../job-script.ts'
import {
  checkExpressions, directorySeen, readWork, refusedWords, ScriptRefused, whenOptions,
  wholeOptions,
} from '../job-script.ts'
import { beginEpochMs, resolveDependencies } from '../job-when.ts'
import { jsonText, plural } from '../output.ts'
import { liveLine } from '../progress.ts'
import { freshNonce, openUser, userName } from '../user-key.ts'
import { watchJob } from '../watch.ts'

/** What a job may ask for, on the command lines of `submit` and `explain`. */
export const jobOptionTable: OptionTable = {
  name: { kind: 'value', short: 'J', value: 'NAME', help: "its name (default: the script's)" },
  cores: { kind: 'value', short: 'c', value: 'N', help: 'cores of each task (default 1)' },
  memory: { kind: 'value', short: 'm', value: 'SIZE', help: 'memory of each task (default 1GiB)' },
  walltime: {
    kind: 'value', short: 't', value: 'TIME',
    help: 'longest run of each task: 90s, 2h (default 1h)',
  },
  array: {
    kind: 'value', short: 'a', value: 'TASKS',
    help: 'many tasks: 0-15, 1-9:2, 1,5,7-9; %4 = at most 4 at once',
  },
  in: {
    kind: 'list', short: 'i', value: 'PATH[=NAME]',
    help: "bring a file or directory into the job's directory (repeat)",
  },
  out: {
    kind: 'list', short: 'o', value: 'PATTERN',
    help: 'bring back what matches, such as results/*.csv (repeat)',
  },
  env: { kind: 'list', short: 'e', value: 'NAME[=VALUE]', help: 'take a variable along (repeat)' },
  budget: { kind: 'value', value: 'CREDITS', help: 'the most the job may cost (default 100)' },
  allocation: {
    kind: 'value', value: 'NAME', help: "pay at other sites from this allocation of the home's",
  },
  policy: { kind: 'value', value: 'POLICY', help: 'cheapest, soonest or balanced (default)' },
  require: {
    kind: 'value', value: 'EXPR', help: "what a site must have: 'speed_permille >= 1500'",
  },
  rank: {
    kind: 'value', value: 'EXPR', help: "which site is best, the larger the better: 'cores_free'",
  },
  place: { kind: 'value', value: 'PLACE', help: 'anywhere (default), home or remote' },
  sites: { kind: 'value', value: 'A,B', help: 'only these sites' },
  'start-within': {
    kind: 'value', value: 'TIME', help: 'give up if no task can be placed for so long (default 7d)',
  },
  gpus: { kind: 'value', value: 'N', help: 'graphics processors of each task' },
  queue: { kind: 'value', value: 'NAME', help: 'a queue of this site' },
  project: { kind: 'value', value: 'NAME', help: 'the project it is for' },
  priority: { kind: 'value', value: 'N', help: 'among your own jobs: 1 to 2047 (1024)' },
  ...whenOptions,
}

const options: OptionTable = {
  ...jobOptionTable,
  wait: { kind: 'flag', short: 'w', help: "show what happens and end with the job's exit code" },
  fetch: { kind: 'value', value: 'DIR', help: 'wait, then bring the results into DIR' },
  'dry-run': { kind: 'flag', help: 'show what would be submitted, and do nothing' },
  quiet: { kind: 'flag', short: 'q', help: 'print the job id only' },
}

export const submit: Command = {
  usage: ['[options] SCRIPT [args...]', '[options] -- COMMAND [args...]'],
  about:
    'Hands a job to the node, which finds the sites that run it. Prints the id and ends, unless ' +
    '--wait. A SCRIPT may carry options in #GRID lines, or in those of Slurm, PBS, LSF or Grid ' +
    "Engine ('gridnode help directives', 'gridnode explain'). An option of the command line " +
    "replaces that of the script. '-' reads the script from stdin.",
  options,
  stopAtWord: true,
  examples: [
    ['gridnode submit job.sh', 'with the options that the script carries'],
    ['gridnode submit --array 1-100 --in data --out "out/*" --budget 20 --wait job.sh', 'an array'],
    ['gridnode submit --cores 4 --require \'os == "linux"\' -- make -j4', 'a command'],
    ['gridnode submit --fetch results job.sh', 'wait, and bring the results into ./results'],
  ],
  notes:
    'Exit codes: 0 submitted, or with --wait: the job is done. With --wait a failed job gives ' +
    'the exit code of its first failed task, or 1. 2 wrong usage, 3 the node is not running, ' +
    '130 Ctrl-C during --wait (the job goes on).',
  run: runSubmit,
}

async function runSubmit(context: Context): Promise<number> {
  const { args, terminal, json } = context
  const work = readWorkOrSay(context)
  const { directives } = work
  const { merged, commandLine } = wholeOptions(context, directives)
  await checkExpressions(merged)
  const seenAt = directorySeen(merged.workDirectory, terminal.cwd)
  if (!json && !args.flag('quiet')) await sayIgnored(context, directives)
  const line = liveLine(terminal.err, () => terminal.nowEpochMs())
  const from = commandLine.inputs ? terminal.cwd : work.scriptDirectory
  const inputs = (merged.inputs ?? []).map((input): PlacedInput => ({ ...input, from }))
  const snapshot = await takeSnapshot(inputs, line)
  const dry = args.flag('dry-run')
  const after = dry ? [] : await resolveDependencies(context, merged.dependencies)
  const beginsEpochMs = beginEpochMs(merged.begin, terminal.nowEpochMs())
  const describe = (user: JobRequest['user'], nonce: string): JobDocument => jobDocument({
    options: merged,
    fallbackName: work.fallbackName,
    script: work.script,
    args: work.args,
    inputs: snapshot,
    user,
    nonce,
    env: terminal.env,
    dialect: directives.dialect,
    after,
    beginEpochMs: beginsEpochMs,
    seenAt,
  })
  if (dry) {
    const nobody = { name: userName(terminal), publicKeyHex: '00'.repeat(32) }
    return dryRun(context, describe(nobody, '00'.repeat(16)))
  }
  const user = openUser(terminal)
  const publicKeyHex = toHex(user.signer.key.publicKey)
  const document = describe({ name: user.name, publicKeyHex }, freshNonce())
  const client = context.client()
  const sentBytes = await uploadSnapshot(snapshot, client, line)
  const { note } = signJob(document, user.signer)
  const answer = await client.post<SubmitAnswer>(apiPaths.jobs, note)
  const waits = args.flag('wait') || args.value('fetch') !== undefined
  if (json) await terminal.out.write(waits ? '' : jsonText(answer))
  else if (args.flag('quiet')) await terminal.out.write(`${answer.job}\n`)
  else {
    const sent = { files: snapshot.files, bytes: sentBytes }
    await terminal.out.write(submittedText(context, answer.job, document, sent))
  }
  if (!waits) return exitCodes.done
  return watchJob(context, {
    job: answer.job,
    fetchInto: args.value('fetch'),
    announce: json,
    quiet: args.flag('quiet'),
  })
}

function readWorkOrSay({ args, terminal }: Context): Work {
  try {
    return readWork(args, terminal.cwd)
  } catch (error) {
    if (error instanceof ScriptRefused) throw usageFailure(refusedWords(error))
    throw error
  }
}

async function sayIgnored({ terminal }: Context, directives: Directives): Promise<void> {
  for (const { line, option, why } of directives.ignored) {
    const text = option === 'note' ? `note: line ${line}: ${why}`
      : `note: line ${line}: ${option} is ignored: ${why}`
    await terminal.err.write(`${wrap(text, terminal.err.columns()).join('\n  ')}\n`)
  }
}

function submittedText(
  context: Context,
  job: string,
  document: JobDocument,
  sent: { readonly files: number; readonly bytes: number },
): string {
  const inputs = sent.files === 0
    ? ''
    : `  ${plural(sent.files, 'input file')}, ${formatBytes(document.inputs_bytes)}, ` +
      `${formatBytes(sent.bytes)} sent\n`
  return `job ${context.style.bold(job)} submitted: ${document.name}, ` +
    `at most ${formatCredits(document.budget)}\n${inputs}`
}

/** Nothing is made for it, the user's key neither: what is signed with is left out. */
async function dryRun(context: Context, document: JobDocument): Promise<number> {
  const { script, budget, key: _key, nonce: _nonce, ...rest } = document
  const shown = { ...rest, budget: String(budget), script }
  await context.terminal.out.write(jsonText(shown))
  return exitCodes.done
}

