/**
 * Native primitives: OpenSSL's hashes (node:crypto) and libsecp256k1 (npm `secp256k1`, prebuilt) behind the seam of protocol/crypto.ts.
 * Invariant: the same answer as noble for every input, refusals included; the differential test holds them together.
 */
import { hash } from 'node:crypto'
import { createRequire } from 'node:module'
import { installPrimitives, noblePrimitives, type Primitives } from '../../protocol/crypto.ts'

/** The part of libsecp256k1's binding that is used. All throw where the input is malformed. */
type Secp256k1 = {
  publicKeyCreate(secretKey: Uint8Array, compressed: boolean): Uint8Array
  ecdsaSign(digest: Uint8Array, secretKey: Uint8Array): { signature: Uint8Array; recid: number }
  ecdsaRecover(signature: Uint8Array, recoveryId: number, digest: Uint8Array, compressed: boolean): Uint8Array
}

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
const bigEndian = (value: bigint): Uint8Array =>
  Uint8Array.from(Buffer.from(value.toString(16).padStart(64, '0'), 'hex'))
const ORDER_BYTES = bigEndian(ORDER)
const HALF_ORDER_BYTES = bigEndian(ORDER >> 1n)

/** Whether the 32-byte big-endian number at `offset` of `bytes` is greater than `limit`. */
function exceeds(bytes: Uint8Array, offset: number, limit: Uint8Array): boolean {
  for (let i = 0; i < 32; i++) {
    const difference = (bytes[offset + i] as number) - (limit[i] as number)
    if (difference !== 0) return difference > 0
  }
  return false
}

/**
 * The 32-byte hash of `message`. By way of a string, one character a byte: measured, that takes half the time of a Buffer, whose memory lies
 * outside the heap and has to be allocated, tracked and given back by itself. 32 bytes of a `Uint8Array` lie within.
 */
function hash32(algorithm: 'sha3-256' | 'sha256', message: Uint8Array): Uint8Array {
  const characters = hash(algorithm, message, 'binary')
  const bytes = new Uint8Array(32)
  for (let i = 0; i < 32; i++) bytes[i] = characters.charCodeAt(i)
  return bytes
}

function loadSecp256k1(): Secp256k1 | undefined {
  try {
    // The binding itself: the package's main file falls back in silence to another JavaScript implementation, `elliptic`,
    // which nothing here is tested against. Ours is noble.
    return createRequire(import.meta.url)('secp256k1/bindings.js') as Secp256k1
  } catch {
    return undefined
  }
}

const secp256k1 = loadSecp256k1()

/** What signs and recovers here: `libsecp256k1`, or `noble` where the package has no prebuilt binary for this platform. */
export const signatureProvider: 'libsecp256k1' | 'noble' = secp256k1 === undefined ? 'noble' : 'libsecp256k1'

const curve: Pick<Primitives, 'sign' | 'recover' | 'publicKey'> =
  secp256k1 === undefined
    ? noblePrimitives
    : {
        sign(digest, secretKey) {
          // RFC 6979 reduces the digest by the group order before it seeds the nonce, libsecp256k1 does not: from the order
          // upwards (one digest in 2^128) the two would make different, equally valid signatures.
          if (digest.length === 32 && !exceeds(ORDER_BYTES, 0, digest)) return noblePrimitives.sign(digest, secretKey)
          const { signature, recid } = secp256k1.ecdsaSign(digest, secretKey)
          const out = new Uint8Array(65)
          out.set(signature, 0)
          out[64] = recid
          return out
        },
        recover(digest, signature) {
          if (digest.length !== 32 || signature.length !== 65 || (signature[64] as number) > 3) return undefined
          // libsecp256k1 recovers from a high S as well; the ledger accepts one form of a signature only (ledger.md §1).
          if (exceeds(signature, 32, HALF_ORDER_BYTES)) return undefined
          try {
            return secp256k1.ecdsaRecover(signature.subarray(0, 64), signature[64] as number, digest, true)
          } catch {
            return undefined
          }
        },
        publicKey: (secretKey) => secp256k1.publicKeyCreate(secretKey, true),
      }

/** OpenSSL and libsecp256k1 as a provider for `protocol/crypto.ts`. */
export const nativePrimitives: Primitives = {
  sha3_256: (message) => hash32('sha3-256', message),
  sha256: (message) => hash32('sha256', message),
  sign: curve.sign,
  recover: curve.recover,
  publicKey: curve.publicKey,
}

/** Puts the native primitives in the place of noble, for the whole process (each worker thread has to do it for itself). */
export function installNativePrimitives(): void {
  installPrimitives(nativePrimitives)
}
