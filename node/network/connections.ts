/**
 * Open connections by peer, with the bytes that went over each.
 * Invariants: only peers with a role are in it; at most `perPeerMax` connections of one peer.
 */
import type { Connection } from '@libp2p/interface'
import type { Uint8ArrayList } from 'uint8arraylist'
import type { PublicKeyHex } from '../../protocol/members.ts'
import { publicKeyOfPeer } from './identity.ts'
import type { PeerInfo, PeerRole, RoleOf } from './network.ts'

type Entry = { connection: Connection; role: PeerRole; since: number; bytesIn: number; bytesOut: number }

/** The encrypted connection under a libp2p connection; a public field that the interface does not list (libp2p 3.3.11, pinned). */
type RawConnection = EventTarget & { send(data: Uint8Array | Uint8ArrayList): boolean }

/** The table of connections. */
export class Connections {
  readonly #entries = new Map<PublicKeyHex, Entry[]>()
  readonly #roleOf: RoleOf
  readonly #perPeerMax: number
  /** Bytes of connections that are closed. */
  #closedBytes = { bytesIn: 0, bytesOut: 0 }
  /** Connections ended by us, by cause. */
  readonly cuts: Record<string, number> = {}

  constructor(roleOf: RoleOf, perPeerMax: number) {
    this.#roleOf = roleOf
    this.#perPeerMax = perPeerMax
  }

  /** Takes in a new connection and returns its peer, or ends it and returns undefined if the peer has no role. */
  add(connection: Connection): PublicKeyHex | undefined {
    const peer = publicKeyOfPeer(connection.remotePeer)
    const role = peer === undefined ? null : this.#roleOf(peer)
    if (peer === undefined || role === null) {
      this.#abort(connection, 'no role')
      return undefined
    }
    const entry: Entry = { connection, role, since: Date.now(), bytesIn: 0, bytesOut: 0 }
    count(connection, entry)
    const entries = this.#entries.get(peer) ?? []
    entries.push(entry)
    this.#entries.set(peer, entries)
    // The oldest goes: it is the one most likely half-dead, as when the peer lost its power and came back.
    if (entries.length > this.#perPeerMax) this.#abort((entries[0] as Entry).connection, 'too many connections')
    return peer
  }

  /** Forgets a closed connection. Returns its peer if that was the last one. */
  remove(connection: Connection): PublicKeyHex | undefined {
    const peer = publicKeyOfPeer(connection.remotePeer)
    const entries = peer === undefined ? undefined : this.#entries.get(peer)
    if (peer === undefined || entries === undefined) return undefined
    const at = entries.findIndex((entry) => entry.connection === connection)
    const [gone] = at < 0 ? [] : entries.splice(at, 1)
    this.#closedBytes.bytesIn += gone?.bytesIn ?? 0
    this.#closedBytes.bytesOut += gone?.bytesOut ?? 0
    if (entries.length > 0) return undefined
    this.#entries.delete(peer)
    return peer
  }

  /** Open connections of a peer, oldest first. */
  of(peer: PublicKeyHex): Connection[] {
    const entries = this.#entries.get(peer) ?? []
    return entries.filter(({ connection }) => connection.status === 'open').map(({ connection }) => connection)
  }

  /** Ends all connections of a peer at once. */
  cut(peer: PublicKeyHex, reason: string): void {
    for (const { connection } of [...(this.#entries.get(peer) ?? [])]) this.#abort(connection, reason)
  }

  cutAll(reason: string): void {
    for (const peer of [...this.#entries.keys()]) this.cut(peer, reason)
  }

  /** Peers whose role is another than when they connected. */
  changedRoles(): PublicKeyHex[] {
    return [...this.#entries]
      .filter(([peer, entries]) => entries.some((entry) => entry.role !== this.#roleOf(peer)))
      .map(([peer]) => peer)
  }

  list(isLinked: (peer: PublicKeyHex) => boolean): PeerInfo[] {
    return [...this.#entries].map(([publicKey, entries]) => {
      const sum = (field: 'bytesIn' | 'bytesOut'): number => entries.reduce((total, entry) => total + entry[field], 0)
      const [first] = entries as [Entry, ...Entry[]]
      return {
        publicKey,
        role: first.role,
        connectedSince: first.since,
        roundTripMs: entries.findLast((entry) => entry.connection.rtt !== undefined)?.connection.rtt,
        bytesIn: sum('bytesIn'),
        bytesOut: sum('bytesOut'),
        linked: isLinked(publicKey),
      }
    })
  }

  bytes(): { bytesIn: number; bytesOut: number } {
    const total = { ...this.#closedBytes }
    for (const entry of [...this.#entries.values()].flat()) {
      total.bytesIn += entry.bytesIn
      total.bytesOut += entry.bytesOut
    }
    return total
  }

  #abort(connection: Connection, reason: string): void {
    this.cuts[reason] = (this.cuts[reason] ?? 0) + 1
    connection.abort(new Error(reason))
  }
}

function count(connection: Connection, entry: Entry): void {
  const raw = (connection as unknown as { maConn?: RawConnection }).maConn
  if (raw === undefined) return
  const send = raw.send.bind(raw)
  raw.send = (data) => {
    entry.bytesOut += data.byteLength
    // In one piece: the socket would be written to once for each part, and a packet and its length are two.
    return send(data.subarray())
  }
  raw.addEventListener('message', (event) => {
    entry.bytesIn += (event as Event & { data: { byteLength: number } }).data.byteLength
  })
}
