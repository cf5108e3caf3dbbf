// The log of a running site as others get it: over HTTP, by `gridnode audit` through another node,
// and as an export that is continued; before and after a restart.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LogFiles } from '../../cli/verify/log-files.ts'
import { directoryFiles } from '../../cli/verify/log-files.ts'
import type { VerifyReport } from '../../cli/verify/verify.ts'
import { verifyLogs } from '../../cli/verify/verify.ts'
import type { ExportAnswer, LedgerSummary } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { markName } from '../../node/store/mark.ts'
import { assert, suite } from '../harness.ts'
import { gridnode } from './command.ts'
import { openFederation } from './federation.ts'
import type { Site } from './site.ts'
import { freePort } from './site.ts'

const t = suite('the log of a running site')

function overHttp(port: number): LogFiles {
  return {
    name: `port ${port}`,
    async read(path, bytesMax) {
      const answer = await fetch(`http://127.0.0.1:${port}/${path}`)
      const bytes = new Uint8Array(await answer.arrayBuffer())
      return answer.ok ? bytes.subarray(0, bytesMax + 1) : undefined
    },
  }
}

function marked({ directory }: Site): number {
  const mark = JSON.parse(readFileSync(join(directory, markName), 'utf8')) as { size: number }
  return mark.size
}

t('HTTP, audit and export all show the log that the mark stands for', async (ctx) => {
  const port = await freePort()
  const { sites: [a, b], directory } = await openFederation(ctx, {
    sites: [{ name: 'a.example', set: { 'ledger.listen': `"127.0.0.1:${port}"` } },
      { name: 'b.example' }],
  })
  assert.ok(a && b)
  const entriesOf = async (site: Site): Promise<number> =>
    (await site.client.get<LedgerSummary>(apiPaths.ledger)).entries
  const grant = (credits: number): Promise<unknown> =>
    a.client.post(apiPaths.credit, { site: b.name, limit: `${credits}000000` })

  const least = await entriesOf(a)
  const served = await verifyLogs([overHttp(port)])
  assert.equal([served.verdict, served.findings], ['holds', []])
  const { entries } = served.logs[0]!
  assert.ok(entries >= least && marked(a) >= entries && await entriesOf(a) >= marked(a))

  const audited = async (): Promise<VerifyReport> => {
    const ran = await gridnode('audit', '--json', '--dir', b.directory, a.name)
    const report = JSON.parse(ran.out) as VerifyReport
    assert.equal([ran.code, report.findings], [0, []], ran.err)
    return report
  }
  const first = await audited()
  assert.equal(first.logs.map(({ site }) => site), [b.name, a.name])

  const target = join(directory, 'mirror')
  const mirror = async (): Promise<number> => {
    const answer = await a.client.post<ExportAnswer>(apiPaths.ledgerExport, { directory: target })
    const report = await verifyLogs([directoryFiles(target)])
    assert.equal([report.verdict, report.logs[0]?.entries], ['holds', answer.entries])
    return answer.entries
  }
  const before = await mirror()
  await grant(5)
  await grant(6)
  assert.ok(await mirror() >= before + 2)

  await a.kill()
  const away = await gridnode('audit', '--json', '--alone', '--dir', b.directory, a.name)
  assert.equal([away.code, away.out], [1, ''])
  assert.match(away.err, '"code":"peer_down"')
  await a.start()
  assert.ok(await mirror() >= before + 2)
  const again = await verifyLogs([overHttp(port), directoryFiles(target)])
  assert.equal([again.verdict, again.findings], ['holds', []])
  assert.ok(marked(a) >= before + 2 && await entriesOf(a) >= marked(a))
}, { timeoutSeconds: 240 })
