// What the demo shows, section by section. Everything a person could type is typed; what is said
// about it is checked.

import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { JobDetail } from '../../node/http/api.ts'
import { endedText } from '../job-text.ts'
import { bar } from '../progress.ts'
import { auctionOver } from './auction.ts'
import { showAccounts, showVerification } from './books.ts'
import type { Parts } from './federation.ts'
import { home, openFederation } from './federation.ts'
import { followJob } from './live.ts'
import { showRefusals } from './refusals.ts'
import { checkResults, merge, ranked, total } from './words.ts'

const jobFiles = fileURLToPath(new URL('./job/', import.meta.url))
const topWords = 8

export async function runTour(parts: Parts, keep: boolean): Promise<void> {
  await showSites(parts)
  const job = await submitWordcount(parts)
  await showAuction(parts, job)
  const detail = await showRun(parts, job)
  await showResults(parts, detail)
  const others = await showRefusals(parts)
  await showAccounts(parts, [job, ...others])
  await showVerification(parts, keep)
}

async function showSites(parts: Parts): Promise<void> {
  const { screen, visitor } = parts
  await screen.section('Three sites')
  await screen.say(
    'Each of the three nodes stands for a cluster with an administrator of its own: a process ' +
      'with its own data directory, keys and ledger, and no master above them. They talk over ' +
      'TCP (here on loopback) and run jobs with the embedded executor.',
  )
  await screen.line()
  await openFederation(parts)
  await screen.line()
  await screen.say(
    `Every site tells the others what it has and what it asks for. This is what ${home} (marked ` +
      '*) has heard; prices are credits for an hour of a core:',
  )
  await screen.line()
  await visitor.type(home, ['offers'])
}

async function submitWordcount(parts: Parts): Promise<string> {
  const { screen, visitor, directory } = parts
  cpSync(jobFiles, join(directory, 'job'), { recursive: true })
  await screen.section('A job')
  await screen.say(
    'An array of ten tasks: each counts the words of one text and sorts them. The script says ' +
      'what it needs; all texts travel with it.',
  )
  await screen.line()
  const script = readFileSync(join(directory, 'job', 'wordcount.sh'), 'utf8')
  for (const line of script.split('\n').filter((one) => one.startsWith('#'))) {
    if (line !== '#') await screen.line(`  ${screen.style.dim(line)}`)
  }
  await screen.line()
  await visitor.type(home, ['submit', 'job/wordcount.sh'])
  return visitor.newestJob(home)
}

async function showAuction(parts: Parts, job: string): Promise<void> {
  const { screen, visitor } = parts
  await screen.section('The auction')
  await screen.say(
    `${home} asks the sites that fit for firm bids, ranks them by the job's policy (balanced: ` +
      'price and time) and awards tasks. Runs at home cost nothing. Every other site decides for ' +
      'itself whether it bids and what it asks, and says why if it does not.',
  )
  await screen.line()
  await auctionOver(parts, job)
  await visitor.type(home, ['why', job])
}

async function showRun(parts: Parts, job: string): Promise<JobDetail> {
  const { screen, visitor, signal } = parts
  await screen.section('The run')
  await screen.say(
    'Inputs go to the winners, tasks run there, their output appears here as it is written, and ' +
      'results come back. One task more than there are cores waits in a queue for its turn.',
  )
  await screen.line()
  const summary = await followJob({ client: visitor.client(home), job, screen, signal })
  await screen.line()
  await screen.line(endedText(summary, screen.style))
  if (summary.state !== 'done') throw new Error(`job ${job} is ${summary.state}: ${summary.note}`)
  if (summary.sites.length < 2) throw new Error(`only ${summary.sites.join()} got work of ${job}`)
  return visitor.ask<JobDetail>(home, ['status', job])
}

async function showResults(parts: Parts, detail: JobDetail): Promise<void> {
  const { screen, visitor, directory } = parts
  await screen.section('The results')
  await visitor.type(home, ['fetch', detail.job, 'results'])
  await screen.line()
  const texts = join(directory, 'job', 'texts')
  const results = checkResults(texts, join(directory, 'results'))
  for (const [task, { name, counts }] of results.entries()) {
    const site = detail.taskRows.find((row) => row.task === task)?.site ?? ''
    const top = ranked(counts).slice(0, 3).map(([word, count]) => `${word} ${count}`).join(', ')
    await screen.line(`results/${task}/counts.txt  ${name.padEnd(16)}  ` +
      `${site.padEnd(6)} ${String(total(counts)).padStart(4)} words: ${top}`)
  }
  const all = merge(results.map(({ counts }) => counts))
  await screen.line()
  await screen.say(`The most frequent of ${total(all)} words, ${all.size} of them different:`)
  await screen.line()
  const rows = ranked(all).slice(0, topWords)
  const most = rows[0]?.[1] ?? 0
  for (const [word, count] of rows) {
    const drawn = bar(count, most, 44).replace(/[[\]-]/g, '')
    await screen.line(`  ${word.padEnd(8)} ${String(count).padStart(4)}  ` +
      screen.style.cyan(drawn))
  }
  await screen.line()
  await screen.check('The demo has counted the same texts itself: every number is the same.')
}
