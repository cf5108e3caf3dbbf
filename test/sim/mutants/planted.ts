// Bugs that are planted in the sources for one run, in the memory of one worker and nowhere else:
// each is a change of a file's text, and a change that no longer fits is an error. What the
// simulator finds of them, and after how many seeds, is what its silence about our own code is
// worth.

import { registerHooks } from 'node:module'

/** A change of text; `find` occurs exactly once in the file. */
export interface Edit {
  readonly file: string
  readonly find: string
  readonly replace: string
}

export interface Mutant {
  readonly name: string
  /** What goes wrong, for the table. */
  readonly says: string
  readonly edits: readonly Edit[]
  /** Where it shows sooner than in all kinds of runs. */
  readonly kind?: string
  /** Found by one of the seeds 1 to `within`. */
  readonly within: number
  /** One that finds it, for the quick check. */
  readonly seed: number
}

export const mutants: readonly Mutant[] = [
  {
    name: 'send-before-sync',
    says: 'effects are performed before their batch is on the disk',
    edits: [{
      file: 'node/loop.ts',
      find: '    writing = true\n',
      replace: '    writing = true\n    performAll(effects.splice(0))\n    if (stopped) return\n',
    }],
    within: 5,
    seed: 1,
  },
  {
    name: 'torn-batch',
    says: 'a batch reaches the disk in two halves',
    kind: 'crashes',
    edits: [{
      file: 'node/loop.ts',
      find: '    ports.commit([...writes.values()], (failure) => {\n',
      replace: '    const half = [...writes.values()].splice(writes.size >> 1)\n'
        + '    const commit: typeof ports.commit = (all, done) =>\n'
        + '      ports.commit(all.slice(0, all.length - half.length), (failure) =>\n'
        + '        failure ? done(failure) : ports.commit(half, done))\n'
        + '    commit([...writes.values()], (failure) => {\n',
    }],
    within: 20,
    seed: 3,
  },
  {
    name: 'trust-the-clock',
    says: 'statements are dated by a clock that may have been set back',
    kind: 'crashes',
    edits: [{
      file: 'protocol/rules/ledger.ts',
      find: '    at: Math.max(input.at, last.at),\n',
      replace: '    at: input.at,\n',
    }, {
      file: 'protocol/rules/ledger-entry.ts',
      find: '  if (at < last.at) return',
      replace: '  if (at < 0) return',
    }],
    within: 20,
    seed: 2,
  },
  {
    name: 'accept-a-gap',
    says: 'a statement is taken in although those before it are missing',
    edits: [{
      file: 'protocol/rules/ledger-entry.ts',
      find: '  if (n > last.n + 1) return',
      replace: '  if (n < 0) return',
    }, {
      file: 'protocol/rules/ledger-entry.ts',
      find: '  if (prev !== last.sid) return',
      replace: '  if (n === last.n + 1 && prev !== last.sid) return',
    }],
    within: 20,
    seed: 1,
  },
  {
    name: 'skip-a-number',
    says: 'after a new connection one statement is not delivered',
    edits: [{
      file: 'protocol/machine/delivery.ts',
      find: '    let next = link.sentThrough + 1\n',
      replace: '    let next = link.sentThrough + (acked === 3 ? 2 : 1)\n',
    }],
    within: 20,
    seed: 2,
  },
  {
    name: 'deliver-before-heard',
    says: 'statements go out before the peer has said how far its copy goes',
    kind: 'restores',
    edits: [{
      file: 'protocol/machine/delivery.ts',
      find: '    const last = link.heard ? open : link.sentThrough\n',
      replace: '    const last = open\n',
    }, {
      file: 'protocol/machine/speech.ts',
      find: `  return turn.view.get('heardPeers', peer) ? undefined : { reason: 'not_heard' }\n`,
      replace: '  return undefined\n',
    }],
    within: 200,
    seed: 112,
  },
  {
    name: 'beyond-the-limit',
    says: 'what is held does not count against the credit limit',
    edits: [{
      file: 'protocol/rules/ledger-accounts.ts',
      find: 'clampMicrocredits(unboundedNet(owed, back) + owed.held)',
      replace: 'clampMicrocredits(unboundedNet(owed, back))',
    }],
    within: 40,
    seed: 6,
  },
  {
    name: 'pay-twice',
    says: 'what was accepted while tasks ran is posted once more with the final word',
    edits: [{
      file: 'protocol/rules/ledger-holds.ts',
      find: '  const moved = accepted - before.accepted\n',
      replace: '  const moved = accepted\n',
    }],
    within: 20,
    seed: 1,
  },
  {
    name: 'pay-before-results',
    says: 'a final claim is accepted while results are on their way',
    edits: [{
      file: 'protocol/machine/home-claims.ts',
      find: `  if (tranche.state.kind === 'live' && !allIn(turn, tranche)) return\n`,
      replace: '',
    }],
    within: 20,
    seed: 2,
  },
  {
    name: 'accept-a-late-bid',
    says: 'a bid that comes after its auction was closed is ranked',
    kind: 'lossy',
    edits: [{
      file: 'protocol/machine/home-auction.ts',
      find: `    if (auction.entries[from]?.kind === 'silent') `
        + `setEntry(turn, key, from, { kind: 'late' })\n`,
      replace: `    const late = said.kind === 'bid' && bidEntry(turn, auction, said, message)\n`
        + `    if (late) return setEntry(turn, key, from, late)\n`,
    }],
    within: 40,
    seed: 13,
  },
  {
    name: 'forget-a-lease',
    says: 'a host that is not heard any more keeps its tasks for ever',
    kind: 'restores',
    edits: [{
      file: 'protocol/machine/home-reports.ts',
      find: `  if (kind !== 'awarded' && kind !== 'live') return\n`,
      replace: `  if (kind !== 'awarded') return\n`,
    }],
    within: 40,
    seed: 13,
  },
  {
    name: 'renew-a-lapsed-lease',
    says: 'a report renews a lease that has run out',
    edits: [{
      file: 'protocol/machine/home-reports.ts',
      find: `  if (tranche.state.kind === 'lapsed' || tranche.state.kind === 'settled') {\n`,
      replace: `  if (tranche.state.kind === 'settled') {\n`,
    }],
    within: 40,
    seed: 16,
  },
  {
    name: 'lease-from-the-answer',
    says: 'a host counts its lease from the answer, not from the report it answers',
    edits: [{
      file: 'protocol/machine/host-tranches.ts',
      find: 'Math.max(tranche.leaseUntilEpochMs, tranche.sentEpochMs + ack.lease_seconds * 1000)',
      replace: 'turn.now + ack.lease_seconds * 1000',
    }],
    within: 20,
    seed: 1,
  },
  {
    name: 'an-old-go-counts',
    says: 'a go that comes after a stop starts the work again',
    kind: 'lossy',
    edits: [{
      file: 'protocol/machine/host-tranches.ts',
      find: '  return strictness[said] > strictness[known] ? said : known\n',
      replace: '  return said\n',
    }],
    within: 30,
    seed: 6,
  },
  {
    name: 'lose-an-intent',
    says: 'after a start a submission under way is not asked for again',
    kind: 'crashes',
    edits: [{
      file: 'protocol/machine/host-tranches.ts',
      find: `      turn.effects.push({ kind: 'submitTranche', tranche: id })\n`
        + '      return resumeTasks',
      replace: '      return resumeTasks',
    }],
    within: 30,
    seed: 6,
  },
  {
    name: 'forget-results',
    says: 'after a start results under way are not fetched again',
    kind: 'crashes',
    edits: [{
      file: 'protocol/machine/recover.ts',
      find: `    if (task.state === 'returning') askResult(turn, task)\n`,
      replace: `    if (task.state === 'done') askResult(turn, task)\n`,
    }],
    within: 30,
    seed: 3,
  },
  {
    name: 'submit-under-another-tag',
    says: 'after a start a tranche is submitted under a name of the new process',
    kind: 'crashes',
    edits: [{
      file: 'test/sim/effects.ts',
      find: '      tag: id,\n',
      replace: '      tag: (machine.process!.startedMs > 1_750_000_010_000\n'
        + `        ? 'f' + id.slice(1) : id) as TrancheId,\n`,
    }],
    within: 20,
    seed: 1,
  },
  {
    name: 'claim-what-never-ran',
    says: 'a host claims for every task of a tranche',
    edits: [{
      file: 'protocol/machine/host-claims.ts',
      find: '  const ran = chargeable(tasks)\n',
      replace: '  const ran = { ...chargeable(tasks), tasks: tranche.committed.tasks }\n',
    }],
    within: 20,
    seed: 9,
  },
  {
    name: 'claim-without-results',
    says: 'under a lease that has run out a host claims for what its home has not taken',
    kind: 'partitions',
    edits: [{
      file: 'protocol/machine/host-claims.ts',
      find: `    if (tranche.directive === 'lapsed' && !rangesHave(tranche.taken, task)) `
        + 'continue\n',
      replace: '',
    }],
    within: 60,
    seed: 22,
  },
  {
    name: 'drop-a-timer',
    says: 'staging or submitting that has failed is not tried again',
    kind: 'schedulers',
    edits: [{
      file: 'protocol/machine/step.ts',
      find: `    case 'retry': return onRetry(turn, name as TrancheId)\n`,
      replace: `    case 'retry': return undefined\n`,
    }],
    within: 20,
    seed: 1,
  },
  {
    name: 'keep-the-rest',
    says: 'what a hold did not cost stays reserved',
    edits: [{
      file: 'protocol/machine/home-tranches.ts',
      find: '(job.reserved - tranche.cap)',
      replace: '(job.reserved - paid)',
    }],
    within: 5,
    seed: 1,
  },
  {
    name: 'believe-anybody',
    says: 'reports count from whoever sends them',
    kind: 'all',
    edits: [{
      file: 'protocol/machine/home-reports.ts',
      find: '  if (!tranche || tranche.host !== from) return unknown',
      replace: '  if (!tranche) return unknown',
    }],
    within: 60,
    seed: 7,
  },
  {
    name: 'forget-a-release',
    says: 'a task that was held and released stays held',
    edits: [{
      file: 'protocol/machine/home-verbs.ts',
      find: '  changeOrders(turn, job.id, { held: subtractRanges(held, tasks) })\n',
      replace: '  changeOrders(turn, job.id, { held })\n',
    }],
    within: 40,
    seed: 11,
  },
  {
    name: 'order-twice',
    says: 'an order that comes again is done again',
    edits: [{
      file: 'protocol/machine/host-control.ts',
      find: '    if (one.n <= last || !fits',
      replace: '    if (!fits',
    }],
    within: 20,
    seed: 2,
  },
  {
    name: 'wait-for-nobody',
    says: 'a task is placed although its job waits for another',
    edits: [{
      file: 'protocol/machine/job-orders.ts',
      find: '  const free = subtractRanges(commonRanges(tasks, orders.ready), orders.held)\n',
      replace: '  const free = subtractRanges(tasks, orders.held)\n',
    }],
    within: 60,
    seed: 25,
  },
]

/** The sources of this process, from here on, are those with the planted bug. */
export function plant(mutant: Mutant): void {
  registerHooks({
    load(url, context, next) {
      const loaded = next(url, context)
      const edits = mutant.edits.filter(({ file }) => url.endsWith(`/${file}`))
      if (edits.length === 0) return loaded
      return { ...loaded, source: edits.reduce(edited, sourceOf(loaded.source)) }
    },
  })
}

/** What was changed; an error when it does not stand there exactly once. */
export function edited(source: string, { file, find, replace }: Edit): string {
  const parts = source.split(find)
  if (parts.length !== 2) {
    throw new Error(`${file} has ${parts.length - 1} times, not once: ${find.trim()}`)
  }
  return parts.join(replace)
}

function sourceOf(source: unknown): string {
  if (typeof source === 'string') return source
  if (source instanceof Uint8Array) return Buffer.from(source).toString('utf8')
  throw new Error('a module without a text')
}
