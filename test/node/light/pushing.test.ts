import { beforeEach, describe, expect, it } from 'vitest'
import type { TimerHandle } from '../../../node/clock.ts'
import { installNativePrimitives } from '../../../node/crypto/native.ts'
import type { CommittedBlock } from '../../../node/executor/executor.ts'
import { LIGHT_LIMITS } from '../../../node/light/limits.ts'
import { decodeFrame } from '../../../node/light/messages.ts'
import { Pushing } from '../../../node/light/pushing.ts'
import { decodeHeader } from '../../../protocol/block.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { blacklisting, deviceBytes, key, registration, report } from '../../protocol/kinds/consortium.ts'
import { certify, grow, type Node, open, put, signed } from '../executor/world.ts'

installNativePrimitives()
const hex = (n: number): string => toHex(key(n))

/** Time that passes when it is told to. */
class Clock {
  ms = 0
  readonly timers: { at: number; run: () => void }[] = []
  now = (): number => this.ms
  monotonic = (): number => this.ms
  after(delayMs: number, run: () => void): TimerHandle {
    this.timers.push({ at: this.ms + delayMs, run })
    return { cancel: () => undefined }
  }
  pass(ms: number): void {
    this.ms += ms
    for (const due of this.timers.splice(0))
      if (due.at <= this.ms) due.run()
      else this.timers.push(due)
  }
}

let node: Node
let clock: Clock
let pushed: { to: string; text: string; slot: string | undefined }[]
let enforced: number
let subscribers: string[]
let pushing: Pushing

const committed = (...devicesChanged: string[]): void =>
  pushing.committed([{ devicesChanged } as unknown as CommittedBlock])

beforeEach(async () => {
  node = await open()
  clock = new Clock()
  pushed = []
  enforced = 0
  subscribers = []
  const take = (to: string, bytes: Uint8Array, slot: string | undefined): void => {
    const frame = decodeFrame(bytes)
    const text = frame.kind === 'header' ? `header ${decodeHeader(frame.header.header).header.height}` : 'report'
    pushed.push({ to, text, slot })
  }
  pushing = new Pushing({
    clock,
    executor: node.executor,
    network: {
      subscribers: () => subscribers,
      enforceRoles: () => {
        enforced++
      },
      pushTo: (peer, bytes, slot) => {
        take(peer, bytes, slot)
        return true
      },
      pushToSubscribers: (bytes, slot) => {
        for (const peer of subscribers) take(peer, bytes, slot)
        return subscribers.length
      },
    },
  })
})

describe('headers', () => {
  it('a fast chain → the newest header at most twice a second, and the last one in any case', async () => {
    subscribers = [hex(21)]
    for (let height = 1; height <= 20; height++) {
      await grow(node, [put(`${height}`)])
      committed()
      clock.pass(100)
    }
    clock.pass(LIGHT_LIMITS.headerIntervalMs)
    expect(pushed.map(({ text }) => text)).toEqual(['header 1', 'header 5', 'header 10', 'header 15', 'header 20'])
    expect(new Set(pushed.map(({ slot }) => slot))).toEqual(new Set(['header']))
  })

  it('a new subscriber hears the newest header at once; before the first block there is none', async () => {
    pushing.subscribed(hex(21))
    expect(pushed).toEqual([])
    await grow(node, [put('x')])
    pushing.subscribed(hex(21))
    expect(pushed).toEqual([{ to: hex(21), text: 'header 1', slot: 'header' }])
  })

  it('nobody listens → nothing is encoded or sent', async () => {
    await grow(node, [put('x')])
    committed()
    expect(pushed).toEqual([])
  })
})

describe('reports of a segment', () => {
  const registered = (n: number, segment: string) => signed('device.register', 11, { ...registration(n), segment })

  it('go to the other devices of the segment and to nobody else', async () => {
    await grow(node, [registered(21, 'a'), registered(22, 'a'), registered(23, 'b')])
    subscribers = [hex(21), hex(22), hex(23), hex(99)]
    pushing.report(signed('device.report', 21, report(21)))
    expect(pushed).toEqual([{ to: hex(22), text: 'report', slot: undefined }])
  })

  it('the segment is that of the moment: moved, blacklisted and retired devices are seen at the next commit', async () => {
    await grow(node, [registered(21, 'a'), registered(22, 'a'), registered(23, 'a'), registered(24, 'a')])
    subscribers = [hex(21), hex(22), hex(23), hex(24)]
    const heardBy = (): string[] => {
      pushed = []
      pushing.report(signed('device.report', 21, report(21)))
      return pushed.map(({ to }) => to)
    }
    expect(heardBy()).toEqual([hex(22), hex(23), hex(24)])
    const { firmware, capabilities, mode } = registration(22)
    await grow(node, [
      signed('device.update', 11, { device: deviceBytes(22), firmware, capabilities, mode, segment: 'b' }),
      signed('access.blacklist', 11, blacklisting(23)),
      signed('device.retire', 11, { device: deviceBytes(24) }),
    ])
    committed('some device')
    expect(heardBy()).toEqual([])
  })

  it('what an API key reported on behalf of a device goes to nobody', async () => {
    await grow(node, [registered(21, 'a'), registered(22, 'a')])
    subscribers = [hex(22)]
    pushing.report(signed('device.report', 11, report(21)))
    expect(pushed).toEqual([])
  })

  it('a flood within a segment → passed on up to the burst only; another segment is not affected', async () => {
    await grow(node, [registered(21, 'a'), registered(22, 'a'), registered(23, 'b'), registered(24, 'b')])
    subscribers = [hex(22), hex(24)]
    const flood = signed('device.report', 21, report(21))
    for (let i = 0; i < LIGHT_LIMITS.segmentReportsBurst + 100; i++) pushing.report(flood)
    expect(pushed.length).toBeGreaterThanOrEqual(LIGHT_LIMITS.segmentReportsBurst)
    expect(pushed.length).toBeLessThan(LIGHT_LIMITS.segmentReportsBurst + 50)
    pushing.report(signed('device.report', 23, report(23)))
    expect(pushed.at(-1)).toMatchObject({ to: hex(24) })
  })
})

describe('roles', () => {
  it('are enforced after a commit that changed a device’s record, and after no other', () => {
    committed()
    expect(enforced).toBe(0)
    committed('751945042bcbd4f4a75a9df63621804c82728717')
    expect(enforced).toBe(1)
  })

  it('a committed block names the devices whose records it changed', async () => {
    const { transaction, signer } = signed('device.register', 11, registration(21))
    const built = node.executor.build(node.executor.head.hash, [{ transaction, signer }, put('x')], 1_000_000)
    if (typeof built === 'string') throw new Error(built)
    const [block] = await node.executor.commit(built.sealed.hash, certify(built.sealed))
    expect(block?.devicesChanged).toEqual([toHex(deviceBytes(21))])
    const second = node.executor.build(node.executor.head.hash, [signed('device.report', 21, report(21))], 1_000_000)
    if (typeof second === 'string') throw new Error(second)
    const [reported] = await node.executor.commit(second.sealed.hash, certify(second.sealed))
    expect(reported?.devicesChanged).toEqual([])
  })
})
