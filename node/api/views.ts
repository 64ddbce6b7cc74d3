/**
 * Stage: HTTP API. Values of the ledger as JSON.
 * Invariants: bytes are lower-case hexadecimal, except free contents (`value`, `features`, `code`), which are base64; heights and times are numbers,
 * times in ms since 1970-01-01T00:00Z.
 */
import type { SealedHeader } from '../../protocol/block.ts'
import { toHex } from '../../protocol/bytes.ts'
import { KINDS } from '../../protocol/kinds/table.ts'
import type { Member } from '../../protocol/members.ts'
import { decodeTransaction } from '../../protocol/transaction.ts'
import type {
  AnchoredBundle,
  CommittedBlock,
  CommittedCertificate,
  DeviceSnapshot,
  DeviceTrust,
  KnownTransaction,
  Offence,
  OpenProposal,
  PublishedModule,
} from './dependencies.ts'

const BASE64_NAMES: ReadonlySet<string> = new Set(['value', 'features', 'code'])

/** `value` with its bytes as text; `name` is the field that it stands in. */
function jsonOf(value: unknown, name = ''): unknown {
  if (value instanceof Uint8Array) return BASE64_NAMES.has(name) ? Buffer.from(value).toString('base64') : toHex(value)
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, item]) => [key, jsonOf(item)]))
  if (Array.isArray(value)) return value.map((item) => jsonOf(item, name))
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(
      Object.entries(value)
        .filter(([, item]) => item !== undefined)
        .map(([key, item]) => [key, jsonOf(item, key)]),
    )
  return value
}

/** A header with its hash. */
export const blockSummary = ({ header, hash }: SealedHeader): Record<string, unknown> => ({
  hash: toHex(hash),
  ...(jsonOf(header) as object),
})

/** A block: its header and the ids of its transactions. */
export const blockView = ({ sealed, transactionIds }: CommittedBlock): Record<string, unknown> => ({
  ...blockSummary(sealed),
  transactions: transactionIds,
})

/** A certificate, and by name who signed it and who did not. */
export const certificateView = ({ certificate, quorum, members }: CommittedCertificate): Record<string, unknown> => ({
  ...(jsonOf(certificate) as object),
  quorum,
  members,
  signed: members.filter((member) => member.signed).map((member) => member.name),
  missing: members.filter((member) => !member.signed).map((member) => member.name),
})

/** A member, with where it said it listens. */
export const memberView = ({ name, publicKey }: Member, addresses: ReadonlyMap<string, readonly string[]>) => ({
  name,
  publicKey: toHex(publicKey),
  addresses: [...(addresses.get(toHex(publicKey)) ?? [])],
})

/** A proposal; of parameters only those that would change. */
export function proposalView({ id, proposal, needed, expired }: OpenProposal): Record<string, unknown> {
  const { change, ...rest } = proposal
  const shown =
    change.kind === 'parameters'
      ? { kind: change.kind, values: Object.fromEntries(Object.entries(change.values).filter(([, v]) => v !== null)) }
      : jsonOf(change)
  return { id, ...(jsonOf(rest) as object), change: shown, needed, expired }
}

/** A security module. */
export const moduleView = ({ hash, module, votes, ...rest }: PublishedModule): Record<string, unknown> => ({
  hash,
  ...module,
  ...rest,
  votes: [...votes],
})

/** A recorded offence. */
export const offenceView = ({ member, name, era, view, record }: Offence): Record<string, unknown> => ({
  member,
  name,
  era,
  view,
  ...(jsonOf(record) as object),
})

/** A device: its record with id, trust and, where there are any, blacklist record, reinstatement and counters of events. */
export function deviceView({ id, device, trust, blacklist, reinstatement, reports, events }: DeviceSnapshot): object {
  return {
    id,
    ...(jsonOf(device) as object),
    trust: trust === undefined ? null : jsonOf(trust),
    blacklist: blacklist === undefined ? null : jsonOf(blacklist),
    reinstatement: reinstatement === undefined ? null : jsonOf(reinstatement),
    reports: reports === undefined ? null : jsonOf(reports),
    ...(events === undefined ? {} : { events: jsonOf(events) }),
  }
}

/** The trust in a device: how it stands, the rule, every opinion, and why the device is or was cut off. */
export function trustView({ device, trust, parameters, opinions, blacklist, reinstatement }: DeviceTrust): object {
  const { trustThresholdPpm, trustPatience, trustMinRaters, trustFreshnessMs } = parameters
  return {
    ...(jsonOf(trust) as object),
    status: device.status,
    mode: device.mode,
    segment: device.segment,
    rule: {
      thresholdPpm: trustThresholdPpm,
      patience: trustPatience,
      minRaters: trustMinRaters,
      freshnessMs: trustFreshnessMs,
    },
    opinions: jsonOf(opinions),
    blacklist: blacklist === undefined ? null : jsonOf(blacklist),
    reinstatement: reinstatement === undefined ? null : jsonOf(reinstatement),
  }
}

/** A transaction with its payload by the names of its kind. */
export function transactionView(id: string, known: KnownTransaction): Record<string, unknown> {
  const { kind, payload, nonce, validUntil } = decodeTransaction(known.bytes)
  const row = KINDS.get(kind)
  const place =
    known.state === 'committed'
      ? { height: known.height, block: known.blockHash, index: known.index, committedAt: known.committedAt }
      : known.state === 'refused'
        ? { code: known.code }
        : {}
  let named: unknown = payload
  try {
    named = row === undefined ? payload : row.payload.from(payload, kind)
  } catch {
    // A refused transaction may have any payload; then its positions have to do.
  }
  return {
    id,
    status: known.state,
    ...place,
    kind,
    signer: known.signer,
    payload: jsonOf(named),
    nonce: toHex(nonce),
    validUntil,
    bytes: known.bytes.length,
  }
}

/** What members said of the STIX bundle of one block. */
export const bundleView = ({ height, claims }: AnchoredBundle) => ({
  height,
  claims: claims.map(({ hash, member, height: at, transaction }) => ({
    ...{ hash: toHex(hash), member },
    ...{ height: at, transaction: toHex(transaction) },
  })),
})
