// `gridnode submit`: reads the script and its directives, hashes and hands over the inputs, signs
// the job.

import { readFileSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import type { SubmitAnswer } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { toHex } from '../../protocol/base/crypto.ts'
import { limits } from '../../protocol/base/limits.ts'
import { formatBytes, formatCredits } from '../../protocol/base/units.ts'
import type { Directives } from '../../protocol/rules/directives.ts'
import {
  describeFault, noDirectives, readDirectives,
} from '../../protocol/rules/directives.ts'
import type { JobDocument } from '../../protocol/rules/job.ts'
import { signJob } from '../../protocol/rules/job.ts'
import type { JobOptions } from '../../protocol/rules/job-options.ts'
import {
  jobOptionNames, joinJobOptions, overrideJobOptions, readJobOption,
} from '../../protocol/rules/job-options.ts'
import type { Arguments, OptionTable } from '../arguments.ts'
import type { Command, Context } from '../command.ts'
import { wrap } from '../command.ts'
import { exitCodes, failure, usageFailure } from '../failure.ts'
import type { PlacedInput } from '../inputs.ts'
import { takeSnapshot, uploadSnapshot } from '../inputs.ts'
import type { JobRequest } from '../job-request.ts'
import { jobDocument } from '../job-request.ts'
import { jsonText, plural } from '../output.ts'
import { liveLine } from '../progress.ts'
import { freshNonce, openUser, userName } from '../user-key.ts'
import { watchJob } from '../watch.ts'

const options: OptionTable = {
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
  place: { kind: 'value', value: 'PLACE', help: 'anywhere (default), home or remote' },
  sites: { kind: 'value', value: 'A,B', help: 'only these sites' },
  'start-within': {
    kind: 'value', value: 'TIME', help: 'give up if no task can be placed for so long (default 7d)',
  },
  wait: { kind: 'flag', short: 'w', help: "show what happens and end with the job's exit code" },
  fetch: { kind: 'value', value: 'DIR', help: 'wait, then bring the results into DIR' },
  'dry-run': { kind: 'flag', help: 'show what would be submitted, and do nothing' },
  quiet: { kind: 'flag', short: 'q', help: 'print the job id only' },
}

export const submit: Command = {
  usage: ['[options] SCRIPT [args...]', '[options] -- COMMAND [args...]'],
  about:
    'Hands a job to the node, which finds the sites that run it. Prints the id and ends, unless ' +
    '--wait. A SCRIPT may carry options in #GRID lines, and the common ones of Slurm in #SBATCH ' +
    "lines ('gridnode help directives'). An option of the command line replaces that of the " +
    "script. '-' reads the script from stdin.",
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

interface Work {
  readonly script: string
  readonly args: readonly string[]
  readonly fallbackName: string
  /** Where relative inputs named in the script are meant from. */
  readonly scriptDirectory: string
  readonly directives: Directives
}

async function runSubmit(context: Context): Promise<number> {
  const { args, terminal, json } = context
  const work = readWork(args, terminal.cwd)
  const fromCommandLine = commandLineOptions(args)
  const merged = overrideJobOptions(work.directives.options, fromCommandLine)
  if (merged.requirements !== undefined) await checkRequirements(merged.requirements)
  if (!json && !args.flag('quiet')) {
    for (const { line, option, why } of work.directives.ignored) {
      const note = wrap(`note: line ${line}: ${option} is ignored: ${why}`, terminal.err.columns())
      await terminal.err.write(`${note.join('\n  ')}\n`)
    }
  }
  const line = liveLine(terminal.err, () => terminal.nowEpochMs())
  const from = fromCommandLine.inputs ? terminal.cwd : work.scriptDirectory
  const inputs = (merged.inputs ?? []).map((input): PlacedInput => ({ ...input, from }))
  const snapshot = await takeSnapshot(inputs, line)
  const describe = (user: JobRequest['user'], nonce: string): JobDocument => jobDocument({
    options: merged,
    fallbackName: work.fallbackName,
    script: work.script,
    args: work.args,
    inputs: snapshot,
    user,
    nonce,
    env: terminal.env,
  })
  if (args.flag('dry-run')) {
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

function readWork(args: Arguments, cwd: string): Work {
  const [file, ...scriptArgs] = args.words
  if (args.rest !== undefined) {
    const [command] = args.rest
    if (command === undefined) throw usageFailure('expected a command after --')
    return {
      script: '#!/bin/sh\nexec "$@"\n',
      args: args.rest,
      fallbackName: basename(command),
      scriptDirectory: cwd,
      directives: noDirectives,
    }
  }
  if (file === undefined) {
    throw usageFailure(
      "expected a script, or a command after --. 'gridnode help submit' shows both.",
    )
  }
  const fromStdin = file === '-'
  const script = readScript(file, fromStdin ? 0 : resolve(cwd, file))
  const directives = readDirectives(script)
  if (!directives.ok) {
    const { faults: all } = directives.refusal
    const faults = all.slice(0, 20).map((fault) => `  ${describeFault(fault)}`)
    const more = all.length - faults.length
    if (more > 0) faults.push(`  and ${more} more`)
    throw usageFailure(`${file} was not submitted:\n${faults.join('\n')}`)
  }
  return {
    script,
    args: scriptArgs,
    fallbackName: fromStdin ? 'stdin' : basename(file),
    scriptDirectory: fromStdin ? cwd : dirname(resolve(cwd, file)),
    directives: directives.value,
  }
}

function readScript(shown: string, source: string | number): string {
  let bytes: Buffer
  try {
    bytes = readFileSync(source)
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT') {
      throw usageFailure(`there is no script ${shown}; to run a command write: submit -- ${shown}`)
    }
    if (code === 'EISDIR') throw usageFailure(`${shown} is a directory, expected a script`)
    throw failure('no_script', `the script ${shown} cannot be read: ${message}`)
  }
  if (bytes.length > limits.scriptBytes) {
    throw usageFailure(
      `the script ${shown} has ${formatBytes(bytes.length)}, at most ` +
        `${formatBytes(limits.scriptBytes)} are taken; bring data with --in`,
    )
  }
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    if (!text.includes('\0')) return text
  } catch {
    // Said below.
  }
  throw usageFailure(
    `${shown} is no text in UTF-8. To run a program: submit --in ${shown} -- ./${basename(shown)}`,
  )
}

function commandLineOptions(args: Arguments): JobOptions {
  const found: JobOptions[] = []
  for (const name of jobOptionNames) {
    for (const text of args.list(name)) {
      const read = readJobOption(name, text)
      if (!read.ok) throw usageFailure(`--${name}: ${read.refusal.detail}`)
      found.push(read.value)
    }
  }
  return joinJobOptions(found)
}

/** Loaded only when there is an expression. The node checks again. */
async function checkRequirements(text: string): Promise<void> {
  const { compileRequirement } = await import('../../protocol/rules/requirements.ts')
  const compiled = compileRequirement(text)
  if (compiled.ok) return
  const { position, detail } = compiled.refusal
  const mark = `${' '.repeat(position)}^`
  throw usageFailure(`--require: ${detail}\n  ${text.replaceAll('\n', ' ')}\n  ${mark}`)
}
