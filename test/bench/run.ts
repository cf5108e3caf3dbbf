// `npm run bench`: every benchmark, or those named. Prints ratios taken in one run; asserts
// nothing.

import { availableParallelism, cpus } from 'node:os'
import type { Figure } from './figures.ts'
import { printFigures } from './figures.ts'

const benches: Readonly<Record<string, () => Promise<Figure[]>>> = {
  ledger: async () => (await import('./ledger.ts')).ledgerFigures(),
  audit: async () => (await import('./audit.ts')).auditFigures(),
  'audit-memory': async () => (await import('./audit.ts')).auditMemoryFigures(),
  staging: async () => (await import('./staging.ts')).stagingFigures(),
  submit: async () => (await import('./submit.ts')).submitFigures(),
  'image-slurm': async () => (await import('./image-slurm.ts')).imageSlurmFigures(),
  arrays: async () => (await import('./arrays.ts')).arrayFigures(),
  image: async () => (await import('./image.ts')).imageFigures(),
}

const named = process.argv.slice(2)
const unknown = named.filter((name) => !Object.hasOwn(benches, name))
if (unknown.length > 0) {
  console.error(`no bench ${unknown.join(', ')}; there are ${Object.keys(benches).join(', ')}`)
  process.exit(2)
}
const cpu = cpus()[0]?.model ?? 'unknown'
console.log(`on ${availableParallelism()} cores, ${cpu}, Node ${process.version}`)
console.log('ratio: above 1 gridnode is faster; medians of paired rounds (range)\n')
const figures: Figure[] = []
for (const name of named.length > 0 ? named : Object.keys(benches)) {
  figures.push(...await benches[name]!())
}
printFigures(figures)
