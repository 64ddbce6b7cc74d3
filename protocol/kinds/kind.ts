/**
 * Kinds of transactions: the form that all of them share (ledger.md §2). A kind is a folder with its payload, its rule and the
 * records it owns, and one row in `table.ts`.
 * Invariants: `apply` makes every check before its first write, reads nothing but its arguments, and writes only keys of its own prefixes.
 */
import type { Codec } from '../codec.ts'
import type { MemberSet, PublicKeyHex } from '../members.ts'
import type { Code } from '../verdict.ts'

/** The state as it may be read: text key → bytes, undefined where absent. Nobody changes the bytes that it returns. */
export type StateReader = { get(key: string): Uint8Array | undefined }

/** The state as a kind sees it while it applies. Keys are text, values bytes, both within `LIMITS`. */
export type StateView = StateReader & { put(key: string, value: Uint8Array): void; delete(key: string): void }

/** As what a signer acts. One key has one role; a device acts for the member that owns it. */
export type Role = {
  readonly is: 'member' | 'apiKey' | 'device'
  /** The member itself, the one that authorised the API key, or the owner of the device. */
  readonly member: PublicKeyHex
}

/** What is the same for all transactions of one block. */
export type BlockContext = {
  readonly chainId: Uint8Array
  /** Height of the block. */
  readonly height: number
  /** Time of the block, ms since 1970-01-01T00:00Z. */
  readonly time: number
  /** The block's era, from 0. */
  readonly era: number
  /** The set of that era. */
  readonly memberSet: MemberSet
  /** `memberIndex(memberSet)`, made once. */
  readonly members: ReadonlyMap<PublicKeyHex, number>
  /** q of agreement.md §1 for that set. */
  readonly quorum: number
}

/** What a kind knows beside its payload and the state. */
export type KindContext = BlockContext & {
  /** Compressed key (33 bytes) that the transaction's signature recovers to. */
  readonly signer: Uint8Array
  /** `addressOf(signer)` in hexadecimal: the signer's namespace, or its id if it is a device. */
  readonly signerAddress: string
  /** Id of the transaction, 32 bytes. */
  readonly transactionId: Uint8Array
  readonly role: Role
}

/** One kind of transaction with payload `P`. */
export type Kind<P> = {
  /** As in the transaction, such as `kv.put`. */
  readonly name: string
  /** One sentence for the API's documentation. */
  readonly describe: string
  /** Who may sign it; others get TX_FORBIDDEN before `apply`. */
  readonly signers: readonly Role['is'][]
  /** Whether it may take the entries that are kept free for cutting devices off when the state is full otherwise. */
  readonly usesReserve?: boolean
  /** Shape of the payload; what it refuses is TX_PAYLOAD. */
  readonly payload: Codec<P>
  /** Applies the transaction, or says why not: null means applied, and any code means that nothing was written. */
  apply(payload: P, context: KindContext, state: StateView): Code | null
}
