// What can go wrong with the store, each with a code that the caller can act on and a sentence for
// the administrator.

export type StoreCode =
  /** Another process has the database open. */
  | 'LOCKED'
  /** A record, or a whole commit, is not what was written. */
  | 'CORRUPT'
  /** The disk has no room; nothing of the commit counts. */
  | 'DISK_FULL'
  /** The database is older than what this site has told its peers. */
  | 'QUARANTINE'
  /** Written by another version of this program. */
  | 'VERSION'
  /** Anything else that the file system or the database says. */
  | 'STORE_FAILED'
  /** The directory of an export is there already, or its ledger is empty. */
  | 'EXPORT_REFUSED'

export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly code: StoreCode
  constructor(code: StoreCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause })
    this.code = code
  }
}

/** The error of a database or file operation as the caller should see it. */
export function storeError(error: unknown, doing: string): StoreError {
  if (error instanceof StoreError) return error
  const codes = chainOf(error).map(({ code }) => code)
  const texts = chainOf(error).map(({ message }) => message).join(': ')
  if (codes.includes('LEVEL_LOCKED')) {
    return new StoreError('LOCKED', `${doing}: another gridnode has it open; stop that one first, `
      + 'or start this one with a data directory of its own', error)
  }
  if (codes.includes('ENOSPC') || codes.includes('EDQUOT')
    || /no space left|quota exceeded/i.test(texts)) {
    return new StoreError('DISK_FULL', `${doing}: the disk is full; make room and start again, `
      + 'nothing that was acknowledged is lost', error)
  }
  // An empty table cannot be mapped into memory.
  const isEmptyTable = /\.(ldb|sst): Invalid argument/.test(texts)
  if (codes.includes('LEVEL_CORRUPTION') || /corruption/i.test(texts) || isEmptyTable) {
    return new StoreError('CORRUPT', `${doing}: the database is damaged (${texts}); check the `
      + 'disk, keep a copy of the directory, and do not go on with this one', error)
  }
  return new StoreError('STORE_FAILED', `${doing}: ${texts}`, error)
}

function chainOf(error: unknown): { readonly code: string, readonly message: string }[] {
  const chain: { code: string, message: string }[] = []
  for (let at = error; at instanceof Error && chain.length < 8; at = at.cause) {
    chain.push({ code: 'code' in at ? String(at.code) : '', message: at.message })
  }
  return chain.length > 0 ? chain : [{ code: '', message: String(error) }]
}
