// Which batch commands there are, in which flavours, and what each does. A folder of links is made
// from this table.

import type { Context } from '../command.ts'

export type Flavour = 'slurm' | 'posix' | 'torque' | 'grid_engine' | 'lsf'

export type Run = (context: Context, args: readonly string[]) => Promise<number>

type Loaded = Readonly<Record<string, () => Promise<Run>>>

const slurm: Loaded = {
  sbatch: async () => (await import('./slurm-submit.ts')).sbatch,
  squeue: async () => (await import('./slurm-queries.ts')).squeue,
  sacct: async () => (await import('./slurm-queries.ts')).sacct,
  scancel: async () => (await import('./slurm-control.ts')).scancel,
  scontrol: async () => (await import('./slurm-control.ts')).scontrol,
  sinfo: async () => (await import('./slurm-control.ts')).sinfo,
}

export const commandSets: Readonly<Record<Flavour, Loaded>> = {
  slurm,
  posix: {},
  torque: {},
  grid_engine: {},
  lsf: {},
}
