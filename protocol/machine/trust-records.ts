// What a node keeps about others' word and its own beside the ledger: heads of logs and witnesses'
// signatures, evidence of lies, allocations under proof, and what operators have said.

import type { ContractId, Hash, Sid, SiteName } from '../base/ids.ts'
import type { Microcredits } from '../base/units.ts'
import type { EvidenceKind } from '../rules/statement.ts'

/** The newest head of another log that this site has checked and cosigned. */
export interface HeldHead {
  readonly site: SiteName
  readonly origin: string
  readonly size: number
  readonly root: Hash
  /** The checkpoint as its log signed it. */
  readonly note: string
  readonly seenEpochMs: number
}

/** A witness's word on one of our heads. */
export interface Cosigned {
  readonly size: number
  readonly root: Hash
  readonly seconds: number
  /** The signature line under the checkpoint's text. */
  readonly line: string
}

/** A head that another site was shown and that our stored one has not been linked with yet. */
export interface Challenge {
  readonly site: SiteName
  readonly size: number
  readonly root: Hash
  readonly note: string
  readonly sinceEpochMs: number
  /** The log was up for long enough and has not linked them. */
  readonly overdue: boolean
}

export interface ReconcileRecord {
  readonly epochMs: number
  /** Numbers of the newest statements of both sequences right after the agreement. */
  readonly issued: number
  readonly received: number
  /** Offers since then that came to nothing, and when the last of them was made. */
  readonly tries: number
  readonly offeredEpochMs: number
  /** Where the sequences stood when we last looked whether it is quiet. */
  readonly seenIssued: number
  readonly seenReceived: number
}

export interface PaymentRecord {
  readonly kind: 'offer' | 'forgive' | 'agree'
  readonly sid: Sid
  readonly amount: Microcredits
  readonly payer: 'us' | 'them'
}

/** The first proof of a lie of one site in one epoch. */
export interface KeptEvidence {
  readonly accused: SiteName
  readonly epoch: number
  readonly proof: EvidenceKind
  /** Hash of the document. */
  readonly doc: Hash
  readonly document: string
  /** One sentence for people. */
  readonly what: string
  /** Who showed it; '' when this site found it itself. */
  readonly from: SiteName | ''
  /** Our own statement about it; '' when there is none. */
  readonly sid: Sid | ''
  readonly epochMs: number
}

export interface TrustTables {
  /** key sid: policies and allocations, in the order in which they came */
  charter: { readonly note: string; readonly order: number }
  /** key origin */
  heads: HeldHead
  /** key witness: the newest few */
  cosigned: readonly Cosigned[]
  /** key origin */
  challenges: Challenge
  /** key hold: holds of ours on an allocation that their hosts want proven */
  proofsOwed: { readonly host: SiteName; readonly index: number }
  /** key hold: final claims of ours under a clause, and when each witness saw them on our log */
  clauseWatch: {
    readonly index: number
    readonly first: Readonly<Record<string, number>>
    readonly newest: Readonly<Record<string, number>>
  }
  /** key hold: holds on an allocation at us; `size` of the proven head, 0 before the proof */
  holdChecks: {
    readonly home: SiteName
    readonly contract: ContractId
    readonly note: string
    readonly index: number
    readonly size: number
  }
  /** key 'own': why this site says nothing any more */
  quarantine: { readonly peer: SiteName; readonly detail: string; readonly epochMs: number }
  /** key accused/epoch */
  evidence: KeptEvidence
  /** key sid of a contract: its home has left more unaccepted than was agreed */
  exposed: { readonly home: SiteName; readonly epochMs: number; readonly detail: string }
  /** key peer: when the books were last reconciled, how far they went, and offers since then */
  reconciles: ReconcileRecord
  /** key site/reference: payments and gifts that we have said, each once */
  payments: PaymentRecord
  /** key hold: what we have ruled as an arbiter */
  rulings: { readonly note: string; readonly amount: Microcredits }

  /** volatile: key peer/accused/epoch: when that document was shown, either way */
  evidenceSent: number
  /** volatile: key size: heads of ours as they were signed, the newest few */
  ownHeads: { readonly size: number; readonly note: string }
}

export const volatileTrustTables: readonly (keyof TrustTables)[] = ['evidenceSent', 'ownHeads']
