// A job's own variables on their way into its task, past everything that runs before it with other
// rights than the task's: LD_PRELOAD or PATH would otherwise choose what our supervisor, the
// sandbox and the change of the account load and run, outside of the sandbox and perhaps as root.
//
// Invariant: until the words have run, no variable has a name that the job has chosen. The values
// travel in the environment, as before: the words can be read by all users of the machine.

export interface Carried {
  /** Beside what the way there needs. */
  readonly variables: Readonly<Record<string, string>>
  /** Before the task's command, behind all that changes its rights. */
  readonly words: readonly string[]
}

const prefix = 'GRIDNODE_CARRIED_'

const script = `
n=$1
shift
while [ "$n" -gt 0 ]; do
  n=$((n - 1))
  eval "set -- \\"\\\${${prefix}$n}\\" \\"\\$@\\"; unset ${prefix}$n"
done
exec env "$@"`

/** @param environment with names of letters, digits and _ */
export function carried(environment: Readonly<Record<string, string>>): Carried {
  const own = Object.entries(environment)
  return {
    variables: Object.fromEntries(own.map(([name, value], n) =>
      [`${prefix}${n}`, `${name}=${value}`])),
    words: ['sh', '-c', script, 'gridnode-variables', String(own.length)],
  }
}

/** Without those that the sandbox sets for every task. */
export function carriedIntoSandbox(environment: Readonly<Record<string, string>>): Carried {
  const { HOME: _home, TMPDIR: _temporary, ...own } = environment
  return carried(own)
}
