/** What leaves a simulated process, for whoever watches it or twists it: lies.ts does. */
import type { GossipTopic } from '../../node/network/network.ts'
import type { PublicKeyHex } from '../../protocol/members.ts'

/** What a process sends, for whoever watches or twists it. */
export type Outgoing = {
  readonly channel: 'message' | 'push' | GossipTopic
  readonly to: PublicKeyHex
  readonly bytes: Uint8Array
}

/** What a lying process does to what leaves it; undefined for an honest one. */
export type Twist = {
  /** The frames that leave in the place of one. */
  sends(frame: Outgoing): readonly Uint8Array[]
  /** The answer in the place of one; null: none. */
  answers(name: string, question: Uint8Array, answer: Uint8Array): Uint8Array | null
}

/** What a simulated network tells. */
export type NetworkWatch = {
  sent(frame: Outgoing): void
  /** It shut a peer out. */
  shutOut(peer: PublicKeyHex, reason: string): void
  /** A handler threw: in a real node that ends the process as a bug. */
  bug(error: unknown): void
  readonly twist: Twist | undefined
}
