// `gridnode compat`: makes a folder with the batch commands of another scheduler, which hand their
// work to the node. The same command, called by one of them, is that command.

import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Flavour } from '../compat/command-set.ts'
import { commandSets, ownSet } from '../compat/command-set.ts'
import type { Command, Context } from '../command.ts'
import { CommandFailure, exitCodes, failure, usageFailure } from '../failure.ts'
import { jsonText } from '../output.ts'

const flavourNames = Object.keys(commandSets) as readonly Flavour[]
/** Flavours whose commands have different names, so that they can lie in one folder. */
const all: readonly Flavour[] = ['slurm', 'posix', 'lsf']
const mark = '# Made by gridnode compat.'

export const compat: Command = {
  usage: ['[--flavour NAME] DIR'],
  about:
    'Makes DIR with the batch commands of another scheduler (sbatch, qsub, bsub and what belongs ' +
    'to them). Put it first in PATH, and scripts and workflow managers that call them run on the ' +
    'federation. The directory in which a job is handed in travels with it, and what the job ' +
    'changes there comes back when it has ended: at the next squeue, sacct, qstat or bjobs.',
  options: {
    flavour: {
      kind: 'value', short: 'f', value: 'NAME',
      help: 'slurm, posix, torque, grid_engine, lsf, or all: slurm, posix, lsf (default slurm)',
    },
    as: { kind: 'value', value: 'COMMAND', help: 'be this command: FLAVOUR/NAME -- its arguments' },
  },
  examples: [
    ['gridnode compat ~/grid-bin && export PATH=~/grid-bin:$PATH', 'Slurm commands first in PATH'],
    ['gridnode compat --flavour grid_engine ~/ge-bin', 'qsub, qstat, qdel, qacct as Grid Engine'],
    ['snakemake --cluster "sbatch --parsable" --jobs 50', 'a workflow over the federation'],
  ],
  notes:
    'A file .gridnodeignore in the directory (or above it: then all from there on travels) names ' +
    'what stays, a pattern a line. GRIDNODE_BATCH_OPTIONS has options of gridnode submit for all ' +
    "jobs, such as '--walltime=24h --budget=50'.",
  run: runCompat,
}

async function runCompat(context: Context): Promise<number> {
  const { args } = context
  const as = args.value('as')
  if (as !== undefined) return runAs(context, as, args.rest ?? [])
  const [named, ...others] = args.words
  if (named === undefined || others.length > 0) {
    throw usageFailure("expected one directory, such as 'gridnode compat ~/grid-bin'")
  }
  const word = args.value('flavour') ?? 'slurm'
  const flavours = word === 'all' ? all : flavourNames.filter((one) => one === word)
  if (flavours.length === 0) {
    throw usageFailure(`--flavour: expected ${flavourNames.join(', ')} or all, got '${word}'`)
  }
  const directory = resolve(context.terminal.cwd, named)
  mkdirSync(directory, { recursive: true })
  const made = flavours.flatMap((flavour) =>
    Object.keys(commandSets[flavour]).map((name) => ({ flavour, name })))
  for (const { name } of made) demandOurs(join(directory, name))
  for (const { flavour, name } of made) {
    write(join(directory, name), launcherText(context.directory, `${flavour}/${name}`))
  }
  const names = made.map(({ name }) => name)
  await context.terminal.out.write(context.json ? jsonText({ directory, commands: names })
    : `${names.join(' ')}\nPut them first: export PATH=${directory}:$PATH\n`)
  return exitCodes.done
}

/** A real scheduler's command is never replaced. */
function demandOurs(path: string): void {
  if (!existsSync(path) || readFileSync(path, 'utf8').includes(mark)) return
  throw failure('exists', `${path} is there and was not made by gridnode; choose another directory`)
}

function launcherText(site: string, as: string): string {
  const program = resolve(import.meta.dirname, '..', 'gridnode')
  const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`
  return `#!/bin/sh\n${mark}\nsite=${quote(site)}\n` +
    `exec ${quote(program)} compat --dir "\${GRIDNODE_DIR:-$site}" --as ${as} -- "$@"\n`
}

function write(path: string, text: string): void {
  const part = `${path}.${process.pid}`
  writeFileSync(part, text)
  chmodSync(part, 0o755)
  renameSync(part, path)
}

async function runAs(context: Context, as: string, args: readonly string[]): Promise<number> {
  const [flavour = '', name = ''] = as.split('/')
  const set = flavour === 'own' ? ownSet
    : Object.hasOwn(commandSets, flavour) ? commandSets[flavour as Flavour] : {}
  const load = Object.hasOwn(set, name) ? set[name] : undefined
  if (!load) throw usageFailure(`--as: there is no command '${as}'; make the folder anew`)
  try {
    return await (await load())(context, args)
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error
    // In the words of the command that was called.
    const own = error.code === 'not_found' || error.message.startsWith(name)
    await context.terminal.err.write(`${own ? '' : `${name}: error: `}${error.message}\n`)
    return error.exitCode
  }
}
