// Pages of the help that are no command's: what scripts can ask for, expressions, exit codes,
// files.

export interface HelpPage {
  readonly summary: string
  readonly text: string
}

const directives = `What a script can ask for

A script starts with #! and an interpreter. Lines before its first command that start
with #GRID (in the first column) carry the options of 'gridnode submit', in the same words:

  #!/bin/sh
  #GRID --name count --cores 2 --memory 512MiB --walltime 10m
  #GRID --array 0-15%4
  #GRID --in texts --out "counts/*.txt"
  wc -w texts/$GRIDNODE_TASK_ID.txt > counts/$GRIDNODE_TASK_ID.txt

  --name --cores --memory --walltime --array --in --out --env
  --budget --allocation --policy --require --place --sites --start-within
  --gpus --queue --project --priority --after --begin --licences

Quotes and backslashes work as in a shell, and # starts a comment. Relative paths of --in
are meant from the script's directory (on the command line: from the current one).

Scripts of Slurm (#SBATCH), PBS and Torque (#PBS), LSF (#BSUB) and Grid Engine (#$) run as
they are: each is read with its own scheduler's rules, and finds that scheduler's variables
wherever it runs. The first directive says which it is, or --dialect. Advice such as mail is
ignored with a note; what cannot be honoured is an error that names its line.
#GRID counts over those of a scheduler, the command line over both.

  gridnode explain job.sh      what was understood, from which line
`

const expressions = `Expressions over what sites publish

For 'submit --require' and 'offers --where', in CEL (Common Expression Language):

  cores_total >= 64 && speed_permille > 1000
  os == "linux" && arch in ["x86_64", "aarch64"]
  "gcc" in software && software["gcc"].startsWith("12.")
  rate_core_hour <= 50000             (microcredits: millionths of a credit)

  && || ! == != < <= > >= + - * / % in ?: ( ) [ ]
  size() has() contains() startsWith() endsWith()

Numbers are integers. A site that does not publish a name that is needed does not fit.
'gridnode offers --attributes' lists the names, 'gridnode offers SITE' the values of a site.
`

const exitCodesPage = `Exit codes

    0  done
    1  refused, or failed; 'verify', 'audit': something does not hold
    2  wrong usage; nothing was done
    3  the node is not running or does not answer
  130  Ctrl-C; a job that was waited for goes on

'submit --wait' gives 0 when the job is done. If it failed: the exit code of its first failed
task (the lowest task number), or 1 when that has none. Cancelled and expired jobs give 1.
With --json an error is one line on stderr: {"error":{"code":"...","message":"..."}}.
`

const files = `Files and variables

  --dir DIR, $GRIDNODE_DIR, ~/.gridnode     the site's data directory, the first that is set
  DIR/gridnode.toml                         its configuration
  DIR/node.sock                             where commands reach the node
  $GRIDNODE_USER_KEY                        your key; without it gridnode/user.key in
                                            $XDG_CONFIG_HOME or ~/.config (made on first use)
  $GRIDNODE_USER                            your name at the site, if not your login name
  $NO_COLOR                                 no colours
  $GRIDNODE_DEBUG                           the whole of an unforeseen error

Whoever has the user key can cancel your jobs: keep it to yourself, and keep a copy.
`

export const helpPages: Readonly<Record<string, HelpPage>> = {
  directives: { summary: 'what a script can ask for in its comments', text: directives },
  expressions: { summary: 'how to say what a site must have', text: expressions },
  'exit-codes': { summary: 'what the exit codes mean', text: exitCodesPage },
  files: { summary: 'where things lie, and variables', text: files },
}
