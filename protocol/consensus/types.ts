/**
 * Consensus, the words: state, events and effects of `step(state, event) → { state, effects }` (agreement.md).
 * Everything here is a value. Messages have been verified before they become events: each signature recovers to the member whose
 * index stands beside it, and a certificate's members are distinct. Hashes are lower-case hexadecimal, times milliseconds.
 */

/** Hash of a block, 64 hexadecimal digits (any other non-empty text in a simulation). */
export type Hash = string
/** Index of a member in the era's set. */
export type MemberIndex = number
/** A signature; the core never looks inside. */
export type Signature = Uint8Array

/** What leader signatures, votes and commits are about: one block at one place of one view. */
export type Slot = { readonly view: number; readonly seq: number; readonly height: number; readonly hash: Hash }

/** What the core knows of a block: its place in the tree, and whether it ends its era (agreement.md §5.5). */
export type Block = {
  readonly hash: Hash
  readonly parent: Hash
  readonly height: number
  readonly endsEra: boolean
}

/** ≥ q votes (`vote`) or commits (`commit`, then a CC) of distinct members for one slot (§3). */
export type Certificate = Slot & {
  readonly kind: 'vote' | 'commit'
  readonly signatures: ReadonlyMap<MemberIndex, Signature>
}

/** f+1 blames of distinct members for one view (§3). */
export type BlameCertificate = { readonly view: number; readonly signatures: ReadonlyMap<MemberIndex, Signature> }

/** Why a member is in a view (§5.1): the BC of the view before, a CC of a block that closed it, or the start of the era. */
export type Reason =
  | { readonly kind: 'start' }
  | { readonly kind: 'blamed'; readonly certificate: BlameCertificate }
  | { readonly kind: 'closed'; readonly certificate: Certificate }

/** The lock (w, σ, τ) with its tip (§5.2). Without certificates it is (−1, 0, 0) on the first block of the era. */
export type Lock = {
  readonly view: number
  readonly strongSeq: number
  readonly tipSeq: number
  readonly tip: Hash
  readonly tipCertificate: Certificate | null
  readonly strongCertificate: Certificate | null
}

/** Two leader signatures of one (view, seq) for different blocks (§2). */
export type Equivocation = {
  readonly first: Slot & { readonly leaderSignature: Signature }
  readonly second: Slot & { readonly leaderSignature: Signature }
}

/** Justification of a seq 0 (§5.3). `tip` null: the first block of the era. */
export type Justification = {
  readonly reason: Reason
  readonly tip: Certificate | null
  readonly strong: Certificate | null
}

export type Proposal = {
  readonly kind: 'proposal'
  readonly era: number
  readonly view: number
  readonly seq: number
  readonly block: Block
  readonly leaderSignature: Signature
  /** Certificate of the parent at (view, seq − 1); null at seq 0. */
  readonly parentCertificate: Certificate | null
  /** At seq 0 only. */
  readonly justification: Justification | null
}
export type Vote = {
  readonly kind: 'vote'
  readonly era: number
  readonly slot: Slot
  readonly from: MemberIndex
  readonly signature: Signature
  readonly leaderSignature: Signature | null
}
export type Commit = {
  readonly kind: 'commit'
  readonly era: number
  readonly slot: Slot
  readonly from: MemberIndex
  readonly signature: Signature
  readonly certificate: Certificate | null
}
export type CommitCertificateMessage = { readonly kind: 'cc'; readonly era: number; readonly certificate: Certificate }
export type Blame = {
  readonly kind: 'blame'
  readonly era: number
  readonly view: number
  readonly from: MemberIndex
  readonly signature: Signature
  readonly equivocation: Equivocation | null
}
export type BlameCertificateMessage = {
  readonly kind: 'bc'
  readonly era: number
  readonly certificate: BlameCertificate
}
export type Status = {
  readonly kind: 'status'
  readonly era: number
  readonly view: number
  readonly from: MemberIndex
  readonly signature: Signature
  readonly tip: Certificate | null
  readonly strong: Certificate | null
}
/** Question of a member that restarts (§6). `run` tells this run's question from an older one's. */
export type Ask = { readonly kind: 'ask'; readonly era: number; readonly nonce: number }
/** Answer: reason for the answerer's view, the lock it would fix now, what it signed there, an equivocation, its highest CC. */
export type Answer = {
  readonly kind: 'answer'
  readonly era: number
  readonly nonce: number
  readonly view: number
  readonly reason: Reason
  readonly tip: Certificate | null
  readonly strong: Certificate | null
  readonly signed: readonly (Vote | Commit)[]
  readonly equivocation: Equivocation | null
  readonly highest: Certificate | null
}

/** Small messages that are kept and repeated until acknowledged (§3 Delivery). */
export type Kept = Vote | Commit | CommitCertificateMessage | Blame | BlameCertificateMessage | Status
/** Everything that travels between members. */
export type Message = Proposal | Kept | Ask | Answer

/** Timers carry what they are about; one whose subject has passed is ignored. */
export type Timer =
  | { readonly kind: 'progress'; readonly view: number; readonly generation: number }
  | { readonly kind: 'quit'; readonly view: number; readonly generation: number }
  | { readonly kind: 'leader'; readonly view: number; readonly generation: number }
  | {
      readonly kind: 'commit'
      readonly view: number
      readonly seq: number
      readonly hash: Hash
      readonly generation: number
    }
  | { readonly kind: 'restart'; readonly generation: number }
  | { readonly kind: 'settle'; readonly generation: number }
  | { readonly kind: 'echo'; readonly nonce: number }
  | { readonly kind: 'repeat' }

export type Event =
  /** The first event of a run. */
  | { readonly type: 'start' }
  /** A verified message of member `from`; `key` is what to acknowledge it by. */
  | { readonly type: 'message'; readonly from: MemberIndex; readonly key: string; readonly message: Message }
  | {
      readonly type: 'acknowledged'
      readonly from: MemberIndex
      readonly run: string
      readonly keys: readonly string[]
    }
  | { readonly type: 'echoed'; readonly from: MemberIndex; readonly nonce: number }
  /** A link to `member` opened; `run` names that member's present run. */
  | { readonly type: 'connected'; readonly member: MemberIndex; readonly run: string }
  | { readonly type: 'disconnected'; readonly member: MemberIndex }
  | { readonly type: 'elapsed'; readonly timer: Timer }
  /** The write asked for with `ticket` is durable. */
  | { readonly type: 'persisted'; readonly ticket: number }
  /** Headers learnt from elsewhere, each hashing to its `hash`. */
  | { readonly type: 'headers'; readonly blocks: readonly Block[] }
  | { readonly type: 'validated'; readonly hash: Hash; readonly valid: boolean }
  /** The leader's block for (view, seq), already validated by being built. */
  | { readonly type: 'built'; readonly view: number; readonly seq: number; readonly block: Block }
  /** This member did not run for `stalledMs`. */
  | { readonly type: 'stalled'; readonly stalledMs: number }
  /** The leader of `view` passed over a transaction for too long (§4.4). */
  | { readonly type: 'censored'; readonly view: number }
  /** The block was executed here and stands on disk with its CC. */
  | { readonly type: 'applied'; readonly hash: Hash }

export type Effect =
  /** Write `record` durably, then answer with `persisted`; a failed write stops the node. */
  | { readonly type: 'persist'; readonly ticket: number; readonly record: SigningRecord }
  | { readonly type: 'send'; readonly to: MemberIndex; readonly key: string; readonly message: Message }
  | { readonly type: 'acknowledge'; readonly to: MemberIndex; readonly keys: readonly string[] }
  | { readonly type: 'startTimer'; readonly timer: Timer; readonly afterMs: number }
  /** Send an echo request to `to`, to be answered at once and in order. */
  | { readonly type: 'echo'; readonly to: readonly MemberIndex[]; readonly nonce: number }
  /** Get body and parent, check the block, answer with `validated`. */
  | { readonly type: 'validate'; readonly proposal: Proposal }
  /** Get the proposal of `slot` from one of `holders`; it comes back as a message. */
  | { readonly type: 'fetchProposal'; readonly slot: Slot; readonly holders: readonly MemberIndex[] }
  /** Get the headers from `hash` down to a known one; they come back as `headers`. */
  | { readonly type: 'fetchHeaders'; readonly hash: Hash; readonly height: number }
  /** Build a block on `parent` when there is work or the heartbeat is due; answer with `built`. */
  | {
      readonly type: 'build'
      readonly view: number
      readonly seq: number
      readonly parent: Hash
      readonly height: number
    }
  /** The block, with all its ancestors, is committed. */
  | { readonly type: 'commit'; readonly certificate: Certificate }
  /** More members have signed a block that is committed already. */
  | { readonly type: 'assurance'; readonly certificate: Certificate }
  | { readonly type: 'evidence'; readonly evidence: Evidence }
  | { readonly type: 'viewEntered'; readonly view: number; readonly reason: Reason['kind'] }

/** What §7 calls evidence, and the sight of two conflicting CCs. */
export type Evidence =
  | { readonly kind: 'equivocation'; readonly member: MemberIndex; readonly equivocation: Equivocation }
  | {
      readonly kind: 'doubleVote'
      readonly member: MemberIndex
      readonly first: Slot & { readonly signature: Signature }
      readonly second: Slot & { readonly signature: Signature }
    }
  | { readonly kind: 'fork'; readonly first: Certificate; readonly second: Certificate }

/** What must be on disk before anything leaves (§6). */
export type SigningRecord = {
  readonly era: number
  readonly view: number
  readonly reason: Reason
  /** Highest BC that made the member quit, or null if it has not quit `view`. */
  readonly quit: BlameCertificate | null
  readonly lock: Lock
  readonly lockNow: Lock
  /** Own proposals of the view: slot by seq. */
  readonly proposals: readonly Slot[]
  /** Highest vote in each view not below that of the last committed block, with the leader signature it carried. */
  readonly votes: readonly (Slot & { readonly leaderSignature: Signature | null })[]
  readonly commit: Slot | null
  readonly highest: Certificate | null
  /** Views in which nothing may be signed, up to this one (after `recover`); −1 otherwise. */
  readonly barredView: number
  /** Headers that the certificates above need to be compared. */
  readonly blocks: readonly Block[]
}

/** What one era fixes for the core. */
export type Era = {
  readonly era: number
  readonly n: number
  readonly q: number
  readonly f: number
  readonly s: number
  /** This member's index; −1: not a member of this era, only follows. */
  readonly me: MemberIndex
  readonly deltaMs: number
  readonly termBlocks: number
  readonly heartbeatMs: number
  readonly bodyAllowanceMs: number
  readonly timeoutDoublingsMax: number
  /** The block that the era starts from. */
  readonly first: Block
}

/** Deterministic signing, given by the shell: bytes over domain, chain, era and the statement. */
export type Signer = {
  slot(domain: 'proposal' | 'vote' | 'commit', era: number, slot: Slot): Signature
  blame(era: number, view: number): Signature
  status(era: number, view: number, tip: Certificate | null, strong: Certificate | null): Signature
}

/** Signatures for one slot, and when the core first saw enough of them. */
export type Tally = { readonly slot: Slot; readonly signatures: ReadonlyMap<MemberIndex, Signature> }

/** All that is remembered of one view. */
export type ViewRecord = {
  readonly leaderSignatures: ReadonlyMap<number, readonly (Slot & { readonly leaderSignature: Signature })[]>
  readonly proposals: ReadonlyMap<string, Proposal>
  readonly votes: ReadonlyMap<string, Tally>
  readonly commits: ReadonlyMap<string, Tally>
  readonly blames: ReadonlyMap<MemberIndex, Signature>
  readonly blameCertificate: BlameCertificate | null
  readonly equivocation: Equivocation | null
  /** Blocks of this view whose chain's seq 0 passed §5.4, by slot key. */
  readonly passed: ReadonlySet<string>
}

/** A message in an outbox, and the tick of the repeat timer at which it last left. */
export type Pending = { readonly message: Kept; readonly sentTick: number }
/** One receiver's side of the delivery rule (§3). */
export type Outbox = {
  readonly run: string | null
  readonly connected: boolean
  readonly pending: ReadonlyMap<string, Pending>
}

/** Something signed that waits for its record to be durable. */
export type Action =
  | { readonly kind: 'propose'; readonly proposal: Omit<Proposal, 'leaderSignature'> }
  | { readonly kind: 'vote'; readonly slot: Slot; readonly leaderSignature: Signature }
  | { readonly kind: 'commit'; readonly slot: Slot; readonly certificate: Certificate; readonly late: boolean }
  | { readonly kind: 'enter'; readonly view: number }
  | { readonly kind: 'relay'; readonly certificate: BlameCertificate }

export type State = {
  readonly era: Era
  readonly signer: Signer
  /** `restarting` and `recovering`: signs and repeats nothing (§6). `forked`: holds two conflicting CCs, signs nothing more (§4.2). */
  readonly phase: 'starting' | 'restarting' | 'recovering' | 'running' | 'forked' | 'ended'
  readonly view: number
  readonly reason: Reason
  /** BC of the highest view that made this member quit; null while it has not quit `view`. */
  readonly quit: BlameCertificate | null
  readonly lock: Lock
  readonly lockNow: Lock
  readonly views: ReadonlyMap<number, ViewRecord>
  readonly blocks: ReadonlyMap<Hash, Block>
  readonly validity: ReadonlyMap<Hash, 'asked' | 'valid' | 'invalid'>
  readonly requested: ReadonlySet<string>
  readonly highest: Certificate | null
  readonly unplaced: readonly Certificate[]
  readonly myVotes: ReadonlyMap<number, Slot & { readonly leaderSignature: Signature | null }>
  readonly myCommit: Slot | null
  readonly myCommits: ReadonlySet<string>
  readonly myProposals: readonly Slot[]
  readonly building: { readonly view: number; readonly seq: number } | null
  readonly built: Block | null
  readonly statuses: ReadonlyMap<MemberIndex, Status>
  readonly leaderWaited: boolean
  /** Weak slots whose commit wait has passed, and those for which one runs. */
  readonly waited: ReadonlySet<string>
  readonly waiting: ReadonlySet<string>
  readonly voteAcknowledged: ReadonlyMap<string, ReadonlySet<MemberIndex>>
  readonly blamed: boolean
  readonly generation: number
  readonly progressGeneration: number
  readonly restartGeneration: number
  /** A stall was noticed: neither votes nor commits until the settle wait has passed (§4.3). */
  readonly settling: number | null
  /** The view in which this run began: no commit on a weak certificate there (§6). −1: none. */
  readonly restartView: number
  readonly barredView: number
  readonly answers: ReadonlyMap<MemberIndex, Answer>
  readonly restartWaited: boolean
  readonly echoes: ReadonlyMap<number, { readonly timer: Timer; readonly missing: ReadonlySet<MemberIndex> }>
  readonly outboxes: ReadonlyMap<MemberIndex, Outbox>
  readonly kept: ReadonlyMap<string, Kept>
  readonly tick: number
  readonly nonce: number
  readonly ticket: number
  /** The write in flight. */
  readonly writing: {
    readonly ticket: number
    readonly actions: readonly Action[]
    readonly acknowledgements: readonly Owed[]
  } | null
  readonly queued: readonly Action[]
  readonly owed: readonly Owed[]
  /** `lockNow`, quit and commit certificate as they stand on disk, to see whether a write is due. */
  readonly recorded: string
}

/** An acknowledgement that waits until the certificate it is about is on disk. */
export type Owed = { readonly to: MemberIndex; readonly key: string }
