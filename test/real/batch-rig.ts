// What the tests of all command-line schedulers share: commands behind a script that counts them,
// directories for tasks, and what tasks left there.

import {
  appendFileSync, chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Submission } from '../../node/scheduler/driver.ts'

export interface Bench {
  readonly root: string
  /** The scheduler's commands, each of which writes a line before it does its work. */
  readonly binDirectory: string
  /** How often a command was run. */
  asked(program: string): number
  /** Puts shell lines in the place of a command; `$real` in them is the real one. */
  replace(program: string, lines: string): void
  restore(program: string): void
  /** Absolute, existing, empty, with a name that needs quoting. */
  taskDirectory(): string
}

/** @param root absolute and empty; @param real where the commands are */
export function openBench(root: string, real: string, programs: readonly string[]): Bench {
  chmodSync(root, 0o755)
  const binDirectory = join(root, 'bin')
  mkdirSync(binDirectory)
  const log = join(root, 'asked')
  appendFileSync(log, '')
  let made = 0
  const replace = (program: string, lines: string): void => {
    const script = `#!/bin/sh\nreal=${real}/${program}\necho ${program} >>'${log}'\n${lines}\n`
    writeFileSync(join(binDirectory, program), script, { mode: 0o755 })
  }
  const restore = (program: string): void => replace(program, 'exec "$real" "$@"')
  for (const program of programs) restore(program)
  return {
    root, binDirectory, replace, restore,
    asked: (program) => readFileSync(log, 'utf8').split('\n')
      .filter((line) => line === program).length,
    taskDirectory() {
      const directory = join(root, `task ${made++}'s`)
      mkdirSync(directory)
      return directory
    },
  }
}

export function readOutput(
  submission: Submission,
  taskIndex: number,
): { readonly stdout: string; readonly stderr: string } {
  const task = submission.tasks.find((one) => one.taskIndex === taskIndex)
  const read = (stream: string): string => {
    const path = join(task?.directory ?? '', '.gridnode', stream)
    return existsSync(path) ? readFileSync(path, 'utf8') : ''
  }
  return { stdout: read('stdout'), stderr: read('stderr') }
}
