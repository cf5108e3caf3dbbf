// Names that travel: branded strings, each with the one function that makes it from input.
// Order that can reach the wire or the ledger is always `compareBytes`.

declare const brand: unique symbol
type Branded<Base, Name> = Base & { readonly [brand]: Name }

/** A site's name, such as `site-a.example`: lower-case labels, 1-63 characters. */
export type SiteName = Branded<string, 'SiteName'>
/** SHA-256 in 64 lower-case hexadecimal digits. */
export type Hash = Branded<string, 'Hash'>
/** The hash of a signed statement's text (the note without its signatures). */
export type Sid = Hash
/** A federation's identity: the sid of its `federation` statement. */
export type FederationId = Hash
/** A job's identity: `<12 hex digits>`, unique at its home by construction. */
export type JobId = Branded<string, 'JobId'>
/** A contract's identity: the first 16 hex digits of the home's `contract` statement. */
export type ContractId = Branded<string, 'ContractId'>
/** A tranche's identity: the first 16 hex digits of its `hold` statement. */
export type TrancheId = Branded<string, 'TrancheId'>

const siteNamePattern =
  /^(?=.{1,63}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/
const hashPattern = /^[0-9a-f]{64}$/
const jobIdPattern = /^[0-9a-f]{12}$/
const shortIdPattern = /^[0-9a-f]{16}$/

export function parseSiteName(text: string): SiteName | undefined {
  return siteNamePattern.test(text) ? (text as SiteName) : undefined
}

export function parseHash(text: string): Hash | undefined {
  return hashPattern.test(text) ? (text as Hash) : undefined
}

export function parseJobId(text: string): JobId | undefined {
  return jobIdPattern.test(text) ? (text as JobId) : undefined
}

export function parseContractId(text: string): ContractId | undefined {
  return shortIdPattern.test(text) ? (text as ContractId) : undefined
}

export function parseTrancheId(text: string): TrancheId | undefined {
  return shortIdPattern.test(text) ? (text as TrancheId) : undefined
}

/** The contract that a home's `contract` statement opens. */
export function contractIdOf(sid: Sid): ContractId {
  return sid.slice(0, 16) as ContractId
}

/** The tranche that a `hold` statement pays for. */
export function trancheIdOf(sid: Sid): TrancheId {
  return sid.slice(0, 16) as TrancheId
}

/** Byte-wise order of two strings (UTF-16 code units; ids and names are ASCII). */
export function compareBytes(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0
}
