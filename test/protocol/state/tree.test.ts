import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromHex, toHex } from '../../../protocol/bytes.ts'
import { EMPTY_STATE, type NodeReference, StateTree } from '../../../protocol/state/tree.ts'
import { type Contents, changesOf, contentsAfter, naiveStateRoot, smallKey, valueNumber } from './reference.ts'

/** A sequence of batches over few keys, so that batches meet; null deletes. */
const batches = fc.array(
  fc.uniqueArray(fc.tuple(fc.nat({ max: 40 }), fc.option(fc.nat({ max: 3 }))), {
    maxLength: 25,
    selector: ([key]) => key,
  }),
  { maxLength: 12 },
)
type Batch = (readonly [number, number | null])[]

describe('state tree', () => {
  it('the root equals the naive one after any updates, and old roots keep theirs until released', () => {
    fc.assert(
      fc.property(batches, (sequence) => {
        const tree = new StateTree()
        let root: NodeReference = EMPTY_STATE
        let contents: Contents = new Map()
        const past: [NodeReference, Contents][] = [[root, contents]]
        for (const batch of sequence) {
          root = tree.update(root, changesOf(batch)).root
          contents = contentsAfter(contents, batch)
          past.push([root, contents])
        }
        for (const [old, held] of past) expect(toHex(tree.rootHash(old))).toBe(toHex(naiveStateRoot(held)))
      }),
      { numRuns: 60 },
    )
  })

  it('build gives the same root as updates, in any order of the leaves', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat({ max: 300 }), { maxLength: 80 }), (keys) => {
        const batch: Batch = keys.map((key) => [key, key] as const)
        const tree = new StateTree()
        const leaves = keys.map((key) => ({ keyHash: smallKey(key), valueHash: valueNumber(key) }))
        const root = tree.rootHash(tree.build(leaves))
        expect(root).toEqual(naiveStateRoot(contentsAfter(new Map(), batch)))
        expect(root).toEqual(tree.rootHash(tree.update(EMPTY_STATE, changesOf(batch)).root))
      }),
      { numRuns: 60 },
    )
  })

  it('lookups find what the state holds and nothing else', () => {
    const tree = new StateTree()
    const root = tree.build([1, 2, 3].map((key) => ({ keyHash: smallKey(key), valueHash: valueNumber(key) })))
    for (const key of [1, 2, 3]) expect(tree.valueHash(root, smallKey(key))).toEqual(valueNumber(key))
    expect(tree.valueHash(root, smallKey(4))).toBeUndefined()
    expect(tree.valueHash(EMPTY_STATE, smallKey(1))).toBeUndefined()
  })

  it('forks, commits and abandoned branches in any order → no node lost, none released twice, roots right', () => {
    /** A tree of speculation: commit one child of the committed root, abandon all that does not descend from it. */
    type Attempt = { parent: Attempt | null; root: NodeReference; contents: Contents; created: readonly number[] }
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(), fc.nat(), batches), { maxLength: 12 }), (rounds) => {
        const tree = new StateTree()
        let base: Attempt = { parent: null, root: EMPTY_STATE, contents: new Map(), created: [] }
        let open: (Attempt & { replaced: readonly number[] })[] = []
        for (const [pick, choice, blocks] of rounds) {
          for (const batch of blocks) {
            const parents = [base, ...open]
            const parent = parents[(pick + open.length) % parents.length] as Attempt
            const update = tree.update(parent.root, changesOf(batch))
            open.push({ ...update, parent, contents: contentsAfter(parent.contents, batch) })
          }
          const children = open.filter((attempt) => attempt.parent === base)
          const winner = children[choice % Math.max(children.length, 1)]
          if (winner === undefined) continue
          const survives = (attempt: Attempt | null): boolean =>
            attempt === winner || (attempt !== null && survives(attempt.parent))
          for (const attempt of open) if (!survives(attempt)) tree.release(attempt.created)
          tree.release(winner.replaced)
          open = open.filter((attempt) => attempt !== winner && survives(attempt))
          base = winner
          for (const attempt of [base, ...open])
            expect(tree.rootHash(attempt.root)).toEqual(naiveStateRoot(attempt.contents))
        }
        for (const attempt of open) tree.release(attempt.created)
        const fresh = new StateTree()
        fresh.build([...base.contents].map(([key, valueHash]) => ({ keyHash: fromHex(key), valueHash })))
        const { leaves, branches } = tree.usage
        expect({ leaves, branches }).toEqual({ leaves: fresh.usage.leaves, branches: fresh.usage.branches })
      }),
      { numRuns: 60 },
    )
  })

  it('changes that change nothing create and replace nothing', () => {
    const tree = new StateTree()
    const { root } = tree.update(
      EMPTY_STATE,
      changesOf([
        [1, 1],
        [2, 2],
        [3, 3],
      ]),
    )
    expect(
      tree.update(
        root,
        changesOf([
          [2, 2],
          [9, null],
        ]),
      ),
    ).toEqual({ root, created: [], replaced: [] })
    expect(tree.update(root, [])).toEqual({ root, created: [], replaced: [] })
  })

  it('deleting every key → the empty state, and nothing is left once released', () => {
    const tree = new StateTree()
    const first = tree.update(
      EMPTY_STATE,
      changesOf([
        [1, 1],
        [2, 2],
        [3, 3],
      ]),
    )
    const last = tree.update(
      first.root,
      changesOf([
        [1, null],
        [2, null],
        [3, null],
      ]),
    )
    expect(last.root).toBe(EMPTY_STATE)
    expect(tree.rootHash(last.root)).toEqual(new Uint8Array(32))
    tree.release(last.replaced)
    expect(tree.usage).toMatchObject({ leaves: 0, branches: 0 })
  })

  it('keys that part at the last of 256 bits', () => {
    const tree = new StateTree()
    const near = (last: number) => new Uint8Array(32).fill(0xff, 0, 31).fill(last, 31)
    const changes = [near(0xfe), near(0xff)].map((keyHash) => ({ keyHash, valueHash: valueNumber(1) }))
    const { root } = tree.update(EMPTY_STATE, changes)
    const contents = new Map(changes.map(({ keyHash, valueHash }) => [toHex(keyHash), valueHash]))
    expect(tree.rootHash(root)).toEqual(naiveStateRoot(contents))
    expect(tree.usage.branches).toBe(256)
    const { root: one } = tree.update(root, [{ keyHash: near(0xfe), valueHash: null }])
    contents.delete(toHex(near(0xfe)))
    expect(tree.rootHash(one)).toEqual(naiveStateRoot(contents))
  })

  it('a key twice, a hash of another length, or a released root → RangeError, nothing created', () => {
    const tree = new StateTree()
    const leaf = { keyHash: smallKey(1), valueHash: valueNumber(1) }
    expect(() => tree.update(EMPTY_STATE, [leaf, { ...leaf, valueHash: null }])).toThrow(RangeError)
    expect(() => tree.build([leaf, { ...leaf, valueHash: valueNumber(2) }])).toThrow(RangeError)
    expect(() => tree.update(EMPTY_STATE, [{ ...leaf, keyHash: new Uint8Array(31) }])).toThrow(RangeError)
    expect(() => tree.build([{ ...leaf, valueHash: new Uint8Array(33) }])).toThrow(RangeError)
    expect(tree.usage).toMatchObject({ leaves: 0, branches: 0 })
    const { root, created } = tree.update(EMPTY_STATE, [leaf])
    tree.release(created)
    expect(() => tree.rootHash(root)).toThrow(RangeError)
    expect(() => tree.update(root, [])).toThrow(RangeError)
    expect(() => tree.release(created)).toThrow(RangeError)
  })
})
