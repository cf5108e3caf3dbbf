// Writes the vectors of this folder: deterministic, from fixed keys. Run it after a change of the
// formats on purpose; test/verifiers/vectors.test.ts holds the files to what it makes.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { logVectors } from './log-cases.ts'
import { checkpointVectors, cosignatureVectors, signatureVectors } from './note-cases.ts'
import { consistencyVectors, inclusionVectors, receiptVectors } from './proof-cases.ts'
import { statementVectors } from './statement-cases.ts'
import type { VectorFile } from './vector-case.ts'

/** The files by name, without `.json`. */
export function ledgerVectors(): ReadonlyMap<string, VectorFile> {
  const files = [
    signatureVectors(), checkpointVectors(), cosignatureVectors(), receiptVectors(),
    inclusionVectors(), consistencyVectors(), statementVectors(), logVectors(),
  ]
  return new Map(files.map((file) => [file.check, file]))
}

export function vectorText({ check, about, cases }: VectorFile): string {
  const lines = cases.map((one) => `  ${JSON.stringify(one)}`).join(',\n')
  const head = `"check": ${JSON.stringify(check)},\n"about": ${JSON.stringify(about)}`
  return `{${head},\n"cases": [\n${lines}\n]}\n`
}

if (import.meta.main) {
  for (const [name, file] of ledgerVectors()) {
    writeFileSync(join(import.meta.dirname, `${name}.json`), vectorText(file))
  }
}
