// The ledgers a command reads: exports that verify, or the log of the local node. Either gives its
// statements one by one, so that memory does not grow with the log.
// Invariants: an export is read only after all of those given have verified against one another,
// and what is read afterwards must be what was verified: it has the root of the signed checkpoint.

import { resolve } from 'node:path'
import type { LedgerNote, LedgerSummary } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { fromHex, sameBytes } from '../../protocol/base/crypto.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import { parseSiteName } from '../../protocol/base/ids.ts'
import { append, emptyFrontier, root } from '../../protocol/base/merkle.ts'
import type { History, HistoryEvent, LoggedStatement } from '../../protocol/rules/ledger-history.ts'
import { openHistory } from '../../protocol/rules/ledger-history.ts'
import type { ParsedStatement } from '../../protocol/rules/statement.ts'
import { parseStatement } from '../../protocol/rules/statement.ts'
import type { Context } from '../command.ts'
import { CommandFailure, exitCodes, failure, usageFailure } from '../failure.ts'
import { bar, liveLine } from '../progress.ts'
import { bundlesOf } from '../verify/bundles.ts'
import type { LogFiles } from '../verify/log-files.ts'
import { findLogs } from '../verify/log-files.ts'
import type { LogReport, VerifyReport } from '../verify/verify.ts'
import { verifyLogs } from '../verify/verify.ts'

export interface Book {
  /** Whose log it is. */
  readonly site: SiteName
  /** How a person calls it: a directory, or the node. */
  readonly name: string
  readonly entries: number
  statements(signal: AbortSignal): AsyncIterable<LoggedStatement>
}

export interface Books {
  /** In order of the sites' names, one for each. */
  readonly books: readonly Book[]
  readonly origin: 'exports' | 'node'
}

/** The directories' exports when there are any, else the log of the local node. */
export async function openBooks(context: Context, directories: readonly string[]): Promise<Books> {
  return directories.length > 0
    ? { books: await exportedBooks(context, directories), origin: 'exports' }
    : { books: [await liveBook(context)], origin: 'node' }
}

/** Throws what the interrupt of the terminal makes of it: exit code 130. */
export async function interruptible<T>(
  context: Context, work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const stop = new AbortController()
  const undo = context.terminal.onInterrupt(() => stop.abort(new Error('interrupted')))
  try {
    return await work(stop.signal)
  } catch (error) {
    if (stop.signal.aborted) {
      throw new CommandFailure(exitCodes.interrupted, 'interrupted', 'interrupted')
    }
    throw error
  } finally {
    undo()
  }
}

/** Walks through a book; gives its history at the end. */
export async function walkBook(
  context: Context, book: Book, onEvent: (event: HistoryEvent, history: History) => void,
): Promise<{ readonly history: History, readonly members: ReadonlySet<SiteName> }> {
  const { terminal } = context
  const history = openHistory(book.site)
  const members = new Set<SiteName>()
  const line = liveLine(terminal.err, () => terminal.nowEpochMs())
  try {
    return await interruptible(context, async (signal) => {
      for await (const logged of book.statements(signal)) {
        const { statement, index } = logged
        if (statement.kind === 'genesis') members.add(statement.from)
        for (const event of history.take(logged)) onEvent(event, history)
        if (index % 256 === 0) {
          line.show(`${bar(index, book.entries, 26)} ${index} of ${book.entries} entries  ` +
            book.name)
        }
      }
      return { history, members }
    })
  } finally {
    line.clear()
  }
}

async function exportedBooks(context: Context, directories: readonly string[]): Promise<Book[]> {
  const { terminal } = context
  const inputs = await findLogs(directories.map((word) => resolve(terminal.cwd, word)))
  const line = liveLine(terminal.err, () => terminal.nowEpochMs())
  try {
    const report = await interruptible(context, (signal) => verifyLogs(inputs, {
      signal,
      onProgress: ({ path, entries, of }) =>
        line.show(`${bar(entries, of, 26)} ${entries} of ${of} entries verified  ${path}`),
    }))
    if (report.verdict !== 'holds') throw unverified(report, directories)
    const longest = new Map<SiteName, LogReport>()
    for (const log of report.logs) {
      if (log.entries > (longest.get(log.site)?.entries ?? 0)) longest.set(log.site, log)
    }
    return [...longest.values()].toSorted((a, b) => (a.site < b.site ? -1 : 1)).map((log) =>
      exportedBook(log, inputs.find(({ name }) => name === log.path) as LogFiles))
  } finally {
    line.clear()
  }
}

function unverified(report: VerifyReport, directories: readonly string[]): CommandFailure {
  const [finding] = report.findings
  const [unusable] = report.unusable
  const where = finding?.index === undefined ? '' : ` entry ${finding.index}`
  const what = finding
    ? `${finding.site}${where} [${finding.rule}] ${finding.detail} (${finding.path})`
    : unusable ? `${unusable.path} is no ledger: ${unusable.detail}` : 'there is no ledger'
  return failure('unverified', 'nothing is computed from ledgers that do not verify: ' +
    `${what}. 'gridnode verify ${directories.join(' ')}' tells all of it.`)
}

function exportedBook(log: LogReport, files: LogFiles): Book {
  return {
    site: log.site,
    name: log.path,
    entries: log.entries,
    async* statements(signal) {
      let frontier = emptyFrontier
      for await (const bundle of bundlesOf(files, log.entries)) {
        signal.throwIfAborted()
        if (bundle.kind === 'unreadable') {
          throw failure('incomplete', `${log.path}: ${bundle.detail}; accounts need every entry ` +
            'from the first on, so give an export that was not pruned')
        }
        for (const entry of bundle.entries) {
          const index = frontier.size
          frontier = append(frontier, entry).frontier
          yield logged(index, Buffer.from(entry).toString('utf8'))
        }
      }
      if (!sameBytes(root(frontier), fromHex(log.root) ?? new Uint8Array())) {
        throw failure('unverified', `${log.path} was changed while it was read; export it again`)
      }
    },
  }
}

async function liveBook(context: Context): Promise<Book> {
  const client = context.client()
  const { site: name, entries } = await client.get<LedgerSummary>(apiPaths.ledger)
  const site = parseSiteName(name)
  if (!site) throw new Error(`the node calls itself '${name}', which is no site's name`)
  return {
    site,
    name: `the node of ${site}`,
    entries,
    async* statements(signal) {
      const notes = client.lines<LedgerNote>(apiPaths.ledgerNotes, { from: 0 }, signal)
      for await (const { index, note } of notes) yield logged(index, note)
    },
  }
}

function logged(index: number, note: string): LoggedStatement {
  const parsed = parseStatement(note)
  if (!parsed.ok) throw failure('unverified', `entry ${index} is no statement this version knows`)
  const { sid, statement }: ParsedStatement = parsed.value
  return { index, sid, statement }
}

/** Whose eyes to look through: the site named by --as, or the only one there is. */
export function chooseBook(
  { books, origin }: Books,
  { as, other }: { readonly as: string | undefined, readonly other: SiteName | undefined },
): Book {
  const names = books.map(({ site }) => site).join(', ')
  if (as !== undefined) {
    const chosen = books.find(({ site }) => site === as)
    if (chosen) return chosen
    throw origin === 'node'
      ? usageFailure(`the node is that of ${names}; for ${as} give its export with --from DIR`)
      : usageFailure(`--as ${as}: its ledger was not given; given are those of ${names}`)
  }
  const [first, second] = books.filter(({ site }) => site !== other)
  if (first && !second) return first
  if (!first) {
    throw usageFailure(origin === 'node'
      ? `${other} is this site itself; expected another one`
      : `only the ledger of ${other} itself was given; expected that of another site, too`)
  }
  throw usageFailure(`ledgers of ${names} were given: say with --as SITE whose account it is`)
}

/** Throws a usage failure. */
export function siteWord(word: string | undefined): SiteName {
  const site = parseSiteName(word ?? '')
  if (site) return site
  throw usageFailure(`expected a site's name such as b.example, got ${
    word === undefined ? 'nothing' : `'${word}'`}`)
}

/** Throws a failure unless the federation has had that site, as far as the book tells. */
export function expectMember(site: SiteName, members: ReadonlySet<SiteName>, book: Book): void {
  if (members.has(site)) return
  throw failure('not_found', `the ledger of ${book.site} knows no site ${site}; known are ` +
    [...members].toSorted((a, b) => (a < b ? -1 : 1)).join(', '))
}
