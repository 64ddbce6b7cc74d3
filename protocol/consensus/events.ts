/**
 * Consensus, in and out: the events that a shell gives to `step`, and the effects that it carries out, in order (agreement.md §§3–7).
 * Requests (`validate`, `fetchProposal`, `fetchHeaders`, `build`, `checkCommitted`) come again, every few Δ, while their answer is
 * missing and still needed: a shell that has one under way ignores its repetition, and one that failed need say nothing.
 */
import type {
  Block,
  Certificate,
  Equivocation,
  Fork,
  Hash,
  MemberIndex,
  Message,
  Proposal,
  Reason,
  Signature,
  SigningRecord,
  Slot,
} from './types.ts'

/** Timers carry what they are about; one whose subject has passed is ignored. They may be late, never early. */
export type Timer =
  | { readonly kind: 'progress'; readonly generation: number }
  | { readonly kind: 'quit'; readonly generation: number }
  | { readonly kind: 'leader'; readonly generation: number }
  | {
      readonly kind: 'commit'
      readonly view: number
      readonly seq: number
      readonly hash: Hash
      readonly generation: number
    }
  | { readonly kind: 'restart'; readonly generation: number }
  /** Never started by itself: the echo that ends it tells that everything that had arrived is handled. */
  | { readonly kind: 'drain'; readonly generation: number }
  | { readonly kind: 'settle'; readonly generation: number }
  | { readonly kind: 'echo'; readonly nonce: number }
  | { readonly kind: 'repeat' }

/** What a shell tells the core, one at a time. */
export type Event =
  /** The first event of a run. */
  | { readonly type: 'start' }
  /** A verified message of member `from`; `key` is what to acknowledge it by. */
  | { readonly type: 'message'; readonly from: MemberIndex; readonly key: string; readonly message: Message }
  /** Member `from` has acknowledged `keys` in its run `run`. */
  | {
      readonly type: 'acknowledged'
      readonly from: MemberIndex
      readonly run: string
      readonly keys: readonly string[]
    }
  /** An answer to an echo, handled after everything that came before it on that link. */
  | { readonly type: 'echoed'; readonly from: MemberIndex; readonly nonce: number }
  /** A link to `member` opened; `run` names that member's present run. */
  | { readonly type: 'connected'; readonly member: MemberIndex; readonly run: string }
  | { readonly type: 'disconnected'; readonly member: MemberIndex }
  | { readonly type: 'elapsed'; readonly timer: Timer }
  /** The write asked for with `ticket` is durable. */
  | { readonly type: 'persisted'; readonly ticket: number }
  /** Headers learnt from elsewhere, each hashing to its `hash`. */
  | { readonly type: 'headers'; readonly blocks: readonly Block[] }
  /** Whether the block is valid (§4.1). A shell that cannot tell yet says nothing. */
  | { readonly type: 'validated'; readonly hash: Hash; readonly valid: boolean }
  /** Whether the block at this height of the committed chain is this one. */
  | { readonly type: 'checked'; readonly hash: Hash; readonly committed: boolean }
  /** The leader's block for (view, seq), already validated by being built. */
  | { readonly type: 'built'; readonly view: number; readonly seq: number; readonly block: Block }
  /** This member did not run for `stalledMs`, by a clock that counts suspension; given before anything that arrived meanwhile (§4.3). */
  | { readonly type: 'stalled'; readonly stalledMs: number }
  /** The leader of `view` passed over a transaction for too long (§4.4). */
  | { readonly type: 'censored'; readonly view: number }
  /** The block was validated and executed here and stands on disk with its CC. */
  | { readonly type: 'applied'; readonly hash: Hash }
  /** The core of an earlier era found a fork there (§4.2). */
  | { readonly type: 'forked'; readonly fork: Fork }

/** What the core wants done, in order. */
export type Effect =
  /** Write `record` durably, then answer with `persisted`; a failed write stops the node. One is under way at a time. */
  | { readonly type: 'persist'; readonly ticket: number; readonly record: SigningRecord }
  | { readonly type: 'send'; readonly to: MemberIndex; readonly key: string; readonly message: Message }
  | { readonly type: 'acknowledge'; readonly to: MemberIndex; readonly keys: readonly string[] }
  | { readonly type: 'startTimer'; readonly timer: Timer; readonly afterMs: number }
  /** Send an echo request to `to`, to be answered at once and in order. */
  | { readonly type: 'echo'; readonly to: readonly MemberIndex[]; readonly nonce: number }
  /** Get the body, wait for the parent, check the block, answer with `validated`. */
  | { readonly type: 'validate'; readonly proposal: Proposal }
  /** Get the proposal of `slot` from one of `holders`; it comes back as a message. */
  | { readonly type: 'fetchProposal'; readonly slot: Slot; readonly holders: readonly MemberIndex[] }
  /** Get headers from `hash` downwards; they come back as `headers`, as many as came at once. */
  | { readonly type: 'fetchHeaders'; readonly hash: Hash; readonly height: number }
  /** Look up the committed chain at `height`; answer with `checked`. */
  | { readonly type: 'checkCommitted'; readonly hash: Hash; readonly height: number }
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
  /** The era is over: its last block is committed by `certificate`, from which the next era starts (§5.5). */
  | { readonly type: 'eraEnded'; readonly certificate: Certificate }
  | { readonly type: 'evidence'; readonly evidence: Evidence }
  | { readonly type: 'viewEntered'; readonly view: number; readonly reason: Reason['kind'] }

/** A vote or commit of one member. */
export type Signed = Slot & { readonly kind: 'vote' | 'commit'; readonly signature: Signature }

/** What §7 calls evidence against `member`, and the sight of two conflicting CCs, which is evidence against nobody. */
export type Evidence =
  | { readonly kind: 'equivocation'; readonly member: MemberIndex; readonly equivocation: Equivocation }
  /** Two votes, or a vote and a commit, of one view for conflicting blocks; `headers` lead from the higher one down to the other's height. */
  | {
      readonly kind: 'conflict'
      readonly member: MemberIndex
      readonly first: Signed
      readonly second: Signed
      readonly headers: readonly Block[]
    }
  /** A commit in a view, and a vote for a conflicting seq 0 of a later view whose tip's view is below the commit's. */
  | {
      readonly kind: 'unlocked'
      readonly member: MemberIndex
      readonly commit: Signed
      readonly vote: Signed
      readonly proposal: Proposal
      readonly headers: readonly Block[]
    }
  | ({ readonly kind: 'fork' } & Fork)
