import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { installNativePrimitives } from '../../../node/crypto/native.ts'
import { SEGMENT_DEVICES_MAX, Segment } from '../../../node/rtu/segment.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { publicKeyOf } from '../../../protocol/crypto.ts'
import { deviceReport } from '../../../protocol/kinds/report/report.ts'
import { addressOf } from '../../../protocol/signature.ts'
import { signTransaction } from '../../../protocol/transaction.ts'
import { VERDICTS } from '../../../protocol/verdict.ts'
import { address, report } from '../../protocol/kinds/consortium.ts'
import { CHAIN_ID, put, signed } from '../executor/world.ts'

installNativePrimitives()
let clockMs = 0
const segment = (): Segment => new Segment(CHAIN_ID, address(21), () => clockMs)
const reportOf = (n: number, observedAt: number): Uint8Array =>
  signed('device.report', n, { ...report(n), observedAt }).transaction.bytes

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

  it('the same report from two members counts once; a clock that was ahead once silences nobody; own reports are not peers’', () => {
    const heard = segment()
    clockMs = 1
    heard.hear(reportOf(22, 1_000_000))
    clockMs = 2
    heard.hear(reportOf(22, 1_000_000))
    expect(heard.heard.get(address(22))?.heardAt).toBe(1)
    heard.hear(reportOf(22, 5))
    expect(heard.heard.get(address(22))?.observedAt).toBe(5)
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
