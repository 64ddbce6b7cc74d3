/**
 * Bounds between members and light peers (ledger.md §6), both sides. Rates of devices hold for one device at one member; beyond them the
 * answer is NETWORK_BUSY, and the excess is held against the device (MESSAGE_RATE).
 */
import { PROOF_CHARACTERS_MAX } from '../../protocol/proof.ts'

/** Times in ms, sizes in bytes. */
export const LIGHT_LIMITS = {
  /** Reports that a device may hand in: over time, at once after a rest, and under way. */
  submitsPerSecond: 20,
  submitsBurst: 64,
  submitsAtOnceMax: 2,
  /** Questions for proofs of state, and as many for receipts: likewise. */
  questionsPerSecond: 20,
  questionsBurst: 64,
  questionsAtOnceMax: 2,
  /** A question: a state key or a transaction's id. */
  questionBytesMax: 256,
  /** An answer: a code and perhaps a proof. */
  answerBytesMax: PROOF_CHARACTERS_MAX + 256,
  /** A member may take this long for an answer. */
  answerTimeoutMs: 5000,
  /**
   * What all proofs of a member together may cost per second, and at once after a rest, in hashes: one microsecond each, so about a tenth
   * of a processor. A receipt costs as many as its block has transactions. Beyond: LIGHT_BUSY.
   */
  proofHashesPerSecond: 100_000,
  proofHashesBurst: 400_000,
  /** Hashes that a proof of the state is counted as. */
  stateProofHashes: 256,
  /** Least time between two headers that are pushed; the newest wins. */
  headerIntervalMs: 500,
  /** Reports passed on within one segment: over time, and at once after a rest. Further ones are not passed on. */
  segmentReportsPerSecond: 50,
  segmentReportsBurst: 200,
  /** Cards of devices that a member keeps, the longest not renewed forgotten first; and those in one answer. */
  cardsMax: 4096,
  cardsPerAnswerMax: 64,
  /** A card: addresses and a signature. */
  cardBytesMax: 1024,
  /** Addresses on a card. */
  cardAddressesMax: 4,
  /** Devices whose segment is remembered; beyond it they are looked up anew. */
  segmentsRememberedMax: 4096,
} as const
