// What a task of the fake scheduler does: a very small shell, enough for the commands of tests, so
// that one suite can say `sh -c 'echo hello; exit 3'` to a fake and to a real scheduler.

export interface ProgramRun {
  readonly durationMs: number
  readonly exitCode: number
  readonly cpuMs: number
  readonly memoryBytesPeak: number
  readonly stdout: string
  readonly stderr: string
}

/**
 * Understands `sleep N` and `sh -c SCRIPT`, where SCRIPT is statements with `;` between them:
 * `echo WORDS [>&2]` with `$NAME` and double quotes, `sleep N`, `exit N`, `true`, `false`.
 * Anything else ends with 127, as a shell would.
 */
export function runProgram(
  command: readonly string[],
  environment: Readonly<Record<string, string>>,
): ProgramRun {
  const script = command[0] === 'sh' && command[1] === '-c' ? command[2] ?? '' : command.join(' ')
  let durationMs = 0
  let exitCode = 0
  let stdout = ''
  let stderr = ''
  for (const statement of script.split(';').map((part) => part.trim()).filter(Boolean)) {
    const [verb = '', ...words] = statement.split(/\s+/)
    exitCode = 0
    if (verb === 'exit') {
      exitCode = Number(words[0] ?? 0)
      break
    } else if (verb === 'sleep') {
      durationMs += Number(words[0]) * 1_000
    } else if (verb === 'echo') {
      const toError = words.at(-1) === '>&2'
      const text = (toError ? words.slice(0, -1) : words).join(' ').replaceAll('"', '')
      const line = `${text.replace(/\$\{?(\w+)\}?/g, (_, name) => environment[name] ?? '')}\n`
      if (toError) stderr += line
      else stdout += line
    } else if (verb === 'false') {
      exitCode = 1
    } else if (verb !== 'true') {
      stderr += `${verb}: not found\n`
      exitCode = 127
    }
  }
  return {
    durationMs: Math.max(1, Math.round(durationMs)), exitCode, cpuMs: 1,
    memoryBytesPeak: 1024 * 1024, stdout, stderr,
  }
}
