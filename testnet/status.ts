/**
 * Stage: the operator. What members say of themselves (`GET /v1/status`, blocks, certificates), read out of JSON.
 * Invariant: nothing is believed about the shape of an answer: what is missing or of another type counts as unknown.
 */
import { fromHex } from '../protocol/bytes.ts'
import type { WireCertificate } from '../protocol/certificate.ts'

/** The part of a status that a testnet shows. Times in ms. */
export type MemberStatus = {
  readonly height: number
  readonly headHash: string
  readonly view: number
  readonly era: number
  readonly leader: string
  readonly votesNeeded: number
  readonly assurance:
    | {
        readonly height: number
        readonly signed: number
        readonly signers: readonly string[]
        /** How many may lie on an arbitrarily slow network, as the member claims. */
        readonly liarsTolerated: number | undefined
        readonly sentence: string
      }
    | undefined
  readonly standstill:
    | {
        readonly forMs: number
        readonly votes: number
        readonly needed: number
        readonly missing: readonly string[]
        readonly sentence: string
      }
    | undefined
  /** Slowest small message measured lately, one way; whether that is more than Δ. */
  readonly slowestMs: number | undefined
  readonly violated: boolean
  readonly pool: number
  readonly committed: number
  readonly perSecond: number
  readonly p50Ms: number | undefined
  readonly p99Ms: number | undefined
  readonly warnings: readonly string[]
}

type Json = Readonly<Record<string, unknown>>
const objectOf = (value: unknown): Json => (typeof value === 'object' && value !== null ? (value as Json) : {})
const numberOf = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isFinite(value) ? value : undefined
const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')
const textsOf = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []

/** A status from its JSON; undefined for an answer without a height, which is none. */
export function readStatus(value: unknown): MemberStatus | undefined {
  const root = objectOf(value)
  const height = numberOf(root['height'])
  if (height === undefined) return undefined
  const leader = objectOf(root['leader'])
  const assurance = objectOf(root['assurance'])
  const standstill = objectOf(root['standstill'])
  const latency = objectOf(root['latency'])
  const delays = objectOf(root['delays'])
  const assuredHeight = numberOf(assurance['height'])
  const standsForMs = numberOf(standstill['forMs'])
  return {
    height,
    headHash: textOf(root['headHash']),
    view: numberOf(root['view']) ?? 0,
    era: numberOf(root['era']) ?? 0,
    leader: textOf(leader['name']),
    votesNeeded: numberOf(objectOf(root['quorum'])['needed']) ?? 0,
    assurance:
      assuredHeight === undefined
        ? undefined
        : {
            height: assuredHeight,
            signed: numberOf(assurance['signed']) ?? 0,
            signers: textsOf(assurance['signers']),
            liarsTolerated: numberOf(assurance['liarsTolerated']),
            sentence: textOf(assurance['sentence']),
          },
    standstill:
      standsForMs === undefined
        ? undefined
        : {
            forMs: standsForMs,
            votes: numberOf(standstill['votes']) ?? 0,
            needed: numberOf(standstill['needed']) ?? 0,
            missing: textsOf(standstill['missing']),
            sentence: textOf(standstill['sentence']),
          },
    slowestMs: numberOf(delays['slowestMs']),
    violated: delays['violated'] === true,
    pool: numberOf(objectOf(root['pool'])['count']) ?? 0,
    committed: numberOf(objectOf(root['transactions'])['committed']) ?? 0,
    perSecond: numberOf(objectOf(root['transactions'])['perSecond']) ?? 0,
    p50Ms: numberOf(latency['p50Ms']),
    p99Ms: numberOf(latency['p99Ms']),
    warnings: textsOf(root['warnings']),
  }
}

/** A block's header as the API shows it: what chains are compared by. */
export type HeaderView = {
  readonly height: number
  readonly hash: string
  readonly parent: string
  readonly stateRoot: string
  readonly transactionCount: number
}

/** A header from its JSON; undefined for anything else. */
export function readHeader(value: unknown): HeaderView | undefined {
  const root = objectOf(value)
  const height = numberOf(root['height'])
  const hash = textOf(root['hash'])
  if (height === undefined || hash === '') return undefined
  return {
    height,
    hash,
    parent: textOf(root['parent']),
    stateRoot: textOf(root['stateRoot']),
    transactionCount: numberOf(root['transactionCount']) ?? 0,
  }
}

/** The items and the next cursor of a page. */
export function readPage(value: unknown): { items: readonly unknown[]; next: string | undefined } {
  const root = objectOf(value)
  const items = root['items']
  return { items: Array.isArray(items) ? items : [], next: textOf(root['next']) || undefined }
}

/** Names of those who signed, from the JSON of a certificate. */
export const readSigned = (value: unknown): string[] => textsOf(objectOf(value)['signed'])

const HASH = /^[0-9a-f]{64}$/
const SIGNATURE = /^[0-9a-f]{130}$/

/** A certificate from its JSON; undefined for anything that cannot be one. */
export function readCertificate(value: unknown): WireCertificate | undefined {
  const root = objectOf(value)
  const statement = objectOf(root['statement'])
  const [era, view, seq, height] = ['era', 'view', 'seq', 'height'].map((name) => numberOf(statement[name]))
  const kind = root['kind']
  const hash = textOf(statement['hash'])
  const signatures = textsOf(root['signatures'])
  if (kind !== 'vote' && kind !== 'commit') return undefined
  if (era === undefined || view === undefined || seq === undefined || height === undefined) return undefined
  if (!HASH.test(hash) || !signatures.every((signature) => SIGNATURE.test(signature))) return undefined
  const made = { era, view, seq, height, hash: fromHex(hash) }
  return { kind, statement: made, signatures: signatures.map((signature) => fromHex(signature)) }
}

/** Ids of a block's transactions, from its JSON. */
export const readTransactionIds = (value: unknown): string[] => textsOf(objectOf(value)['transactions'])

/** A transaction as the API shows it. Height and block are undefined unless it is committed. */
export function readTransaction(value: unknown): {
  readonly status: string
  readonly kind: string
  readonly signer: string
  readonly height: number | undefined
  readonly block: string
  readonly committedAt: number | undefined
} {
  const root = objectOf(value)
  return {
    status: textOf(root['status']),
    kind: textOf(root['kind']),
    signer: textOf(root['signer']),
    height: numberOf(root['height']),
    block: textOf(root['block']),
    committedAt: numberOf(root['committedAt']),
  }
}

/** Reports of a device on the chain, from its JSON: how many, and of the last one its height and the device's claim of its time (ms). */
export function readReports(value: unknown): {
  readonly count: number
  readonly lastHeight: number | undefined
  readonly observedAt: number | undefined
} {
  const reports = objectOf(objectOf(value)['reports'])
  return {
    count: numberOf(reports['count']) ?? 0,
    lastHeight: numberOf(reports['lastHeight']),
    observedAt: numberOf(reports['observedAt']),
  }
}

/** How a device stands. Heights: undefined where there is none. */
export type DeviceStanding = {
  readonly status: string
  readonly blacklistedAt: number | undefined
  readonly lastReportAt: number | undefined
}

/** A device's standing, from its JSON; `unknown` where there is none. */
export function readDevice(value: unknown): DeviceStanding {
  const root = objectOf(value)
  return {
    status: textOf(root['status']) || 'unknown',
    blacklistedAt: numberOf(objectOf(root['blacklist'])['height']),
    lastReportAt: readReports(value).lastHeight,
  }
}

/** A point of the history of trust, from its JSON: the standing then, and the block's time (ms). */
export function readPoint(value: unknown): { readonly status: string; readonly time: number } {
  const root = objectOf(value)
  return { status: textOf(root['status']), time: numberOf(root['time']) ?? 0 }
}

/** The first report with events that was made at `from` (ms) or later, of a list of events: its time and its categories. */
export function readFirstEvent(
  items: readonly unknown[],
  from: number,
): { readonly observedAt: number; readonly categories: readonly string[] } | undefined {
  const events = items.map((item) => {
    const root = objectOf(item)
    return { observedAt: numberOf(root['observedAt']) ?? 0, category: textOf(root['category']) }
  })
  const later = events.filter(({ observedAt }) => observedAt >= from)
  if (later.length === 0) return undefined
  const observedAt = Math.min(...later.map((event) => event.observedAt))
  const categories = later.filter((event) => event.observedAt === observedAt).map(({ category }) => category)
  return { observedAt, categories: [...new Set(categories)].sort() }
}

/** Why a device was cut off, from the JSON of its trust. */
export function readReason(value: unknown): {
  readonly cause: string | undefined
  readonly finalScorePpm: number | undefined
  readonly raters: number
} {
  const reason = objectOf(objectOf(value)['blacklist'])
  const opinions = reason['opinions']
  return {
    cause: textOf(reason['cause']) || undefined,
    finalScorePpm: numberOf(reason['finalScorePpm']),
    raters: Array.isArray(opinions) ? opinions.length : 0,
  }
}
