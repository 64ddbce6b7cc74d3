/**
 * The cryptographic primitives, behind one seam.
 * noble is the default (it runs in any JavaScript engine, the browser too) and the oracle in tests; `node/crypto` installs
 * OpenSSL's hashes and libsecp256k1, which are 3 to 25 times faster and must give the same answers to every input.
 */
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js'
import { sha3_256 as nobleSha3 } from '@noble/hashes/sha3.js'

/** What a provider of primitives must offer. All functions are deterministic and synchronous. */
export type Primitives = {
  /** SHA3-256 (FIPS 202), 32 bytes. */
  sha3_256(message: Uint8Array): Uint8Array
  /** SHA-256 (FIPS 180-4), 32 bytes. */
  sha256(message: Uint8Array): Uint8Array
  /** ECDSA over secp256k1, RFC 6979 nonce, low S: 65 bytes `r ‖ s ‖ recovery id (0…3)` over a 32-byte digest. */
  sign(digest: Uint8Array, secretKey: Uint8Array): Uint8Array
  /** The 33-byte compressed key that made `signature` (65 bytes) over `digest`; undefined if there is none or S is high. */
  recover(digest: Uint8Array, signature: Uint8Array): Uint8Array | undefined
  /** Compressed public key (33 bytes) of a secret key (32 bytes). Throws if the secret key is out of range. */
  publicKey(secretKey: Uint8Array): Uint8Array
}

/** Pure JavaScript primitives from @noble; slow and everywhere. */
export const noblePrimitives: Primitives = {
  sha3_256: (message) => nobleSha3(message),
  sha256: (message) => nobleSha256(message),
  sign(digest, secretKey) {
    const recovered = secp256k1.sign(digest, secretKey, { prehash: false, lowS: true, format: 'recovered' })
    const signature = new Uint8Array(65)
    signature.set(recovered.subarray(1), 0)
    signature[64] = recovered[0] as number
    return signature
  },
  recover(digest, signature) {
    if (digest.length !== 32 || signature.length !== 65 || (signature[64] as number) > 3) return undefined
    try {
      const compact = signature.subarray(0, 64)
      const parsed = secp256k1.Signature.fromBytes(compact, 'compact')
      if (parsed.hasHighS()) return undefined
      return parsed
        .addRecoveryBit(signature[64] as number)
        .recoverPublicKey(digest)
        .toBytes(true)
    } catch {
      return undefined
    }
  },
  publicKey: (secretKey) => secp256k1.getPublicKey(secretKey, true),
}

let primitives: Primitives = noblePrimitives

/** Puts `provider` in the place of the current primitives, for the whole process. Called once, by `node/crypto`. */
export function installPrimitives(provider: Primitives): void {
  primitives = provider
}

/** SHA3-256 of `message`: ids of transactions and blocks, tree nodes, digests to sign (ledger.md §1). */
export const sha3 = (message: Uint8Array): Uint8Array => primitives.sha3_256(message)
/** SHA-256 of `message`: the history log and the anchors only (ledger.md §1). */
export const sha256 = (message: Uint8Array): Uint8Array => primitives.sha256(message)
/** Recoverable signature (65 bytes) over a 32-byte digest. Use `signature.ts`, which adds the domain. */
export const signDigest = (digest: Uint8Array, secretKey: Uint8Array): Uint8Array => primitives.sign(digest, secretKey)
/** Key that a signature recovers to, or undefined. Use `signature.ts`, which adds the domain. */
export const recoverDigest = (digest: Uint8Array, signature: Uint8Array): Uint8Array | undefined =>
  primitives.recover(digest, signature)
/** Compressed public key of a secret key. */
export const publicKeyOf = (secretKey: Uint8Array): Uint8Array => primitives.publicKey(secretKey)
