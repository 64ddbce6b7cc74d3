import { afterEach, describe, expect, it } from 'vitest'
import { equalBytes } from '../../../protocol/bytes.ts'
import { bytes, encodeAs, integer, record } from '../../../protocol/codec.ts'
import { sha3 } from '../../../protocol/crypto.ts'
import { type Report, scoreOf } from '../../../protocol/kinds/report/report.ts'
import { type BundleClaim, readClaims } from '../../../protocol/kinds/stix/record.ts'
import { deviceId, deviceSecret, genesisOf, introduce, Member, signed, tidyUp, until } from '../rtu/world.ts'

afterEach(tidyUp)

const finding: Report = {
  device: deviceId(1),
  observedAt: 1_790_000_000_000,
  events: [
    {
      category: 'process.unknown',
      severityPpm: 800_000,
      confidencePpm: 900_000,
      scorePpm: scoreOf(800_000, 900_000),
      detail: '/tmp/miner <script>',
    },
  ],
  features: new Uint8Array(),
  scores: [],
  model: null,
}
const gossip = (height: number, text: string): Uint8Array =>
  encodeAs(record({ height: integer(), bundle: bytes(1, 1e6) }), { height, bundle: Uint8Array.from(Buffer.from(text)) })

describe('bundles of members', () => {
  it('an anomaly is anchored once as a bundle that every member makes alike, and a forged bundle is told', async () => {
    const genesis = genesisOf(2)
    const first = await Member.start(genesis, 0)
    const second = await Member.start(genesis, 1, [first])
    introduce(first, second)
    await first.register(1)
    // The registration is on disk a moment before what comes next is judged by it.
    const report = signed(genesis, 'device.report', finding, Uint8Array.from(deviceSecret(1)))
    await expect.poll(() => first.node.intake.submit([report.bytes])).toEqual(['OK'])
    await until(() => first.node.executor.reads.transaction(report.id) !== undefined, 'committed')
    const claimsOf = ({ node }: Member, at: number): readonly BundleClaim[] =>
      readClaims({ get: (key) => node.executor.reads.state(key)?.value }, at)
    const at = first.node.executor.reads.transaction(report.id)?.height ?? 0
    await until(() => claimsOf(first, at).length > 0 && claimsOf(second, at).length > 0, 'anchored')
    const [own, others] = await Promise.all([first, second].map(({ node }) => node.stix.bundles.of(at)))
    if (own === undefined || others === undefined || typeof own === 'string' || typeof others === 'string')
      throw new Error('no bundle')
    expect(others.text).toBe(own.text)
    expect(claimsOf(second, at)).toHaveLength(1)
    expect(equalBytes((claimsOf(second, at)[0] as BundleClaim).hash, sha3(Buffer.from(own.text)))).toBe(true)
    expect(own.text).not.toContain('<script>')

    const { stix } = second.node
    expect(await stix.judge(gossip(at, own.text))).toBe('OK')
    expect(await stix.judge(gossip(at, own.text.replace('0.72', '0.12')))).toBe('STIX_OTHER')
    expect(await stix.judge(gossip(1e9, own.text))).toBe('OK')
    expect(await stix.judge(Uint8Array.of(1))).toBe('MESSAGE_MALFORMED')
    expect(first.node.stix.figures.anchored + stix.figures.anchored).toBeGreaterThan(0)
    expect(first.node.stix.figures.confirmed + stix.figures.confirmed).toBeGreaterThan(1)
  }, 120_000)
})
