// The contract's clause for a home that stays silent: when it is due, by times that nobody can make
// up alone.
//
// [CLAUSE-1] "Existed by" is when witnesses have seen the final claim, at the latest; "not before"
//   is when something that refers to it cannot have been earlier. Only if both are known, and the
//   time between them is the agreed one, the clause is due; what lies between is undetermined and
//   moves nothing.

export function clauseDue(times: {
  /** Epoch seconds; undefined as long as no quorum has seen it. */
  readonly existsBySeconds: number | undefined
  readonly notBeforeSeconds: number | undefined
  readonly acceptSeconds: number
}): boolean {
  const { existsBySeconds, notBeforeSeconds, acceptSeconds } = times
  if (existsBySeconds === undefined || notBeforeSeconds === undefined) return false
  return notBeforeSeconds - existsBySeconds >= acceptSeconds
}
