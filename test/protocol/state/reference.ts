/** A naive state tree to test against: the definition of the root, written over a plain map. */
import { concat, fromHex, toHex } from '../../../protocol/bytes.ts'
import { sha3 } from '../../../protocol/crypto.ts'
import type { StateChange } from '../../../protocol/state/tree.ts'

/** Value hash by key hash in hex. */
export type Contents = ReadonlyMap<string, Uint8Array>

/** A key hash: every third number gives keys with 20 to 250 bits in common, the others are hashes. */
export function smallKey(number: number): Uint8Array {
  const hash = sha3(Uint8Array.of(number & 255, number >> 8))
  if (number % 3 !== 0) return hash
  const shared = 20 + ((number * 37) % 231)
  return hash.map((byte, i) => {
    const kept = Math.max(0, Math.min(8, shared - 8 * i))
    return byte & (0xff >> kept)
  })
}

/** A value hash. */
export const valueNumber = (number: number): Uint8Array => sha3(Uint8Array.of(1, 2, 3, number & 255, number >> 8))

/** Changes of a batch of (number of key, number of value or null). */
export const changesOf = (batch: readonly (readonly [number, number | null])[]): StateChange[] =>
  batch.map(([key, value]) => ({ keyHash: smallKey(key), valueHash: value === null ? null : valueNumber(value) }))

/** What a state holds after a batch. */
export function contentsAfter(contents: Contents, batch: readonly (readonly [number, number | null])[]): Contents {
  const next = new Map(contents)
  for (const { keyHash, valueHash } of changesOf(batch)) {
    if (valueHash === null) next.delete(toHex(keyHash))
    else next.set(toHex(keyHash), valueHash)
  }
  return next
}

/** The root by definition: no leaves, one leaf, or the two halves by the next bit. */
export function naiveStateRoot(contents: Contents): Uint8Array {
  return rootOver(
    [...contents].map(([key, value]) => ({ key, value, bits: bitsOf(key) })),
    0,
  )
}

type Leaf = { key: string; value: Uint8Array; bits: string }

function rootOver(leaves: Leaf[], depth: number): Uint8Array {
  const [first, second] = leaves
  if (first === undefined) return new Uint8Array(32)
  if (second === undefined) return sha3(concat(Uint8Array.of(0), fromHex(first.key), first.value))
  const half = (bit: string) =>
    rootOver(
      leaves.filter(({ bits }) => bits[depth] === bit),
      depth + 1,
    )
  return sha3(concat(Uint8Array.of(1), half('0'), half('1')))
}

const bitsOf = (key: string): string =>
  [...key].map((digit) => Number.parseInt(digit, 16).toString(2).padStart(4, '0')).join('')
