/**
 * The native primitives with a memory: recovering a signer is a function, and all members of one process ask it the same question. Nothing is
 * faked: what is remembered was recovered, or was signed here.
 */
import { nativePrimitives } from '../../node/crypto/native.ts'
import type { Primitives } from '../../protocol/crypto.ts'

const REMEMBERED_MAX = 200_000
const recovered = new Map<string, Uint8Array | undefined>()
const publicKeys = new Map<string, Uint8Array>()

const textOf = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')

function remember(name: string, key: Uint8Array | undefined): void {
  recovered.set(name, key)
  if (recovered.size > REMEMBERED_MAX) recovered.delete(recovered.keys().next().value as string)
}

function publicKey(secretKey: Uint8Array): Uint8Array {
  const name = textOf(secretKey)
  const known = publicKeys.get(name)
  if (known !== undefined) return known.slice()
  const key = nativePrimitives.publicKey(secretKey)
  publicKeys.set(name, key)
  return key.slice()
}

/** Primitives that remember. */
export const cachedPrimitives: Primitives = {
  ...nativePrimitives,
  publicKey,
  sign(digest, secretKey) {
    const signature = nativePrimitives.sign(digest, secretKey)
    remember(textOf(digest) + textOf(signature), publicKey(secretKey))
    return signature
  },
  recover(digest, signature) {
    const name = textOf(digest) + textOf(signature)
    if (recovered.has(name)) return recovered.get(name)?.slice()
    const key = nativePrimitives.recover(digest, signature)
    remember(name, key)
    return key
  },
}
