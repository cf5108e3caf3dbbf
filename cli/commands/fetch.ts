// `gridnode fetch`: brings the results of a job into a directory.

import type { ResultFile } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { formatBytes } from '../../protocol/base/units.ts'
import type { Command, Context } from '../command.ts'
import { exitCodes, usageFailure } from '../failure.ts'
import { fetchResults } from '../fetch-results.ts'
import { homeOf } from '../job-home.ts'
import { jsonText, plural, table } from '../output.ts'

export const fetch: Command = {
  usage: ['[options] JOB [DIR]'],
  about:
    'Writes the results of a job that are at this node into DIR (default: a directory named by ' +
    'the id). Those of an array lie in a directory a task. Standard output and error are stdout ' +
    'and stderr, or where the script of a scheduler puts them.',
  options: {
    list: { kind: 'flag', short: 'l', help: 'only list the files' },
    force: { kind: 'flag', short: 'f', help: 'overwrite files that are there' },
  },
  examples: [
    ['gridnode fetch 3f2a', 'into ./3f2a91c0b7d4'],
    ['gridnode fetch 3f2a results', 'into ./results'],
    ['gridnode fetch --list 3f2a', 'what there is'],
  ],
  run: runFetch,
}

async function runFetch(asked: Context): Promise<number> {
  const { args, terminal, json } = asked
  const [word, into, ...more] = args.words
  if (more.length > 0) throw usageFailure(`expected JOB and DIR, got ${args.words.join(' ')}`)
  const { job, detail, context } = await homeOf(asked, word)
  if (args.flag('list')) return listResults(context, job)
  const target = into ?? job
  const fetched = await fetchResults(context, { detail, into: target, force: args.flag('force') })
  const text = fetched.files === 0
    ? `job ${job} has no results here yet; '${context.suggest('status', job)}' says why\n`
    : `${plural(fetched.files, 'file')}, ${formatBytes(fetched.sizeBytes)}, in ${target}\n`
  await terminal.out.write(json ? jsonText({ job, ...fetched }) : text)
  return exitCodes.done
}

async function listResults(context: Context, job: string): Promise<number> {
  const { terminal, json, style } = context
  const files = await context.client().get<readonly ResultFile[]>(apiPaths.results(job))
  const text = files.length === 0
    ? 'no results are here yet\n'
    : table(
      [{ title: 'SIZE', align: 'right' }, { title: 'FILE', shrinkTo: 30 }],
      files.map(({ path, sizeBytes, executable }) =>
        [formatBytes(sizeBytes), `${path}${executable ? '*' : ''}`]),
      { width: terminal.out.columns(), style },
    )
  await terminal.out.write(json ? jsonText(files) : text)
  return exitCodes.done
}
