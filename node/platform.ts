/**
 * What a member stands on: clock, disk, network, signature checks, primitives. One seam, so that the whole node runs in a simulation by
 * being given another one.
 */
import type { Primitives } from '../protocol/crypto.ts'
import { type Clock, systemClock } from './clock.ts'
import { nativePrimitives } from './crypto/native.ts'
import { SignaturePool } from './crypto/pool.ts'
import { createNetwork, type NetworkDependencies } from './network/host.ts'
import type { NetworkOptions } from './network/libp2p.ts'
import type { Network } from './network/network.ts'
import { type Pace, systemPace } from './steps.ts'
import { type Disk, systemDisk } from './store/disk.ts'

/** The parts of a machine that a member uses. */
export type Platform = {
  readonly clock: Clock
  readonly pace: Pace
  readonly disk: Disk
  readonly primitives: Primitives
  createNetwork(options: NetworkOptions, dependencies: NetworkDependencies): Promise<Network>
  /** Recovers signers beside the main thread. */
  createSignatures(): Pick<SignaturePool, 'recover' | 'close'>
}

/** The machine that this process runs on. */
export const systemPlatform: Platform = {
  clock: systemClock,
  pace: systemPace,
  disk: systemDisk,
  primitives: nativePrimitives,
  createNetwork,
  createSignatures: () => new SignaturePool({ size: 1 }),
}
