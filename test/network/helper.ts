/** Real libp2p networks on loopback for these tests: port 0, states awaited, everything stopped at the end. */
import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { expect } from 'vitest'
import { createNetwork } from '../../node/network/host.ts'
import type { NetworkLimits } from '../../node/network/limits.ts'
import { guardedYamux } from '../../node/network/muxer.ts'
import type { Network, PeerRole } from '../../node/network/network.ts'
import { toHex } from '../../protocol/bytes.ts'
import { publicKeyOf } from '../../protocol/crypto.ts'

export const CHAIN = new Uint8Array(32).fill(0xc4)
export const secretOf = (i: number): Uint8Array => new Uint8Array(32).fill(i)
export const keyOf = (i: number): string => toHex(publicKeyOf(secretOf(i)))

/** A network under test and what it has been told. */
export type Party = {
  network: Network
  key: string
  address: string
  messages: { peer: string; bytes: Uint8Array }[]
  pushed: { peer: string; bytes: Uint8Array }[]
  gossip: { topic: string; text: string; from: string }[]
  links: { peer: string; up: boolean; run: string | undefined }[]
  logs: string[]
}

const running: { stop(): unknown }[] = []

/** Stops everything that the test started. */
export async function stopAll(): Promise<void> {
  await Promise.all(running.splice(0).map((one) => one.stop()))
}

/** Waits for a state, at most `timeoutMs`. */
export const until = (state: () => boolean, what: string, timeoutMs = 10_000): Promise<void> =>
  expect.poll(state, { timeout: timeoutMs, interval: 10, message: what }).toBe(true)

export type PartyOptions = {
  roles: Map<string, PeerRole>
  role?: PeerRole
  chainId?: Uint8Array
  limits?: Partial<NetworkLimits>
  listen?: string
  segment?: string
  /** Set handlers before the start. */
  prepare?: (network: Network) => void
}

/** Starts party `i`. Addresses of the others are given later, with `introduce`. */
export async function party(i: number, options: PartyOptions): Promise<Party> {
  const logs: string[] = []
  const log = (fields: object, message: string): void => {
    logs.push(`${message} ${JSON.stringify(fields)}`)
  }
  const network = await createNetwork(
    {
      secretKey: secretOf(i),
      chainId: options.chainId ?? CHAIN,
      role: options.role ?? 'member',
      listen: [options.listen ?? '/ip4/127.0.0.1/tcp/0'],
      members: [],
      ...(options.segment === undefined ? {} : { segment: options.segment }),
      limits: { linkTickMs: 50, linkBadTicksMax: 60, takeoverMs: 1000, helloTimeoutMs: 1000, ...options.limits },
    },
    { roleOf: (peer) => options.roles.get(peer) ?? null, log: { debug: log, info: log, warn: log } },
  )
  const made: Party = { network, key: keyOf(i), address: '', messages: [], pushed: [], gossip: [], links: [], logs }
  if (options.prepare === undefined) {
    network.onMessage((peer, bytes) => {
      made.messages.push({ peer, bytes })
    })
    network.onPush((peer, bytes) => {
      made.pushed.push({ peer, bytes })
    })
    network.onGossip(async (topic, bytes, from) => {
      made.gossip.push({ topic, text: Buffer.from(bytes).toString(), from })
      return 'accept'
    })
  } else options.prepare(network)
  network.onLink((peer, up, run) => {
    made.links.push({ peer, up, run: run === undefined ? undefined : toHex(run) })
  })
  running.push(network)
  await network.start()
  made.address = network.addresses()[0] ?? ''
  return made
}

/** Tells all parties where the others are. */
export function introduce(...parties: Party[]): void {
  const members = parties
    .filter(({ address }) => address !== '')
    .map(({ key, address }) => ({ publicKey: key, addresses: [address] }))
  for (const { network } of parties) network.setMembers(members)
}

/** Waits until each of `parties` has its consensus channel to all the others. */
export const linked = (...parties: Party[]): Promise<void> =>
  until(() => parties.every(({ network }) => network.linkedPeers().length === parties.length - 1), 'all linked')

export const rolesOf = (...members: number[]): Map<string, PeerRole> =>
  new Map(members.map((i) => [keyOf(i), 'member']))

/** A bare libp2p node with the key of party `i`, for behaviour that no honest network shows. */
export async function stranger(i: number): Promise<Libp2p> {
  const node = await createLibp2p({
    privateKey: privateKeyFromRaw(secretOf(i)),
    addresses: { listen: [] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [guardedYamux({})],
    connectionGater: { denyDialMultiaddr: () => false },
    connectionManager: { reconnectRetries: 0 },
    services: { identify: identify() },
  })
  running.push(node)
  return node
}

export const dial = (node: Libp2p, to: Party): Promise<Connection> => node.dial(multiaddr(to.address))

/** Resolves when the connection is closed, by whichever side. */
export const gone = (connection: Connection, what: string): Promise<void> =>
  until(() => connection.status !== 'open', what)

/** Opens a stream; nothing is read from it. */
export const open = (connection: Connection, protocol: string): Promise<Stream> => connection.newStream(protocol)
