/**
 * How a node begins an era: from what its ledger, its signing record and its key say. Stage: ledger → **consensus**.
 * Invariants: the ledger decides which era it is; a record of a later era than the ledger's means that the ledger was lost, and nothing is signed
 * until it is back; what was signed in an era is in the record before it left, so an era without one is begun afresh (agreement.md §§5.5, 6).
 */
import { toHex, ZERO_HASH } from '../../protocol/bytes.ts'
import { certificateCodec } from '../../protocol/certificate.ts'
import { decodeAs } from '../../protocol/codec.ts'
import { createQuorumCheck, Refused, SignatureCache } from '../../protocol/consensus/quorum.ts'
import { decodeRecord } from '../../protocol/consensus/record.ts'
import type { State } from '../../protocol/consensus/state.ts'
import { type Beginning, initialState, type Known } from '../../protocol/consensus/step.ts'
import type {
  Block,
  Certificate,
  Era,
  Fork,
  MemberIndex,
  Signer,
  SigningRecord,
} from '../../protocol/consensus/types.ts'
import { type MemberSet, type PublicKeyHex, quorumSizes } from '../../protocol/members.ts'
import { isRecovering } from '../dataDirectory.ts'
import type { LedgerEra } from '../executor/era.ts'
import type { Executor } from '../executor/executor.ts'
import { blockOf } from './driver.ts'

/** Headers below the head that a core knows at its start. */
const KNOWN_HEADERS = 128

/** Everything that a core begins an era with. */
export type SeatStart = {
  readonly ledger: LedgerEra
  readonly era: Era
  /** The set before, which signed the block that the era begins from; undefined in the first era. */
  readonly previousSet: MemberSet | undefined
  /** The certificate of that block, in the numbers of its era; null in the first era. */
  readonly certificate: Certificate | null
  readonly beginning: Beginning
  readonly known: Known
  /** A fork that was found in an earlier era and is on record. */
  readonly fork: Fork | null
}

/** What the start is read from. `chainId`: 32 bytes. */
export type SeatSources = {
  readonly chainId: Uint8Array
  readonly executor: Pick<Executor, 'era' | 'head' | 'reads'>
  /** What the signing record holds. */
  readonly recorded: Uint8Array
  /** Own key. */
  readonly publicKey: PublicKeyHex
  /** The operator says that the record was lost. */
  readonly recover: boolean
}

/** The start of the era of the next block. */
export function seatStart(sources: SeatSources): SeatStart {
  const { chainId, executor, publicKey, recorded, recover } = sources
  const ledger = executor.era
  const { members, parameters } = ledger.memberSet
  const isLost = recover || isRecovering(recorded)
  const record = isLost || recorded.length === 0 ? undefined : decodeRecord(recorded)
  const me: MemberIndex = (record?.era ?? 0) > ledger.era ? -1 : (ledger.members.get(publicKey) ?? -1)
  const first = firstBlock(sources)
  const previousSet = ledger.era === 0 ? undefined : setOf(sources, ledger.height)
  const certificate =
    previousSet === undefined ? null : certificateAt(executor, chainId, ledger.height, previousSet, ledger.era - 1)
  if (previousSet !== undefined && certificate === null)
    throw new Error(`the block at height ${ledger.height} ended an era, and its certificate is missing`)
  const era: Era = { era: ledger.era, ...quorumSizes(members.length, parameters.percent), me, ...parameters, first }
  const { height } = executor.head
  const blocks: Block[] = []
  for (let at = Math.max(ledger.height + 1, height - KNOWN_HEADERS); at <= height; at++) {
    const sealed = executor.reads.headerAt(at)
    if (sealed !== undefined) blocks.push(blockOf(sealed))
  }
  return {
    ledger,
    era,
    previousSet,
    certificate,
    beginning: beginningOf(isLost || record?.recovering === true, record, era, certificate),
    known: {
      blocks,
      certificate:
        height > ledger.height ? certificateAt(executor, chainId, height, ledger.memberSet, ledger.era) : null,
    },
    fork: record !== undefined && record.era < ledger.era ? record.fork : null,
  }
}

/** The state of the core before its event `start`. */
export const stateOf = ({ era, beginning, known }: SeatStart, signer: Signer): State =>
  initialState(era, signer, beginning, known)

function beginningOf(
  isLost: boolean,
  record: SigningRecord | undefined,
  { era, me }: Era,
  certificate: Certificate | null,
): Beginning {
  if (me >= 0 && record?.era === era) return { kind: 'restart', record }
  // Whoever has lost its record may have signed in this era.
  const kind = me >= 0 && isLost ? 'recover' : 'fresh'
  return { kind, ...(certificate === null ? {} : { certificate }) }
}

/** The block that the era begins from: the one that ended the era before, or the genesis. */
function firstBlock({ chainId, executor }: SeatSources): Block {
  const { height } = executor.era
  if (height === 0) return { hash: toHex(chainId), parent: toHex(ZERO_HASH), height: 0, endsEra: false }
  const sealed = executor.reads.headerAt(height)
  if (sealed === undefined) throw new Error(`the header at height ${height} is missing`)
  return blockOf(sealed)
}

/** The set in whose era the block at `height` stands. */
function setOf({ executor }: SeatSources, height: number): MemberSet {
  const sealed = executor.reads.headerAt(height)
  const set = sealed && executor.reads.memberSet(sealed.header.memberSetHash)
  if (set === undefined) throw new Error(`the member set of height ${height} is missing`)
  return set
}

/** The commit certificate of a committed block, each signature checked; null where it has none of its own. */
function certificateAt(
  executor: SeatSources['executor'],
  chainId: Uint8Array,
  height: number,
  set: MemberSet,
  era: number,
): Certificate | null {
  const encoded = executor.reads.certificate(height)
  if (encoded === undefined) return null
  try {
    return createQuorumCheck(set, era, new SignatureCache({ chainId, cacheMax: 0 })).certificate(
      decodeAs(certificateCodec, encoded),
    )
  } catch (error) {
    if (error instanceof Refused) return null
    throw error
  }
}
