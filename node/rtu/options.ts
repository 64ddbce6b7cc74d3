/**
 * RTU: what a unit is started with, and what it tells of itself. The wiring is in main.ts.
 */
import type { Genesis } from '../../protocol/genesis.ts'
import type { MemberAddresses, NetworkLog } from '../network/network.ts'
import type { DeliveryOptions } from './delivery.ts'
import type { GatewayOptions } from './gateway.ts'
import type { JudgeOptions } from './judge.ts'
import type { Machine } from './machine.ts'
import type { MemberName, MemberStatus, MembersOptions } from './members.ts'
import type { NeighboursOptions } from './neighbours.ts'
import type { OutboxOptions, OutboxStatus } from './outbox.ts'
import type { PeersStatus } from './peers.ts'
import type { ReadingsStatus } from './readings.ts'
import type { ReplayMonitor } from './replay/monitor.ts'
import type { RosterOptions } from './roster.ts'
import type { Standing } from './standing.ts'

/** What an RTU is made of. */
export type RtuOptions = {
  readonly genesis: Genesis
  /** 32-byte secret of the device. */
  readonly secretKey: Uint8Array
  readonly dataDirectory: string
  /** The segment that it is configured for; the chain decides. */
  readonly segment: string
  readonly members: readonly (MemberName & MemberAddresses)[]
  readonly intervalMs: number
  /** Cycles whose sights become the baseline; 60 if not given. */
  readonly learningCycles?: number
  /** Where it listens for the other devices of its segment; none: it does not gossip with them. */
  readonly listen?: readonly string[]
  /** Addresses to name in their place. */
  readonly announce?: readonly string[]
  /** Devices of the segment whose addresses are configured. */
  readonly neighbours?: readonly MemberAddresses[]
  /** Absolute paths watched besides the usual ones. */
  readonly watch: readonly string[]
  /** Absolute paths of followed logs, and texts that are looked for in them. */
  readonly logs?: readonly string[]
  readonly logWords?: readonly string[]
  readonly log: NetworkLog & { error(fields: object, message: string): void }
  /** What an operator can do where no member lets this device in. */
  readonly advice: string
  /** Called once, when it cannot go on. */
  readonly fatal: (error: unknown) => void
  readonly machine?: Machine
  /** Where it takes readings of sensors, if it does. */
  readonly gateway?: GatewayOptions
  /** What is observed in the place of the machine: a log that is played. Nothing is learnt for the baseline then, nor kept. */
  readonly replay?: ReplayMonitor
  /** Other times, for tests. */
  readonly times?: Partial<
    MembersOptions &
      DeliveryOptions &
      RosterOptions &
      JudgeOptions &
      Pick<NeighboursOptions, 'cardsMs'> &
      Pick<OutboxOptions, 'resubmitMs'>
  >
}

/** What an RTU may tell of itself. */
export type RtuStatus = PeersStatus & {
  /** Own id, hexadecimal. */
  readonly device: string
  readonly segment: string
  readonly members: readonly MemberStatus[]
  readonly height: number
  readonly isDisputed: boolean
  readonly standing: Standing | undefined
  readonly outbox: OutboxStatus
  readonly learning: boolean
  /** Of the last cycle, worst first. */
  readonly findings: readonly { readonly category: string; readonly scorePpm: number; readonly detail: string }[]
  readonly blind: readonly string[]
  /** Of a gateway. */
  readonly readings?: ReadingsStatus
}
