/**
 * The packed form in which signatures go to a worker thread and keys come back: one buffer each way, moved and not copied.
 * Question: count (u32), then per item the length of its content (u32, top bit set: it is a digest already), then per item the
 * content and 65 bytes of signature. Answer: 34 bytes per item: 1 and the key, or zeros. All numbers little-endian.
 */
import { recoverDigest, sha3 } from '../../protocol/crypto.ts'
import { SIGNATURE_BYTES } from '../../protocol/signature.ts'

/** A signature to recover, over a 32-byte digest or over a body, whose SHA3-256 is taken in the worker. */
export type SignatureItem =
  | { readonly digest: Uint8Array; readonly signature: Uint8Array }
  | { readonly body: Uint8Array; readonly signature: Uint8Array }

/** Main thread to worker. */
export type PoolQuestion = { packed: ArrayBuffer }
/** Worker to main thread. */
export type PoolAnswer = { packed: ArrayBuffer }

const IS_DIGEST = 0x8000_0000
const ANSWER_BYTES = 34
const contentOf = (item: SignatureItem): Uint8Array => ('digest' in item ? item.digest : item.body)

/** Whether an item can have a signer at all; others are answered undefined without being packed. */
export const isWellFormed = (item: SignatureItem): boolean =>
  item.signature.length === SIGNATURE_BYTES && (!('digest' in item) || item.digest.length === 32)

/** The key that made the signature of `item`, by the primitives installed in this thread; undefined where there is none. */
export const recoverItem = (item: SignatureItem): Uint8Array | undefined =>
  isWellFormed(item) ? recoverDigest('digest' in item ? item.digest : sha3(item.body), item.signature) : undefined

/** One buffer of well-formed `items`. */
export function packItems(items: readonly SignatureItem[]): ArrayBuffer {
  let length = 4 + 4 * items.length
  for (const item of items) length += contentOf(item).length + SIGNATURE_BYTES
  const packed = new ArrayBuffer(length)
  const view = new DataView(packed)
  const bytes = new Uint8Array(packed)
  view.setUint32(0, items.length, true)
  let offset = 4 + 4 * items.length
  items.forEach((item, i) => {
    const content = contentOf(item)
    view.setUint32(4 + 4 * i, ('digest' in item ? IS_DIGEST : 0) + content.length, true)
    bytes.set(content, offset)
    bytes.set(item.signature, offset + content.length)
    offset += content.length + SIGNATURE_BYTES
  })
  return packed
}

/** The answer to a packed question, by the primitives installed in this thread. */
export function recoverPacked(packed: ArrayBuffer): ArrayBuffer {
  const view = new DataView(packed)
  const bytes = new Uint8Array(packed)
  const count = view.getUint32(0, true)
  const answer = new Uint8Array(ANSWER_BYTES * count)
  let offset = 4 + 4 * count
  for (let i = 0; i < count; i++) {
    const word = view.getUint32(4 + 4 * i, true)
    const end = offset + (word & ~IS_DIGEST)
    const content = bytes.subarray(offset, end)
    const key = recoverDigest(word >= IS_DIGEST ? content : sha3(content), bytes.subarray(end, end + SIGNATURE_BYTES))
    if (key !== undefined) {
      answer[ANSWER_BYTES * i] = 1
      answer.set(key, ANSWER_BYTES * i + 1)
    }
    offset = end + SIGNATURE_BYTES
  }
  return answer.buffer
}

/** The keys of an answer, in the order of the items. */
export function unpackKeys(packed: ArrayBuffer): (Uint8Array | undefined)[] {
  const bytes = new Uint8Array(packed)
  const keys: (Uint8Array | undefined)[] = []
  // Copies: a view would keep the whole batch alive for as long as one key is remembered.
  for (let at = 0; at < bytes.length; at += ANSWER_BYTES)
    keys.push(bytes[at] === 1 ? bytes.slice(at + 1, at + ANSWER_BYTES) : undefined)
  return keys
}
