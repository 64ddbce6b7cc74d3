/**
 * Consensus on the wire: frames between members ⇄ bytes (agreement.md §3).
 * What is decoded is `Unverified<…>`: well-formed and bounded, every signature still a claim. It does not compile as an event of the
 * core; `verify.ts` turns it into one. Hashes are 32 bytes on the wire and lower-case hexadecimal in the core. No frame names its
 * sender: signatures recover to whoever made them, and a certificate is a list of signatures.
 */
import { fromHex, toHex } from '../bytes.ts'
import { CborError, type CborValue, encodeCbor } from '../cbor.ts'
import { certificateCodec, type WireCertificate } from '../certificate.ts'
import { bytes, type Codec, decodeAs, integer, list, optional, record, type TypeOf, text } from '../codec.ts'
import { LIMITS } from '../limits.ts'
import { SIGNATURE_BYTES } from '../signature.ts'
import type { Answer, BlameCertificate, Certificate, Hash, Message, Proposal, Reason, Slot } from './types.ts'

/** Largest frame that carries a proposal, bytes: header, ids of the transactions, certificates (four at most) and their frame. */
export const PROPOSAL_BYTES_MAX: number =
  LIMITS.headerBytesMax + LIMITS.blockTransactionsMax * 34 + 4 * LIMITS.membersMax * (SIGNATURE_BYTES + 2) + 1024
/** Most keys that one acknowledgement names. */
export const ACKNOWLEDGED_KEYS_MAX = 512
/** Most votes and commits that one answer shows. */
export const ANSWER_SIGNED_MAX = 64
/** Longest name of a kept message, UTF-16 units: kind, view, seq and hash. */
const KEY_CHARACTERS_MAX = 120

// The only difference from `bytes(32)` is the type that the core works with.
const hashBytes = bytes(32)
/** 32 bytes on the wire, 64 lower-case hexadecimal digits in the core. Throws `CborError` on any other text. */
export const hashCodec: Codec<Hash> = {
  to(hash) {
    if (!/^[0-9a-f]{64}$/.test(hash)) throw new CborError('hash: not 64 lower-case hexadecimal digits')
    return fromHex(hash)
  },
  from: (value, where) => toHex(hashBytes.from(value, where)),
}
/** 65 bytes. */
export const signatureCodec: Codec<Uint8Array> = bytes(SIGNATURE_BYTES)
const slotFields = { view: integer(), seq: integer(), height: integer(1), hash: hashCodec }
/** View, seq, height and hash. */
export const slotCodec: Codec<Slot> = record(slotFields)

type Shapes = { readonly [kind: string]: Codec<object> }
type UnionOf<S extends Shapes> = { [K in keyof S & string]: { readonly kind: K } & TypeOf<S[K]> }[keyof S & string]

/** One of several shapes, encoded as [kind, shape]. Throws `CborError` on a kind that is not in the table. */
export function union<S extends Shapes>(shapes: S): Codec<UnionOf<S>> {
  const kinds = new Map(Object.entries(shapes))
  const shapeOf = (kind: unknown, where: string): Codec<object> => {
    const shape = typeof kind === 'string' ? kinds.get(kind) : undefined
    if (shape === undefined) throw new CborError(`${where}: not one of ${[...kinds.keys()].join(', ')}`)
    return shape
  }
  return {
    to: (value) => [value.kind, shapeOf(value.kind, 'kind').to(value)],
    from(value, where) {
      if (!Array.isArray(value) || value.length !== 2) throw new CborError(`${where}: not [kind, fields]`)
      const [kind, fields] = value as [CborValue, CborValue]
      const shape = shapeOf(kind, where)
      return { kind, ...shape.from(fields, `${where}.${kind}`) } as UnionOf<S>
    },
  }
}

const era = integer()
const view = integer()
const signatures = list(signatureCodec, LIMITS.membersMax, 1)
const optionalCertificate = optional(certificateCodec)
const blameCertificate = record({ view, signatures })
const reasonCodec = union({
  /** With the CC of the block that ended the era before; null in the first era (§5.5). */
  start: record({ certificate: optionalCertificate }),
  blamed: record({ certificate: blameCertificate }),
  closed: record({ certificate: certificateCodec }),
})
const signedSlot = record({ ...slotFields, leaderSignature: signatureCodec })
const equivocation = optional(record({ first: signedSlot, second: signedSlot }))
const vote = record({ era, slot: slotCodec, signature: signatureCodec, leaderSignature: signatureCodec })
const commit = record({ era, slot: slotCodec, signature: signatureCodec, certificate: certificateCodec })

const messageShapes = {
  proposal: record({
    era,
    view,
    seq: integer(),
    /** The header's own bytes, as they are hashed. */
    header: bytes(1, LIMITS.headerBytesMax),
    leaderSignature: signatureCodec,
    transactionIds: list(bytes(32), LIMITS.blockTransactionsMax),
    parentCertificate: optionalCertificate,
    justification: optional(record({ reason: reasonCodec, tip: optionalCertificate, strong: optionalCertificate })),
  }),
  vote,
  commit,
  cc: record({ era, certificate: certificateCodec }),
  blame: record({ era, view, signature: signatureCodec, equivocation }),
  bc: record({ era, certificate: blameCertificate }),
  status: record({ era, view, signature: signatureCodec, tip: optionalCertificate, strong: optionalCertificate }),
  ask: record({ era, nonce: integer() }),
  answer: record({
    era,
    nonce: integer(),
    view,
    reason: reasonCodec,
    tip: optionalCertificate,
    strong: optionalCertificate,
    signed: list(union({ vote, commit }), ANSWER_SIGNED_MAX),
    equivocation,
    highest: optionalCertificate,
  }),
}
const linkShapes = {
  /** Names of kept messages that the sender of this frame holds (§3 Delivery). */
  ack: record({ era, keys: list(text(KEY_CHARACTERS_MAX, { min: 1 }), ACKNOWLEDGED_KEYS_MAX, 1) }),
  /** Asks for `echoed` at once and in order (§4.3). */
  echo: record({ era, nonce: integer() }),
  echoed: record({ era, nonce: integer() }),
}
const messageCodec = union(messageShapes)
const linkCodec = union(linkShapes)
const frameCodec = union({ ...messageShapes, ...linkShapes })

/** A message as it stands on the wire. */
export type WireMessage = TypeOf<typeof messageCodec>
export type WireProposal = WireMessage & { kind: 'proposal' }
export type WireReason = TypeOf<typeof reasonCodec>
export type WireBlameCertificate = TypeOf<typeof blameCertificate>
export type WireEquivocation = NonNullable<TypeOf<typeof equivocation>>
/** What only the two ends of a link say to each other; the link has authenticated it. */
export type LinkFrame = TypeOf<typeof linkCodec>

/** Well-formed, nothing more: no signature has been looked at. Only `verify.ts` opens it. */
export type Unverified<T> = { readonly unverified: T }
/** A decoded frame: for the link, or a message to be verified. */
export type Frame = { readonly kind: 'link'; readonly frame: LinkFrame } | UnverifiedFrame
export type UnverifiedFrame = { readonly kind: 'message'; readonly message: Unverified<WireMessage> }

/** Decodes one frame. Throws `CborError` on anything but the one encoding of a frame within its bounds. */
export function decodeFrame(data: Uint8Array): Frame {
  if (data.length > PROPOSAL_BYTES_MAX) throw new CborError(`frame of more than ${PROPOSAL_BYTES_MAX} bytes`)
  const frame = decodeAs(frameCodec, data, 'frame')
  if (frame.kind !== 'proposal' && data.length > LIMITS.consensusMessageBytesMax)
    throw new CborError(`${frame.kind}: more than ${LIMITS.consensusMessageBytesMax} bytes`)
  if (frame.kind === 'ack' || frame.kind === 'echo' || frame.kind === 'echoed') return { kind: 'link', frame }
  return { kind: 'message', message: { unverified: frame } }
}

/** Encodes a frame of the link. Throws `CborError` beyond the bounds; see `acknowledgements` for many keys. */
export const encodeLinkFrame = (frame: LinkFrame): Uint8Array => encodeCbor(linkCodec.to(frame))

/** As many frames as it takes to acknowledge `keys`. */
export function acknowledgements(eraNumber: number, keys: readonly string[]): Uint8Array[] {
  const frames: Uint8Array[] = []
  for (let i = 0; i < keys.length; i += ACKNOWLEDGED_KEYS_MAX)
    frames.push(encodeLinkFrame({ kind: 'ack', era: eraNumber, keys: keys.slice(i, i + ACKNOWLEDGED_KEYS_MAX) }))
  return frames
}

// ---------------------------------------------------------------------------------------------------------------- core → wire

const inOrder = (of: ReadonlyMap<number, Uint8Array>): Uint8Array[] =>
  [...of].sort(([a], [b]) => a - b).map(([, signature]) => signature)

/** A certificate of the core in the form that is kept with blocks and shown in proofs: signatures in the order of the members. */
export const toWireCertificate = (eraNumber: number, certificate: Certificate): WireCertificate => {
  const { kind, view: at, seq, height, hash } = certificate
  return {
    kind,
    statement: { era: eraNumber, view: at, seq, height, hash: fromHex(hash) },
    signatures: inOrder(certificate.signatures),
  }
}
const toWireBlames = (certificate: BlameCertificate): WireBlameCertificate => ({
  view: certificate.view,
  signatures: inOrder(certificate.signatures),
})

function toWireReason(eraNumber: number, reason: Reason): WireReason {
  if (reason.kind === 'start') {
    const { certificate } = reason
    return { kind: 'start', certificate: certificate === null ? null : toWireCertificate(eraNumber - 1, certificate) }
  }
  return reason.kind === 'blamed'
    ? { kind: 'blamed', certificate: toWireBlames(reason.certificate) }
    : { kind: 'closed', certificate: toWireCertificate(eraNumber, reason.certificate) }
}

function attached<T>(value: T | null, what: string): T {
  if (value === null) throw new CborError(`${what}: missing, and without it the message would be ignored`)
  return value
}

/** What a proposal carries on the wire beside what the core knows of it. */
export type ProposalParts = { readonly header: Uint8Array; readonly transactionIds: readonly Uint8Array[] }

/** Encodes a proposal with its block's header bytes and the ids of its transactions. Throws `CborError` beyond the bounds. */
export function encodeProposal(message: Proposal, parts: ProposalParts): Uint8Array {
  const { justification, parentCertificate } = message
  const certificate = (of: Certificate | null) => (of === null ? null : toWireCertificate(message.era, of))
  return encodeCbor(
    messageCodec.to({
      ...message,
      ...parts,
      parentCertificate: certificate(parentCertificate),
      justification:
        justification === null
          ? null
          : {
              reason: toWireReason(message.era, justification.reason),
              tip: certificate(justification.tip),
              strong: certificate(justification.strong),
            },
    }),
  )
}

/**
 * Encodes any other message. Throws `CborError` beyond the bounds or without what must be attached (§3). An answer that would be
 * larger than a small message shows the highest of what was signed: the rest is repeated to a new run anyway (§3 Delivery).
 */
export function encodeMessage(message: Exclude<Message, Proposal>): Uint8Array {
  if (message.kind !== 'answer') return encodeCbor(messageCodec.to(toWire(message)))
  let signed = [...message.signed].sort((a, b) => a.slot.seq - b.slot.seq).slice(-ANSWER_SIGNED_MAX)
  for (;;) {
    const encoded = encodeCbor(messageCodec.to(toWire({ ...message, signed })))
    if (encoded.length <= LIMITS.consensusMessageBytesMax || signed.length === 0) return encoded
    signed = signed.slice(Math.ceil(signed.length / 4))
  }
}

type Signed = Answer['signed'][number]
type WireSigned = (WireMessage & { kind: 'answer' })['signed'][number]

function toWireSigned(message: Signed): WireSigned {
  if (message.kind === 'vote')
    return { ...message, leaderSignature: attached(message.leaderSignature, 'leader signature') }
  const certificate = attached(message.certificate, 'certificate')
  return { ...message, certificate: toWireCertificate(message.era, certificate) }
}

function toWire(message: Exclude<Message, Proposal>): WireMessage {
  const certificate = (of: Certificate | null) => (of === null ? null : toWireCertificate(message.era, of))
  switch (message.kind) {
    case 'vote':
    case 'commit':
      return toWireSigned(message)
    case 'cc':
      return { ...message, certificate: toWireCertificate(message.era, message.certificate) }
    case 'bc':
      return { ...message, certificate: toWireBlames(message.certificate) }
    case 'status':
      return { ...message, tip: certificate(message.tip), strong: certificate(message.strong) }
    case 'blame':
    case 'ask':
      return message
    case 'answer':
      return {
        ...message,
        reason: toWireReason(message.era, message.reason),
        tip: certificate(message.tip),
        strong: certificate(message.strong),
        signed: message.signed.map(toWireSigned),
        highest: certificate(message.highest),
      }
  }
}
