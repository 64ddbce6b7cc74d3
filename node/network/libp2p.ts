/**
 * The libp2p node under the network: TCP, noise, yamux, and the gate at which peers without a role are refused.
 * The figures come from measurements on libp2p 3.3.11 and hold for the versions pinned in package.json.
 */
import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import type { PeerId } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import type { Libp2pOptions } from 'libp2p'
import { publicKeyOfPeer } from './identity.ts'
import type { NetworkLimits } from './limits.ts'
import { guardedYamux } from './muxer.ts'
import type { MemberAddresses, PeerRole, RoleOf } from './network.ts'

/** What a network is made of. */
export type NetworkOptions = {
  /** 32-byte secp256k1 secret: the identity. */
  secretKey: Uint8Array
  /** 32 bytes; peers on another chain are refused. */
  chainId: Uint8Array
  /** What we are ourselves. A device gossips within its segment only. */
  role: PeerRole
  /** Multiaddrs to listen on, such as `/ip4/0.0.0.0/tcp/4001`. */
  listen: readonly string[]
  /** Multiaddrs to name in their place (behind a forwarded port). */
  announce?: readonly string[]
  members: readonly MemberAddresses[]
  /** Devices: the segment to gossip in; without one a device neither listens nor gossips. */
  segment?: string
  limits?: Partial<NetworkLimits>
}

/** Options of the node, without its services; not started. Throws if the secret is out of range. */
export function libp2pOptions(
  options: NetworkOptions,
  limits: NetworkLimits,
  roleOf: RoleOf,
): Omit<Libp2pOptions, 'services'> {
  const refuse = (peer: PeerId): boolean => {
    const publicKey = publicKeyOfPeer(peer)
    return publicKey === undefined || roleOf(publicKey) === null
  }
  const socket = { noDelay: true, keepAlive: true }
  return {
    privateKey: privateKeyFromRaw(options.secretKey),
    start: false,
    addresses: {
      listen: options.role === 'device' && options.segment === undefined ? [] : [...options.listen],
      announce: [...(options.announce ?? [])],
    },
    nodeInfo: { userAgent: 'althing' },
    transports: [tcp({ dialOpts: socket, listenOpts: socket })],
    connectionEncrypters: [noise()],
    streamMuxers: [
      guardedYamux({
        maxInboundStreams: 512,
        streamOptions: {
          // The same in the whole network: a sender takes it for granted, it is not negotiated.
          initialStreamWindowSize: 256 * 1024,
          // What one stream may have on its way is what a vote on the same connection may wait behind.
          maxStreamWindowSize: 1024 * 1024,
          // Above the window, or a paused stream aborts itself.
          maxReadBufferLength: 2 * 1024 * 1024,
          maxWriteBufferLength: 16 * 1024 * 1024,
        },
      }),
    ],
    connectionGater: {
      denyDialMultiaddr: () => false,
      denyDialPeer: refuse,
      denyInboundEncryptedConnection: refuse,
      denyOutboundEncryptedConnection: refuse,
    },
    connectionManager: {
      maxConnections: limits.connectionsMax,
      inboundConnectionThreshold: limits.inboundPerSecondMax,
      maxIncomingPendingConnections: 200,
      maxParallelDials: 20,
      dialTimeout: limits.dialTimeoutMs,
      reconnectRetries: 0,
    },
    connectionMonitor: { pingInterval: 5000, pingTimeout: { minTimeout: 10_000, maxTimeout: 20_000 } },
  }
}
