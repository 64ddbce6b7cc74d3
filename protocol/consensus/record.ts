/**
 * The signing record ⇄ bytes (agreement.md §6): what binds a member across restarts, in one encoding.
 * Invariants: `decodeRecord(encodeRecord(r))` equals r, and anything but that encoding is refused. It is this member's own, so certificates
 * name their members, whose signatures were checked before the core saw them.
 */

import { CborError } from '../cbor.ts'
import { boolean, type Codec, decodeAs, encodeAs, integer, list, oneOf, optional, record } from '../codec.ts'
import { LIMITS } from '../limits.ts'
import type { Block, Certificate, Lock, Signature, SigningRecord, Slot } from './types.ts'
import { hashCodec, signatureCodec, slotCodec, union } from './wire.ts'

/** Format of the record; another one is refused. */
const FORMAT = 2
/** Most votes, headers and certificates in a list of a record; the core keeps to far fewer. */
const ITEMS_MAX = 1 << 10

const signatureEntry = record({ member: integer(0, LIMITS.membersMax - 1), signature: signatureCodec })
const entries = list(signatureEntry, LIMITS.membersMax, 1)
/** Signatures by member, in rising order of the members, so that there is one encoding. */
const signaturesCodec: Codec<ReadonlyMap<number, Signature>> = {
  to: (map) => entries.to([...map].sort(([a], [b]) => a - b).map(([member, signature]) => ({ member, signature }))),
  from(value, where) {
    const map = new Map<number, Signature>()
    let last = -1
    for (const { member, signature } of entries.from(value, where)) {
      if (member <= last) throw new CborError(`${where}: members not in rising order`)
      last = member
      map.set(member, signature)
    }
    return map
  },
}

const certificateFields = record({
  kind: oneOf('vote', 'commit'),
  view: integer(),
  seq: integer(),
  height: integer(1),
  hash: hashCodec,
  signatures: signaturesCodec,
})
const certificate: Codec<Certificate> = certificateFields
const blames = record({ view: integer(), signatures: signaturesCodec })
const reason = union({
  start: record({ certificate: optional(certificate) }),
  blamed: record({ certificate: blames }),
  closed: record({ certificate }),
})
const lock: Codec<Lock> = record({
  view: integer(-1),
  strongSeq: integer(-1),
  tipSeq: integer(0),
  tip: hashCodec,
  tipCertificate: optional(certificate),
  strongCertificate: optional(certificate),
})
const block: Codec<Block> = record({
  hash: hashCodec,
  /** Of the genesis, which has no parent, the zero hash. */
  parent: hashCodec,
  height: integer(0),
  endsEra: boolean,
})
const voteCodec: Codec<Slot & { readonly leaderSignature: Signature | null }> = record({
  view: integer(),
  seq: integer(),
  height: integer(1),
  hash: hashCodec,
  leaderSignature: optional(signatureCodec),
})

const codec = record({
  format: integer(FORMAT, FORMAT),
  era: integer(),
  view: integer(),
  reason,
  quit: optional(blames),
  lock,
  lockNow: lock,
  unresolved: list(certificate, ITEMS_MAX),
  proposal: optional(slotCodec),
  votes: list(voteCodec, ITEMS_MAX),
  votesFrom: integer(),
  commit: optional(slotCodec),
  highest: optional(certificate),
  recovering: boolean,
  barredView: integer(-1),
  fork: optional(record({ era: integer(), first: certificate, second: certificate })),
  blocks: list(block, ITEMS_MAX),
})

/** The one encoding of `signingRecord`. Throws `CborError` if a hash is not 64 hexadecimal digits or a bound is broken: a bug. */
export const encodeRecord = (signingRecord: SigningRecord): Uint8Array =>
  encodeAs(codec, { format: FORMAT, ...signingRecord })

/** The record that `data` encodes. Throws `CborError` on anything else: the disk or another version wrote it. */
export function decodeRecord(data: Uint8Array): SigningRecord {
  const { format: _, ...signingRecord } = decodeAs(codec, data, 'signing record')
  return signingRecord
}
