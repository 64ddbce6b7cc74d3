/**
 * Consensus, the words: what members say to each other, what binds a member across restarts, and what an era fixes (agreement.md
 * §§1–3, 5, 6).
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

/**
 * Why a member is in a view (§5.1): the BC of the view before, a CC of a block that closed it, or the start of the era; then with the CC of
 * the block that ended the era before, which stands in that era's numbers and is signed by its members (§5.5); null in the first era.
 */
export type Reason =
  | { readonly kind: 'start'; readonly certificate: Certificate | null }
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

/** A slot with the leader's signature. */
export type LeaderSlot = Slot & { readonly leaderSignature: Signature }

/** Two leader signatures of one (view, seq) for different blocks (§2). */
export type Equivocation = { readonly first: LeaderSlot; readonly second: LeaderSlot }

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
/** Question of a member that restarts (§6); the answer repeats `nonce`. */
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

/** CCs of two conflicting blocks of one era. */
export type Fork = { readonly era: number; readonly first: Certificate; readonly second: Certificate }

/** A vote as it is recorded, with the leader signature that it carried. */
export type RecordedVote = Slot & { readonly leaderSignature: Signature | null }

/** What must be on disk before anything leaves (§6). */
export type SigningRecord = {
  readonly era: number
  readonly view: number
  readonly reason: Reason
  /** BC of the highest view that made the member quit, or null if it has not quit `view`. */
  readonly quit: BlameCertificate | null
  readonly lock: Lock
  /** The lock it would fix now, and certificates of the same view that may turn out higher once their headers are here. */
  readonly lockNow: Lock
  readonly unresolved: readonly Certificate[]
  /** Its highest proposal in the view: there are none of its own above it. */
  readonly proposal: Slot | null
  /** Highest vote in each view not below that of the last committed block, nor below `votesFrom`. */
  readonly votes: readonly RecordedVote[]
  /** Lowest view of which `votes` is complete: of those below, some may be missing. */
  readonly votesFrom: number
  readonly commit: Slot | null
  readonly highest: Certificate | null
  /** A lost record is not recovered yet: whoever starts from this one goes on recovering. */
  readonly recovering: boolean
  /** Views in which nothing may be signed, up to this one (after `recover`); −1 otherwise. */
  readonly barredView: number
  readonly fork: Fork | null
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
