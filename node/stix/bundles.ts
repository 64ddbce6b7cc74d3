/**
 * STIX bundles of committed blocks. Stage: **ledger** → explorer.
 * Invariant: a bundle follows from what the chain holds of its block, so that this member's is every member's; nothing is stored.
 */
import { toHex } from '../../protocol/bytes.ts'
import { CborError } from '../../protocol/cbor.ts'
import { sha3 } from '../../protocol/crypto.ts'
import { readDevice } from '../../protocol/kinds/device/record.ts'
import type { StateReader } from '../../protocol/kinds/kind.ts'
import type { CategoryName } from '../../protocol/kinds/report/categories.ts'
import { deviceReport, type Report } from '../../protocol/kinds/report/report.ts'
import { KINDS } from '../../protocol/kinds/table.ts'
import {
  readTrust,
  readTrustPage,
  TRUST_PAGE_POINTS,
  TRUST_POINTS_MAX,
  type TrustPoint,
} from '../../protocol/kinds/trust/record.ts'
import { addressOf } from '../../protocol/signature.ts'
import { type Anomaly, type StixDevice, stixBundle } from '../../protocol/stix.ts'
import { decodeTransaction, type Transaction } from '../../protocol/transaction.ts'
import { decodeBody } from '../executor/body.ts'
import type { LedgerReads } from '../executor/reads.ts'

/** The bundle of one block: its canonical text, and SHA3-256 of that. */
export type StixBundle = { readonly height: number; readonly text: string; readonly hash: Uint8Array }

/** What bundles are made from. */
export type BundlesOptions = {
  readonly chainId: Uint8Array
  readonly network: string
  /** Time of the genesis, ms. */
  readonly createdAt: number
  readonly reads: Pick<LedgerReads, 'state' | 'body' | 'headerAt'>
}

/** Kinds after which the trust in a device may have changed, or that report of one. */
const CONCERNED: ReadonlySet<string> = new Set([
  'device.register',
  'device.retire',
  'device.report',
  'trust.opinion',
  'trust.score',
  'access.blacklist',
  'access.reinstate',
])
/** The last ms that STIX can write: the end of the year 9999. */
const LATEST = 253_402_300_799_999

/** Whether a block with these transactions may have a bundle: cheap, before anything is read. */
export const mayHaveBundle = (transactions: readonly Pick<Transaction, 'kind'>[]): boolean =>
  transactions.some(({ kind }) => CONCERNED.has(kind))

/** Makes bundles. */
export class Bundles {
  readonly #options: BundlesOptions
  readonly #state: StateReader

  constructor(options: BundlesOptions) {
    this.#options = options
    this.#state = { get: (key) => options.reads.state(key)?.value }
  }

  /** The bundle of the committed block at `height`. none: it says nothing of devices. pruned: its body is no longer here. unknown: no such block. */
  async of(height: number): Promise<StixBundle | 'none' | 'pruned' | 'unknown'> {
    const body = await this.#options.reads.body(height)
    if (body === undefined) return this.#options.reads.headerAt(height) === undefined ? 'unknown' : 'pruned'
    const encoded = decodeBody(body)
    if (typeof encoded === 'string') throw new Error(`the body of the committed block ${height} is ${encoded}`)
    return (
      this.ofTransactions(
        height,
        encoded.map((bytes) => decodeTransaction(bytes)),
      ) ?? 'none'
    )
  }

  /** The same, of a committed block whose transactions are at hand. */
  ofTransactions(height: number, transactions: readonly Transaction[]): StixBundle | undefined {
    const header = this.#options.reads.headerAt(height)
    if (header === undefined || !mayHaveBundle(transactions)) return undefined
    const concerned = transactions.filter(({ kind }) => CONCERNED.has(kind))
    const ids = [...new Set(concerned.flatMap(devicesOf))].sort()
    const { time } = header.header
    const points = ids.flatMap((device) => this.#pointsAt(device, height).map((point) => ({ device, point })))
    const { chainId, network, createdAt } = this.#options
    const text = stixBundle({
      ...{ chainId, network, createdAt, height, time, points },
      hash: header.hash,
      anomalies: anomaliesOf(concerned, time),
      devices: new Map(ids.flatMap((id) => this.#device(id))),
    })
    return text === undefined ? undefined : { height, text, hash: sha3(Buffer.from(text)) }
  }

  #device(id: string): [string, StixDevice][] {
    const device = readDevice(this.#state, id)
    if (device === undefined) return []
    const registeredAt = this.#options.reads.headerAt(device.registeredAt)?.header.time ?? this.#options.createdAt
    return [[id, { id, hardwareId: device.hardwareId, publicKey: toHex(device.publicKey), registeredAt }]]
  }

  /** Points of the history of a device at `height`: one, unless it moved twice in that block. */
  #pointsAt(id: string, height: number): TrustPoint[] {
    const found: TrustPoint[] = []
    const points = readTrust(this.#state, id)?.points ?? 0
    const oldest = Math.max(0, points - TRUST_POINTS_MAX)
    for (let sequence = points - 1; sequence >= oldest; sequence = sequence - (sequence % TRUST_PAGE_POINTS) - 1) {
      const page = readTrustPage(this.#state, id, sequence)
      found.unshift(...page.filter((point) => point.height === height))
      if ((page[0]?.height ?? 0) < height) break
    }
    return found
  }
}

/** Devices that a transaction says something of, hexadecimal. */
function devicesOf({ kind, payload }: Transaction): string[] {
  const codec = KINDS.get(kind)?.payload
  if (codec === undefined) return []
  try {
    const read = codec.from(payload, kind) as {
      device?: Uint8Array
      publicKey?: Uint8Array
      opinions?: readonly { device: Uint8Array }[]
    }
    if (read.opinions !== undefined) return read.opinions.map(({ device }) => toHex(device))
    if (read.device !== undefined) return [toHex(read.device)]
    return read.publicKey === undefined ? [] : [toHex(addressOf(read.publicKey))]
  } catch (error) {
    if (error instanceof CborError) return []
    throw error
  }
}

function anomaliesOf(transactions: readonly Transaction[], time: number): Anomaly[] {
  const anomalies = new Map<string, Anomaly>()
  for (const { kind, payload, id } of transactions) {
    if (kind !== deviceReport.name) continue
    const report = deviceReport.payload.from(payload, kind)
    for (const event of report.events) addEvent(anomalies, report, event, toHex(id), time)
  }
  return [...anomalies.values()]
}

function addEvent(
  anomalies: Map<string, Anomaly>,
  { device, observedAt }: Report,
  { category, severityPpm, confidencePpm, scorePpm }: Report['events'][number],
  transaction: string,
  time: number,
): void {
  const key = `${toHex(device)}/${category}`
  const seen = observedAt <= LATEST ? observedAt : time
  const before = anomalies.get(key)
  const isWorst = before === undefined || scorePpm > before.scorePpm
  anomalies.set(key, {
    device: toHex(device),
    category: category as CategoryName,
    count: (before?.count ?? 0) + 1,
    ...(isWorst ? { severityPpm, confidencePpm, scorePpm } : pick(before)),
    firstSeen: Math.min(before?.firstSeen ?? seen, seen),
    lastSeen: Math.max(before?.lastSeen ?? seen, seen),
    transactions: [...new Set([...(before?.transactions ?? []), transaction])],
  })
}

const pick = ({ severityPpm, confidencePpm, scorePpm }: Anomaly) => ({ severityPpm, confidencePpm, scorePpm })
