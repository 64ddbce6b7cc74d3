import { describe, expect, it } from 'vitest'
import { toHex } from '../../protocol/bytes.ts'
import { CborError } from '../../protocol/cbor.ts'
import { decodeAs, encodeAs } from '../../protocol/codec.ts'
import { sha3 } from '../../protocol/crypto.ts'
import { LIMITS } from '../../protocol/limits.ts'
import {
  leaderOf,
  type MemberSet,
  memberIndex,
  memberSetCodec,
  memberSetHash,
  quorumSizes,
} from '../../protocol/members.ts'

const setOf = (n: number): MemberSet => ({
  members: Array.from({ length: n }, (_, i) => ({ name: `Org ${i}`, publicKey: new Uint8Array(33).fill(i) })),
  parameters: {
    percent: 51,
    deltaMs: 500,
    termBlocks: 10,
    heartbeatMs: 1000,
    bodyAllowanceMs: 500,
    timeoutDoublingsMax: 5,
    inclusionTimeoutMs: 5000,
    clockDriftMs: 500,
    trustThresholdPpm: 300_000,
    trustPatience: 3,
    trustInitialPpm: 700_000,
    trustMinRaters: 3,
    trustFreshnessMs: 60_000,
  },
})

describe('members: sizes of agreement.md §1', () => {
  it('the examples of the text', () => {
    expect(quorumSizes(4, 51)).toEqual({ n: 4, q: 3, f: 1, s: 3 })
    expect(quorumSizes(5, 51)).toEqual({ n: 5, q: 3, f: 2, s: 4 })
    expect(quorumSizes(7, 51)).toEqual({ n: 7, q: 4, f: 3, s: 6 })
    expect(quorumSizes(3, 51)).toMatchObject({ q: 2, s: 3 })
    expect(quorumSizes(1, 51)).toEqual({ n: 1, q: 1, f: 0, s: 1 })
  })

  it('for every n and percent: quorums meet, honest members can form one, strong quorums share an honest member', () => {
    for (let n = 1; n <= LIMITS.membersMax; n++)
      for (let percent = 51; percent <= 100; percent++) {
        const { q, f, s } = quorumSizes(n, percent)
        expect(2 * q).toBeGreaterThan(n)
        expect(q * 100).toBeGreaterThanOrEqual(percent * n)
        expect(q).toBeLessThanOrEqual(n)
        expect(f).toBe(n - q)
        expect(2 * s - n).toBeGreaterThan(f)
        expect(s).toBeLessThanOrEqual(n)
      }
  })

  it('with 2 or 4 members, or 67 % and more, every quorum is strong', () => {
    for (let n = 1; n <= LIMITS.membersMax; n++)
      for (let percent = 51; percent <= 100; percent++) {
        const { q, s } = quorumSizes(n, percent)
        if (n === 2 || n === 4 || percent >= 67) expect(q, `${n} at ${percent} %`).toBeGreaterThanOrEqual(s)
      }
  })

  it('leaders take turns', () => {
    expect([0, 1, 2, 3, 4, 5].map((view) => leaderOf(view, 4))).toEqual([0, 1, 2, 3, 0, 1])
    expect(leaderOf(Number.MAX_SAFE_INTEGER, 1)).toBe(0)
  })
})

describe('members: the set', () => {
  it('comes back from its encoding, and its hash is over that', () => {
    const set = setOf(4)
    const encoded = encodeAs(memberSetCodec, set)
    expect(decodeAs(memberSetCodec, encoded)).toEqual(set)
    expect(memberSetHash(set)).toEqual(sha3(encoded))
  })

  it('another name, key, order or parameter → another hash', () => {
    const set = setOf(3)
    const [first, ...rest] = set.members
    if (first === undefined) throw new Error('no member')
    const others: MemberSet[] = [
      { ...set, members: [{ ...first, name: 'Org X' }, ...rest] },
      { ...set, members: [{ ...first, publicKey: new Uint8Array(33).fill(99) }, ...rest] },
      { ...set, members: set.members.toReversed() },
      { ...set, members: rest },
      ...Object.entries(set.parameters).map(([name, value]) => ({
        ...set,
        parameters: { ...set.parameters, [name]: value + 1 },
      })),
    ]
    const hashes = new Set([set, ...others].map((other) => toHex(memberSetHash(other))))
    expect(hashes.size).toBe(others.length + 1)
  })

  it('no member, too many, a name of no letters, a key of 32 bytes, or a parameter out of range → CborError', () => {
    const set = setOf(2)
    const [first] = set.members
    if (first === undefined) throw new Error('no member')
    const bad: MemberSet[] = [
      { ...set, members: [] },
      setOf(LIMITS.membersMax + 1),
      { ...set, members: [{ ...first, name: '' }] },
      { ...set, members: [{ ...first, name: ' Org' }] },
      { ...set, members: [{ ...first, name: 'Org\u202e' }] },
      { ...set, members: [{ ...first, publicKey: new Uint8Array(32) }] },
      { ...set, parameters: { ...set.parameters, percent: 50 } },
      { ...set, parameters: { ...set.parameters, percent: 101 } },
      { ...set, parameters: { ...set.parameters, termBlocks: 0 } },
    ]
    for (const one of bad) expect(() => encodeAs(memberSetCodec, one)).toThrow(CborError)
  })

  it('each key leads to its index; two members with one key → RangeError', () => {
    const set = setOf(4)
    const index = memberIndex(set)
    set.members.forEach((member, i) => {
      expect(index.get(toHex(member.publicKey))).toBe(i)
    })
    const twice = { ...set, members: [...set.members, ...set.members.slice(0, 1)] }
    expect(() => memberIndex(twice)).toThrow(RangeError)
  })
})
