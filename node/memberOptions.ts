/**
 * What a member is started with. The wiring is in main.ts.
 * Invariant: everything that an operator may choose is in here, checked before (config/); nothing else reaches the wiring.
 */
import type { Genesis } from '../protocol/genesis.ts'
import type { NodeLog } from './log.ts'
import type { NetworkLimits } from './network/limits.ts'
import type { PoolObserver } from './pool/pool.ts'
import type { GrowthOptions } from './snapshot/growth.ts'

/** What a member's daemon is made of. */
export type MemberOptions = {
  readonly genesis: Genesis
  readonly dataDirectory: string
  /** 32-byte secret of the member. */
  readonly secretKey: Uint8Array
  readonly listen: readonly string[]
  readonly announce: readonly string[]
  /** Where members listen, by name or key (66 hexadecimal digits). Of those that are not named here, what the state says counts. */
  readonly peers: readonly { readonly member: string; readonly address: string }[]
  readonly pool: { readonly bytesMax: number; readonly countMax: number }
  /** Bounds of the network other than its defaults. */
  readonly networkLimits?: Partial<NetworkLimits>
  readonly diskFreeBytesMin: number
  /** How much of the past is kept, and how an empty ledger is filled. */
  readonly ledger: Omit<GrowthOptions, 'snapshotsDirectory'>
  /** Start without a signing record (agreement.md §6). */
  readonly recover: boolean
  /** Hears how transactions leave the pool. */
  readonly poolObserver?: PoolObserver
  readonly log: NodeLog
  /** Called once, when the node cannot go on. */
  readonly fatal: (error: unknown) => void
  /** Called once, when another ledger stands ready: the node is to be stopped and started again on the same directory. */
  readonly restart: () => void
}
