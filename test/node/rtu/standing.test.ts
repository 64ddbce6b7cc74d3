import { beforeEach, describe, expect, it } from 'vitest'
import { installNativePrimitives } from '../../../node/crypto/native.ts'
import type { LightAnswer } from '../../../node/light/messages.ts'
import { Headers } from '../../../node/rtu/headers.ts'
import { PROOF_LAG_MAX } from '../../../node/rtu/lookup.ts'
import type { MemberName } from '../../../node/rtu/members.ts'
import { StandingWatch } from '../../../node/rtu/standing.ts'
import { renderProof } from '../../../protocol/proof.ts'
import { address, blacklisting, deviceBytes, registration } from '../../protocol/kinds/consortium.ts'
import { GENESIS, grow, type Node, open, put, signed } from '../executor/world.ts'

installNativePrimitives()
let node: Node
let headers: Headers
let faults: string[]
let lines: string[]

/** What an honest member of the chain `node` answers about `key`. */
async function proofOf(key = `device/${address(21)}`): Promise<LightAnswer> {
  const proof = await node.executor.reads.proveState(key)
  if (proof === undefined) throw new Error('no proof')
  return { code: 'OK', proof: renderProof(proof) }
}

function watch(answers: Record<string, () => Promise<LightAnswer | undefined>>, segment = 'zone 1'): StandingWatch {
  const names = Object.keys(answers)
  const say = (fields: object, message: string): void => void lines.push(`${message} ${JSON.stringify(fields)}`)
  return new StandingWatch({
    genesis: GENESIS,
    device: address(21),
    segment,
    headers,
    log: { debug: say, info: say, warn: say },
    advice: 'register it',
    members: {
      inTurn: () => names.map((name) => ({ name, publicKey: name })),
      ask: ({ name }: MemberName) => (answers[name] as () => Promise<LightAnswer | undefined>)(),
      fault: ({ name }: MemberName, why) => void faults.push(`${name} ${why}`),
    },
  })
}

beforeEach(async () => {
  node = await open()
  faults = []
  lines = []
  headers = new Headers(GENESIS, {
    clock: { now: () => 0, monotonic: () => 0 },
    save() {},
    saveEra() {},
    era() {},
    fork() {},
  })
  await grow(node, [put('x')])
})

describe('standing', () => {
  it('not in the chain → proved absence, said once with what to do', async () => {
    const mine = watch({ a: proofOf })
    expect(await mine.look()).toMatchObject({ height: 1, record: null })
    await mine.look()
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatch(/does not know this device.*DEVICE_UNKNOWN.*register it/)
    expect(headers.newest?.sealed.header.height).toBe(1)
  })

  it('registered, then blacklisted → each is proved and said once; another segment than configured is said too', async () => {
    await grow(node, [signed('device.register', 11, registration(21))])
    const mine = watch({ a: proofOf }, 'zone 9')
    expect(await mine.look()).toMatchObject({ record: { status: 'registered', segment: 'zone 1' } })
    expect(lines).toHaveLength(2)
    expect(lines[1]).toContain('another segment')
    await grow(node, [signed('access.blacklist', 11, blacklisting(21))])
    expect(await mine.look()).toMatchObject({ height: 3, record: { status: 'blacklisted', statusSince: 3 } })
    expect(mine.standing?.record?.status).toBe('blacklisted')
  })

  it('a proof of another key, or one that does not verify → the member’s fault, nothing is believed, the next is asked', async () => {
    await grow(node, [signed('device.register', 11, registration(21))])
    const honest = await proofOf()
    const other = await proofOf(`trust/${address(21)}`)
    const forged = (honest.proof as string).replace(/("entry": "[0-9a-f]+)[0-9a-f]{2}"/, '$100"')
    for (const [proof, why] of [
      [other.proof, 'LIGHT_ANSWER'],
      [forged, 'BLOCK_ROOT'],
      ['{}', 'MESSAGE_MALFORMED'],
    ] as const) {
      faults = []
      const lied = watch({ liar: async () => ({ code: 'OK', proof }) })
      expect(await lied.look()).toBeUndefined()
      expect(lied.standing).toBeUndefined()
      expect(faults).toEqual([`liar ${why}`])
      const helped = watch({ liar: async () => ({ code: 'OK', proof }), b: proofOf })
      expect(await helped.look()).toMatchObject({ record: { status: 'registered' } })
    }
  })

  it('a true proof of long ago → not believed: the device may have been blacklisted since', async () => {
    await grow(node, [signed('device.register', 11, registration(21))])
    const old = await proofOf()
    await grow(node, [signed('access.blacklist', 11, blacklisting(21))])
    for (let i = 0; i < PROOF_LAG_MAX; i++) await grow(node, [put(`${i}`)])
    await watch({ a: proofOf }).look()
    const mine = watch({ behind: async () => old })
    expect(await mine.look()).toBeUndefined()
    expect(faults).toEqual(['behind LIGHT_STALE'])
    expect(await watch({ behind: async () => old, b: proofOf }).look()).toMatchObject({
      record: { status: 'blacklisted' },
    })
  })

  it('silence and refusals → nothing is known, nobody is at fault', async () => {
    const mine = watch({ a: async () => undefined, b: async () => ({ code: 'LIGHT_UNPROVABLE', proof: null }) })
    expect(await mine.look()).toBeUndefined()
    expect(faults).toEqual([])
  })

  it('a retired device stays in the chain as such', async () => {
    await grow(node, [signed('device.register', 11, registration(21))])
    await grow(node, [signed('device.retire', 11, { device: deviceBytes(21) })])
    expect(await watch({ a: proofOf }).look()).toMatchObject({ record: { status: 'retired' } })
  })
})
