// Messages as a person reads them in a transcript: one line each, with what matters of signed
// notes picked out of their text.

import type { Message } from '../../protocol/machine/messages.ts'

export function summaryOf(message: Message): string {
  switch (message.kind) {
    case 'statements':
      return `statements [${message.notes.map(statement).join(', ')}] have ${message.have}`
    case 'answer': return bid(message.note)
    case 'announce': return `announce of ${field(message.note, 'tasks')} tasks`
    case 'documents':
      return `documents of ${short(message.tranche)}: tasks ${message.document.tasks}`
    case 'documents_wanted': return `documents_wanted ${short(message.tranche)}`
    case 'contract_closed': return `contract_closed ${short(message.contract)}`
    case 'reports': return `reports ${message.reports.map(({ tranche, phase, tasks }) =>
      `${short(tranche)} ${phase} [${tasks.map(({ task, state, how }) =>
        `${task} ${state} ${how}`.trim()).join(', ')}]`).join('; ')}`
    case 'acks': return `acks ${message.acks.map(({ tranche, directive, taken }) =>
      `${short(tranche)} ${directive} taken [${taken}]`).join('; ')}`
    default: return message.kind
  }
}

/** The kind of a signed statement, with its amount or reason. */
function statement(note: string): string {
  const kind = note.slice('gridnode/v1/'.length, note.indexOf('\n'))
  const of = ['side', 'amount', 'limit', 'reason'].map((name) => field(note, name))
  return [kind, ...of].filter((part) => part !== '').join(' ')
}

function bid(note: string): string {
  const reason = field(note, 'reason')
  if (reason !== '') return `a refusal: ${reason}, ${field(note, 'detail')}`
  return `a bid: ${field(note, 'slots')} slots, ${field(note, 'queue_slots')} in the queue, ` +
    `factor ${field(note, 'factor_permille')}, speed ${field(note, 'speed_permille')}`
}

/** A member of the canonical JSON in a note; '' when there is none. */
function field(note: string, name: string): string {
  const found = new RegExp(`"${name}":("([^"]*)"|[0-9]+)`).exec(note)
  return found ? found[2] ?? found[1] ?? '' : ''
}

function short(id: string): string {
  return id.slice(0, 6)
}

/** A shortened id, a job's, a contract's or a tranche's; seconds have a point beside them. */
const idPattern = /(?<![\w.])(?=[a-f]*[0-9])(?:[0-9a-f]{16}|[0-9a-f]{12}|[0-9a-f]{6})(?![\w.])/g

/** Ids in order of appearance, so that a transcript changes only where the walk does. */
export function renamed(lines: readonly string[]): string[] {
  const names = new Map<string, string>()
  const nameOf = (id: string): string => {
    const key = id.slice(0, 6)
    if (!names.has(key)) names.set(key, `#${names.size + 1}`)
    return names.get(key)!
  }
  return lines.map((line) => line.replace(idPattern, nameOf))
}
