// Scripts of PBS Pro, Torque and LSF: the traps in how their own programs read them.

import type { Dialect } from '../../protocol/rules/dialect.ts'
import { describeFault, readDirectives } from '../../protocol/rules/directives.ts'
import { assert, suite } from '../harness.ts'

const t = suite('scripts of PBS and LSF')

/** What is meant in short words, or the first fault. */
function meant(dialect: Dialect, script: string): string {
  const read = readDirectives(script, { dialect })
  if (!read.ok) return `refused ${describeFault(read.refusal.faults[0]!)}`
  const { name, cores, memoryMib, walltimeSeconds, gpus, chunks, array, licences, queue } =
    read.value.options
  const words = [
    name, cores && `${cores}c`, memoryMib && `${memoryMib}M`, gpus && `${gpus}g`,
    walltimeSeconds && `${walltimeSeconds}s`,
    chunks?.map((one) => `${one.nodes}x${one.cores}c${one.memoryMib}M${one.gpus}g`).join('+'),
    array && `[${array.tasks.map((range) => range.join('-')).join()}]%${array.atOnce}`,
    licences?.map((one) => `${one.name}:${one.count}`).join(), queue,
  ]
  return words.filter((word) => word !== undefined && word !== 0).join(' ')
}

function holds(dialect: Dialect, cases: readonly (readonly [string, string])[]): void {
  const got = cases.map(([script]) => [script, meant(dialect, script)])
  assert.equal(got, cases.map(([script, words]) => [script, words]))
}

t('PBS Pro', () => holds('pbs', [
  ['#PBS -l ncpus=4,mem=8gb -N a', 'a 4c 8192M'],
  ['  #PBS -N indented', 'indented'], ['#PBS-N joined', 'joined'], ['# PBS -N x', ''],
  ['#PBS -N a\n#PBS -N b', 'b'], ['#PBS -l mem=1gb\n#PBS -l mem=2gb', '1024M'],
  ['#PBS -l walltime=90', '90s'], ['#PBS -l walltime=1:30', '90s'],
  ['#PBS -l walltime=1:2:3', '3723s'], ['#PBS -l walltime=9.6', '10s'],
  ['#PBS -l walltime=1:0:0:0', 'refused line 1: #PBS -l walltime: expected seconds, M:S or H:M:S ' +
    "such as 24:00:00, got '1:0:0:0'"],
  ['#PBS -l select=2:ncpus=4:mem=8gb+1:ncpus=16:ngpus=1', '2x4c8192M0g+1x16c0M1g'],
  ['#PBS -l select=1:ncpus=4:mem=100mb', '4c 100M'], ['#PBS -l select=3', '3x1c0M0g'],
  ['#PBS -l select=2:ncpus=4 -l place=pack', '8c'],
  ['#PBS -l select=2:ncpus=4 -l place=scatter', '2x4c0M0g'],
  ['#PBS -l nodes=2:ppn=4,mem=4gb', '2x4c2048M0g'], ['#PBS -l nodes=1:ppn=8', '8c'],
  ['#PBS -J 1-9:4', '[1-1,5-5,9-9]%0'], ['#PBS -J 1-10%3', '[1-10]%3'],
  ['#PBS -J 5', "refused line 1: #PBS -J: expected a run such as 1-100:2, got '5'"],
  ['#PBS -N a # note', "refused line 1: #PBS: a comment after options is an error for qsub: '# " +
    "note'; remove it"],
  ['#PBS -l select=1:ncpus=2 -l mem=1gb', 'refused line 1: #PBS -l mem: qsub refuses it beside ' +
    'select (#PBS -l select); put it into the chunk'],
  ['#PBS -N a \\\n-q long\n#PBS -l ncpus=2', 'a 2c long'],
  ['#PBS -jVNx', 'refused line 1: #PBS -j: ' +
    "expected oe, eo or n, got 'VNx'"],
  ['#PBS -Vr n -hN x', 'x'], ['#PBS -Z', 'refused line 1: #PBS -Z: there is no such option'],
  ['echo a\n#PBS -N late', ''], [': a\n#PBS -N colon', 'colon'], ['\n\n#PBS -N blank', 'blank'],
  ['cat <<E\n#PBS -N here\nE', ''], ['#PBS -N "q"', 'q'],
  ['#PBS -N "a', 'refused line 1: #PBS: a ' +
    'quote that is not closed'],
  ['#PBS -l mem=1000', '1M'], ['#PBS -l mem=2gw', '16384M'], ['#PBS -l mem=4G', '4096M'],
  ['#PBS -q q1@server', 'q1'], ['#PBS -l cput=10', ''],
  ['#PBS -l mem=1.5gb',
    'refused line 1: #PBS -l mem: expected an integer with b, kb, mb, gb or tb ' +
    "such as 4gb, got '1.5gb'"],
]))

t('Torque', () => holds('torque', [
  ['#PBS -l nodes=2:ppn=4+1:ppn=8', '2x4c0M0g+1x8c0M0g'], ['#PBS -l mem=1gb -l mem=2gb', '2048M'],
  ['#PBS -t 0-4,9%2', '[0-4,9-9]%2'], ['#PBS -l walltime=1:0:0:0', '86400s'],
  ['#PBS -N a # note', 'a'], ['#PBS -l nodes=1:ppn=4:gpus=2', '4c 2g'], ['#PBS -t 3', '[3-3]%0'],
  ['#PBS -l nodes=2:ppn=4,pmem=1gb', '2x4c4096M0g'], ['#PBS -l procs=8', '8c'],
  ['#PBS -l vmem=2gb', '2048M'], ['#PBS -l mem=1gb,vmem=2gb', '1024M'],
  ['#PBS -l nodes=1:ppn=2#shared', '2c'],
  ['#PBS -l nodes=n01',
    'refused line 1: #PBS -l nodes n01: n01 names a node or a property of one ' +
    'cluster; say what is needed with #GRID --require'],
]))

t('LSF', () => holds('lsf', [
  ['#BSUB -J a -n 4 -W 1:30', 'a 4c 5400s'], ['# BSUB -J a', 'a'], ['  #  BSUB -J a', 'a'],
  ['#BSUB-J a', 'a'], ['#BSUB a -J b', ''], ['ls\n#BSUB -J late', 'late'],
  ['#BSUB -J a # -q b', 'a'], ['#BSUB -J a#b', 'a#b'], ['#BSUB -n4 -Jx -qlong', 'x 4c long'],
  ['#BSUB -n 2\n#BSUB -n 4', '2c'], ['#BSUB -W 90', '5400s'], ['#BSUB -W 1:00/host', '3600s'],
  ['#BSUB -M 2048', '2M'], ['#BSUB -M 4GB', '4096M'], ['#BSUB -R rusage[mem=4000]', '4000M'],
  ['#BSUB -R "rusage[mem=4000] span[hosts=1]" -n 8', '8c 4000M'],
  ['#BSUB -n 16 -R span[ptile=8]', '2x8c0M0g'],
  ['#BSUB -n 5 -R span[ptile=2]', '2x2c0M0g+1x1c0M0g'],
  ['#BSUB -R rusage[mem=100]\n#BSUB -R span[hosts=1]', '100M'],
  ['#BSUB -R "rusage[mem=1GB:lic=2]"', '1024M lic:2'], ['#BSUB -R "select[mem>500]"', '500M'],
  ['#BSUB -R "1*{span[hosts=1]} + 8*{span[ptile=4]}"', '1x1c0M0g+2x4c0M0g'],
  ['#BSUB -n 2 -R affinity[core(4)]', '8c'], ['#BSUB -gpu num=2:mode=shared', '2g'],
  ['#BSUB -J "a[1-9:4]%2"', 'a [1-1,5-5,9-9]%2'], ['#BSUB -J [1-3]', '[1-3]%0'],
  ['#BSUB -J a[1,3-5]', 'a [1-1,3-5]%0'], ['#BSUB -n 4,8', '4c'], ['#BSUB -q "a b"', 'a'],
  ['#BSUB -J "two words" -n 2', 'two words 2c'], ['#BSUB -n 2 \\\n -J joined', 'joined 2c'],
  ["#BSUB -R'rusage[mem=10]'", '10M'], ['#BSUB -oo out -n 3', '3c'], ['#BSUB -J a\r', 'a'],
  ['#BSUB -n x', "refused line 1: #BSUB -n: expected a number of slots such as 4 or 4,8, got 'x'"],
  ['#BSUB -y 3', 'refused line 1: #BSUB -y: there is no such option'],
  ['#BSUB -n 2 stray -J a',
    "refused line 1: #BSUB: 'stray' belongs to no option: bsub would read " +
    'none of the options after it'],
]))

t('processes of a PBS chunk are mpiprocs, else one, whatever its cores', () => {
  const slots = (line: string): string | undefined => {
    const read = assert.accepted(readDirectives(`#!/bin/sh\n${line}\n`, { dialect: 'pbs' }))
    return read.options.runVariables?.find(({ name }) => name === 'GRIDNODE_SLOTS')?.value
  }
  assert.equal(slots('#PBS -l select=2:ncpus=4'), '2x1')
  assert.equal(slots('#PBS -l select=2:ncpus=4:mpiprocs=4+1:ncpus=8'), '2x4 1x1')
  assert.equal(slots('#PBS -l ncpus=4'), undefined)
})
