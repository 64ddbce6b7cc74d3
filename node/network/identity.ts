/**
 * Names: a peer is its compressed secp256k1 key in hexadecimal; libp2p's PeerId holds the same key in another form.
 */
import { publicKeyFromRaw } from '@libp2p/crypto/keys'
import type { PeerId } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { fromHex, toHex } from '../../protocol/bytes.ts'
import type { PublicKeyHex } from '../../protocol/members.ts'

/** libp2p's name of a key. Throws if `publicKey` is not a compressed point. */
export const peerIdOf = (publicKey: PublicKeyHex): PeerId => peerIdFromPublicKey(publicKeyFromRaw(fromHex(publicKey)))

/** The key inside a PeerId, or undefined if it is of another kind than secp256k1 (nobody of ours). */
export function publicKeyOfPeer(peer: PeerId): PublicKeyHex | undefined {
  return peer.type === 'secp256k1' ? toHex(peer.publicKey.raw) : undefined
}
