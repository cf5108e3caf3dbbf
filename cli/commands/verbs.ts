// `gridnode hold`, `release`, `suspend`, `resume`, `requeue`, `signal` and `move`: requests signed
// by the job's owner, from any node of the federation.

import { signalNames } from '../../protocol/rules/request.ts'
import type { JobRequest, Verb } from '../../protocol/rules/request.ts'
import { parseSiteName } from '../../protocol/base/ids.ts'
import { nearest } from '../../protocol/base/nearest.ts'
import type { Command } from '../command.ts'
import { usageFailure } from '../failure.ts'
import { filterOptions, runVerb, verbOptions } from '../verb-command.ts'

const jobsUsage = ['[options] JOB...', '[options] --name NAME']
const jobNotes = 'JOB is an id or the first 4 or more digits of one, with tasks behind it as in ' +
  '3f2a[3-5] and, where its home is another site, that as in 3f2a@b.example. Exit code 1 when ' +
  'something was refused.'

function plain(
  verb: Verb, about: string, examples: Command['examples'],
): Command {
  return {
    usage: jobsUsage,
    about,
    options: { ...filterOptions, ...verbOptions },
    examples,
    notes: jobNotes,
    run: (context) => runVerb(context, verb, context.args.words),
  }
}

export const hold = plain(
  'hold',
  'Keeps tasks from being started: what waits is not placed, what waits in the queue of a site ' +
    'is held there. What runs, runs on.',
  [
    ['gridnode hold 3f2a', 'all of a job'],
    ['gridnode hold 3f2a[10-19]', 'some tasks of an array'],
  ],
)

export const release = plain(
  'release', 'Takes a hold back, or that of gridnode submit --hold.',
  [['gridnode release 3f2a', 'all that is held of it']],
)

export const suspend = plain(
  'suspend',
  'Stops running tasks where they are, until resume. They keep their slots and are charged for; ' +
    'their walltime may run on, which depends on the scheduler.',
  [['gridnode suspend 3f2a[7]', 'one task']],
)

export const resume = plain(
  'resume', 'Lets suspended tasks go on.', [['gridnode resume 3f2a[7]', 'one task']],
)

export const requeue = plain(
  'requeue',
  'Ends tasks at their sites and places them again; what they ran is charged, what they wrote is ' +
    'lost. Their sites may be the same ones: see move.',
  [['gridnode requeue 3f2a[7]', 'start one task anew']],
)

export const signal: Command = {
  usage: ['[options] NAME JOB...'],
  about:
    'Sends a signal to every process of the running tasks, each process once at most; the name ' +
    'is with or without SIG.',
  options: { ...filterOptions, ...verbOptions },
  examples: [
    ['gridnode signal USR1 3f2a', 'to every running task'],
    ['gridnode signal TERM 3f2a[7]', 'to one'],
  ],
  notes: jobNotes,
  run(context) {
    const [name = '', ...jobs] = context.args.words
    return runVerb(context, 'signal', jobs, { signal: signalWord(name) })
  },
}

function signalWord(name: string): NonNullable<JobRequest['signal']> {
  const wanted = name.toUpperCase().replace(/^SIG/, '')
  const found = signalNames.find((one) => one === wanted)
  if (found !== undefined) return found
  const near = nearest(wanted, signalNames)
  const hint = near === undefined ? signalNames.join(', ') : `did you mean ${near}?`
  throw usageFailure(`expected the name of a signal before the jobs, got '${name}'; ${hint}`)
}

export const move: Command = {
  usage: ['[options] JOB...'],
  about:
    'Takes tasks away from where they are and places them at other sites: at those of --to, or ' +
    'anywhere else. What ran is charged. The rest of the job goes there, too, from then on.',
  options: {
    to: { kind: 'list', value: 'SITE', help: 'only these sites from now on (more than once)' },
    ...filterOptions,
    ...verbOptions,
  },
  examples: [
    ['gridnode move 3f2a', 'away from where it is'],
    ['gridnode move 3f2a[7] --to b.example', 'one task to a site'],
  ],
  notes: jobNotes,
  run(context) {
    const sites = context.args.list('to').flatMap((word) => word.split(',')).map((word) => {
      const site = parseSiteName(word)
      if (site) return site
      throw usageFailure(`--to: expected the name of a site, got '${word}'`)
    })
    return runVerb(context, 'move', context.args.words, { sites })
  },
}
