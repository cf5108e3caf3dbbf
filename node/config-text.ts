// The config file that init writes: every key with a comment, defaults commented out, so that the
// file says all there is to say and an upgrade can still change a default that nobody chose.

import { formatBytes } from '../protocol/base/units.ts'
import { configFileName } from './config.ts'
import type { SchedulerKind } from './config-scheduler.ts'
import type { Machine } from './config-schema.ts'
import { Problem } from './problem.ts'

export interface ConfigChoices {
  readonly site: string
  readonly listen: readonly string[]
  readonly scheduler: SchedulerKind
  /** For the embedded executor; what this machine has when undefined. */
  readonly cores?: number
  readonly memoryBytes?: number
  /** Further keys as TOML, such as `{ 'market.window': '"200ms"' }`. */
  readonly set?: Readonly<Record<string, string>>
}

export function configText(choices: ConfigChoices, machine: Machine): string {
  const embedded = choices.scheduler === 'embedded'
  const cores = choices.cores ?? machine.cores
  const memory = `${Math.floor((choices.memoryBytes ?? machine.memoryBytes) / 2 ** 20)}MiB`
  const off = (wanted: boolean): string => (wanted ? '' : '#')
  const listen = choices.listen.map((address) => JSON.stringify(address)).join(', ')
  let text = `# ${configFileName}: the config of one site, read when the node starts.
#
# A line that starts with # is a comment; keys shown so have the value they have by default.
# Times carry a unit ("90s", "10m", "1h30m", "2d"), sizes too ("512MiB", "4GiB"), and so does
# money ("12.5 cr"). An unknown key, a wrong unit or a missing value stops the start with the
# line and what was expected.

[site]
# The name by which the federation knows this site. It is in everything the site signs: fixed
# from the day the site founds or joins a federation.
name = ${JSON.stringify(choices.site)}

[network]
# Where other sites can connect to this one, as multiaddrs.
listen = [${listen}]
# What to tell the others instead, if they reach this site by another name or address, such as
# ["/dns/site-a.example/tcp/7700"]. Empty: the addresses of this machine.
#announce = []

[network.peers]
# Where to look for a member beside the addresses that it has told, when those are not right any
# more.
#"site-b.example" = ["/ip4/192.0.2.7/tcp/7700"]

[api]
# Who may use this node through its socket, node.sock in the data directory: "0600" only the
# owner, "0660" the owner's group as well (which then needs to pass through the directory, too).
#socket_mode = "0600"

[scheduler]
# "embedded" runs jobs on this machine; "slurm", "grid-engine", "pbs", "torque", "lsf" and
# "htcondor" hand them to the scheduler that is there.
kind = ${JSON.stringify(choices.scheduler)}
# embedded: what of this machine jobs may use, and the longest walltime.
# (Here by default: ${machine.cores} cores and ${formatBytes(machine.memoryBytes)}.)
${off(embedded)}cores = ${cores}
${off(embedded)}memory = ${JSON.stringify(memory)}
#walltime_max = "24h"
# embedded: what a task sees of this machine. With bubblewrap: the system read-only, its own
# directory, an empty /tmp, no home directories, nothing of this node. "auto": where bubblewrap
# works; "none": everything that this node's account sees. sandbox_show: directories in the hidden
# ones that tasks may read all the same; sandbox_network = false: no network.
#sandbox = "auto"
#sandbox_show = []
#sandbox_network = true
# All but embedded: the directory of the scheduler's commands (by default the PATH), further options
# of every submission, such as ["--account=grid"] (htcondor: lines of the submit description), and
# whether the scheduler ends jobs that use more memory than they asked for (with cgroups it does).
#bin = "/usr/bin"
#arguments = []
#memory_enforced = false
# slurm: SLURM_CONF; lsf: the directory of lsf.conf; htcondor: CONDOR_CONFIG.
#conf = "/etc/slurm/slurm.conf"
# slurm: the partition of tasks that name none; the others: the queue.
#partition = "batch"
#queue = "all.q"
# grid-engine: SGE_ROOT, SGE_CELL and the ports, where the commands do not know them; the parallel
# environment that puts a task's slots on one host, without which a task has one core; the complexes
# for memory, graphics processors and licences, and those that count by the job (consumable JOB).
#root = "/var/lib/gridengine"
#cell = "default"
#qmaster_port = 6444
#execd_port = 6445
#parallel_environment = "smp"
#memory_complex = "h_vmem"
#gpu_complex = "gpu"
#licence_complexes = []
#per_job_complexes = []
# pbs, torque: the server, and whether this node's account is an operator of it, who may suspend.
#server = "pbs.example"
#operator = false
# pbs, torque, lsf, htcondor: whether there are graphics processors, and licences that are counted.
#gpus = false
#licences = []
# lsf: memory is reserved for each slot instead of each host.
#memory_per_slot = false
# How fast a core is, against the federation's reference core of 1.0. Estimates of when a task
# ends scale with it, and expressions can ask for it.
#speed = 1.0
# true: finish what runs and take no new work, before a maintenance.
#draining = false

[tariff]
# What other sites' jobs pay: for each task started, for an hour of a core, for an hour of a GiB.
#task = "0 cr"
#core_hour = "1 cr"
#gib_hour = "0 cr"
# Prices rise with the load, from the above when idle to so many times that when full. 1.0: flat.
#load_factor_max = 2.0

[market]
# How long an auction for a job of this site collects bids.
#window = "1s"
# How long a bid of this site stands; it keeps cores free for so long.
#bid_validity = "30s"
# How long a host may take to answer an award before its tasks go elsewhere.
#award_within = "30s"
# How long a host may be silent before its contract ends and the tasks are announced again.
#lease = "10m"
# How long this site may take to accept a host's final bill.
#accept_within = "1d"
# How often a host sends a bill for tasks that still run, and which part of what a tranche may cost
# it lets stand unaccepted before it stops them.
#interim = "15m"
#exposure = 0.5
# Which part of a tranche's cost counts as accepted when this site stays silent for longer than
# accept_within. 0: nothing.
#auto_accept = 0
# The site whose word ends a dispute about a bill; without one only the two sites together can.
#arbiter = ""
# How many sites are asked in one auction.
#shortlist = 8
# How many tasks a bid takes beyond the free cores, as a fraction of all cores; they wait here,
# so that a core that becomes free has work at once.
#queue_ahead = 1.0
# How often this site publishes its offer when nothing has changed, and how long others believe it.
#offer_heartbeat = "30s"
#offer_validity = "2m"

[credit]
# How much each other site may owe this one: nobody's jobs run here beyond it. 0 cr by default.
default_limit = "100 cr"

[credit.limits]
# Limits of single sites.
#"site-b.example" = "500 cr"

[ledger]
# Where to serve the ledger over HTTP, read-only, for whoever can reach it: an address and a port
# such as "127.0.0.1:7780" or "[::1]:7780", or "off".
#listen = "off"
# So old are entries before they may be pruned (gridnode ledger prune).
#retention = "3650d"

[accounts]
# Under which account of this machine a job runs, by the first rule that matches, such as
# "a.example ada * = grid_ada", "* * physics = pool": home, user and project on the left, * for any;
# on the right an account, {user} for the same name, pool for one of the pool that nobody else uses
# meanwhile, none. Without rules all run under this node's account. With them the node must be root,
# and the embedded executor must have its sandbox.
#map = []
#pool = []
# Whose jobs of this site may go where: "USER PROJECT = SITE", a site, * or none.
#export = ["* * = *"]

[attributes]
# What this site says about itself, for requirements such as \`arch == "x86_64"\`; 'gridnode help
# expressions' has the names that expressions know.
# Texts and whole numbers.
#arch = "x86_64"

[queues]
# Queues of this site's own jobs; without any all jobs are equal and the oldest goes first. Each is
# a section such as [queue.night] with some of: access = ["ada", "project:physics", "-eve", "*"],
# priority = 100, jobs, jobs_per_user, tasks, tasks_per_user, tasks_per_job, cores_per_task (0: no
# limit), walltime = "12h", hours = ["mon-fri 18:00-08:00", "sat-sun"].
# The queue of jobs that name none.
#default = "normal"
# Which job goes first: points of its queue and of its owner ([queues.owners]), so many for each
# hour that it waits, less so many times its owner's share of what was used lately.
#age_points = 10
#fair_points = 0
#fair_half_life = "7d"
# While a job with so many points of queue and owner waits, no other goes; for so long. 0: never.
#urgent = 0
#urgent_for = "10m"
# Of the hours.
#utc_offset = "+00:00"

[queues.owners]
# Points of single users.
#ada = 500

[staging]
# Where jobs lie while they run: in this directory, or elsewhere, such as "/shared/gridnode" that
# the compute nodes of a cluster see.
#jobs = "spool"
# The most that inputs and results may take here, of jobs handed in here and of those that run
# here.
#spool_max = "20GiB"
# How long a host keeps results for a home that it cannot reach.
#keep_results = "30d"

[limits]
# Jobs that may be open at once, and connections to the socket.
#jobs_open = 10000
#api_connections = 256

[log]
# "debug", "info", "warn" or "error".
#level = "info"
# Lines beyond so many a second are counted and left out.
#lines_per_second = 200
`
  for (const [key, value] of Object.entries(choices.set ?? {})) text = setKey(text, key, value)
  return text
}

/** Gives `section.key` a value: its line, commented out or not, is replaced, else one is added. */
function setKey(text: string, path: string, value: string): string {
  const match = /^(credit\.limits|[a-z_]+)\.([A-Za-z0-9_.-]+)$/.exec(path)
  if (!match || /[\r\n]/.test(value)) {
    const shape = 'section.key and a TOML value on one line'
    throw new Problem('config', `cannot set ${JSON.stringify(path)}: expected ${shape}`)
  }
  const [, section = '', key = ''] = match
  const lines = text.split('\n')
  let start = lines.indexOf(`[${section}]`)
  if (start < 0) start = lines.push(`[${section}]`) - 1
  const next = lines.findIndex((line, index) => index > start && line.startsWith('['))
  const end = next < 0 ? lines.length : next
  const assigned = `${/^[a-z0-9_-]+$/.test(key) ? key : JSON.stringify(key)} = ${value}`
  const at = lines.findIndex((line, index) =>
    index > start && index < end && new RegExp(`^#?${key} = `).test(line))
  if (at >= 0) lines[at] = assigned
  else lines.splice(start + 1, 0, assigned)
  return lines.join('\n')
}
