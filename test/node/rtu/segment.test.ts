import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { installNativePrimitives } from '../../../node/crypto/native.ts'
import { PRESENT_MS_MAX, SEGMENT_DEVICES_MAX, SEGMENT_SAYS_LIMITS, Segment } from '../../../node/rtu/segment.ts'
import { fromHex, toHex } from '../../../protocol/bytes.ts'
import { publicKeyOf } from '../../../protocol/crypto.ts'
import { deviceReport } from '../../../protocol/kinds/report/report.ts'
import { addressOf } from '../../../protocol/signature.ts'
import { signTransaction } from '../../../protocol/transaction.ts'
import { VERDICTS } from '../../../protocol/verdict.ts'
import { address, report } from '../../protocol/kinds/consortium.ts'
import { CHAIN_ID, put, signed } from '../executor/world.ts'

installNativePrimitives()
let clockMs = 0
let nowMs = 0
let known: Set<string>
let met: string[]
let judged: string[]
let told: string[]
const segment = (): Segment => {
  known = new Set([address(22), address(23)])
  met = []
  judged = []
  told = []
  return new Segment({
    chainId: CHAIN_ID,
    self: address(21),
    monotonic: () => clockMs,
    now: () => nowMs,
    isKnown: (device) => known.has(device),
    met: (publicKey) => void met.push(toHex(addressOf(publicKey))),
    report: (device, { observedAt }) => void judged.push(`${device} ${observedAt}`),
    opinions: (rater, opinions) => void told.push(`${rater} ${opinions.length}`),
  })
}
const eventOf = () => ({
  category: 'process.unknown',
  severityPpm: 900_000,
  confidencePpm: 900_000,
  scorePpm: 810_000,
  detail: '',
})
const reportOf = (n: number, observedAt: number): Uint8Array =>
  signed('device.report', n, { ...report(n), observedAt }).transaction.bytes

const opinionsOf = (n: number, about: readonly number[]): Uint8Array =>
  signed('trust.opinion', n, {
    opinions: about
      .map((one) => ({ device: fromHex(address(one)), trustPpm: 500_000, observedAt: 1 }))
      .sort((a, b) => (toHex(a.device) < toHex(b.device) ? -1 : 1)),
  }).transaction.bytes

describe('gossip of the segment', () => {
  it('reports and opinions of devices that are known are taken; other kinds are held against who passed them on', () => {
    const heard = segment()
    expect(heard.hearGossip(reportOf(22, 1))).toBe('OK')
    expect(heard.hearGossip(opinionsOf(22, [23]))).toBe('OK')
    expect(judged).toEqual([`${address(22)} 1`])
    expect(told).toEqual([`${address(22)} 1`])
    expect(heard.hearGossip(put('x').transaction.bytes)).toBe('SEGMENT_KIND')
    expect(VERDICTS.SEGMENT_KIND.verdict).toBe('reject')
  })

  it('of a device that is not known → SEGMENT_STRANGER, looked up, and neither judged nor passed on', () => {
    const heard = segment()
    expect(heard.hearGossip(reportOf(24, 1))).toBe('SEGMENT_STRANGER')
    expect(heard.hearGossip(opinionsOf(24, [23]))).toBe('SEGMENT_STRANGER')
    expect(met).toEqual([address(24), address(24)])
    expect([...judged, ...told]).toEqual([])
    expect(VERDICTS.SEGMENT_STRANGER.verdict).toBe('ignore')
  })

  it('forged scores → REPORT_SCORE; opinions about oneself → OPINION_SELF; about another’s device → LIGHT_FOREIGN_REPORT', () => {
    const heard = segment()
    const forged = { ...report(22), observedAt: 1, events: [{ ...eventOf(), scorePpm: 1 }] }
    expect(heard.hearGossip(signed('device.report', 22, forged).transaction.bytes)).toBe('REPORT_SCORE')
    expect(heard.hearGossip(opinionsOf(22, [22, 23]))).toBe('OPINION_SELF')
    expect(heard.hearGossip(signed('device.report', 22, report(23)).transaction.bytes)).toBe('LIGHT_FOREIGN_REPORT')
    expect([...judged, ...told]).toEqual([])
  })

  it('a category that is not of the list → TX_PAYLOAD', () => {
    const payload = [fromHex(address(22)), 1, [['process.nonsense', 1, 1, 0, '']], new Uint8Array(0), null, []]
    const draft = { kind: 'device.report', payload, nonce: new Uint8Array(16), validUntil: 1 }
    const bytes = signTransaction(draft, CHAIN_ID, new Uint8Array(32).fill(22)).bytes
    expect(segment().hearGossip(bytes)).toBe('TX_PAYLOAD')
  })

  it('forged times, and what was held for long → SEGMENT_STALE: no evidence of the present, and no later report is silenced by it', () => {
    const heard = segment()
    nowMs = 1_000_000
    expect(heard.hearGossip(reportOf(22, nowMs + PRESENT_MS_MAX + 1))).toBe('SEGMENT_STALE')
    expect(heard.hearGossip(reportOf(22, nowMs - PRESENT_MS_MAX - 1))).toBe('SEGMENT_STALE')
    expect(heard.hearGossip(reportOf(22, nowMs))).toBe('OK')
    expect(judged).toHaveLength(1)
    nowMs = 0
  })

  it('a flood from one device → SEGMENT_RATE beyond its rate, whoever passes it on; others are heard', () => {
    const heard = segment()
    const codes = Array.from({ length: SEGMENT_SAYS_LIMITS.burst + 5 }, (_, i) => heard.hearGossip(reportOf(22, i + 1)))
    expect(codes.filter((code) => code === 'OK')).toHaveLength(SEGMENT_SAYS_LIMITS.burst)
    expect(codes.at(-1)).toBe('SEGMENT_RATE')
    expect(heard.hearGossip(reportOf(23, 1))).toBe('OK')
    clockMs += 1000
    expect(heard.hearGossip(reportOf(22, 900))).toBe('OK')
  })

  it('any bytes → a code, and nothing is heard', () => {
    const heard = segment()
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (data) => {
        expect(VERDICTS[heard.hearGossip(data)].verdict).toBe('reject')
      }),
    )
    expect(heard.heard.size).toBe(0)
  })
})

describe('segment', () => {
  it('reports that devices signed themselves are heard, the newest of each', () => {
    const heard = segment()
    clockMs = 5
    expect(heard.hear(reportOf(22, 1))).toBe('OK')
    expect(heard.hear(reportOf(23, 1))).toBe('OK')
    clockMs = 6
    expect(heard.hear(reportOf(22, 2))).toBe('OK')
    expect([...heard.heard].map(([device, { observedAt, heardAt }]) => [device, observedAt, heardAt])).toEqual([
      [address(23), 1, 5],
      [address(22), 2, 6],
    ])
  })

  it('the same report from two members counts once, and so does one that is brought up again; own reports are not peers’', () => {
    const heard = segment()
    clockMs = 1
    heard.hear(reportOf(22, 1000))
    clockMs = 2
    heard.hear(reportOf(22, 1000))
    expect(heard.heard.get(address(22))?.heardAt).toBe(1)
    expect(heard.hear(reportOf(22, 5))).toBe('SEGMENT_STALE')
    expect(judged).toEqual([`${address(22)} 1000`])
    expect(heard.hear(reportOf(21, 1))).toBe('OK')
    expect(heard.heard.size).toBe(1)
  })

  it('what no honest member pushes → a code that is held against it, and nothing is heard', () => {
    const heard = segment()
    const foreign = signed('device.report', 22, report(23)).transaction.bytes
    const odd = signTransaction(
      { kind: 'device.report', payload: [1], nonce: new Uint8Array(16), validUntil: 1 },
      CHAIN_ID,
      new Uint8Array(32).fill(22),
    ).bytes
    for (const [data, code] of [
      [foreign, 'LIGHT_FOREIGN_REPORT'],
      [odd, 'TX_PAYLOAD'],
      [put('x').transaction.bytes, 'LIGHT_NOT_A_REPORT'],
      [new Uint8Array(0), 'TX_MALFORMED'],
    ] as const) {
      expect(heard.hear(data)).toBe(code)
      expect(VERDICTS[code].verdict).toBe('reject')
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (data) => {
        expect(VERDICTS[heard.hear(data)].verdict).toBe('reject')
      }),
    )
    expect(heard.heard.size).toBe(0)
  })

  it('so many devices are remembered, those silent longest are forgotten', () => {
    const heard = segment()
    for (let n = 0; n < SEGMENT_DEVICES_MAX + 5; n++) {
      const secret = new Uint8Array(32).fill(7)
      new DataView(secret.buffer).setUint32(0, n + 1)
      const device = addressOf(publicKeyOf(secret))
      const payload = deviceReport.payload.to({
        device,
        observedAt: 1,
        events: [],
        features: new Uint8Array(0),
        model: null,
        scores: [],
      })
      const draft = { kind: 'device.report', payload, nonce: new Uint8Array(16), validUntil: 1 }
      expect(heard.hear(signTransaction(draft, CHAIN_ID, secret).bytes)).toBe('OK')
      if (n === 0) expect([...heard.heard.keys()]).toEqual([toHex(device)])
    }
    expect(heard.heard.size).toBe(SEGMENT_DEVICES_MAX)
  })
})
