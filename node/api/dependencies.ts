/**
 * Stage: HTTP API. What the API needs of the node, as an interface of its own: no class of another folder stands in it, so that the API
 * runs in tests over plain memory.
 * Invariants: ids, hashes, keys and addresses in text are lower-case hexadecimal; every list that is asked for has a `limit` that the
 * answer must not exceed; secrets leave through `signingKey` only, and never the process.
 */
import type { SealedHeader } from '../../protocol/block.ts'
import type { WireCertificate } from '../../protocol/certificate.ts'
import type { BlacklistRecord, ReinstatementRecord } from '../../protocol/kinds/access/record.ts'
import type { DeviceRecord } from '../../protocol/kinds/device/record.ts'
import type { EvidenceRecord } from '../../protocol/kinds/evidence/record.ts'
import type { EraRecord, ProposalRecord } from '../../protocol/kinds/governance/record.ts'
import type { ModuleRecord } from '../../protocol/kinds/module/record.ts'
import type { CategoryName } from '../../protocol/kinds/report/categories.ts'
import type { EventRecord, ReportsRecord } from '../../protocol/kinds/report/record.ts'
import type { BundleClaim } from '../../protocol/kinds/stix/record.ts'
import type { KeptOpinion } from '../../protocol/kinds/trust/opinions.ts'
import type { TrustPoint, TrustRecord } from '../../protocol/kinds/trust/record.ts'
import type { Parameters, PublicKeyHex } from '../../protocol/members.ts'
import type { StateEntry } from '../../protocol/state/entry.ts'
import type { Code } from '../../protocol/verdict.ts'

/** What became of handing a transaction in. `id`: SHA3-256 of its bytes, hexadecimal. */
export type Submission = { readonly ok: true; readonly id: string } | { readonly ok: false; readonly code: Code }

/** Where a committed transaction stands: height and hash of its block, position in it from 0. */
export type Place = { readonly height: number; readonly blockHash: string; readonly index: number }

/** What became of a transaction while someone waited. */
export type Fate =
  | ({ readonly outcome: 'committed' } & Place)
  | { readonly outcome: 'refused'; readonly code: Code }
  | { readonly outcome: 'timeout' }

/** A transaction that the node knows. `bytes` is the whole as it arrived; `signer` a compressed key in hexadecimal. */
export type KnownTransaction = { readonly bytes: Uint8Array; readonly signer: string } & (
  | { readonly state: 'pending' }
  | ({ readonly state: 'committed'; readonly committedAt: number } & Place)
  | { readonly state: 'refused'; readonly code: Code }
)

/** A transaction whose place is known and whose bytes were dropped here. */
export type PrunedTransaction = { readonly state: 'pruned'; readonly committedAt: number } & Place

/** What the node holds: heights of the lowest block and of the lowest body. */
export type Held = { readonly firstHeight: number; readonly firstBody: number }

/** A committed block: its header and the ids of its transactions in order. */
export type CommittedBlock = { readonly sealed: SealedHeader; readonly transactionIds: readonly string[] }

/** The commit certificate of a block, and each member of its era with whether it signed. `quorum`: signatures that it takes. */
export type CommittedCertificate = {
  readonly certificate: WireCertificate
  readonly quorum: number
  readonly members: readonly { readonly name: string; readonly publicKey: string; readonly signed: boolean }[]
}

/** The era of the next block. `addresses`: by key, of members that said where they listen. */
export type PresentEra = EraRecord & { readonly addresses: ReadonlyMap<string, readonly string[]> }

/** A proposal of the present era. `needed`: members that it takes; `expired`: at the time of the head. */
export type OpenProposal = {
  readonly id: string
  readonly proposal: ProposalRecord
  readonly needed: number
  readonly expired: boolean
}

/** What members said of the STIX bundle of the block at `height`. */
export type AnchoredBundle = { readonly height: number; readonly claims: readonly BundleClaim[] }
/** A security module. `active`: it judges the reports of the next block. `activeFrom`: the height from which it does or will. */
export type PublishedModule = {
  readonly hash: string
  readonly module: ModuleRecord
  readonly active: boolean
  readonly activeFrom: number | null
  /** Members of the present era that want it to run, and from which height on. */
  readonly votes: readonly { readonly member: PublicKeyHex; readonly height: number }[]
  /** Members that it takes. */
  readonly needed: number
}

/** An offence of a member that is recorded on the chain. `key`: its state key; `name`: of the member, null once its key is no member's. */
export type Offence = {
  readonly key: string
  readonly member: PublicKeyHex
  readonly name: string | null
  readonly era: number
  readonly view: number
  readonly record: EvidenceRecord
}

/** All that the state says of one device. `id`: address, 40 hexadecimal digits. */
export type DeviceSnapshot = {
  readonly id: string
  readonly device: DeviceRecord
  readonly trust?: TrustRecord | undefined
  readonly blacklist?: BlacklistRecord | undefined
  readonly reinstatement?: ReinstatementRecord | undefined
  /** How many reports there were, and the last one. */
  readonly reports?: ReportsRecord | undefined
  /** Counters by category; in answers about a single device only. */
  readonly events?: ReadonlyMap<CategoryName, EventRecord> | undefined
}

/** An opinion about a device as it stands in the state. */
export type DeviceOpinion = Omit<KeptOpinion, 'rater'> & {
  /** Id of a device, or address of a member. */
  readonly rater: string
  /** Name of the member whose outside modules speak; null for a device. */
  readonly member: string | null
  /** What it weighs now; 0: it does not count, being no longer fresh, of another segment, or of a rater that is cut off or not trusted at all. */
  readonly weightPpm: number
}

/** How the trust in a device stands, and all that it rests on. */
export type DeviceTrust = Pick<DeviceSnapshot, 'device' | 'blacklist' | 'reinstatement'> & {
  readonly trust: TrustRecord
  /** Those of the present era. */
  readonly parameters: Parameters
  /** In the order of raters. */
  readonly opinions: readonly DeviceOpinion[]
}

/** One anomaly event of a committed report. `sequence` orders all events of one device and never changes: the cursor. */
export type DeviceEvent = Place & {
  readonly sequence: number
  readonly transaction: string
  readonly committedAt: number
  readonly observedAt: number
  readonly category: CategoryName
  readonly severityPpm: number
  readonly confidencePpm: number
  readonly scorePpm: number
  readonly detail: string
}

/** A check of the node's health. `needed`: for being alive at all, for serving requests, or only worth knowing. */
export type HealthCheck = {
  readonly name: string
  readonly ok: boolean
  readonly detail: string
  readonly needed: 'alive' | 'ready' | 'never'
}

/** Something that happened. `id`: 1 to 64 of A–Z a–z 0–9 . _ -, in the order of the feed; `type`: such as `block`; `data`: JSON. */
export type FeedEvent = { readonly id: string; readonly type: string; readonly data: unknown }

/**
 * A subscription: the events after the id asked for that are still kept (bounded by the node), and why those may not be all there were:
 * `dropped`, they are no longer kept, or the id is none of the feed's; `ahead`, the id lies above the newest block of this node, which cannot
 * know what lies between. The listener is called for each later event after the id, never before `subscribe` has returned, and not after `close`.
 */
export type Subscription = {
  readonly replay: readonly FeedEvent[]
  readonly gap: 'dropped' | 'ahead' | null
  close(): void
}

/** The secret (32 bytes) and compressed public key (33 bytes) of an API key. */
export type SigningKey = { readonly publicKey: Uint8Array; readonly secretKey: Uint8Array }

/** JSON of an answer that another stage defines: status and proof files. */
export type JsonObject = { readonly [name: string]: unknown }

/** Everything the API asks of the node. A rejected promise is a failure of the world: 503 if an `AlthingError`, else 500. */
export type ApiDependencies = {
  readonly chainId: Uint8Array
  /** Version of the program. */
  readonly version: string
  /** The node's clock, ms since 1970-01-01T00:00Z. */
  now(): number
  /** 16 new random bytes, for nonces. */
  randomNonce(): Uint8Array
  /** Hands signed transactions to the pool; one answer each, in order. */
  submit(transactions: readonly Uint8Array[]): Promise<readonly Submission[]>
  /** Waits until the transaction is committed or refused, `timeoutMs` at most. */
  waitFor(id: string, timeoutMs: number): Promise<Fate>
  /** The key of the API key called `name`, if this node holds it. */
  signingKey(name: string): SigningKey | undefined
  /** The newest committed block; undefined at genesis. */
  head(): Promise<SealedHeader | undefined>
  /** Blocks below height `before` (all if undefined), newest first. */
  blocks(page: { before: number | undefined; limit: number }): Promise<readonly SealedHeader[]>
  block(heightOrHash: number | string): Promise<CommittedBlock | undefined>
  certificate(height: number): Promise<CommittedCertificate | undefined>
  transaction(id: string): Promise<KnownTransaction | PrunedTransaction | undefined>
  held(): Held
  /** Entry of the state under its full key (`kv/<namespace>/<key>`), with the height of its last change. */
  stateEntry(stateKey: string): Promise<StateEntry | undefined>
  /** Keys of a namespace after `after`, in ascending order. */
  namespaceKeys(
    namespace: string,
    page: { after: string | undefined; limit: number },
  ): Promise<readonly { readonly key: string; readonly height: number; readonly valueBytes: number }[]>
  era(): Promise<PresentEra>
  /** Open proposals after the id `after`, in ascending order of id. */
  proposals(page: { after: string | undefined; limit: number }): Promise<readonly OpenProposal[]>
  proposal(id: string): Promise<OpenProposal | undefined>
  /** Recorded offences, of one member if given, after the state key `after`, in the order of their keys. */
  offences(page: { member: string | undefined; after: string | undefined; limit: number }): Promise<readonly Offence[]>
  /** Claims about STIX bundles, of blocks above the height `after`, in ascending order. */
  stixBundles(page: { after: number | undefined; limit: number }): Promise<readonly AnchoredBundle[]>
  /** The STIX bundle of a block: its canonical text. */
  stixBundle(height: number): Promise<{ readonly text: string } | 'none' | 'pruned' | 'unknown'>
  /** Security modules after the hash `after`, in ascending order of hash. */
  modules(page: { after: string | undefined; limit: number }): Promise<readonly PublishedModule[]>
  module(hash: string): Promise<PublishedModule | undefined>
  /** Its binary. */
  moduleCode(hash: string): Promise<Uint8Array | undefined>
  device(id: string): Promise<DeviceSnapshot | undefined>
  /** Devices after the id `after`, in ascending order of id. */
  devices(page: { after: string | undefined; limit: number }): Promise<readonly DeviceSnapshot[]>
  /** Events of a device before `before`, newest first; of one category if given. */
  deviceEvents(
    id: string,
    page: { category: CategoryName | undefined; before: number | undefined; limit: number },
  ): Promise<readonly DeviceEvent[]>
  /** Undefined where no such device is registered. */
  deviceTrust(id: string): Promise<DeviceTrust | undefined>
  /** Points of the history of the trust in a device before the sequence `before`, newest first. */
  trustHistory(id: string, page: { before: number | undefined; limit: number }): Promise<readonly TrustPoint[]>
  /**
   * The text of the proof file of a committed transaction (ledger.md §5); a proof has one text. `kept`: its bytes, where the client has them.
   */
  transactionProof(id: string, kept?: Uint8Array): Promise<string | undefined>
  /** The text of the proof that a state key holds its entry, or that there is none; undefined only where no block is committed yet. */
  stateProof(stateKey: string): Promise<string | undefined>
  status(): Promise<JsonObject>
  /** A backup of the whole ledger at this moment, not compressed (node/backup/format.ts). */
  backup(): AsyncIterable<Uint8Array>
  /** The newest lines of the log, the oldest first; bounded by the node. */
  recentLog(): readonly string[]
  metrics(): Promise<{ readonly contentType: string; readonly text: string }>
  health(): Promise<readonly HealthCheck[]>
  subscribe(after: string | undefined, listener: (event: FeedEvent) => void): Subscription
}
