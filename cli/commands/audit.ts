// `gridnode audit`: reads the ledger of another site live, through this site's node, and checks it
// as `gridnode verify` checks exports: what comes through the node is not believed either.
//
// The two heads are not of one moment: this site's own is read first. So whatever it had received
// from the other by then must be in the other's log, and what the other has received from this site
// may be newer than the head of our own log, and proves nothing.

import type {
  LedgerNote, NodeInfo, PairAnswer, PeerRow, ReceiptAnswer,
} from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import type { Client } from '../client.ts'
import type { Command, Context } from '../command.ts'
import { CommandFailure, failure, usageFailure } from '../failure.ts'
import { jsonText, plural } from '../output.ts'
import type { LightReport } from '../verify/light-audit.ts'
import { lightAudit } from '../verify/light-audit.ts'
import type { LogFiles } from '../verify/log-files.ts'
import type { VerifyReport } from '../verify/verify.ts'
import { checkLogs } from './verify.ts'

export const audit: Command = {
  usage: ['[options] SITE'],
  about:
    "Reads SITE's ledger from its node, as it is now, and checks it like 'gridnode verify', " +
    "together with this site's own: what the two said to each other must stand in both.",
  options: {
    alone: { kind: 'flag', help: "without this site's own ledger" },
    light: {
      kind: 'flag', help: 'only what the two have said to each other since they reconciled last',
    },
  },
  examples: [
    ['gridnode audit b.example', "b.example's ledger, and ours against it"],
    ['gridnode audit --alone b.example', 'by itself'],
    ['gridnode audit --light b.example', 'what is new between the two, in a moment'],
  ],
  notes: 'Exit codes: 0 all holds, 1 something does not hold, 2 the site shows no ledger.',
  run: runAudit,
}

const lightMsMax = 600_000

async function runAudit(context: Context): Promise<number> {
  const { args } = context
  const [site, ...more] = args.words
  if (site === undefined || more.length > 0) throw usageFailure('expected the name of one site')
  const client = context.client()
  const { site: own } = await client.get<NodeInfo>(apiPaths.info)
  const peers = await client.get<readonly PeerRow[]>(apiPaths.peers)
  const members = [own, ...peers.map((peer) => peer.site)]
  if (!members.includes(site)) {
    throw failure('not_found',
      `'${site}' is no site of this federation; its sites are: ${members.join(', ')}`)
  }
  if (args.flag('light')) {
    if (site === own) throw usageFailure('--light compares this site with another one')
    return auditLightly(context, { own: own as SiteName, site: site as SiteName })
  }
  const sites = args.flag('alone') || site === own ? [site] : [own, site]
  return checkLogs(
    context,
    (signal) => Promise.resolve(sites.map((each) => siteFiles(client, each, signal))),
    { judge: (report) => (sites.length > 1 ? withoutNewer(report, own) : report) },
  )
}

async function auditLightly(
  { client, terminal, json }: Context,
  { own, site }: { readonly own: SiteName, readonly site: SiteName },
): Promise<number> {
  const api = client()
  const pair = await api.get<PairAnswer>(apiPaths.ledgerPair(site))
  const report = await lightAudit({
    pair: { ...pair, own, site },
    own: (from) => api.lines<LedgerNote>(apiPaths.ledgerNotes, { from }),
    files: siteFiles(api, site, AbortSignal.timeout(lightMsMax)),
    receipt: (sid) => api.get<ReceiptAnswer>(apiPaths.ledgerReceipt, { entry: sid })
      .then(({ proof }) => proof, (error: unknown) => {
        if (error instanceof CommandFailure && error.code === 'not_found') return undefined
        throw error
      }),
  })
  await terminal.out.write(json ? jsonText(report) : lightText(report))
  return report.verdict === 'holds' ? 0 : report.verdict === 'broken' ? 1 : 2
}

function lightText(report: LightReport): string {
  const { site, size, read, compared, underWay, receipts, linked, since, findings } = report
  const from = since === undefined ? 'from the beginning: the two have never reconciled'
    : `since the reconciliation at entry ${since} here`
  const lines = [
    `${site}: ${report.verdict}, ${from}`,
    `  ${plural(compared, 'statement')} in both logs, ${underWay} under way, `
      + `${plural(receipts, 'receipt')} compared`,
    `  ${read} of its ${plural(size, 'entry', 'entries')} read; its head `
      + (linked ? 'continues the one that this site has cosigned'
        : 'was not compared: this site holds none of it'),
    ...findings.map((finding) => `  ${finding}`),
  ]
  return `${lines.join('\n')}\n`
}

/** A site's log, each file read when it is asked for. */
function siteFiles(client: Client, site: string, signal: AbortSignal): LogFiles {
  return {
    name: `${site} (live)`,
    async read(path, bytesMax) {
      const parts: Uint8Array[] = []
      let size = 0
      try {
        for await (const part of client.bytes(apiPaths.siteLogFile(site), { path }, signal)) {
          parts.push(part)
          size += part.length
          if (size > bytesMax) break
        }
      } catch (error) {
        if (error instanceof CommandFailure && error.code === 'not_found') return undefined
        throw error
      }
      return Buffer.concat(parts).subarray(0, bytesMax + 1)
    },
  }
}

/** Leaves out that our own log lacks what the other has of us: its head is the older one. */
function withoutNewer(report: VerifyReport, own: string): VerifyReport {
  const isNewer = ({ site, index, rule }: VerifyReport['findings'][number]): boolean =>
    site === own && index === undefined && rule === 'I3'
  const findings = report.findings.filter((finding) => !isNewer(finding))
  const left = report.findings.length - findings.length
  if (left === 0) return report
  const clean = findings.length + report.findingsMore === 0 && report.verdict === 'broken'
  const verdict = clean ? (report.unusable.length > 0 ? 'unusable' : 'holds') : report.verdict
  const note = `${plural(left, 'comparison')} left out: the other ledger was read a moment later `
    + 'and has newer statements of this site'
  return { ...report, verdict, findings, notes: [...report.notes, note] }
}
