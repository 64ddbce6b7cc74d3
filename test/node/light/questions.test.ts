import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../../node/clock.ts'
import { installNativePrimitives } from '../../../node/crypto/native.ts'
import { erasAnswer, erasQuestion } from '../../../node/light/messages.ts'
import { Questions } from '../../../node/light/questions.ts'
import { ModuleHost } from '../../../node/modules/host.ts'
import type { SealedHeader } from '../../../protocol/block.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { decodeAs, encodeAs } from '../../../protocol/codec.ts'
import { sha3 } from '../../../protocol/crypto.ts'
import { decodeActiveModules } from '../../../protocol/kinds/module/record.ts'
import { installModuleEngine } from '../../../protocol/modules/engine.ts'
import { parseProof, verifyProof } from '../../../protocol/proof.ts'
import { VERDICTS } from '../../../protocol/verdict.ts'
import { address, key, registration, report } from '../../protocol/kinds/consortium.ts'
import {
  adding,
  build,
  CHAIN_ID,
  certify,
  endEra,
  GENESIS,
  grow,
  type Node,
  open,
  put,
  signed,
} from '../executor/world.ts'

installNativePrimitives()
const peer = toHex(key(21))
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
let node: Node
let submitted: Uint8Array[]

/** Questions over a chain with the devices 21 and 22; the intake takes what it is given. */
const questions = (): Questions =>
  new Questions({
    clock: systemClock,
    chainId: CHAIN_ID,
    reads: node.executor.reads,
    intake: {
      submit: async (encoded) => {
        submitted.push(...encoded)
        return encoded.map(() => 'OK')
      },
    },
  })

beforeAll(async () => {
  node = await open()
  await grow(node, [signed('device.register', 11, registration(21)), signed('device.register', 12, registration(22))])
  await grow(node, [signed('device.register', 12, { ...registration(23), segment: 'zone 2' })])
})

describe('submit', () => {
  it('a report that the device itself signed → handed to the intake, whose code is the answer', async () => {
    submitted = []
    const { transaction } = signed('device.report', 21, report(21))
    expect(await questions().submit(peer, transaction.bytes)).toEqual({ code: 'OK', proof: null })
    expect(submitted).toEqual([transaction.bytes])
  })

  it.each([
    [
      'another kind',
      () => signed('kv.put', 21, { key: 'a', value: Uint8Array.of(1) }).transaction.bytes,
      'LIGHT_NOT_A_REPORT',
    ],
    [
      'a report that another device signed',
      () => signed('device.report', 22, report(22)).transaction.bytes,
      'LIGHT_FOREIGN_REPORT',
    ],
    [
      'a report that an API key signed',
      () => signed('device.report', 11, report(21)).transaction.bytes,
      'LIGHT_FOREIGN_REPORT',
    ],
    ['nothing', () => new Uint8Array(0), 'TX_MALFORMED'],
    ['rubbish', () => utf8('rubbish'), 'TX_MALFORMED'],
    ['more than a transaction may have', () => new Uint8Array(64 * 1024 + 1), 'TX_TOO_LARGE'],
  ])('%s → its code, and the intake hears nothing', async (_what, bytes, code) => {
    submitted = []
    expect(await questions().submit(peer, bytes())).toEqual({ code, proof: null })
    expect(submitted).toEqual([])
  })

  it('any bytes, and a report with any one byte changed → a code of the table, and nothing is thrown', async () => {
    const { bytes } = signed('device.report', 21, report(21)).transaction
    const flipped = fc.tuple(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 })).map(([at, flip]) => {
      const changed = Uint8Array.from(bytes)
      changed[at] = (changed[at] as number) ^ flip
      return changed
    })
    submitted = []
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 200 }), flipped), async (data) => {
        expect(Object.keys(VERDICTS)).toContain((await questions().submit(peer, data)).code)
      }),
      { numRuns: 300 },
    )
    expect(submitted).toEqual([])
  })
})

describe('state', () => {
  it('own record, those of its segment, trust and blacklist of any device → a proof that the genesis verifies, of absence too', async () => {
    const keys = [
      // The last is of no device: that there is none is proved.
      ...[21, 22, 29].map((n) => `device/${address(n)}`),
      ...['trust', 'opinions', 'blacklist', 'reinstatement'].map((space) => `${space}/${address(22)}`),
    ]
    for (const name of keys) {
      const { code, proof } = await questions().state(peer, utf8(name))
      expect(code).toBe('OK')
      const read = parseProof(proof as string)
      if (!read.ok) throw new Error(read.problem)
      expect(verifyProof(read.proof, GENESIS).ok).toBe(true)
      expect(read.proof.subject).toMatchObject({ key: name })
    }
  })

  it.each([
    `device/${address(23)}`,
    'kv/x',
    `apikey/${address(11)}`,
    `trust/${address(22)}/`,
    `trust/${address(22).toUpperCase()}`,
    `trust/../device/${address(22)}`,
    '',
  ])('the key %j is none of a device’s business → LIGHT_FORBIDDEN', async (name) => {
    expect(await questions().state(peer, utf8(name))).toEqual({ code: 'LIGHT_FORBIDDEN', proof: null })
  })

  it('bytes that are no text → MESSAGE_MALFORMED; before the first certified block → LIGHT_UNPROVABLE', async () => {
    expect(await questions().state(peer, Uint8Array.of(0xff))).toMatchObject({ code: 'MESSAGE_MALFORMED' })
    const empty = await open()
    const before = new Questions({
      chainId: CHAIN_ID,
      clock: systemClock,
      reads: empty.executor.reads,
      intake: { submit: async () => [] },
    })
    expect(await before.state(peer, utf8(`device/${address(21)}`))).toMatchObject({ code: 'LIGHT_UNPROVABLE' })
  })

  it('proofs cost altogether no more than their budget → LIGHT_BUSY for whoever comes then', async () => {
    const asked = questions()
    const codes = new Set<string>()
    for (let i = 0; i < 3000 && !codes.has('LIGHT_BUSY'); i++)
      codes.add((await asked.state(peer, utf8(`trust/${address(22)}`))).code)
    expect([...codes]).toEqual(['OK', 'LIGHT_BUSY'])
    expect(await asked.receipt(toHex(key(22)), new Uint8Array(32))).toMatchObject({ code: 'LIGHT_UNPROVABLE' })
  })
})

describe('receipt', () => {
  it('own report in the chain → a proof of just these bytes; unknown id → LIGHT_UNPROVABLE; somebody else’s → LIGHT_FORBIDDEN', async () => {
    const own = signed('device.report', 21, report(21))
    const foreign = signed('device.report', 22, report(22))
    await grow(node, [own, foreign, put('x')])
    const { code, proof } = await questions().receipt(peer, own.transaction.id)
    expect(code).toBe('OK')
    const read = parseProof(proof as string)
    if (!read.ok || read.proof.subject.kind !== 'transaction') throw new Error('no proof of a transaction')
    expect(toHex(read.proof.subject.transaction)).toBe(toHex(own.transaction.bytes))
    expect(verifyProof(read.proof, GENESIS).ok).toBe(true)
    expect(await questions().receipt(peer, foreign.transaction.id)).toMatchObject({ code: 'LIGHT_FORBIDDEN' })
    expect(await questions().receipt(peer, new Uint8Array(32))).toMatchObject({ code: 'LIGHT_UNPROVABLE' })
    expect(await questions().receipt(peer, new Uint8Array(31))).toMatchObject({ code: 'MESSAGE_MALFORMED' })
  })

  it('a report in a block without a certificate of its own → proved by the descendant’s', async () => {
    const own = signed('device.report', 21, report(21))
    const below = build(node, [own])
    const above = build(node, [put('y')], { parent: below.sealed.hash })
    await node.executor.commit(above.sealed.hash, certify(above.sealed))
    expect(await questions().receipt(peer, own.transaction.id)).toMatchObject({ code: 'OK' })
  })

  it('a report whose block has lost its body → LIGHT_PRUNED', async () => {
    const own = signed('device.report', 21, report(21))
    await grow(node, [own])
    const { reads } = node.executor
    const pruned = new Questions({
      clock: systemClock,
      chainId: CHAIN_ID,
      intake: { submit: async () => [] },
      reads: {
        state: (name) => reads.state(name),
        transaction: (id) => reads.transaction(id),
        headerAt: (height) => reads.headerAt(height),
        proveBlock: (height) => reads.proveBlock(height),
        proveState: (name) => reads.proveState(name),
        proveTransaction: async () => undefined,
        eraEnd: (era) => reads.eraEnd(era),
        eraLinks: (from, to) => reads.eraLinks(from, to),
      },
    })
    expect(await pruned.receipt(peer, own.transaction.id)).toEqual({ code: 'LIGHT_PRUNED', proof: null })
  })
})

describe('security modules', () => {
  it('what is active, as the newest header has the hash of it, and the binary of any that was published', async () => {
    installModuleEngine(new ModuleHost())
    const file = new URL('../../../protocol/modules/built/anomaly.wasm', import.meta.url)
    const binary = new Uint8Array(readFileSync(file))
    const hash = sha3(binary)
    await grow(node, [signed('module.publish', 1, { kind: 'anomaly', version: '1', code: binary })])
    const { height } = node.executor.head
    const votes = [1, 2, 3].map((by) => signed('module.activate', by, { hash, height: height + 2 }))
    const modulesHashOf = ({ header }: SealedHeader) => header.modulesHash
    const before = await grow(node, votes)
    expect(sha3(questions().modules(height + 1))).toEqual(modulesHashOf(before))
    expect(decodeActiveModules(questions().modules(height + 1))).toEqual([])
    const after = await grow(node, [])
    expect(sha3(questions().modules(height + 2))).toEqual(modulesHashOf(after))
    expect(questions().module(hash)).toEqual(binary)
    expect(questions().module(new Uint8Array(32))).toHaveLength(0)
  })
})

describe('eras', () => {
  it('how an era ended, and those after it; none while it lasts, or where nothing is named', async () => {
    const ask = (data: Uint8Array) => decodeAs(erasAnswer, questions().eras(data))
    const era = (number: number) => encodeAs(erasQuestion, number)
    expect(ask(era(0))).toEqual([])
    await endEra(node, adding(5))
    await endEra(node, adding(6), [1, 2, 3, 4, 5])
    expect(ask(era(0))).toHaveLength(2)
    expect(ask(era(1))).toEqual(ask(era(0)).slice(1))
    expect(ask(era(2))).toEqual([])
    expect(ask(era(Number.MAX_SAFE_INTEGER))).toEqual([])
    expect(ask(Uint8Array.of(1, 2, 3))).toEqual([])
  })
})
