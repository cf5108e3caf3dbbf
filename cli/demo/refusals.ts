// Jobs that not every site can take: who refuses and why, and what becomes of a job that nobody can
// run.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sha256Hex } from '../../protocol/base/crypto.ts'
import type { WhyAnswer } from '../../node/http/api.ts'
import { auctionOver } from './auction.ts'
import type { Parts } from './federation.ts'
import { home } from './federation.ts'

const sampleBytes = 16 * 2 ** 20

/** Gives the jobs that cost something. */
export async function showRefusals(parts: Parts): Promise<string[]> {
  const { screen } = parts
  await screen.section('Refusals')
  const paid = await showBigJob(parts)
  await showImpossibleJob(parts)
  return [paid]
}

async function showBigJob(parts: Parts): Promise<string> {
  const { screen, visitor, directory } = parts
  writeSample(join(directory, 'sample.txt'))
  await screen.say(
    'Now a job with 16 MiB of input that asks for 1.5 GiB of memory: more memory than alder has, ' +
      'and more input than the spool of cedar takes. With --wait the command stays and tells:',
  )
  await screen.line()
  await visitor.type(home, [
    'submit', '--memory', '1536MiB', '--walltime', '2m', '--in', 'sample.txt', '--fetch', 'digest',
    '--', 'sha256sum', 'sample.txt',
  ])
  await screen.line()
  const job = await visitor.newestJob(home)
  const { rounds } = await visitor.ask<WhyAnswer>(home, ['why', job])
  const rows = rounds[0]?.rows ?? []
  const refused = rows.filter(({ verdict }) => verdict !== 'bid').map(({ site }) => site)
  if (refused.length !== 2) throw new Error(`expected two refusals, got: ${refused.join(', ')}`)
  const said = readFileSync(join(directory, 'digest', 'stdout'), 'utf8')
  const expected = sha256Hex(readFileSync(join(directory, 'sample.txt')))
  if (said !== `${expected}  sample.txt\n`) throw new Error(`expected ${expected}, got ${said}`)
  await screen.check(`The digest that came back, ${expected.slice(0, 16)}..., is that of the file.`)
  return job
}

/** The texts over and over, in numbered lines, so that no two parts of it are the same. */
function writeSample(path: string): void {
  const texts = join(path, '..', 'job', 'texts')
  const lines = readdirSync(texts).toSorted((a, b) => (a < b ? -1 : 1))
    .flatMap((name) => readFileSync(join(texts, name), 'utf8').split('\n'))
  const parts: string[] = []
  let size = 0
  for (let number = 0; size < sampleBytes; number++) {
    const line = `${number} ${lines[number % lines.length]}\n`
    parts.push(line)
    size += line.length
  }
  writeFileSync(path, parts.join('').slice(0, sampleBytes))
}

async function showImpossibleJob(parts: Parts): Promise<void> {
  const { screen, visitor } = parts
  await screen.line()
  await screen.say(
    'And one that nobody can run. It waits, because a site that can may join; until then it says ' +
      'what it waits for.',
  )
  await screen.line()
  await visitor.type(home, ['submit', '--cores', '64', '--', 'true'])
  await screen.line()
  const job = await visitor.newestJob(home)
  await auctionOver(parts, job)
  await visitor.type(home, ['why', job])
  await screen.line()
  await visitor.type(home, ['cancel', job])
}
