/**
 * Stage: the operator. The warden: a small shell process that ends the processes of a testnet when the testnet itself is gone, whatever
 * became of it: a crash, `kill -9`, a closed terminal.
 * Invariants: it needs nothing of the processes it guards, so that paused ones end as well; it sits in a session of its own, where no Ctrl-C
 * of the terminal reaches it; it knows exactly the processes that run.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { CommandError, EXIT } from '../cli/failure.ts'

/**
 * Reads `keep <pid>` and `drop <pid>`, one a line. The end of its input is the end of the testnet: whoever is left is asked to stop, woken if
 * paused, and after 5 s killed.
 */
const SCRIPT = `
pids=
while read -r word pid; do
  case $word in
    keep) pids="$pids $pid" ;;
    drop) rest=; for one in $pids; do [ "$one" = "$pid" ] || rest="$rest $one"; done; pids=$rest ;;
  esac
done
[ -z "$pids" ] && exit 0
kill -TERM $pids; kill -CONT $pids
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do
  rest=; for one in $pids; do kill -0 "$one" && rest="$rest $one"; done; pids=$rest
  [ -z "$pids" ] && exit 0
  sleep 0.2
done
kill -KILL $pids
`

/** Guards processes by id until it is closed. */
export class Warden {
  readonly #process: ChildProcess
  #closed = false

  private constructor(process: ChildProcess, lost: () => void) {
    this.#process = process
    process.stdin?.on('error', () => undefined)
    process.on('exit', () => this.#closed || lost())
  }

  /** Starts one; `lost` is called if it ends before `close`. CommandError TESTNET_WARDEN (exit 69) where there is no POSIX shell. */
  static async start(lost: () => void): Promise<Warden> {
    const child = spawn('sh', ['-c', SCRIPT], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve)
      child.once('error', (cause) =>
        reject(
          new CommandError(
            'TESTNET_WARDEN',
            EXIT.unavailable,
            'a testnet needs a POSIX shell (sh) to guard its processes',
            {
              cause,
            },
          ),
        ),
      )
    })
    return new Warden(child, lost)
  }

  /** Process id of the warden. */
  get pid(): number {
    return this.#process.pid as number
  }

  /** Guards `pid` from now on. */
  keep(pid: number): void {
    this.#process.stdin?.write(`keep ${pid}\n`)
  }

  /** `pid` has ended: its number may soon be another's. */
  drop(pid: number): void {
    this.#process.stdin?.write(`drop ${pid}\n`)
  }

  /** Ends the warden, and with it whatever it still guards. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const ended = new Promise<void>((resolve) => this.#process.once('exit', () => resolve()))
    this.#process.stdin?.end()
    await ended
  }
}
