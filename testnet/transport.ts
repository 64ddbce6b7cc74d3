/**
 * Stage: the operator. The network between the members of a testnet, as whoever disturbs it sees it. There are three: plain loopback, on which
 * nothing can be disturbed; `relay.ts`, which needs nothing but TCP; `netns.ts`, which needs root and Linux.
 */
import { CommandError, EXIT } from '../cli/failure.ts'
import type { MemberPlace } from './homes.ts'
import { type Conditions, OPEN } from './links.ts'

/** What a member is started with, so that it lives in this network. */
export type Seat = {
  /** Program and words before those of the member; empty where it is started as it is. */
  readonly before: readonly string[]
  /** Settings that override those of its home (`--set`). */
  readonly settings: Readonly<Record<string, string>>
  /** Host of its API. */
  readonly apiHost: string
}

/** One of the networks. */
export type Transport = {
  readonly name: 'loopback' | 'relay' | 'netns'
  /** Makes it ready; members are started afterwards. */
  open(): Promise<void>
  seatOf(member: string): Seat
  /**
   * Why it cannot make these conditions here, or null. Asked before anything runs.
   */
  refuses(conditions: Conditions): string | null
  /** Brings all links into these conditions, at once. */
  apply(conditions: Conditions): Promise<void>
  /** Removes all that `open` made. Never rejects. */
  close(): Promise<void>
}

/** Multiaddr of a member at `host`. */
export const multiaddrAt = (host: string, { p2pPort }: MemberPlace): string => `/ip4/${host}/tcp/${p2pPort}`

/** Members that talk over loopback, as their homes say. */
export const LOOPBACK: Transport = {
  name: 'loopback',
  open: async () => undefined,
  seatOf: () => ({ before: [], settings: {}, apiHost: '127.0.0.1' }),
  refuses: (conditions) => (conditions({ from: '', to: '' }) === OPEN ? null : 'plain loopback cannot be disturbed'),
  apply: async () => {
    throw new CommandError('TESTNET_NETWORK', EXIT.unavailable, 'plain loopback cannot be disturbed', {
      advice: 'Use --network relay.',
    })
  },
  close: async () => undefined,
}
