/** The kind `evidence`: what agreement.md §7 calls evidence is recorded; what an honest member could have signed is not. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Header, type SealedHeader, sealHeader } from '../../../../protocol/block.ts'
import { toHex } from '../../../../protocol/bytes.ts'
import { type Statement, statementBytes } from '../../../../protocol/certificate.ts'
import type { Evidence } from '../../../../protocol/consensus/events.ts'
import type { Block, Slot } from '../../../../protocol/consensus/types.ts'
import type { EvidencePayload } from '../../../../protocol/kinds/evidence/evidence.ts'
import { payloadOf } from '../../../../protocol/kinds/evidence/make.ts'
import { parseEvidenceKey, readEvidence } from '../../../../protocol/kinds/evidence/record.ts'
import { readEra } from '../../../../protocol/kinds/governance/record.ts'
import { LIMITS } from '../../../../protocol/limits.ts'
import { PARAMETER_NAMES } from '../../../../protocol/members.ts'
import { type Domain, sign } from '../../../../protocol/signature.ts'
import { CHAIN, Chain, key, MEMBERS, make, secretKey } from '../consortium.ts'

/** A block of its own at `height` on `parent`; `salt` makes it another one. */
const blockOn = (parent: Uint8Array, height: number, salt = 0, over: Partial<Header> = {}): SealedHeader =>
  sealHeader({
    version: 1,
    chainId: CHAIN,
    era: 0,
    height,
    parent,
    time: height,
    treesRoot: new Uint8Array(32).fill(salt),
    transactionCount: 0,
    stateRoot: new Uint8Array(32),
    historyRoot: new Uint8Array(32),
    memberSetHash: new Uint8Array(32),
    nextMemberSetHash: null,
    modulesHash: new Uint8Array(32),
    ...over,
  })
const about = ({ hash, header }: SealedHeader, view: number, seq: number, era = 0): Statement => ({
  era,
  view,
  seq,
  height: header.height,
  hash,
})
const by = (member: number, domain: Domain, statement: Statement) => ({
  statement,
  signature: sign(domain, CHAIN, statementBytes(statement), secretKey(member)),
})
const cast = (member: number, kind: 'vote' | 'commit', statement: Statement) => ({
  kind,
  ...by(member, kind, statement),
})
const certificate = (statement: Statement, members = [1, 2, 3]) => ({
  kind: 'vote' as const,
  statement,
  signatures: members.map((member) => by(member, 'vote', statement).signature),
})

// A fork at height 2: a1 ← a2 ← a3, a1 ← b2 ← b3.
const a1 = blockOn(CHAIN, 1)
const a2 = blockOn(a1.hash, 2)
const a3 = blockOn(a2.hash, 3)
const b2 = blockOn(a1.hash, 2, 1)
const b3 = blockOn(b2.hash, 3, 1)

const equivocation = (first: Statement, second: Statement, signers: readonly [number, number]): EvidencePayload => ({
  kind: 'equivocation',
  first: by(signers[0], 'proposal', first),
  second: by(signers[1], 'proposal', second),
})
const conflict = (
  first: ReturnType<typeof cast>,
  second: ReturnType<typeof cast>,
  headers: readonly SealedHeader[] = [],
): EvidencePayload => ({ kind: 'conflict', first, second, headers: headers.map(({ bytes }) => bytes) })
type Unlocked = EvidencePayload & { kind: 'unlocked' }
/** Member 2 commits a2 in view 1 and votes in view 2 for b2, whose tip a1 is certified in view 0. */
const unlocked = (over: Partial<Unlocked> = {}): EvidencePayload => ({
  kind: 'unlocked',
  commit: by(2, 'commit', about(a2, 1, 0)),
  vote: by(2, 'vote', about(b2, 2, 0)),
  block: b2.bytes,
  tip: certificate(about(a1, 0, 0)),
  headers: [],
  ...over,
})

describe('evidence that is recorded', () => {
  const CASES: readonly [string, EvidencePayload, member: number, view: number][] = [
    ['two leader signatures of one place', equivocation(about(a2, 1, 1), about(b2, 1, 1), [2, 2]), 2, 1],
    ['in a view of the second round of leaders', equivocation(about(a2, 4, 0), about(b2, 4, 0), [1, 1]), 1, 4],
    ['two votes at one height', conflict(cast(3, 'vote', about(a2, 0, 1)), cast(3, 'vote', about(b2, 0, 1))), 3, 0],
    ['a vote and a commit', conflict(cast(3, 'vote', about(a2, 0, 1)), cast(3, 'commit', about(b2, 0, 1))), 3, 0],
    [
      'two votes at different heights',
      conflict(cast(4, 'vote', about(b2, 5, 1)), cast(4, 'vote', about(a3, 5, 2)), [a3]),
      4,
      5,
    ],
    [
      'the lower one a commit',
      conflict(cast(4, 'vote', about(b3, 5, 2)), cast(4, 'commit', about(a2, 5, 1)), [b3]),
      4,
      5,
    ],
    ['a vote that breaks the lock of a commit', unlocked(), 2, 2],
    [
      'such a vote for a first block of the era',
      unlocked({
        commit: by(2, 'commit', about(a1, 1, 0)),
        vote: by(2, 'vote', about(blockOn(CHAIN, 1, 7), 2, 0)),
        block: blockOn(CHAIN, 1, 7).bytes,
        tip: null,
      }),
      2,
      2,
    ],
  ]
  for (const [name, payload, member, view] of CASES)
    it(name, () => {
      const chain = new Chain()
      expect(chain.run('evidence', 1, payload)).toBeNull()
      const found = readEvidence(chain.entries, toHex(key(member)), 0, view)
      expect(found).toMatchObject({ kind: payload.kind, by: toHex(key(1)), height: 1 })
      expect(chain.run('evidence', 3, payload)).toBe('EVIDENCE_KNOWN')
    })

  it('any API key may bring it, and its member is named', () => {
    const chain = new Chain()
    expect(chain.run('evidence', 12, unlocked())).toBeNull()
    expect(readEvidence(chain.entries, toHex(key(2)), 0, 2)?.by).toBe(toHex(key(2)))
  })

  it('a key of the state says whom, which era and view', () => {
    const chain = new Chain()
    chain.run('evidence', 1, unlocked())
    const keys = [...chain.entries.keys()].filter((one) => one.startsWith('evidence/'))
    expect(keys.map(parseEvidenceKey)).toEqual([{ member: toHex(key(2)), era: 0, view: 2 }])
    expect(() => parseEvidenceKey('evidence/x')).toThrow('not a key of evidence')
  })
})

describe('evidence that is refused', () => {
  const vote = (member: number, block: SealedHeader, view: number, seq: number) =>
    cast(member, 'vote', about(block, view, seq))
  const commit = (member: number, block: SealedHeader, view: number, seq: number) =>
    cast(member, 'commit', about(block, view, seq))
  const CASES: readonly [string, EvidencePayload, string][] = [
    ['of another era', equivocation(about(a2, 1, 1, 1), about(b2, 1, 1, 1), [2, 2]), 'EVIDENCE_ERA'],
    ['a leader who signed one block twice', equivocation(about(a2, 1, 1), about(a2, 1, 1), [2, 2]), 'EVIDENCE_VOID'],
    ['a leader at two places', equivocation(about(a2, 1, 1), about(b2, 1, 2), [2, 2]), 'EVIDENCE_VOID'],
    ['a leader in two views', equivocation(about(a2, 1, 1), about(b2, 5, 1), [2, 2]), 'EVIDENCE_VOID'],
    ['by two members', equivocation(about(a2, 1, 1), about(b2, 1, 1), [2, 3]), 'EVIDENCE_SIGNER'],
    ['by a member that did not lead', equivocation(about(a2, 1, 1), about(b2, 1, 1), [3, 3]), 'EVIDENCE_SIGNER'],
    ['by a stranger', equivocation(about(a2, 1, 1), about(b2, 1, 1), [9, 9]), 'EVIDENCE_SIGNER'],
    [
      'votes shown as leader signatures',
      { kind: 'equivocation', first: by(2, 'vote', about(a2, 1, 1)), second: by(2, 'vote', about(b2, 1, 1)) },
      'EVIDENCE_SIGNER',
    ],
    [
      'two commits: late ones follow what others committed',
      conflict(commit(3, a2, 0, 1), commit(3, b2, 0, 1)),
      'EVIDENCE_VOID',
    ],
    ['votes in two views', conflict(vote(3, a2, 0, 1), vote(3, b2, 1, 0)), 'EVIDENCE_VOID'],
    ['votes along one chain', conflict(vote(3, a2, 0, 1), vote(3, a3, 0, 2), [a3]), 'EVIDENCE_VOID'],
    ['headers that are missing', conflict(vote(3, b2, 0, 1), vote(3, a3, 0, 2)), 'EVIDENCE_VOID'],
    ['headers of another chain', conflict(vote(3, b2, 0, 1), vote(3, a3, 0, 2), [b3]), 'EVIDENCE_VOID'],
    ['too many headers', conflict(vote(3, b2, 0, 1), vote(3, a3, 0, 2), [a3, a2]), 'EVIDENCE_VOID'],
    [
      'a header that is none',
      { kind: 'conflict', first: vote(3, b2, 0, 1), second: vote(3, a3, 0, 2), headers: [new Uint8Array([1])] },
      'EVIDENCE_VOID',
    ],
    ['votes of two members', conflict(vote(3, a2, 0, 1), vote(4, b2, 0, 1)), 'EVIDENCE_SIGNER'],
    ['a tip of the view of the commit', unlocked({ tip: certificate(about(a1, 1, 0)) }), 'EVIDENCE_VOID'],
    ['a tip without a quorum', unlocked({ tip: certificate(about(a1, 0, 0), [1, 2]) }), 'EVIDENCE_VOID'],
    ['a tip signed twice by one', unlocked({ tip: certificate(about(a1, 0, 0), [1, 2, 2]) }), 'EVIDENCE_VOID'],
    ['a tip that is not the parent', unlocked({ tip: certificate(about(a2, 0, 0)) }), 'EVIDENCE_VOID'],
    ['no tip, above the first block', unlocked({ tip: null }), 'EVIDENCE_VOID'],
    ['a vote that is not for seq 0', unlocked({ vote: by(2, 'vote', about(b2, 2, 1)) }), 'EVIDENCE_VOID'],
    ['a vote of an earlier view', unlocked({ vote: by(2, 'vote', about(b2, 1, 0)) }), 'EVIDENCE_VOID'],
    [
      'a vote for what was committed',
      unlocked({ vote: by(2, 'vote', about(a2, 2, 0)), block: a2.bytes }),
      'EVIDENCE_VOID',
    ],
    ['the header of another block', unlocked({ block: a2.bytes }), 'EVIDENCE_VOID'],
    ['a commit of another member', unlocked({ commit: by(3, 'commit', about(a2, 1, 0)) }), 'EVIDENCE_SIGNER'],
  ]
  for (const [name, payload, code] of CASES)
    it(`${name} → ${code}, state unchanged`, () => {
      const chain = new Chain()
      const before = chain.picture()
      expect(chain.run('evidence', 1, payload)).toBe(code)
      expect(chain.picture()).toEqual(before)
    })

  it('two eras in one piece → EVIDENCE_VOID', () => {
    const payload = equivocation(about(a2, 1, 1), about(b2, 1, 1, 1), [2, 2])
    expect(new Chain().run('evidence', 1, payload)).toBe('EVIDENCE_VOID')
  })

  it('a vote for a block that ends the era: it may have been proposed again on itself (§5.5)', () => {
    const ends = blockOn(a1.hash, 2, 1, { nextMemberSetHash: new Uint8Array(32) })
    const payload = unlocked({ vote: by(2, 'vote', about(ends, 2, 0)), block: ends.bytes })
    expect(new Chain().run('evidence', 1, payload)).toBe('EVIDENCE_VOID')
  })

  it('whatever an honest member signs along one chain is evidence of nothing', () => {
    const blocks = [a1]
    for (let height = 2; height < 12; height++) blocks.push(blockOn((blocks.at(-1) as SealedHeader).hash, height))
    const place = fc.record({ at: fc.nat(9), kind: fc.constantFrom('vote' as const, 'commit' as const) })
    fc.assert(
      fc.property(place, place, fc.boolean(), (one, other, withHeaders) => {
        const [low, high] = one.at <= other.at ? [one, other] : [other, one]
        const headers = withHeaders ? blocks.slice(low.at + 1, high.at + 1).reverse() : []
        const signed = [low, high].map(({ at, kind }) => cast(3, kind, about(blocks[at] as SealedHeader, 0, at)))
        const [first, second] = signed as [ReturnType<typeof cast>, ReturnType<typeof cast>]
        expect(new Chain().run('evidence', 1, conflict(first, second, headers))).toBe('EVIDENCE_VOID')
      }),
    )
  })
})

describe('from the core to the ledger', () => {
  const slot = (sealed: SealedHeader, view: number, seq: number): Slot => ({
    view,
    seq,
    height: sealed.header.height,
    hash: toHex(sealed.hash),
  })
  const known = new Map([a1, a2, a3, b2, b3].map((sealed) => [toHex(sealed.hash), sealed]))
  const blocks: Block[] = [...known.values()].map(({ hash, header }) => ({
    hash: toHex(hash),
    parent: toHex(header.parent),
    height: header.height,
    endsEra: false,
  }))
  const bytesOf = (hash: string): Uint8Array | undefined => known.get(hash)?.bytes
  const voteOf = (member: number, sealed: SealedHeader, view: number, seq: number) => ({
    ...slot(sealed, view, seq),
    ...cast(member, 'vote', about(sealed, view, seq)),
  })

  const conflicting: Evidence = {
    kind: 'conflict',
    member: 2,
    first: voteOf(3, b2, 0, 1),
    second: voteOf(3, a3, 0, 2),
    headers: blocks,
  }

  it('a conflict that the core found → its payload is taken', () => {
    const payload = payloadOf(0, conflicting, bytesOf) as EvidencePayload
    expect(new Chain().run('evidence', 1, payload)).toBeNull()
  })

  it('an equivocation that the core found → its payload is taken', () => {
    const first = { ...slot(a2, 1, 1), leaderSignature: by(2, 'proposal', about(a2, 1, 1)).signature }
    const second = { ...slot(b2, 1, 1), leaderSignature: by(2, 'proposal', about(b2, 1, 1)).signature }
    const payload = payloadOf(0, { kind: 'equivocation', member: 1, equivocation: { first, second } }, bytesOf)
    expect(new Chain().run('evidence', 1, payload)).toBeNull()
  })

  it('a broken lock that the core found → its payload is taken', () => {
    const tip = about(a1, 0, 0)
    const found: Evidence = {
      kind: 'unlocked',
      member: 1,
      commit: { ...slot(a2, 1, 0), kind: 'commit', signature: by(2, 'commit', about(a2, 1, 0)).signature },
      vote: voteOf(2, b2, 2, 0),
      headers: blocks,
      proposal: {
        kind: 'proposal',
        era: 0,
        view: 2,
        seq: 0,
        block: blocks.find(({ hash }) => hash === toHex(b2.hash)) as Block,
        leaderSignature: new Uint8Array(65),
        parentCertificate: null,
        justification: {
          reason: { kind: 'start', certificate: null },
          strong: null,
          tip: {
            ...slot(a1, 0, 0),
            kind: 'vote',
            signatures: new Map(MEMBERS.slice(0, 3).map((member, i) => [i, by(member, 'vote', tip).signature])),
          },
        },
      },
    }
    expect(new Chain().run('evidence', 1, payloadOf(0, found, bytesOf))).toBeNull()
  })

  it('a header that is not at hand → nothing to show yet; a fork is evidence against nobody', () => {
    expect(payloadOf(0, conflicting, () => undefined)).toBeUndefined()
    const both = { ...slot(a2, 0, 0), kind: 'commit' as const, signatures: new Map<number, Uint8Array>() }
    expect(payloadOf(0, { kind: 'fork', era: 0, first: both, second: both } as Evidence, bytesOf)).toBeUndefined()
  })
})

describe('evidence of an era that is over', () => {
  /** Ends the present era: another heartbeat. */
  const endEra = (chain: Chain, change: unknown = heartbeat(300 + chain.height)): void => {
    const { era, memberSet } = readEra(chain.entries)
    const validUntil = chain.time + 60_000
    const payload = { era, change, expiresAt: chain.time + 60_000, reason: '' }
    const proposal = make('governance.propose', 1, payload, { validUntil })
    expect(chain.apply(proposal)).toBeNull()
    for (const by of [2, 3].slice(0, Math.floor(memberSet.members.length / 2)))
      expect(
        chain.apply(make('governance.approve', by, { proposal: proposal.transaction.id }, { validUntil })),
      ).toBeNull()
    expect(readEra(chain.entries).era).toBe(era + 1)
  }
  const heartbeat = (heartbeatMs: number) => ({
    kind: 'parameters',
    values: Object.fromEntries(PARAMETER_NAMES.map((name) => [name, name === 'heartbeatMs' ? heartbeatMs : null])),
  })

  it('is judged by the members of that era, also against one that has left since', () => {
    const chain = new Chain()
    endEra(chain, { kind: 'remove', publicKey: key(4) })
    const votes = conflict(cast(4, 'vote', about(b2, 5, 1)), cast(4, 'vote', about(a3, 5, 2)), [a3])
    expect(chain.run('evidence', 1, votes)).toBeNull()
    expect(readEvidence(chain.entries, toHex(key(4)), 0, 5)).toMatchObject({ kind: 'conflict', height: chain.height })
    expect(chain.run('evidence', 2, votes)).toBe('EVIDENCE_KNOWN')
    // Leader of view 7 among four is member 4; among the three of now it would be member 2.
    expect(chain.run('evidence', 1, equivocation(about(a2, 7, 0), about(b2, 7, 0), [2, 2]))).toBe('EVIDENCE_SIGNER')
    expect(chain.run('evidence', 1, equivocation(about(a2, 7, 0), about(b2, 7, 0), [4, 4]))).toBeNull()
    expect(chain.run('evidence', 1, unlocked())).toBeNull()
  })

  it('of a place where its members did not sign is no evidence in their own era either', () => {
    const chain = new Chain()
    endEra(chain, { kind: 'remove', publicKey: key(4) })
    const [a, b] = [blockOn(CHAIN, 9, 1, { era: 1 }), blockOn(CHAIN, 9, 2, { era: 1 })]
    const votes = (member: number) =>
      conflict(cast(member, 'vote', about(a, 0, 0, 1)), cast(member, 'vote', about(b, 0, 0, 1)))
    expect(chain.run('evidence', 1, votes(4))).toBe('EVIDENCE_SIGNER')
    expect(chain.run('evidence', 1, votes(3))).toBeNull()
  })

  it('is taken until its era has been over for sixteen eras, and the state keeps no more of them', () => {
    const chain = new Chain()
    for (let i = 0; i < LIMITS.evidenceErasMax; i++) endEra(chain)
    const shown = (view: number) => equivocation(about(a2, view, 0), about(b2, view, 0), [2, 2])
    expect(chain.run('evidence', 1, shown(1))).toBeNull()
    endEra(chain)
    expect(chain.run('evidence', 1, shown(5))).toBe('EVIDENCE_ERA')
    for (let i = 0; i < 3; i++) endEra(chain)
    const kept = [...chain.entries.keys()].filter((name) => name.startsWith('era/past/'))
    expect(kept).toHaveLength(LIMITS.evidenceErasMax)
  })
})
