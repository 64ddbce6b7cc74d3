import { describe, expect, it } from 'vitest'
import { KEPT_PROPOSAL_BYTES_MAX, KEPT_PROPOSALS_MAX, Proposals } from '../../../node/consensus/proposals.ts'

const idsOf = (count: number, first: number): Uint8Array[] =>
  Array.from({ length: count }, (_, i) => new Uint8Array(32).fill((first + i) & 0xff))
const partsOf = (count: number, first = 0) => ({
  header: Uint8Array.of(1, 2, 3),
  verified: null,
  transactionIds: idsOf(count, first),
})

describe('kept proposals', () => {
  it('proposals: parts and frames come back as they were, in memory of their own', () => {
    const proposals = new Proposals()
    const large = new Uint8Array(1000).fill(7)
    const parts = { ...partsOf(3), header: large.subarray(10, 20) }
    proposals.keepParts('a', parts)
    proposals.keepFrame('0/1/a', large.subarray(0, 40))
    large.fill(0)
    expect(proposals.parts('a')).toEqual({ ...parts, header: new Uint8Array(10).fill(7) })
    expect(proposals.header('a')?.buffer.byteLength).toBe(10)
    expect(proposals.frame('0/1/a')).toEqual(new Uint8Array(40).fill(7))
    expect(proposals.has('b')).toBe(false)
    expect(proposals.parts('b')).toBeUndefined()
  })

  it('proposals: small ones are bounded in number, the oldest goes first', () => {
    const proposals = new Proposals()
    for (let i = 0; i <= KEPT_PROPOSALS_MAX; i++) proposals.keepParts(String(i), partsOf(1, i))
    expect(proposals.size).toBe(KEPT_PROPOSALS_MAX)
    expect(proposals.has('0')).toBe(false)
    expect(proposals.has('1')).toBe(true)
  })

  it('proposals: large ones are bounded in bytes, but the newest 64 stay', () => {
    const proposals = new Proposals()
    for (let i = 0; i < 400; i++) {
      proposals.keepParts(String(i), partsOf(1000))
      proposals.keepFrame(String(i), new Uint8Array(32_100))
      expect(proposals.bytes).toBeLessThanOrEqual(KEPT_PROPOSAL_BYTES_MAX)
    }
    expect(proposals.size).toBeGreaterThan(64)
    const huge = new Proposals()
    for (let i = 0; i < 100; i++) huge.keepParts(String(i), partsOf(4000))
    expect(huge.size).toBe(64)
  })

  it('proposals: one that is kept again counts once', () => {
    const proposals = new Proposals()
    for (let i = 0; i < 10; i++) proposals.keepFrame('a', new Uint8Array(100))
    expect(proposals.bytes).toBe(100)
  })
})
