import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { installNativePrimitives } from '../../../node/crypto/native.ts'
import { AlthingError } from '../../../node/errors.ts'
import type { LightAnswer } from '../../../node/light/messages.ts'
import { Delivery } from '../../../node/rtu/delivery.ts'
import type { MemberName } from '../../../node/rtu/members.ts'
import type { Carrier, OutboxStatus } from '../../../node/rtu/outbox.ts'
import { renderProof } from '../../../protocol/proof.ts'
import type { Transaction } from '../../../protocol/transaction.ts'
import { VERDICTS } from '../../../protocol/verdict.ts'
import { registration, report } from '../../protocol/kinds/consortium.ts'
import { GENESIS, grow, type Node, open, put, signed } from '../executor/world.ts'

installNativePrimitives()
type Answers = Record<string, LightAnswer | undefined>
const quiet = { debug() {}, info() {}, warn() {} }
const code = (word: string): LightAnswer => ({ code: word, proof: null })

let node: Node
let own: Transaction
let receipt: LightAnswer
let foreignReceipt: LightAnswer
let faults: string[]
let outOfService: number
let asked: string[]

beforeAll(async () => {
  node = await open()
  await grow(node, [signed('device.register', 11, registration(21))])
  const mine = signed('device.report', 21, report(21))
  const other = put('x')
  await grow(node, [mine, other])
  own = mine.transaction
  const proofOf = async (id: Uint8Array): Promise<LightAnswer> => {
    const proof = await node.executor.reads.proveTransaction(id)
    if (proof === undefined) throw new Error('no proof')
    return { code: 'OK', proof: renderProof(proof) }
  }
  receipt = await proofOf(own.id)
  foreignReceipt = await proofOf(other.transaction.id)
})
beforeEach(() => {
  faults = []
  outOfService = 0
  asked = []
})

/** Members a, b, … that answer every question as told; `configured` counts those that are away too. */
function delivery(answers: Answers, configured = Object.keys(answers).length): Delivery {
  const names = (): string[] => Object.keys(answers)
  return new Delivery(
    { receiptMs: 1, retryMs: 1 },
    {
      genesis: GENESIS,
      outbox: { deliver: () => Promise.resolve(), status: () => ({ reportsHeld: 0 }) as OutboxStatus },
      headers: { chainTime: 7 },
      log: quiet,
      outOfService: () => {
        outOfService++
      },
      members: {
        get isUp() {
          return names().length > 0
        },
        count: configured,
        inTurn: () => names().map((name) => ({ name, publicKey: name })),
        ask({ name }: MemberName) {
          asked.push(name)
          return Promise.resolve(answers[name])
        },
        fault: ({ name }: MemberName, why) => void faults.push(`${name} ${why}`),
      },
    },
  )
}

describe('handing over', () => {
  it.each(['OK', 'POOL_DUPLICATE', 'TX_REPLAYED'])('%s → taken', async (word) => {
    expect(await delivery({ a: code(word) }).submit(own)).toBe('taken')
  })

  it('the first that takes it is enough; one that is silent or full is passed over', async () => {
    expect(await delivery({ a: undefined, b: code('POOL_FULL'), c: code('OK') }).submit(own)).toBe('taken')
    expect(await delivery({ a: undefined, b: code('POOL_FULL') }).submit(own)).toBe('later')
    expect(await delivery({}, 2).submit(own)).toBe('later')
  })

  it('one member that says no for good does not decide; all that are configured do', async () => {
    expect(await delivery({ liar: code('TX_SIGNATURE') }, 2).submit(own)).toBe('unwanted')
    expect(await delivery({ liar: code('TX_SIGNATURE'), b: undefined }).submit(own)).toBe('later')
    expect(await delivery({ liar: code('TX_SIGNATURE'), b: code('OK') }).submit(own)).toBe('taken')
    expect(await delivery({ a: code('TX_PAYLOAD'), b: code('TX_FORBIDDEN') }).submit(own)).toBe('refused')
  })

  it('scored by another module than the active one → stale, unless another member takes it', async () => {
    expect(await delivery({ a: code('REPORT_MODEL'), b: undefined }).submit(own)).toBe('stale')
    expect(await delivery({ a: code('REPORT_MODEL'), b: code('OK') }).submit(own)).toBe('taken')
  })

  it('who refused a report for good is not asked about it again, and all that are configured decide in the end', async () => {
    const answers: Answers = { liar: code('TX_SIGNATURE') }
    const handing = delivery(answers, 2)
    expect(await handing.submit(own)).toBe('unwanted')
    expect(await handing.submit(own)).toBe('unwanted')
    expect(asked).toEqual(['liar'])
    answers['back'] = code('POOL_FULL')
    expect(await handing.submit(own)).toBe('later')
    answers['back'] = code('TX_PAYLOAD')
    expect(await handing.submit(own)).toBe('refused')
    expect(asked).toEqual(['liar', 'back', 'back'])
  })

  it('who took a report that is in no block is asked last the next time', async () => {
    const handing = delivery({ liar: code('OK'), honest: code('OK') })
    for (let i = 0; i < 2; i++) expect(await handing.submit(own)).toBe('taken')
    expect(asked).toEqual(['liar', 'honest'])
  })

  it('of the codes that there are, only what can never be otherwise is for good; an unknown one is not', async () => {
    const final: string[] = []
    for (const word of [...Object.keys(VERDICTS), 'OF_A_LATER_VERSION'])
      if ((await delivery({ a: code(word) }).submit(own)) === 'refused') final.push(word)
    for (const word of final)
      expect(['TX_FORBIDDEN', 'TX_UNKNOWN_KIND'].includes(word) || VERDICTS[word as 'OK'].verdict === 'reject').toBe(
        true,
      )
    for (const word of ['TX_EXPIRED', 'STATE_FULL', 'MESSAGE_RATE', 'OF_A_LATER_VERSION', 'TX_VALIDITY_TOO_LONG'])
      expect(final).not.toContain(word)
  })

  it.each(['TX_UNKNOWN_SIGNER', 'DEVICE_RETIRED', 'DEVICE_BLACKLISTED', 'DEVICE_UNKNOWN'])(
    '%s by all → the report is held, and the own standing is looked up',
    async (word) => {
      expect(await delivery({ a: code(word), b: code(word) }).submit(own)).toBe('later')
      expect(outOfService).toBe(2)
    },
  )
})

describe('whether the chain holds it', () => {
  const none = code('LIGHT_UNPROVABLE')

  it('a proof of just this report → yes, from one member', async () => {
    expect(await delivery({ a: receipt }).settlement(own, false)).toBe('yes')
    expect(await delivery({ a: undefined, b: receipt }).settlement(own, false)).toBe('yes')
    expect(faults).toEqual([])
  })

  it('a proof of another transaction, a damaged one, rubbish → the member’s fault, and the next is asked', async () => {
    const damaged = { code: 'OK', proof: (receipt.proof as string).replace(/"treesRoot|"index": \d+/, '"index": 1') }
    const forged = {
      code: 'OK',
      proof: (receipt.proof as string).replace(/(?<="certificate": "[0-9a-f]{200})[0-9a-f]/, (digit) =>
        digit === '0' ? '1' : '0',
      ),
    }
    for (const [lie, why] of [
      [foreignReceipt, 'LIGHT_ANSWER'],
      [{ code: 'OK', proof: 'rubbish' }, 'MESSAGE_MALFORMED'],
      [damaged, undefined],
      [forged, undefined],
    ] as const) {
      faults = []
      expect(await delivery({ liar: lie, b: receipt }).settlement(own, false)).toBe('yes')
      expect(faults).toHaveLength(1)
      expect(faults[0]).toMatch(why === undefined ? /^liar / : `liar ${why}`)
      faults = []
      expect(await delivery({ liar: lie }).settlement(own, true)).toBe('nobody')
      expect(faults).toHaveLength(1)
    }
  })

  it('not there → no; where everyone is asked, one that has it is heard though another says no', async () => {
    expect(await delivery({ a: none, b: receipt }).settlement(own, false)).toBe('no')
    expect(await delivery({ a: none, b: receipt }).settlement(own, true)).toBe('yes')
    expect(await delivery({ a: none, b: undefined }).settlement(own, true)).toBe('no')
  })

  it('nobody answers, or all are busy → unknown', async () => {
    expect(await delivery({ a: undefined }).settlement(own, true)).toBe('nobody')
    expect(await delivery({ a: code('LIGHT_BUSY') }).settlement(own, true)).toBe('nobody')
    expect(await delivery({}).settlement(own, true)).toBe('nobody')
  })

  it('the proof is gone for good → the word of all that are configured, and not of those that are there', async () => {
    const pruned = code('LIGHT_PRUNED')
    expect(await delivery({ a: pruned, b: pruned }).settlement(own, true)).toBe('yes')
    expect(await delivery({ a: pruned, b: none }).settlement(own, true)).toBe('no')
    expect(await delivery({ a: pruned, b: code('LIGHT_BUSY') }).settlement(own, true)).toBe('unknown')
    expect(await delivery({ liar: pruned }, 2).settlement(own, true)).toBe('unknown')
  })
})

describe('the loop', () => {
  it('a disk that fails while a report is settled → tried again, the loop goes on; a bug ends it', async () => {
    const abort = new AbortController()
    let calls = 0
    const failures = [new AlthingError('RTU_WRITE_FAILED', 'disk'), new TypeError('bug')]
    const running = new Delivery(
      { receiptMs: 1, retryMs: 1 },
      {
        genesis: GENESIS,
        headers: { chainTime: 0 },
        log: quiet,
        outOfService() {},
        members: { isUp: true, count: 1, inTurn: () => [], ask: async () => undefined, fault() {} },
        outbox: {
          deliver: (_: Carrier) => Promise.reject(failures[calls++]),
          status: () => ({ reportsHeld: 1, reportsTaken: 0, delivered: 0 }) as OutboxStatus,
        },
      },
    ).run(abort.signal)
    await expect(running).rejects.toThrow('bug')
    expect(calls).toBe(2)
  })
})
