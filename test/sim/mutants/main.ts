// How good the simulator is at finding bugs: each planted one is hunted by the seeds 1, 2, 3, …
//
//   node test/sim/mutants/main.ts            all of them; a table in Markdown
//   node test/sim/mutants/main.ts NAME…      these
//   --seeds N                                up to N seeds each, instead of what is stated

import { parseArgs } from 'node:util'
import { hunt } from './hunt.ts'
import { mutants } from './planted.ts'

const { values, positionals } = parseArgs({
  options: { seeds: { type: 'string' } },
  allowPositionals: true,
})
const unknown = positionals.filter((name) => !mutants.some((one) => one.name === name))
if (unknown.length > 0) {
  throw new Error(`no mutant is called ${unknown.join(', ')}; there are: ` +
    mutants.map(({ name }) => name).join(', '))
}
const wanted = mutants.filter(({ name }) =>
  positionals.length === 0 || positionals.includes(name))

console.log('| planted bug | what it does | kind of run | found by | seeds | seconds |')
console.log('|---|---|---|---|---|---|')
let missed = 0
for (const mutant of wanted) {
  const most = values.seeds === undefined ? mutant.within : Number(values.seeds)
  const { found, seconds } = await hunt(mutant, Array.from({ length: most }, (_, at) => at + 1))
  if (!found) missed++
  const how = found ? `${found.law} | ${found.tried}` : `nothing | more than ${most}`
  const { name, says, kind = 'any' } = mutant
  console.log(`| \`${name}\` | ${says} | ${kind} | ${how} | ${seconds.toFixed(1)} |`)
}
console.log(`\n${wanted.length - missed} of ${wanted.length} found`)
process.exitCode = missed > 0 ? 1 : 0
