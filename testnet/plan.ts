/**
 * Stage: the operator. What a testnet is to be: how many members and RTUs, for how long, with which times; pure.
 * Invariants: every name is unique, lower-case and safe as a folder name; members come first, and a member's place is its index in the
 * genesis.
 */
import { didYouMean } from '../config/problems.ts'

/** How large a testnet may be. */
export const MOST = { members: 16, rtus: 50 } as const

/** What was asked for. */
export type TestnetPlan = {
  /** 1 … `MOST.members`. */
  readonly members: number
  /** 0 … `MOST.rtus`. */
  readonly rtus: number
  /** Δ of the genesis, ms. */
  readonly deltaMs: number
  /** An idle leader's pause between blocks, ms. */
  readonly heartbeatMs: number
  /** Time from one observation of an RTU to the next, ms. */
  readonly rtuIntervalMs: number
}

/** What `npm start` runs: a block about each half second on an idle network, Δ for a machine's own loopback. */
export const DEFAULT_PLAN: TestnetPlan = Object.freeze({
  members: 4,
  rtus: 3,
  deltaMs: 250,
  heartbeatMs: 500,
  rtuIntervalMs: 2000,
})

const FIRST_NAMES = ['north', 'south', 'east', 'west'] as const

/** Names of `count` members, in the order of the genesis: north, south, east, west, member-5 … */
export const memberNames = (count: number): string[] =>
  Array.from({ length: count }, (_, i) => FIRST_NAMES[i] ?? `member-${i + 1}`)

/** Names of `count` RTUs: rtu-1 … */
export const rtuNames = (count: number): string[] => Array.from({ length: count }, (_, i) => `rtu-${i + 1}`)

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** `500ms`, `30s`, `2m`, `1h` as ms; undefined for anything else, and for nothing or more than a day. */
export function parseDuration(text: string): number | undefined {
  const match = /^([0-9]{1,8})(ms|s|m|h)$/.exec(text)
  if (match === null) return undefined
  const ms = Number(match[1]) * UNITS_MS[match[2] as string]!
  return ms > 0 && ms <= 86_400_000 ? ms : undefined
}

/** A time as people read it: `0:42`, `1:02:03`. */
export function clockText(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
  const tail = `${h > 0 ? String(m).padStart(2, '0') : m}:${String(s).padStart(2, '0')}`
  return h > 0 ? `${h}:${tail}` : tail
}

/** What to say to a name that no participant has: the one that was probably meant, and all there are. */
export function nameAdvice(name: string, names: readonly string[]): string {
  const hint = didYouMean(name, names)
  return `${hint === undefined ? '' : `${hint} `}The names are: ${names.join(', ')}.`
}
