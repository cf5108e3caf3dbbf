// `gridnode ledger snapshot`, `prune`, `digest` and `documents`: what a site keeps about its log
// and shows to whom it wants.

import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type {
  DigestAnswer, DocumentsAnswer, PruneAnswer, SnapshotAnswer,
} from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { parseDurationSeconds } from '../../protocol/base/units.ts'
import { readDigestRecord } from '../../protocol/rules/digest.ts'
import { formatDocument } from '../../protocol/rules/audit-documents.ts'
import type { Hash } from '../../protocol/base/ids.ts'
import type { Context } from '../command.ts'
import { exitCodes, failure, usageFailure } from '../failure.ts'
import { jobWord } from '../job-word.ts'
import { jsonText, plural, table } from '../output.ts'

export async function snapshot({ client, terminal, json }: Context): Promise<number> {
  const answer = await client().post<SnapshotAnswer>(apiPaths.ledgerSnapshot, {})
  await terminal.out.write(json ? jsonText(answer)
    : `the state after ${plural(answer.size, 'entry', 'entries')} is\n  ${answer.state}\n`
      + `  statement ${answer.sid}\n`)
  return exitCodes.done
}

export async function prune(context: Context): Promise<number> {
  const { args, terminal, json } = context
  const below = args.value('below') ?? ''
  if (!/^[0-9]{1,15}$/.test(below)) {
    throw usageFailure('expected --below INDEX: the first entry that is to stay')
  }
  const mirrors = args.list('mirror').map((each) => resolve(terminal.cwd, each))
  if (mirrors.length < 2) throw usageFailure('expected --mirror DIR twice: exports of this ledger')
  const retention = args.value('retention')
  const seconds = retention === undefined ? undefined : parseDurationSeconds(retention)
  if (retention !== undefined && seconds === undefined) {
    throw usageFailure(`--retention: expected a duration such as 3650d, got '${retention}'`)
  }
  const answer = await context.client().post<PruneAnswer>(apiPaths.ledgerPrune, {
    below: Number(below), mirrors, ...(seconds !== undefined && { retention_seconds: seconds }),
  })
  await terminal.out.write(json ? jsonText(answer)
    : `entries below ${answer.below} are dropped; the mirrors have them\n`)
  return exitCodes.done
}

export async function digest(context: Context, word: string): Promise<number> {
  const { terminal, json, style } = context
  const day = dayNumber(word)
  const answer = await context.client().get<DigestAnswer>(apiPaths.ledgerDigest, { day })
  if (json) {
    // Lines of a file of documents: `gridnode verify --documents`.
    for (const line of digestLines(answer)) await terminal.out.write(`${line}\n`)
    return exitCodes.done
  }
  const rows = answer.records.flatMap(({ record }) => {
    const read = readDigestRecord(record)
    if (!read.ok) return []
    const { job, user, task, cores, core_s, how, exit_code } = read.value
    return [[job, user, String(task), String(cores), String(core_s), `${how} ${exit_code}`]]
  })
  await terminal.out.write(`${plural(answer.count, 'local task')} on ${dayText(answer.day)}, root\n`
    + `  ${answer.root}\n  statement ${answer.sid}\n\n${table(
      [
        { title: 'JOB' }, { title: 'USER', shrinkTo: 8 }, { title: 'TASK', align: 'right' },
        { title: 'CORES', align: 'right' }, { title: 'CORE SECONDS', align: 'right' },
        { title: 'END' },
      ],
      rows, { width: terminal.out.columns(), style },
    )}`)
  return exitCodes.done
}

function digestLines({ day, count, root, records }: DigestAnswer): string[] {
  return records.flatMap(({ record, proof }, index) => {
    const read = readDigestRecord(record)
    return read.ok ? [formatDocument({
      kind: 'digest', day, count, index, record: read.value, proof, root: root as Hash,
    })] : []
  })
}

/** `2025-11-20`, or days since 1970. */
function dayNumber(word: string): number {
  if (/^[0-9]{1,6}$/.test(word)) return Number(word)
  const epochMs = /^\d{4}-\d{2}-\d{2}$/.test(word) ? Date.parse(`${word}T00:00:00Z`) : Number.NaN
  if (Number.isSafeInteger(epochMs) && epochMs >= 0) return epochMs / 86_400_000
  throw usageFailure(`expected a day such as 2025-11-20, in UTC, got '${word}'`)
}

function dayText(day: number): string {
  return new Date(day * 86_400_000).toISOString().slice(0, 10)
}

export async function documents(context: Context, word: string): Promise<number> {
  const { args, terminal, json } = context
  const job = jobWord(word)
  const answer = await context.client().get<DocumentsAnswer>(apiPaths.ledgerDocuments, { job })
  const out = args.value('out')
  const text = answer.lines.map((line) => `${line}\n`).join('')
  if (out !== undefined) {
    await writeFile(resolve(terminal.cwd, out), text, { flag: 'wx', mode: 0o600 })
      .catch((cause: unknown) => {
        const why = cause instanceof Error ? cause.message : String(cause)
        throw failure('exists', `${out} cannot be written: ${why}; name a file that does not exist`)
      })
  }
  if (json) await terminal.out.write(jsonText(answer))
  else if (out === undefined) await terminal.out.write(text)
  else {
    await terminal.out.write(`${plural(answer.lines.length, 'document')} written to ${out}; `
      + `whoever gets it can check it with: gridnode verify --documents ${out} DIR\n`)
  }
  for (const missing of answer.missing) await terminal.err.write(`${missing}\n`)
  return exitCodes.done
}
