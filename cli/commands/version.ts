// `gridnode version`: of this program, and of the node if it runs.

import { readFileSync } from 'node:fs'
import type { NodeInfo } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import type { Command, Context } from '../command.ts'
import { exitCodes } from '../failure.ts'
import { jsonText } from '../output.ts'

export const version: Command = {
  usage: ['[options]'],
  about: 'Prints the version of this program and, if it runs, of the node.',
  options: {},
  examples: [['gridnode version', 'for a report']],
  run: runVersion,
}

async function runVersion(context: Context): Promise<number> {
  const own = programVersion()
  let node: NodeInfo | undefined
  try {
    node = await context.client().get<NodeInfo>(apiPaths.info)
  } catch {
    // The program has a version without a node.
  }
  const text = node
    ? `gridnode ${own}\nnode ${node.version} of ${node.site}, process ${node.pid}\n`
    : `gridnode ${own}\n`
  const shown = { version: own, node_js: process.versions.node, ...(node ? { node } : {}) }
  await context.terminal.out.write(context.json ? jsonText(shown) : text)
  return exitCodes.done
}

function programVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  const { version: own } = JSON.parse(text) as { version: string }
  return own
}
