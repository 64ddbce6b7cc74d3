/**
 * State tree: the authenticated form of the BKVS, a compact sparse Merkle tree over key hashes (ledger.md §4; shape in proof.ts).
 * It is persistent: an update copies the paths it changes and leaves the old root whole, so the executor can try several blocks, in
 * a row or side by side. It owns no policy on when an old root dies: whoever updates must release exactly one of two lists.
 * Invariants: a root depends on its set of leaves only, not on the order of updates; a node belongs to the `created` of one
 * update and, once, to the `replaced` of each update that supersedes it; every branch holds at least two leaves.
 */
import { compareBytes, ZERO_HASH } from '../bytes.ts'
import { sha3 } from '../crypto.ts'
import { Arena } from './arena.ts'
import { bitOf, DEPTH_MAX, type StateProof } from './proof.ts'

/** A node of one `StateTree`: 0 is the empty tree; odd numbers are leaves, even ones branches. As a root it names a whole state. */
export type NodeReference = number
/** The state without a key. */
export const EMPTY_STATE: NodeReference = 0

/** A leaf: SHA3-256 of the key and of the encoded entry, 32 bytes each. */
export type StateLeaf = { readonly keyHash: Uint8Array; readonly valueHash: Uint8Array }
/** A leaf to be, or null where the key is to be absent. */
export type StateChange = { readonly keyHash: Uint8Array; readonly valueHash: Uint8Array | null }

/** What an update did. Release `replaced` when it is committed (the old root dies) or `created` when it is abandoned (the new one dies). */
export type StateUpdate = {
  readonly root: NodeReference
  readonly created: readonly NodeReference[]
  readonly replaced: readonly NodeReference[]
}

/** An update under way. */
type Draft = { readonly changes: readonly StateChange[]; readonly created: number[]; readonly replaced: number[] }

/** Key hash and value hash. */
const LEAF_BYTES = 64
/** Left and right reference, then the hash. */
const BRANCH_BYTES = 40

const isLeaf = (node: NodeReference): boolean => (node & 1) === 1
const numberOf = (node: NodeReference): number => (node >>> 1) - 1

/** All roots of one state and their nodes, in flat memory: 125 bytes per key, measured with a million random keys. */
export class StateTree {
  readonly #leaves = new Arena(LEAF_BYTES)
  readonly #branches = new Arena(BRANCH_BYTES)
  readonly #leafMessage = new Uint8Array(65)
  readonly #branchMessage = new Uint8Array(65)

  constructor() {
    this.#branchMessage[0] = 1
  }

  /** Nodes held, and bytes reserved for them. */
  get usage(): { leaves: number; branches: number; reservedBytes: number } {
    return {
      leaves: this.#leaves.size,
      branches: this.#branches.size,
      reservedBytes: this.#leaves.reservedBytes + this.#branches.reservedBytes,
    }
  }

  /** The state with exactly `leaves`, best in ascending order of key hash. Throws `RangeError` if a key occurs twice. */
  build(leaves: Iterable<StateLeaf>): NodeReference {
    const nodes: number[] = []
    const created: number[] = []
    try {
      for (const { keyHash, valueHash } of leaves) nodes.push(this.#createLeaf(keyHash, valueHash, created))
      return this.#grow(nodes, 0, nodes.length, 0, created)
    } catch (error) {
      this.release(created)
      throw error
    }
  }

  /**
   * The state `root` with `changes` made, in any order; `root` itself stays as it is. Changes that change nothing create
   * nothing. Throws `RangeError` if a key occurs twice, a hash is not 32 bytes, or `root` was released; then nothing has happened.
   */
  update(root: NodeReference, changes: readonly StateChange[]): StateUpdate {
    this.#requireLive(root)
    const draft: Draft = { changes: inOrder(changes), created: [], replaced: [] }
    const next = this.#apply(root, 0, 0, changes.length, draft)
    return { root: next, created: draft.created, replaced: draft.replaced }
  }

  /**
   * Gives nodes back: an update's `replaced` or `created`. Every root that reaches one of them is dead from here on. Throws
   * `RangeError` on a node that was released already.
   */
  release(nodes: readonly NodeReference[]): void {
    for (const node of nodes) (isLeaf(node) ? this.#leaves : this.#branches).free(numberOf(node))
  }

  /** `stateRoot` of the state `root`: 32 bytes of the caller's own. Throws `RangeError` if `root` was released. */
  rootHash(root: NodeReference): Uint8Array {
    this.#requireLive(root)
    const hash = new Uint8Array(32)
    this.#hashInto(root, hash, 0)
    return hash
  }

  /** Value hash under `keyHash` in the state `root`, or undefined. Throws `RangeError` if `root` was released. */
  valueHash(root: NodeReference, keyHash: Uint8Array): Uint8Array | undefined {
    const end = this.#descend(root, keyHash)
    return isLeaf(end) && this.#holdsKey(end, keyHash) ? this.#slice(end, 32) : undefined
  }

  /** Proof that `keyHash` is in the state `root`, or is not; proof.ts verifies it. Throws `RangeError` if `root` was released. */
  prove(root: NodeReference, keyHash: Uint8Array): StateProof {
    const siblings: Uint8Array[] = []
    const end = this.#descend(root, keyHash, siblings)
    const other = isLeaf(end) && !this.#holdsKey(end, keyHash)
    return { siblings, other: other ? { keyHash: this.#slice(end, 0), valueHash: this.#slice(end, 32) } : null }
  }

  /** The leaf or empty place at the end of the way of `keyHash`; collects the hashes beside the way if asked. */
  #descend(root: NodeReference, keyHash: Uint8Array, siblings?: Uint8Array[]): NodeReference {
    this.#requireLive(root)
    requireHash(keyHash)
    let node = root
    for (let depth = 0; node !== EMPTY_STATE && !isLeaf(node); depth++) {
      const bit = bitOf(keyHash, depth)
      if (siblings !== undefined) {
        const sibling = new Uint8Array(32)
        this.#hashInto(this.#child(node, 1 - bit), sibling, 0)
        siblings.push(sibling)
      }
      node = this.#child(node, bit)
    }
    return node
  }

  /** Makes the changes `from` … `to` − 1 in the subtree `node` at `depth`, hashing each changed node once for all of them. */
  #apply(node: NodeReference, depth: number, from: number, to: number, draft: Draft): NodeReference {
    if (from === to) return node
    if (node === EMPTY_STATE || isLeaf(node)) return this.#applyToLeaf(node, depth, from, to, draft)
    let middle = from
    while (middle < to && bitOf((draft.changes[middle] as StateChange).keyHash, depth) === 0) middle++
    const left = this.#child(node, 0)
    const right = this.#child(node, 1)
    const newLeft = this.#apply(left, depth + 1, from, middle, draft)
    const newRight = this.#apply(right, depth + 1, middle, to, draft)
    if (newLeft === left && newRight === right) return node
    draft.replaced.push(node)
    return this.#join(newLeft, newRight, draft.created)
  }

  /** As `#apply`, where the subtree is empty or one leaf, which stays unless a change names it. */
  #applyToLeaf(node: NodeReference, depth: number, from: number, to: number, draft: Draft): NodeReference {
    const nodes: number[] = []
    let kept = node
    for (let i = from; i < to; i++) {
      const { keyHash, valueHash } = draft.changes[i] as StateChange
      if (node !== EMPTY_STATE && this.#holdsKey(node, keyHash)) {
        if (valueHash !== null && this.#holdsValue(node, valueHash)) continue
        kept = EMPTY_STATE
        draft.replaced.push(node)
      }
      if (valueHash !== null) nodes.push(this.#createLeaf(keyHash, valueHash, draft.created))
    }
    if (kept !== EMPTY_STATE) nodes.push(kept)
    return this.#grow(nodes, 0, nodes.length, depth, draft.created)
  }

  /** The subtree at `depth` over the leaves `nodes[from … to − 1]`, which it puts in the order of their keys on the way. */
  #grow(nodes: number[], from: number, to: number, depth: number, created: number[]): NodeReference {
    if (to - from < 2) return from === to ? EMPTY_STATE : (nodes[from] as number)
    if (depth === DEPTH_MAX) throw new RangeError('a key occurs twice')
    let middle = from
    let end = to
    while (middle < end) {
      const node = nodes[middle] as number
      if (bitOf(this.#bytesAt(node), depth) === 0) middle++
      else {
        nodes[middle] = nodes[--end] as number
        nodes[end] = node
      }
    }
    const left = this.#grow(nodes, from, middle, depth + 1, created)
    const right = this.#grow(nodes, middle, to, depth + 1, created)
    return this.#join(left, right, created)
  }

  /** The subtree over two halves: a branch, unless there are fewer than two leaves. */
  #join(left: NodeReference, right: NodeReference, created: number[]): NodeReference {
    if (left === EMPTY_STATE && (right === EMPTY_STATE || isLeaf(right))) return right
    if (right === EMPTY_STATE && isLeaf(left)) return left
    const message = this.#branchMessage
    this.#hashInto(left, message, 1)
    this.#hashInto(right, message, 33)
    const number = this.#branches.allocate()
    const words = this.#branches.words(number)
    words[this.#branches.wordAt(number)] = left
    words[this.#branches.wordAt(number) + 1] = right
    this.#branches.bytes(number).set(sha3(message), this.#branches.byteAt(number) + 8)
    const node = (number + 1) * 2
    created.push(node)
    return node
  }

  #createLeaf(keyHash: Uint8Array, valueHash: Uint8Array, created: number[]): NodeReference {
    requireHash(keyHash)
    requireHash(valueHash)
    const number = this.#leaves.allocate()
    const chunk = this.#leaves.bytes(number)
    chunk.set(keyHash, this.#leaves.byteAt(number))
    chunk.set(valueHash, this.#leaves.byteAt(number) + 32)
    const node = (number + 1) * 2 + 1
    created.push(node)
    return node
  }

  /** Writes the hash of `node` to `target` at `offset`. A leaf's is computed each time: to store it would cost a third more memory. */
  #hashInto(node: NodeReference, target: Uint8Array, offset: number): void {
    if (node === EMPTY_STATE) target.set(ZERO_HASH, offset)
    else if (isLeaf(node)) {
      this.#leafMessage.set(this.#bytesAt(node), 1)
      target.set(sha3(this.#leafMessage), offset)
    } else {
      const number = numberOf(node)
      const at = this.#branches.byteAt(number) + 8
      target.set(this.#branches.bytes(number).subarray(at, at + 32), offset)
    }
  }

  #child(node: NodeReference, bit: number): NodeReference {
    const number = numberOf(node)
    return this.#branches.words(number)[this.#branches.wordAt(number) + bit] as number
  }

  /** View of a leaf's 64 bytes. */
  #bytesAt(node: NodeReference): Uint8Array {
    const number = numberOf(node)
    const at = this.#leaves.byteAt(number)
    return this.#leaves.bytes(number).subarray(at, at + LEAF_BYTES)
  }

  #slice(node: NodeReference, offset: number): Uint8Array {
    return this.#bytesAt(node).slice(offset, offset + 32)
  }

  #holdsKey(node: NodeReference, keyHash: Uint8Array): boolean {
    return compareBytes(this.#bytesAt(node).subarray(0, 32), keyHash) === 0
  }

  #holdsValue(node: NodeReference, valueHash: Uint8Array): boolean {
    return compareBytes(this.#bytesAt(node).subarray(32), valueHash) === 0
  }

  #requireLive(root: NodeReference): void {
    if (root !== EMPTY_STATE && !(isLeaf(root) ? this.#leaves : this.#branches).isLive(numberOf(root)))
      throw new RangeError(`state ${root} was released`)
  }
}

function requireHash(hash: Uint8Array): void {
  if (hash.length !== 32) throw new RangeError(`a hash of ${hash.length} bytes`)
}

/** `changes` in ascending order of key hash, checked before anything is created. */
function inOrder(changes: readonly StateChange[]): readonly StateChange[] {
  let sorted = changes
  for (let i = 0; i < changes.length; i++) {
    const { keyHash, valueHash } = changes[i] as StateChange
    requireHash(keyHash)
    if (valueHash !== null) requireHash(valueHash)
    if (i > 0 && sorted === changes && compareBytes((changes[i - 1] as StateChange).keyHash, keyHash) > 0)
      sorted = changes.toSorted((a, b) => compareBytes(a.keyHash, b.keyHash))
  }
  for (let i = 1; i < sorted.length; i++)
    if (compareBytes((sorted[i - 1] as StateChange).keyHash, (sorted[i] as StateChange).keyHash) === 0)
      throw new RangeError('a key occurs twice')
  return sorted
}
