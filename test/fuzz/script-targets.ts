// Scripts and command lines of the schedulers, and the patterns of their output files: whatever is
// in them is read or refused, in bounds.

import { limits } from '../../protocol/base/limits.ts'
import { dialects } from '../../protocol/rules/dialect.ts'
import {
  describeFault, readArguments, readDirectives,
} from '../../protocol/rules/directives.ts'
import { layoutFault } from '../../protocol/rules/layout.ts'
import { streamPaths } from '../../protocol/rules/output-paths.ts'
import { demand } from './demand.ts'
import type { Target } from './target.ts'

const script = `#!/bin/sh
#SBATCH --job-name=x -c 4 --mem=4G -t 1-2:03:04
#SBATCH --array=0-15:2%4
#GRID --in=a.txt=b.txt --out 'res*/**' --env A=1 --env B
#GRID --sites a.example,b.example --budget "1.5 cr" --policy=soonest
#GRID --require='cores_total >= 4' --start-within 1h --walltime=1:00:00
#PBS -l nodes=1
echo hello
#GRID --cores=9
`

export const scriptTargets: readonly Target[] = [
  {
    name: 'scripts',
    cost: 4,
    seeds: () => [script, '#!/bin/sh\n', '#!/bin/bash\n#SBATCH -Hv\n#GRID --array=1,3,5-9\nls\n',
      '#!/bin/sh\n#GRID --in=a --in=b --env=C=1 --env=D\n#SBATCH --export=A,B=2\n',
      '#!/bin/sh\n#SBATCH -N 2-4 -n 9 --gres=gpu:v100:2\n#SBATCH hetjob\n#SBATCH -B 2:10\n',
      '#PBS -l select=2:ncpus=4:mem=8gb+1:ncpus=16,walltime=1:0:0 -J 1-9:2%3\n' +
      '#PBS -W depend=afterok:1\n',
      '#PBS -t 0-4,9%2 # c\n#PBS -l nodes=2:ppn=4+1:ppn=8#shared,mem=32gb -v "A=1,B"\n',
      '#BSUB -J "a[1-9:2]%3" -n 4,8 -R "select[mem>4] rusage[mem=4:lic=1]" # c\nls\n' +
      '#BSUB -w "done(1) && ended(b)" -M 4GB -W 1:30 -gpu num=2:mode=shared -b 6:12:20:30\n',
      '#BSUB -R "1*{span[hosts=1]} + 8*{rusage[mem=1] affinity[core(2)]}"\n',
      '#$ -pe smp 4-8 -l h_vmem=1.5G,h_rt=1:0:0 -t 1-9:2 -tc 3\nls\n#$ -soft -l a=1\n'],
    check(input) {
      const asked = [undefined, ...dialects]
      for (const dialect of asked) {
        const read = readDirectives(input, { dialect })
        if (read.ok) {
          const { chunks, cores = 1, memoryMib = 1, walltimeSeconds = 1 } = read.value.options
          for (const count of [cores, memoryMib, walltimeSeconds]) {
            demand(Number.isSafeInteger(count) && count >= 1, `a count: ${count}`)
          }
          demand(chunks === undefined || layoutFault(chunks) === undefined, 'chunks that fit')
          continue
        }
        demand(read.refusal.faults.length > 0, 'a fault')
        for (const fault of read.refusal.faults.slice(0, 100)) {
          demand(fault.line >= 0 && describeFault(fault) !== '', 'a line')
        }
      }
    },
  },
  {
    name: 'command lines of schedulers',
    cost: 2,
    seeds: () => ['-J a --export=ALL,B=1 --wrap=ls', '-V -b y -terse -cwd -N a -hard -l vf=1G ls',
      '-S /bin/sh -V -N a -v \u0000 -l mem=4gb,nodes=1:ppn=2 x',
      '-cwd . -J a -R rusage[mem=1] -n 2 ls',
      '-N 2 -- ls -l', '-d afterok:1:2?afterany:3 -b now+1hour job.sh a b'],
    check(input) {
      const args = input.split(' ').slice(0, 2_000)
      for (const dialect of dialects) {
        const read = readArguments(dialect, args)
        if (read.ok) demand(read.value.operands.length <= args.length, 'no more words')
        else demand(read.refusal.faults.length > 0, 'a fault')
      }
    },
  },
  {
    name: 'output files',
    cost: 1,
    seeds: () => ['logs/%x_%4a-%A.%u', '$JOB_NAME.$JOB_ID.$TASK_ID', '%J_%I', 'o.^array_index^',
      '../x'],
    check(text) {
      const input = text.slice(0, limits.pathBytes)
      for (const dialect of dialects) {
        const paths = streamPaths({
          dialect, job: '3f2a91c0b7d4', name: input.slice(0, 40), user: 'a', array: true,
          out: input, error: '', join: false,
        }, { task: 7, site: 'b.example' })
        const inside = (path = 'x'): boolean =>
          !path.startsWith('/') && !path.split('/').includes('..') && path !== ''
        demand(inside(paths.out) && inside(paths.error), 'a path inside')
      }
    },
  },
]
