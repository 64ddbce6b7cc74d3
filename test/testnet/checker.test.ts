import { describe, expect, it } from 'vitest'
import { fromHex } from '../../protocol/bytes.ts'
import { statementBytes, type WireCertificate } from '../../protocol/certificate.ts'
import { chainIdOf } from '../../protocol/genesis.ts'
import { sign } from '../../protocol/signature.ts'
import { Checker, compareChains, compareOrder, type Witness } from '../../testnet/checker.ts'
import type { HeaderView } from '../../testnet/status.ts'
import { judge, type MemberEnd } from '../../testnet/summary.ts'
import { genesisWith, memberSecret } from '../node/genesis.ts'

const header = (height: number, fork = ''): HeaderView => ({
  height,
  hash: `h${height}${fork}`,
  parent: `h${height - 1}`,
  stateRoot: `s${height}${fork}`,
  transactionCount: 1,
})
const chain = (to: number, from = 1): HeaderView[] => Array.from({ length: to - from + 1 }, (_, i) => header(from + i))

const witness = (over: Partial<Witness> = {}): Witness => ({
  name: 'north',
  headers: async () => chain(5),
  placeOf: async () => ({ height: 3, block: 'h3' }),
  transactionIds: async () => ['tx'],
  valueAt: async () => 'aa',
  ...over,
})
const claim = { id: 'tx', member: 'south', height: 3, block: 'h3' }
const codes = (findings: readonly { code: string }[]): string[] => findings.map(({ code }) => code)

describe('chains', () => {
  it('chains: equal ones, shorter ones and empty ones say nothing', () => {
    const chains = [
      { name: 'a', headers: chain(5) },
      { name: 'b', headers: chain(3) },
      { name: 'c', headers: [] },
    ]
    expect(compareChains(chains)).toEqual([])
  })

  it('chains: another hash or another state at one height is a fork that names both', () => {
    const other = [...chain(2), header(3, 'x')]
    const [fork] = compareChains([
      { name: 'a', headers: chain(3) },
      { name: 'b', headers: other },
    ])
    expect(fork).toMatchObject({ code: 'fork' })
    expect(fork?.sentence).toMatch(/^b and a committed different blocks at height 3/)
    const state = [...chain(2), { ...header(3), stateRoot: 'other' }]
    expect(
      codes(
        compareChains([
          { name: 'a', headers: chain(3) },
          { name: 'b', headers: state },
        ]),
      ),
    ).toEqual(['fork'])
  })

  it('chains: a block that does not name the one before is parent-broken', () => {
    const headers = [header(1), { ...header(2), parent: 'elsewhere' }]
    expect(codes(compareChains([{ name: 'a', headers }]))).toEqual(['parent-broken'])
  })
})

describe('checker', () => {
  it('checker: what was acknowledged and is there everywhere is no finding', async () => {
    const checker = new Checker()
    checker.acknowledged(claim)
    checker.acknowledged({ ...claim, member: 'west' })
    checker.saw('north', 3, 'h3')
    checker.wrote('ns/key', 'aa')
    expect(await checker.verdict([witness(), witness({ name: 'south' })])).toEqual([])
    expect(checker.acknowledgedCount).toBe(1)
  })

  it('checker: a transaction that a member does not have any more → acknowledged-lost', async () => {
    const checker = new Checker()
    checker.acknowledged(claim)
    expect(codes(await checker.verdict([witness({ placeOf: async () => undefined })]))).toEqual(['acknowledged-lost'])
  })

  it('checker: a transaction in another block than was said → acknowledged-moved, at the end and at once', async () => {
    const checker = new Checker()
    checker.acknowledged(claim)
    expect(codes(await checker.verdict([witness({ placeOf: async () => ({ height: 4, block: 'h4' }) })]))).toEqual([
      'acknowledged-moved',
    ])
    const contradicted = new Checker()
    contradicted.acknowledged(claim)
    contradicted.acknowledged({ ...claim, member: 'west', height: 4 })
    expect(codes(await contradicted.verdict([witness()]))).toEqual(['acknowledged-moved'])
  })

  it('checker: a transaction that its block does not list → not-in-block', async () => {
    const checker = new Checker()
    checker.acknowledged(claim)
    expect(codes(await checker.verdict([witness({ transactionIds: async () => ['other'] })]))).toEqual(['not-in-block'])
  })

  it('checker: a value that is absent or another → value-wrong', async () => {
    const checker = new Checker()
    checker.wrote('ns/key', 'aa')
    expect(codes(await checker.verdict([witness({ valueAt: async () => undefined })]))).toEqual(['value-wrong'])
    expect(codes(await checker.verdict([witness({ valueAt: async () => 'bb' })]))).toEqual(['value-wrong'])
  })

  it('checker: a block that was shown and is another now → block-changed, by whomever it is shown', async () => {
    const checker = new Checker()
    checker.saw('north', 3, 'h3')
    checker.saw('north', 3, 'h3x')
    expect(codes(await checker.verdict([]))).toEqual(['block-changed'])
    const later = new Checker()
    later.saw('south', 3, 'old')
    expect(codes(await later.verdict([witness()]))).toEqual(['block-changed'])
  })

  it('checker: a member that ends below what it has shown → height-lost; others may be behind', async () => {
    const checker = new Checker()
    checker.saw('north', 6, 'h6')
    expect(codes(await checker.verdict([witness()]))).toEqual(['height-lost'])
    expect(codes(await checker.verdict([witness({ name: 'south' })]))).toEqual([])
  })

  it('checker: silence is unreachable, not agreement', async () => {
    expect(codes(await new Checker().verdict([witness({ headers: async () => [] })]))).toEqual(['unreachable'])
  })
})

describe('order', () => {
  const sent = (id: string, height: number, sentMs: number, heardMs: number) => ({
    ...{ id, member: 'north', height, block: `h${height}` },
    span: { sentMs, heardMs },
  })

  it('order: sent after another was acknowledged, and in a later block → no finding; at the same time, any block will do', () => {
    expect(compareOrder([sent('a', 3, 0, 10), sent('b', 4, 11, 20)])).toEqual([])
    expect(compareOrder([sent('a', 3, 0, 10), sent('b', 2, 9, 20), sent('c', 4, 21, 30)])).toEqual([])
    expect(compareOrder([{ id: 'a', member: 'north', height: 3, block: 'h3' }])).toEqual([])
  })

  it('order: sent after another was acknowledged, and in the same block or an earlier one → order-wrong, by whomever', () => {
    expect(codes(compareOrder([sent('a', 3, 0, 10), sent('b', 3, 11, 20)]))).toEqual(['order-wrong'])
    const [finding] = compareOrder([sent('x', 1, 0, 5), sent('a', 7, 0, 10), sent('b', 2, 11, 20)])
    expect(finding?.sentence).toMatch(/transaction b stands at height 2, .* acknowledged a at height 7/)
  })
})

describe('against the genesis', () => {
  const genesis = genesisWith(4, { createdAt: 1_700_000_000_000, deltaMs: 250, heartbeatMs: 500 })
  const hash = 'a'.repeat(64)
  const headers = [{ ...header(1), hash }]
  const certified = (members: readonly number[], over: object = {}): WireCertificate => {
    const statement = { era: 0, view: 0, seq: 1, height: 1, hash: fromHex(hash), ...over }
    const signatures = members.map((i) =>
      sign('commit', chainIdOf(genesis), statementBytes(statement), memberSecret(i)),
    )
    return { kind: 'commit', statement, signatures }
  }
  const judged = async (certificate: WireCertificate): Promise<string[]> =>
    codes(
      await new Checker(genesis).verdict([
        witness({ headers: async () => headers, certificateAt: async () => certificate }),
      ]),
    )

  it('certificates: a quorum of members over the block that is shown → no finding', async () => {
    expect(await judged(certified([0, 1, 2]))).toEqual([])
  })

  it('certificates: too few, one twice, a stranger, or another block → certificate-false', async () => {
    for (const false_ of [
      certified([0, 1]),
      certified([0, 1, 1]),
      certified([0, 1, 9]),
      certified([0, 1, 2], { hash: new Uint8Array(32) }),
      { ...certified([0, 1, 2]), kind: 'vote' as const },
    ])
      expect(await judged(false_)).toEqual(['certificate-false'])
  })

  it('proofs: one that cannot be read → proof-false', async () => {
    const checker = new Checker(genesis)
    checker.acknowledged(claim)
    expect(codes(await checker.verdict([witness({ proofOf: async () => '{}' })]))).toEqual(['proof-false'])
  })

  it('assurances: more than the signers are worth, a stranger or too few signers, or a block that is gone → assurance-wrong', async () => {
    const said = { member: 'north', era: 0, height: 3, signers: ['Org 0', 'Org 1', 'Org 2'], liarsTolerated: 1 }
    const judgedOn = async (over: object): Promise<string[]> => {
      const checker = new Checker(genesis)
      checker.assured({ ...said, ...over })
      return codes(await checker.verdict([witness()]))
    }
    expect(await judgedOn({})).toEqual([])
    expect(await judgedOn({ liarsTolerated: 2 })).toEqual(['assurance-wrong'])
    // Of whom a later era consists, the genesis does not know.
    expect(await judgedOn({ era: 1, signers: ['Org 9'] })).toEqual([])
    expect(await judgedOn({ signers: ['Org 0', 'Org 1', 'Org 9'] })).toEqual(['assurance-wrong'])
    expect(await judgedOn({ signers: ['Org 0', 'Org 1'], liarsTolerated: 0 })).toEqual(['assurance-wrong'])
    expect(await judgedOn({ height: 6 })).toEqual(['assurance-wrong'])
  })
})

describe('summary', () => {
  const end = (over: Partial<MemberEnd>): MemberEnd => ({
    name: 'north',
    state: 'running',
    restarts: 0,
    shouldRun: true,
    ending: undefined,
    headers: chain(5),
    ...over,
  })

  it('summary: members that committed the same chain and grew are good, a few blocks apart too', () => {
    const { reasons, common } = judge([end({}), end({ name: 'south', headers: chain(4) })], 0)
    expect(reasons).toEqual([])
    expect(common).toEqual({ height: 4, hash: 'h4', stateRoot: 's4' })
  })

  it('summary: whoever was killed on request is not judged; whoever ended by itself is the reason', () => {
    expect(judge([end({}), end({ name: 'south', shouldRun: false, headers: [] })], 0).reasons).toEqual([])
    expect(judge([end({}), end({ name: 'south', ending: 'exit code 70', headers: [] })], 0).reasons).toEqual([
      'south ended by itself (exit code 70)',
    ])
  })

  it('summary: no growth, no block, a fork, a laggard, and nobody at all are reasons', () => {
    expect(judge([end({ headers: chain(5) })], 5).reasons).toEqual(['north did not grow beyond height 5'])
    expect(judge([end({ headers: [] })], 0).reasons).toEqual(['north showed no block'])
    expect(judge([end({}), end({ name: 'south', headers: [...chain(4), header(5, 'x')] })], 0).reasons).toHaveLength(1)
    expect(judge([end({ headers: chain(50) }), end({ name: 'south', headers: chain(5) })], 0).reasons).toEqual([
      'south ended at height 5, others at 50',
    ])
    expect(judge([end({ shouldRun: false })], 0).reasons).toHaveLength(1)
  })
})
