// When a task that is asked for now would start at the latest, by the walltimes of all that runs
// and waits at a host: everything that waits is given its place in turn, none puts off one before
// it (conservative backfill: Mu'alem and Feitelson, "Utilization, predictability, workloads, and
// user runtime estimates in scheduling the IBM SP2 with backfilling", 2001).
//
// [BID-11] The wait that a bid states for a queue slot is this one.

export interface TaskNeed {
  readonly cores: number
  readonly memoryMib: number
}

export interface HostQueue {
  /** What nobody uses at present. */
  readonly free: TaskNeed
  readonly running: readonly (TaskNeed & { readonly secondsLeft: number })[]
  /** In the order in which they came; `count` tasks each. */
  readonly waiting: readonly (TaskNeed & {
    readonly count: number; readonly walltimeSeconds: number
  })[]
  readonly coresTotal: number
}

/** From `at` seconds on so much is free, until the next step. */
interface Step {
  readonly at: number
  cores: number
  memoryMib: number
}

/** Waiting tasks that get a place of their own; the rest only counts as work. */
const placedMax = 500
const secondsMax = 10 ** 9

export function secondsUntilStart(
  queue: HostQueue, task: TaskNeed & { readonly walltimeSeconds: number },
): number {
  const steps = stepsOf(queue)
  let [placed, workLeft] = [0, 0]
  for (const { count, walltimeSeconds, ...need } of queue.waiting) {
    const each = Math.min(count, placedMax - placed)
    for (let one = 0; one < each; one++) place(steps, need, walltimeSeconds)
    placed += each
    workLeft += (count - each) * need.cores * walltimeSeconds
  }
  const rest = Math.ceil(workLeft / Math.max(1, queue.coresTotal))
  const at = steps[firstFit(steps, task, task.walltimeSeconds)]?.at
  // What others use here comes free we do not know when.
  const late = (steps.at(-1)?.at ?? 0) + task.walltimeSeconds
  return Math.min(secondsMax, rest + (at ?? late))
}

function stepsOf({ free, running }: HostQueue): Step[] {
  const steps: Step[] = [{ at: 0, cores: free.cores, memoryMib: free.memoryMib }]
  for (const task of running.toSorted((a, b) => a.secondsLeft - b.secondsLeft)) {
    const last = steps.at(-1)!
    const [cores, memoryMib] = [last.cores + task.cores, last.memoryMib + task.memoryMib]
    if (last.at >= task.secondsLeft) Object.assign(last, { cores, memoryMib })
    else steps.push({ at: task.secondsLeft, cores, memoryMib })
  }
  return steps
}

/** The first step at which there is room for so long; the number of steps if there never is. */
function firstFit(steps: readonly Step[], need: TaskNeed, seconds: number): number {
  for (let first = 0; first < steps.length; first++) {
    if (!fits(steps[first]!, need)) continue
    const end = steps[first]!.at + seconds
    let next = first + 1
    while (next < steps.length && steps[next]!.at < end && fits(steps[next]!, need)) next++
    if (next === steps.length || steps[next]!.at >= end) return first
    first = next
  }
  return steps.length
}

function place(steps: Step[], need: TaskNeed, seconds: number): void {
  const first = firstFit(steps, need, seconds)
  const begins = steps[first]
  if (!begins) return
  const end = begins.at + seconds
  let last = first
  while (last < steps.length && steps[last]!.at < end) last++
  if (steps[last]?.at !== end) steps.splice(last, 0, { ...steps[last - 1]!, at: end })
  for (const step of steps.slice(first, last)) {
    step.cores -= need.cores
    step.memoryMib -= need.memoryMib
  }
}

function fits(step: Step, need: TaskNeed): boolean {
  return step.cores >= need.cores && step.memoryMib >= need.memoryMib
}
