/**
 * Consensus, what is remembered: the state of one run of one member in one era (agreement.md §§3–6).
 * Invariants: values only, never changed in place; every collection is bounded, whatever others send (README.md, "Bounds").
 */
import type { Timer } from './events.ts'
import type {
  Answer,
  BlameCertificate,
  Block,
  Certificate,
  Equivocation,
  Era,
  Fork,
  Hash,
  Kept,
  Lock,
  MemberIndex,
  Proposal,
  Reason,
  RecordedVote,
  Signature,
  Signer,
  SigningRecord,
  Slot,
  Status,
} from './types.ts'

/** One block that somebody spoke for at a place, and who did. */
export type Candidate = {
  readonly slot: Slot
  readonly leaderSignature: Signature | null
  readonly proposal: Proposal | null
  readonly votes: ReadonlyMap<MemberIndex, Signature>
  readonly commits: ReadonlyMap<MemberIndex, Signature>
  /** From q votes on. */
  readonly certificate: Certificate | null
  /** From q commits on. */
  readonly commitCertificate: Certificate | null
  /** Whether seq 0 of its chain passed §5.4. */
  readonly passed: boolean
}

/** All that is remembered of one view. */
export type ViewRecord = {
  /** By seq; at each place the blocks that somebody spoke for. */
  readonly places: ReadonlyMap<number, readonly Candidate[]>
  /** Highest seq with a certificate; −1: none. */
  readonly certifiedSeq: number
  readonly blames: ReadonlyMap<MemberIndex, Signature>
  readonly equivocation: Equivocation | null
  /** Members against whom evidence in this view was given already. */
  readonly accused: ReadonlySet<MemberIndex>
}

/** An own vote of this view that has left in this run. */
export type Ballot = {
  readonly slot: Slot
  readonly acknowledgedBy: ReadonlySet<MemberIndex>
  /** The wait of §4.2 for a weak certificate. */
  readonly wait: 'none' | 'running' | 'passed'
  readonly committed: boolean
}

/** The present link to a member. */
export type Link = { readonly run: string; readonly connected: boolean }
/** A message that is kept; for each receiver that has not acknowledged it, the tick at which it last left (§3 Delivery). */
export type Delivery = {
  readonly message: Kept
  readonly sinceTick: number
  readonly waiting: ReadonlyMap<MemberIndex, number>
}

/** Something decided that waits for its record to be durable. */
export type Action =
  | { readonly kind: 'propose'; readonly proposal: Omit<Proposal, 'leaderSignature'> }
  | { readonly kind: 'vote'; readonly slot: Slot; readonly leaderSignature: Signature | null }
  | { readonly kind: 'commit'; readonly slot: Slot; readonly late: boolean }
  | { readonly kind: 'enter'; readonly view: number }
  | { readonly kind: 'relay'; readonly certificate: BlameCertificate }

/** An acknowledgement that waits until what the message carries is on disk (§6). */
export type Owed = {
  readonly to: MemberIndex
  readonly key: string
  readonly certificates: readonly Certificate[]
  readonly blame: BlameCertificate | null
}

/** An echo that is out: the timer whose end waits for it, and who has not answered (§4.3). */
export type Echo = { readonly timer: Timer; readonly missing: ReadonlySet<MemberIndex> }

/** A request under way: the tick at which it was made last, and of how many holders; more holders are a reason to make it again. */
export type Request = { readonly tick: number; readonly holders: number }

/** All that one member remembers in one era. */
export type State = {
  readonly era: Era
  readonly signer: Signer
  /**
   * `restarting`, `recovering`: signs and repeats nothing (§6). `forked`: holds two conflicting CCs, signs nothing more (§4.2). `ended`: the
   * era is over, only its last CC is still shown (§5.5).
   */
  readonly phase: 'starting' | 'restarting' | 'recovering' | 'running' | 'forked' | 'ended'

  readonly view: number
  /** The view it was in before; equal to `view` at first. */
  readonly previousView: number
  readonly reason: Reason
  readonly quit: BlameCertificate | null
  /** The wait after the BC, from when it has been relayed on; once it has passed, entering waits for headers only. */
  readonly quitWait: 'none' | 'running' | 'passed'
  /** CC of the block that closed the highest view, of those not below this one, until it has taken the member there. */
  readonly closing: Certificate | null
  readonly lock: Lock
  readonly lockNow: Lock
  readonly unresolved: readonly Certificate[]

  readonly views: ReadonlyMap<number, ViewRecord>
  /** Later views in which each member has spoken, to bound them. */
  readonly later: ReadonlyMap<MemberIndex, readonly number[]>
  readonly blocks: ReadonlyMap<Hash, Block>
  readonly validity: ReadonlyMap<Hash, 'valid' | 'invalid'>
  /** Requests under way, by name. */
  readonly requested: ReadonlyMap<string, Request>

  /** CC of the highest block known to be committed. */
  readonly highest: Certificate | null
  /** One CC a member whose place in the tree is unknown: until its headers are here it counts as a conflict (§2). */
  readonly unplaced: ReadonlyMap<MemberIndex, Certificate>
  /** One CC a member of a block below all remembered headers: the committed chain is looked up. */
  readonly suspects: ReadonlyMap<MemberIndex, Certificate>
  readonly fork: Fork | null
  /** Commits known of the latest committed blocks, to tell when there are more (§7). */
  readonly assured: ReadonlyMap<Hash, number>

  /** Own highest vote in each view (§6), its last commit and its highest proposal in the view. */
  readonly votes: ReadonlyMap<number, RecordedVote>
  readonly votesFrom: number
  readonly commit: Slot | null
  readonly proposal: Slot | null
  readonly ballots: ReadonlyMap<string, Ballot>
  /** A committed block that is applied here: its late commit is due (§7). */
  readonly late: Hash | null

  readonly building: {
    readonly view: number
    readonly seq: number
    readonly parent: Hash
    readonly height: number
  } | null
  readonly built: Block | null
  readonly statuses: ReadonlyMap<MemberIndex, Status>
  readonly leaderWaited: boolean

  readonly blamed: boolean
  /** The progress timeout has passed without a commit (§4.4). */
  readonly blameDue: boolean
  /** Counts whenever all waits start over. */
  readonly generation: number
  readonly progressGeneration: number
  readonly restartGeneration: number
  readonly settleGeneration: number
  /** A stall was noticed: neither votes nor commits until everything that had arrived is handled and Δ more has passed (§4.3). */
  readonly settling: boolean
  /** The view in which this run began: no commit on a weak certificate there (§6). −1: none. */
  readonly restartView: number
  /** After a restart: what is recorded is repeated if it could be signed now (§6). */
  readonly repeatVote: boolean
  readonly repeatCommit: boolean
  readonly barredView: number
  readonly answers: ReadonlyMap<MemberIndex, Answer>
  /** Whose question was answered in which tick: one question of a member is answered in each. */
  readonly answered: ReadonlyMap<MemberIndex, number>
  readonly askNonce: number
  readonly restartWaited: boolean
  readonly echoes: ReadonlyMap<number, Echo>

  readonly links: ReadonlyMap<MemberIndex, Link>
  readonly kept: ReadonlyMap<string, Delivery>
  readonly tick: number
  readonly nonce: number

  readonly ticket: number
  /** The write in flight. */
  readonly writing: {
    readonly ticket: number
    readonly record: SigningRecord
    readonly actions: readonly Action[]
  } | null
  /** The record as it stands on disk. */
  readonly durable: SigningRecord | null
  readonly queued: readonly Action[]
  /** By receiver and key. */
  readonly owed: ReadonlyMap<string, Owed>
}
