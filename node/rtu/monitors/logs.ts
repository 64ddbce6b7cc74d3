/**
 * RTU, monitor `logs`: failed log-ins, and lines with texts that the operator names, in log files that grow.
 * Invariants: a file is read from where the last cycle ended, at most `bytesMax` a cycle, and what is beyond is passed over and said; a
 * rotated file is
 * read to its end under its new name; texts are looked for as they stand and never as patterns, so that no line can make the search slow; no
 * line is ever part of a finding, since lines hold names and secrets. What was written while the unit did not run is not seen.
 */
import { integer, record } from '../../../protocol/codec.ts'
import { attempt, type FileFacts, type Machine, textOf } from '../machine.ts'
import { blindOf, detailOf, type Finding, type Monitor } from '../monitor.ts'

/** What is followed, and bounds. */
export type LogsOptions = {
  /** Absolute paths, at most `filesMax`. */
  readonly paths: readonly string[]
  readonly words: readonly string[]
  readonly filesMax: number
  readonly bytesMax: number
}
/** A cycle's worth of a busy log. */
export const LOGS_DEFAULTS: LogsOptions = { paths: [], words: [], filesMax: 8, bytesMax: 64 * 1024 }

/** What a failed log-in looks like, in lower case: sshd, PAM, login, dropbear, sudo. */
const FAILED = [
  'failed password',
  'authentication failure',
  'failed login',
  'login incorrect',
  'bad password attempt',
  'invalid user',
  'incorrect password attempt',
]
/** Cycles over which failures are counted: a minute at the usual interval. */
const WINDOW = 12
/** Fewer failures than this say nothing. */
const FAILURES_MIN = 5

type Followed = { readonly inode: number; readonly device: number; readonly offset: number }
/** `failuresMax`: most failures in a window while learning. The rest is of the last cycles and not kept on disk. */
export type LogsBaseline = {
  readonly failuresMax: number
  readonly files: ReadonlyMap<string, Followed>
  /** Failures of the last cycles, the newest last. */
  readonly failures: readonly number[]
  /** Path → cycles since it was seen to be gone or cut. */
  readonly removed: ReadonlyMap<string, number>
}

const baselineCodec = record({ failuresMax: integer() })

/** Monitor of logs. */
export const logsMonitor = (options: LogsOptions): Monitor<LogsBaseline> => {
  const words = options.words.map((word) => word.toLowerCase())
  return {
    name: 'logs',
    categories: ['login.failed', 'log.match', 'log.removed'],
    empty: () => ({ failuresMax: 0, files: new Map(), failures: [], removed: new Map() }),
    async observe(machine, baseline, turn) {
      const files = new Map<string, Followed>()
      const removed = new Map<string, number>()
      const blind: (string | null)[] = []
      const matched = new Map<string, Finding>()
      let failed = 0
      let followed = 0
      for (const path of options.paths.slice(0, options.filesMax)) {
        const grown = follow(machine, path, baseline.files.get(path), options.bytesMax)
        if (grown.now !== undefined) files.set(path, grown.now)
        if (grown.isFollowed) followed++
        blind.push(grown.blind)
        const before = baseline.removed.get(path)
        if (grown.isCut || (before !== undefined && before < WINDOW))
          removed.set(path, grown.isCut ? 0 : (before as number) + 1)
        for (const line of grown.text.toLowerCase().split('\n')) {
          if (FAILED.some((one) => line.includes(one))) failed++
          for (const word of words) if (line.includes(word)) matched.set(`${path} ${word}`, matchFinding(path, word))
        }
        await turn.pause()
        if (machine.monotonicMs() > turn.deadlineMs) break
      }
      const failures = [...baseline.failures, failed].slice(-WINDOW)
      const inWindow = failures.reduce((sum, one) => sum + one, 0)
      const failuresMax = turn.learning ? Math.max(baseline.failuresMax, inWindow) : baseline.failuresMax
      const findings = [...matched.values(), ...[...removed.keys()].map(removedFinding)]
      if (inWindow > Math.max(FAILURES_MIN, 3 * failuresMax)) findings.push(loginFinding(inWindow, failuresMax))
      return {
        // What the operator asked for, and a log that is cut, is said while learning too.
        findings,
        baseline: { failuresMax, files, failures, removed },
        blind: blindOf(blind),
        // Where no log is there, no peer can be judged by this.
        counts: followed > 0 ? { loginFailedCount: inWindow } : {},
      }
    },
    toDisk: ({ failuresMax }) => baselineCodec.to({ failuresMax }),
    fromDisk: (json) => ({
      failuresMax: baselineCodec.from(json as never, 'logs').failuresMax,
      files: new Map(),
      failures: [],
      removed: new Map(),
    }),
  }
}

type Grown = {
  readonly text: string
  readonly now: Followed | undefined
  /** Whether the file is there and may be read. */
  readonly isFollowed: boolean
  /** Gone, or cut with no rotated copy beside it. */
  readonly isCut: boolean
  readonly blind: string | null
}

function follow(machine: Machine, path: string, before: Followed | undefined, bytesMax: number): Grown {
  const stated = attempt(() => machine.stat(path))
  if ('refusal' in stated || stated.value.kind !== 'file') {
    const isGone = 'refusal' in stated && stated.refusal === 'ENOENT'
    // One that was never there is not missed.
    const blind = isGone ? null : `cannot follow ${path}`
    return { text: '', now: before, isFollowed: false, isCut: isGone && before !== undefined, blind }
  }
  const facts = stated.value
  const identity = { inode: facts.inode, device: facts.device }
  if (before === undefined) return { ...nothing(identity, facts.sizeBytes), blind: null }
  const isSame = before.inode === facts.inode && before.device === facts.device
  if (isSame && facts.sizeBytes >= before.offset) return grow(machine, path, before.offset, facts, bytesMax, '')
  // Rotated: what came last is under the name that logrotate gives; copied and cut, or cut by somebody: the same inode, shorter.
  const copy = attempt(() => machine.stat(`${path}.1`))
  const hasCopy = 'value' in copy && copy.value.kind === 'file' && copy.value.sizeBytes >= before.offset
  const rest = hasCopy ? attempt(() => machine.readFrom(`${path}.1`, before.offset, bytesMax)) : undefined
  const end = rest !== undefined && 'value' in rest ? textOf(rest.value) : ''
  const grown = grow(machine, path, 0, facts, bytesMax, end)
  return { ...grown, isCut: !hasCopy && before.offset > 0 }
}

const nothing = (identity: Pick<Followed, 'inode' | 'device'>, offset: number) => ({
  ...{ text: '', isFollowed: true, isCut: false },
  now: { ...identity, offset },
})

function grow(machine: Machine, path: string, from: number, facts: FileFacts, bytesMax: number, first: string): Grown {
  const { inode, device, sizeBytes } = facts
  // Of more than can be read the end counts: whoever writes much must not hide what comes after.
  const start = Math.max(from, sizeBytes - bytesMax)
  const content = attempt(() => machine.readFrom(path, start, bytesMax))
  if ('refusal' in content)
    return {
      ...nothing({ inode, device }, from),
      isFollowed: false,
      blind: `cannot follow ${path}: ${content.refusal}`,
    }
  const { bytes } = content.value
  // A line that is not whole yet is read again with its end, unless it is longer than a cycle's worth.
  const lastEnd = bytes.lastIndexOf(10)
  const whole = lastEnd < 0 ? (bytes.length >= bytesMax ? bytes.length : 0) : lastEnd + 1
  const text = first + textOf({ bytes: bytes.subarray(0, whole), truncated: false })
  const blind = start > from ? `${path} grew by more than is read at once` : null
  return { text, now: { inode, device, offset: start + whole }, isFollowed: true, isCut: false, blind }
}

const matchFinding = (path: string, word: string): Finding => ({
  category: 'log.match',
  subject: `${path} ${word}`,
  severityPpm: 500_000,
  confidencePpm: 500_000,
  detail: detailOf(`a line of ${path} has the text "${word}"`),
})

const removedFinding = (path: string): Finding => ({
  category: 'log.removed',
  subject: path,
  severityPpm: 600_000,
  confidencePpm: 500_000,
  detail: detailOf(`a followed log is gone or was cut, and no rotated copy is beside it: ${path}`),
})

function loginFinding(inWindow: number, usual: number): Finding {
  const severityPpm = Math.min(800_000, 400_000 + 10_000 * inWindow)
  const detail = detailOf(`${inWindow} log-ins failed within ${WINDOW} cycles, at most ${usual} did in the baseline`)
  return { category: 'login.failed', subject: 'log-ins', severityPpm, confidencePpm: 700_000, detail }
}
