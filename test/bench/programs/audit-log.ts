// One audit in a process of its own. Prints one line of JSON: entries, seconds, and the most memory
// that the process has had, in MiB.

import { findLogs } from '../../../cli/verify/log-files.ts'
import { verifyLogs } from '../../../cli/verify/verify.ts'

const begin = process.hrtime.bigint()
const report = await verifyLogs(await findLogs(process.argv.slice(2)))
const seconds = Number(process.hrtime.bigint() - begin) / 1e9
if (report.verdict !== 'holds') throw new Error(`the bench's own log: ${report.verdict}`)
const entries = report.logs.reduce((sum, log) => sum + log.entries, 0)
const peakMib = Math.round(process.resourceUsage().maxRSS / 1024)
console.log(JSON.stringify({ entries, seconds, peakMib }))
