import { describe, expect, it } from 'vitest'
import { type Header, type SealedHeader, sealHeader } from '../../protocol/block.ts'
import { statementBytes, type WireCertificate } from '../../protocol/certificate.ts'
import { appendBlock, EMPTY_FRONTIER, type Frontier, frontierRoot, historyInclusion } from '../../protocol/history.ts'
import { assuranceSentence, verifyDescent, verifyHeader, verifyHistory } from '../../protocol/light.ts'
import { type MemberSet, memberSetHash } from '../../protocol/members.ts'
import { sign } from '../../protocol/signature.ts'
import { CHAIN, GENESIS, key, secretKey } from './kinds/consortium.ts'

const { memberSet } = GENESIS
const ZERO = new Uint8Array(32)
const headerOf = (over: Partial<Header> = {}): SealedHeader =>
  sealHeader({
    version: 1,
    chainId: CHAIN,
    era: 0,
    height: 1,
    parent: CHAIN,
    time: 1,
    treesRoot: ZERO,
    transactionCount: 0,
    stateRoot: ZERO,
    historyRoot: ZERO,
    memberSetHash: memberSetHash(memberSet),
    nextMemberSetHash: null,
    modulesHash: ZERO,
    ...over,
  })
const sealed = headerOf()

/** A certificate of the members with the keys `signers` over the block of `of`. */
function certificateOf(
  of: SealedHeader,
  signers: readonly number[],
  over: Partial<WireCertificate['statement']> = {},
  kind: 'commit' | 'vote' = 'commit',
): WireCertificate {
  const statement = { era: of.header.era, view: 3, seq: 1, height: of.header.height, hash: of.hash, ...over }
  const signatures = signers.map((n) => sign(kind, CHAIN, statementBytes(statement), secretKey(n)))
  return { kind, statement, signatures }
}

/** A set of `n` members of which a certificate can be counted but nobody needs to sign. */
const setOf = (n: number, deltaMs = 500): MemberSet => ({
  members: Array.from({ length: n }, (_, i) => ({ name: `m${i}`, publicKey: key(i + 1) })),
  parameters: { ...memberSet.parameters, deltaMs },
})

describe('headers', () => {
  it('light: a quorum of commits of this block → its signers, its assurance, and what that means', () => {
    expect(verifyHeader(sealed, certificateOf(sealed, [1, 2, 4]), memberSet, CHAIN)).toEqual({
      ok: true,
      signers: [0, 1, 3],
      assurance: 1,
      sentence: '3 of 4 signed: holds even if 1 member lies on an arbitrarily slow network.',
    })
    expect(verifyHeader(sealed, certificateOf(sealed, [1, 2, 3, 4]), memberSet, CHAIN)).toMatchObject({ assurance: 2 })
  })

  it.each([
    ['two of four', sealed, certificateOf(sealed, [1, 2]), 'CERT_NO_QUORUM'],
    ['one member three times', sealed, certificateOf(sealed, [1, 2, 2]), 'CERT_DUPLICATE_SIGNER'],
    ['a stranger', sealed, certificateOf(sealed, [1, 2, 9]), 'CERT_FOREIGN_SIGNER'],
    ['votes', sealed, certificateOf(sealed, [1, 2, 3], {}, 'vote'), 'CERT_STATEMENT'],
    ['commits of another hash', sealed, certificateOf(sealed, [1, 2, 3], { hash: ZERO }), 'CERT_STATEMENT'],
    ['commits of another height', sealed, certificateOf(sealed, [1, 2, 3], { height: 2 }), 'CERT_STATEMENT'],
    ['commits of another era', sealed, certificateOf(sealed, [1, 2, 3], { era: 1 }), 'CERT_STATEMENT'],
    [
      'another member set',
      headerOf({ memberSetHash: ZERO }),
      certificateOf(headerOf({ memberSetHash: ZERO }), [1, 2, 3]),
      'BLOCK_MEMBER_SET',
    ],
    [
      'another chain',
      headerOf({ chainId: ZERO }),
      certificateOf(headerOf({ chainId: ZERO }), [1, 2, 3]),
      'BLOCK_CHAIN',
    ],
  ] as const)('light: %s → refused', (_what, header, certificate, code) => {
    expect(verifyHeader(header, certificate, memberSet, CHAIN)).toEqual({ ok: false, code })
  })

  it('light: a signature moved to another view is a stranger’s', () => {
    const certificate = certificateOf(sealed, [1, 2, 3])
    const moved = { ...certificate, statement: { ...certificate.statement, view: 4 } }
    expect(verifyHeader(sealed, moved, memberSet, CHAIN)).toEqual({ ok: false, code: 'CERT_FOREIGN_SIGNER' })
  })

  it('light: assurance in the words of agreement.md §7', () => {
    expect(assuranceSentence(5, setOf(7))).toBe(
      '5 of 7 signed: holds even if 1 member lies on an arbitrarily slow network; if messages arrive within 500 ms, even if 3 lie.',
    )
    expect(assuranceSentence(2, setOf(3))).toBe(
      '2 of 3 signed: holds if no member lies on an arbitrarily slow network; if messages arrive within 500 ms, even if 1 member lies.',
    )
    expect(assuranceSentence(7, setOf(7))).toBe(
      '7 of 7 signed: holds even if 3 members lie on an arbitrarily slow network.',
    )
  })
})

describe('ancestors', () => {
  const nodes = new Map<string, Uint8Array>()
  const chain: SealedHeader[] = []
  let frontier: Frontier = EMPTY_FRONTIER
  const append = (hash: Uint8Array): void => {
    const next = appendBlock(frontier, hash)
    for (const [level, index, node] of next.nodes) nodes.set(`${level}.${index}`, node)
    frontier = next.frontier
  }
  append(CHAIN)
  for (let height = 1; height <= 9; height++) {
    const parent = chain.at(-1)?.hash ?? CHAIN
    const header = headerOf({ height, parent, historyRoot: frontierRoot(frontier) })
    chain.push(header)
    append(header.hash)
  }
  const tip = chain[8] as SealedHeader
  const pathOf = (height: number) =>
    historyInclusion(height, 9, (level, index) => nodes.get(`${level}.${index}`) as Uint8Array)

  it('light: every older block is in the history of a newer header, at its own height only', () => {
    for (const { hash, header } of chain.slice(0, 8))
      for (let height = 0; height < 10; height++)
        expect(verifyHistory(tip, height, hash, height < 9 ? pathOf(height) : [])).toBe(height === header.height)
    expect(verifyHistory(tip, 9, tip.hash, [])).toBe(false)
  })

  it('light: a line of headers shows an ancestor; one that is missing or foreign does not', () => {
    expect(verifyDescent(chain)).toBe(true)
    expect(verifyDescent([tip])).toBe(true)
    expect(verifyDescent([])).toBe(false)
    expect(verifyDescent(chain.toSpliced(3, 1))).toBe(false)
    expect(verifyDescent(chain.with(3, headerOf({ height: 4, parent: ZERO })))).toBe(false)
  })
})
