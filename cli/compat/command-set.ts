// Which batch commands there are, in which flavours, and what each does. A folder of them is made
// from this table.

import type { Context } from '../command.ts'
import type { PbsFlavour } from './pbs-fields.ts'

export type Flavour = 'slurm' | 'posix' | 'torque' | 'grid_engine' | 'lsf'

export type Run = (context: Context, args: readonly string[]) => Promise<number>

type CommandSet = Readonly<Record<string, () => Promise<Run>>>

/** Not among the commands of any folder. */
export const ownSet: CommandSet = {
  bring: async () => (await import('./bring-unasked.ts')).bring,
}

const slurmControl = () => import('./slurm-control.ts')
const slurmQueries = () => import('./slurm-queries.ts')
const pbs = () => import('./pbs.ts')
const pbsControl = () => import('./pbs-control.ts')
const gridEngine = () => import('./grid-engine.ts')
const lsf = () => import('./lsf.ts')

function pbsSet(flavour: PbsFlavour): CommandSet {
  return {
    qsub: async () => (await pbs()).qsubOf(flavour),
    qstat: async () => (await pbs()).qstatOf(flavour),
    qselect: async () => (await pbs()).qselectOf(flavour),
    pbsnodes: async () => (await pbs()).pbsnodesOf(flavour),
    qdel: async () => (await pbsControl()).qdelOf(flavour),
    qalter: async () => (await pbsControl()).qalterOf(flavour),
    qsig: async () => (await pbsControl()).qsigOf(flavour),
    qhold: async () => (await pbsControl()).qholdOf(flavour, 'hold'),
    qrls: async () => (await pbsControl()).qholdOf(flavour, 'release'),
    qmove: async () => (await pbsControl()).qmoveOf(flavour),
    qmsg: async () => (await pbsControl()).qmsg,
    qrerun: async () => (await pbsControl()).qrerunOf(flavour),
  }
}

export const commandSets: Readonly<Record<Flavour, CommandSet>> = {
  slurm: {
    sbatch: async () => (await import('./slurm-submit.ts')).sbatch,
    squeue: async () => (await slurmQueries()).squeue,
    sacct: async () => (await slurmQueries()).sacct,
    scancel: async () => (await slurmControl()).scancel,
    scontrol: async () => (await slurmControl()).scontrol,
    sinfo: async () => (await slurmControl()).sinfo,
  },
  posix: pbsSet('pbs'),
  torque: pbsSet('torque'),
  grid_engine: {
    qsub: async () => (await gridEngine()).qsub,
    qstat: async () => (await gridEngine()).qstat,
    qacct: async () => (await gridEngine()).qacct,
    qdel: async () => (await gridEngine()).qdel,
    qalter: async () => (await gridEngine()).qalter,
    qhold: async () => (await gridEngine()).qholdOf('hold'),
    qrls: async () => (await gridEngine()).qholdOf('release'),
    qmod: async () => (await gridEngine()).qmod,
    qconf: async () => (await gridEngine()).qconf,
    qselect: async () => (await gridEngine()).qselect,
  },
  lsf: {
    bsub: async () => (await lsf()).bsub,
    bjobs: async () => (await lsf()).bjobs,
    bkill: async () => (await lsf()).bkill,
    bstop: async () => (await lsf()).bstopOf(true),
    bresume: async () => (await lsf()).bstopOf(false),
    bparams: async () => (await lsf()).bparams,
    bqueues: async () => (await lsf()).bqueues,
    bhosts: async () => (await lsf()).bhosts,
    bhist: async () => (await lsf()).bhist,
    lsid: async () => (await lsf()).lsid,
  },
}
