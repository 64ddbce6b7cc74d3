/**
 * Signatures with a domain: what is signed is SHA3-256(tag ‖ 0x00 ‖ chain id ‖ payload), so that no signature made for one
 * purpose or chain means anything in another (ledger.md §1). The signer is whoever the signature recovers to.
 */
import { concat } from './bytes.ts'
import { recoverDigest, sha3, signDigest } from './crypto.ts'

/** Purposes of signatures. The zero byte that ends each tag keeps one from being the beginning of another. */
export const DOMAINS = {
  transaction: tag('althing/transaction/1'),
  proposal: tag('althing/proposal/1'),
  vote: tag('althing/vote/1'),
  commit: tag('althing/commit/1'),
  blame: tag('althing/blame/1'),
  status: tag('althing/status/1'),
  message: tag('althing/message/1'),
  reinstatement: tag('althing/reinstatement/1'),
  membership: tag('althing/membership/1'),
  reading: tag('althing/reading/1'),
  hello: tag('althing/hello/1'),
  card: tag('althing/card/1'),
  deviceFile: tag('althing/device-file/1'),
} as const
/** A purpose of signatures. */
export type Domain = keyof typeof DOMAINS

/** Length of a signature: r (32) ‖ s (32) ‖ recovery id (1). */
export const SIGNATURE_BYTES = 65

function tag(name: string): Uint8Array {
  const out = new Uint8Array(name.length + 1)
  for (let i = 0; i < name.length; i++) out[i] = name.charCodeAt(i)
  return out
}

/** The 32-byte digest that is signed for `payload` under `domain` on the chain `chainId` (32 bytes). */
export function signingDigest(domain: Domain, chainId: Uint8Array, payload: Uint8Array): Uint8Array {
  return sha3(concat(DOMAINS[domain], chainId, payload))
}

/** Signature (65 bytes) of `payload` by `secretKey` (32 bytes). */
export function sign(domain: Domain, chainId: Uint8Array, payload: Uint8Array, secretKey: Uint8Array): Uint8Array {
  return signDigest(signingDigest(domain, chainId, payload), secretKey)
}

/** The compressed public key (33 bytes) that signed, or undefined: malformed, high S, or no such point. */
export function recover(
  domain: Domain,
  chainId: Uint8Array,
  payload: Uint8Array,
  signature: Uint8Array,
): Uint8Array | undefined {
  return recoverDigest(signingDigest(domain, chainId, payload), signature)
}

/** Address of a key: the first 20 bytes of SHA3-256 of the compressed key. Names devices and namespaces. */
export const addressOf = (publicKey: Uint8Array): Uint8Array => sha3(publicKey).slice(0, 20)
