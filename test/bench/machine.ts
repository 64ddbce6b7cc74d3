/** What the bench asks of the machine: facts, CPU time and memory of processes (Linux, /proc). */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os'
import { nativePrimitives, signatureProvider } from '../../node/crypto/native.ts'

/** Clock ticks per second in /proc/<pid>/stat: fixed for user space on Linux. */
const TICKS_PER_SECOND = 100

/** CPU time that a process has used, user and system, µs; in steps of 10 ms. */
export function cpuMicroseconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
  // After the name come state (field 3) …; utime and stime are fields 14 and 15.
  return ((Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND) * 1e6
}

/**
 * Resident memory of a process, bytes: what is its own, and pages of files that the system can take back whenever it needs them (program,
 * libraries, tables of LevelDB). The two make up what is called RSS.
 */
export type Memory = { readonly resident: number; readonly anonymous: number; readonly file: number }

/** Resident memory of a process. */
export function memoryOf(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8')
  const bytes = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+([0-9]+) kB`, 'm').exec(text)?.[1] ?? 0) * 1024
  return { resident: bytes('VmRSS'), anonymous: bytes('RssAnon'), file: bytes('RssFile') + bytes('RssShmem') }
}

/** Facts about the machine and the code, for the head of the report. */
export function machineFacts(): string[] {
  const revision = ((): string => {
    try {
      return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
    } catch {
      return 'unknown'
    }
  })()
  return [
    `${availableParallelism()} cores of ${cpus()[0]?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB memory, Linux`,
    `Node.js ${process.version}, ${signatureProvider}, revision ${revision}`,
    `load average before the run: ${loadavg()[0]?.toFixed(2)} (other work on this machine lowers every figure)`,
  ]
}

/** Cores that the figures relate to. */
export const cores = (): number => availableParallelism()

/** Time of one public-key recovery on one idle core, µs: the median of rounds of 200, for about a second. */
export function recoverMicroseconds(): number {
  const digest = Uint8Array.from({ length: 32 }, (_, i) => i + 1)
  const signature = nativePrimitives.sign(digest, new Uint8Array(32).fill(7))
  const rounds: number[] = []
  const end = performance.now() + 1000
  while (performance.now() < end) {
    const began = performance.now()
    for (let i = 0; i < 200; i++) nativePrimitives.recover(digest, signature)
    rounds.push(((performance.now() - began) * 1000) / 200)
  }
  return percentile(rounds, 0.5)
}

/** The value below which the share `p` (0 … 1) of `values` lies; NaN for none. */
export function percentile(values: readonly number[], p: number): number {
  if (values.length === 0) return Number.NaN
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))] as number
}
