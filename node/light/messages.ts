/**
 * What devices and members say to each other: four questions, two forms of answer, two kinds of pushed frames. Used by both sides.
 * Invariants: a question and an answer have one encoding; nothing here judges contents; whatever came from the other side is only bytes
 * until its receiver has checked it.
 */
import {
  bytes,
  decodeAs,
  encodeAs,
  integer,
  list,
  oneOf,
  optional,
  record,
  type TypeOf,
  text,
} from '../../protocol/codec.ts'
import { eraLinkCodec } from '../../protocol/light.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { PROOF_CHARACTERS_MAX } from '../../protocol/proof.ts'

/** Ends of eras in one answer; an RTU that was away for longer asks again. */
export const ERAS_PER_ANSWER_MAX = 8

/**
 * Names of the requests. `submit`: the bytes of one `device.report`, taken as they are. `state`: a state key, in UTF-8. `receipt`: the id
 * of one of the device's own reports, 32 bytes. `eras`: the number of an era (`erasQuestion`).
 * `modules`: nothing; the answer is the list that the newest header's `modulesHash` is of. `module`: a hash; the answer is the binary, or nothing.
 */
export const QUESTIONS = {
  submit: 'submit',
  state: 'state',
  receipt: 'receipt',
  eras: 'eras',
  modules: 'modules',
  module: 'module',
} as const

/** Bytes of the answer to `modules`. */
export const ACTIVE_MODULES_BYTES_MAX = 512

/** `eras`: how this era ended, and those after it. */
export const erasQuestion = integer()
/** Answer to `eras`: in order, as many as fit (`LIGHT_LIMITS`); none if that era lasts. */
export const erasAnswer = list(eraLinkCodec, ERAS_PER_ANSWER_MAX)

/** Answer to each of the others. A later version may know codes that this one does not, so the code is text. */
export type LightAnswer = TypeOf<typeof answerCodec>
const answerCodec = record({
  /** A code of the table of verdicts; `OK` where the report was taken, or the proof is there. */
  code: text(64, { min: 1, pattern: /^[A-Z][A-Z0-9_]*$/ }),
  /** A proof file (`renderProof`). */
  proof: optional(text(PROOF_CHARACTERS_MAX)),
})
/** The one encoding of an answer. */
export const encodeAnswer = (answer: LightAnswer): Uint8Array => encodeAs(answerCodec, answer)
/** Decodes an answer. Throws `CborError` on anything else. */
export const decodeAnswer = (data: Uint8Array): LightAnswer => decodeAs(answerCodec, data, 'answer')

const headerCodec = record({
  header: bytes(1, LIMITS.headerBytesMax),
  certificate: bytes(1, LIMITS.consensusMessageBytesMax),
})
/** A header and its commit certificate, each in its own encoding. */
export type CertifiedHeader = TypeOf<typeof headerCodec>
/** The one encoding of a header with its certificate: pushed, and kept on the device's disk. */
export const encodeCertifiedHeader = (value: CertifiedHeader): Uint8Array => encodeAs(headerCodec, value)
/** Decodes it. Throws `CborError` on anything else. */
export const decodeCertifiedHeader = (data: Uint8Array): CertifiedHeader => decodeAs(headerCodec, data, 'header')

const frameCodec = record({
  kind: oneOf('header', 'report'),
  /** `header`: `encodeCertifiedHeader`. `report`: the bytes of a transaction. */
  body: bytes(1, LIMITS.transactionBytesMax + LIMITS.headerBytesMax + 64),
})
/** What a member pushes: its newest header, or a report of another device of the segment. */
export type PushedFrame =
  | { readonly kind: 'header'; readonly header: CertifiedHeader }
  | { readonly kind: 'report'; readonly transaction: Uint8Array }
/** The one encoding of a frame. */
export const encodeFrame = (frame: PushedFrame): Uint8Array =>
  encodeAs(frameCodec, {
    kind: frame.kind,
    body: frame.kind === 'header' ? encodeCertifiedHeader(frame.header) : frame.transaction,
  })
/** Decodes a frame. Throws `CborError` on anything else. */
export function decodeFrame(data: Uint8Array): PushedFrame {
  const { kind, body } = decodeAs(frameCodec, data, 'frame')
  return kind === 'header' ? { kind, header: decodeCertifiedHeader(body) } : { kind, transaction: body }
}
