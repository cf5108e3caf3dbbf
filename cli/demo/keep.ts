// What stays when the demo is asked to leave its federation up: the ways into it and out of it.

import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { home } from './federation.ts'
import { program } from './processes.ts'
import type { Screen } from './screen.ts'
import { shellWord } from './screen.ts'
import { userKeyPath } from './visitor.ts'

/** A file for the shell to read: the home site, the visitor's key, and `gridnode` in the PATH. */
export function writeEnvironment(directory: string): string {
  const path = join(directory, 'env')
  const variables = {
    GRIDNODE_DIR: join(directory, home),
    GRIDNODE_USER: 'visitor',
    GRIDNODE_USER_KEY: userKeyPath(directory),
  }
  const lines = Object.entries(variables).map(([name, value]) =>
    `export ${name}=${shellWord(value)}`)
  lines.push(`export PATH=${shellWord(dirname(program))}:"$PATH"`)
  writeFileSync(path, `${lines.join('\n')}\n`, { mode: 0o600 })
  return path
}

export async function showWaysOn(
  screen: Screen, ways: readonly (readonly [command: string, what: string])[],
): Promise<void> {
  for (const [command, what] of ways) {
    await screen.line(`  ${screen.style.cyan(command)}`)
    await screen.line(`      ${what}`)
  }
}
