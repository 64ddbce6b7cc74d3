import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { directorySpool, type Spool } from '../../../node/rtu/disk.ts'
import {
  type Carrier,
  OUTBOX_DEFAULTS,
  openOutbox,
  SPOOLED_BYTES_MAX,
  type SubmitOutcome,
} from '../../../node/rtu/outbox.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { publicKeyOf } from '../../../protocol/crypto.ts'
import { signerOf, signTransaction, type Transaction } from '../../../protocol/transaction.ts'

const secretKey = new Uint8Array(32).fill(7)
const chainId = new Uint8Array(32).fill(1)
let directory: string
let nowMs: number
let monotonicMs: number
let nonces: number

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'althing-outbox-'))
  nowMs = 1_700_000_000_000
  monotonicMs = 0
  nonces = 0
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const spoolOf = (): Spool => directorySpool(join(directory, 'outbox'), SPOOLED_BYTES_MAX, 100)
const open = (options: Partial<typeof OUTBOX_DEFAULTS> = {}, spool: Spool = spoolOf()) =>
  openOutbox(
    { ...OUTBOX_DEFAULTS, ...options },
    {
      spool,
      sign: (draft) => signTransaction(draft, chainId, secretKey),
      nonce: () => new Uint8Array(16).fill(++nonces),
      now: () => nowMs,
      monotonic: () => monotonicMs,
    },
  )

/** A member that answers as told, and a chain that holds what it took at the next block, or does not. */
function member(outcome: SubmitOutcome, blocks = true) {
  const received: Transaction[] = []
  const chain = new Set<string>()
  const asked: boolean[] = []
  const carrier: Carrier = {
    submit(transaction) {
      received.push(transaction)
      if (outcome === 'taken' && blocks) chain.add(toHex(transaction.id))
      return Promise.resolve(outcome)
    },
    settlement(transaction, everyone) {
      asked.push(everyone)
      return Promise.resolve(chain.has(toHex(transaction.id)) ? 'yes' : 'no')
    },
    chainTime: () => nowMs,
  }
  return { carrier, received, asked, chain, payloads: () => received.map(({ payload }) => payload) }
}

describe('outbox', () => {
  it('a report that is stale is signed anew under its nonce and handed over again, unless the chain holds it', async () => {
    const outbox = await open()
    await outbox.add('device.report', [1], true)
    const stale = member('stale')
    await outbox.deliver(stale.carrier)
    expect(stale.received).toHaveLength(1)
    expect(outbox.status()).toMatchObject({ renewed: 1, reportsHeld: 1 })
    nowMs += 1
    const taker = member('taken')
    await outbox.deliver(taker.carrier)
    expect(taker.received[0]?.nonce).toEqual(stale.received[0]?.nonce)
    const again = await open()
    await again.add('device.report', [2], true)
    const holding = member('stale')
    holding.carrier.settlement = () => Promise.resolve('unknown')
    const { renewed } = again.status()
    await again.deliver(holding.carrier)
    expect(again.status().renewed).toBe(renewed)
  })

  it('holds reports while nobody can take them, through a restart, and delivers them in order', async () => {
    const outbox = await open()
    for (const payload of [1, 2, 3]) await outbox.add('device.report', [payload], payload === 2)
    const nobody = member('later')
    await outbox.deliver(nobody.carrier)
    expect(nobody.received).toHaveLength(1)
    expect(outbox.status().reportsHeld).toBe(3)

    const reopened = await open()
    expect(reopened.status().reportsHeld).toBe(3)
    await reopened.add('device.report', [4], false)
    const someone = member('taken')
    await reopened.deliver(someone.carrier)
    expect(someone.payloads()).toEqual([[1], [2], [3], [4]])
    expect(reopened.status()).toMatchObject({ reportsHeld: 4, reportsTaken: 4, delivered: 0 })
    await reopened.deliver(someone.carrier)
    expect(someone.received).toHaveLength(4)
    expect(reopened.status()).toMatchObject({ reportsHeld: 0, reportsTaken: 0, bytesHeld: 0, delivered: 4 })
    expect(readdirSync(join(directory, 'outbox'))).toEqual([])
    expect((await open()).status().reportsHeld).toBe(0)
  })

  it('an expired report is signed again: same payload and nonce, a new validUntil within the hour, same signer', async () => {
    const outbox = await open()
    await outbox.add('device.report', ['observed then'], true)
    nowMs += 24 * 3_600_000
    const someone = member('taken')
    await outbox.deliver(someone.carrier)
    const sent = someone.received[0]!
    expect(sent.payload).toEqual(['observed then'])
    expect(sent.nonce).toEqual(new Uint8Array(16).fill(1))
    expect(sent.validUntil).toBe(nowMs + OUTBOX_DEFAULTS.validityMs)
    expect(signerOf(sent, chainId)).toEqual(publicKeyOf(secretKey))
    expect(outbox.status().renewed).toBe(1)
  })

  it('before a report is signed anew, all members are asked whether the chain holds it; what it holds is never sent again', async () => {
    const outbox = await open()
    await outbox.add('device.report', [1], true)
    const someone = member('taken')
    await outbox.deliver(someone.carrier)
    nowMs += 24 * 3_600_000
    const reopened = await open()
    await reopened.deliver(someone.carrier)
    expect(someone.received).toHaveLength(1)
    expect(someone.asked).toEqual([true])
    expect(reopened.status()).toMatchObject({ reportsHeld: 0, delivered: 1, renewed: 0 })
  })

  it('nobody can say whether the chain holds a report → it is neither sent nor signed anew', async () => {
    const outbox = await open()
    await outbox.add('device.report', [1], true)
    nowMs += 24 * 3_600_000
    const someone = member('taken')
    await outbox.deliver({ ...someone.carrier, settlement: () => Promise.resolve('nobody') })
    expect(someone.received).toEqual([])
    expect(outbox.status()).toMatchObject({ reportsHeld: 1, renewed: 0 })
  })

  it('what a member took and no block holds is handed over again, as it was, after a while', async () => {
    const outbox = await open({ resubmitMs: 1000 })
    await outbox.add('device.report', [1], true)
    const forgetful = member('taken', false)
    await outbox.deliver(forgetful.carrier)
    await outbox.deliver(forgetful.carrier)
    expect(forgetful.received).toHaveLength(1)
    monotonicMs += 1000
    const honest = member('taken')
    await outbox.deliver(honest.carrier)
    expect(honest.received).toEqual(forgetful.received)
    await outbox.deliver(honest.carrier)
    expect(outbox.status()).toMatchObject({ reportsHeld: 0, delivered: 1, renewed: 0 })
  })

  it('no more than so many are with the members at once, and only the oldest is asked about', async () => {
    const outbox = await open({ takenMax: 2 })
    for (const payload of [1, 2, 3, 4]) await outbox.add('device.report', [payload], true)
    const someone = member('taken', false)
    await outbox.deliver(someone.carrier)
    await outbox.deliver(someone.carrier)
    expect(someone.payloads()).toEqual([[1], [2]])
    expect(someone.asked).toEqual([false])
    for (const { id } of someone.received) someone.chain.add(toHex(id))
    await outbox.deliver(someone.carrier)
    expect(someone.payloads()).toEqual([[1], [2], [3], [4]])
  })

  it('a report that is still valid is sent as it was signed', async () => {
    const outbox = await open()
    await outbox.add('device.report', [1], true)
    const validUntil = nowMs + OUTBOX_DEFAULTS.validityMs
    nowMs += 1000
    const someone = member('taken')
    await outbox.deliver(someone.carrier)
    expect(someone.received[0]?.validUntil).toBe(validUntil)
  })

  it('a clock set back makes a report valid for too long, so it is signed again', async () => {
    const outbox = await open()
    await outbox.add('device.report', [1], true)
    nowMs -= 86_400_000
    const someone = member('taken')
    await outbox.deliver(someone.carrier)
    expect(someone.received[0]?.validUntil).toBe(nowMs + OUTBOX_DEFAULTS.validityMs)
  })

  it('full → the oldest without events goes first, then the oldest of all, and each is counted', async () => {
    const outbox = await open({ reportsMax: 3 })
    await outbox.add('device.report', ['event 1'], true)
    await outbox.add('device.report', ['heartbeat 1'], false)
    await outbox.add('device.report', ['heartbeat 2'], false)
    await outbox.add('device.report', ['event 2'], true)
    await outbox.add('device.report', ['event 3'], true)
    expect(outbox.status()).toMatchObject({ reportsHeld: 3, droppedHeartbeats: 2, droppedEvents: 0 })
    await outbox.add('device.report', ['heartbeat 3'], false)
    await outbox.add('device.report', ['event 4'], true)
    expect(outbox.status()).toMatchObject({ reportsHeld: 3, droppedHeartbeats: 3, droppedEvents: 1 })
    const someone = member('taken')
    await (await open()).deliver(someone.carrier)
    expect(someone.payloads()).toEqual([['event 2'], ['event 3'], ['event 4']])
  })

  it('the bound in bytes holds too, after a restart with smaller bounds as well', async () => {
    const outbox = await open()
    for (let i = 0; i < 5; i++) await outbox.add('device.report', [new Uint8Array(1000)], true)
    const smaller = await open({ bytesMax: 2500 })
    expect(smaller.status()).toMatchObject({ reportsHeld: 2, droppedEvents: 3 })
    expect(smaller.status().bytesHeld).toBeLessThanOrEqual(2500)
    expect(readdirSync(join(directory, 'outbox'))).toHaveLength(2)
  })

  it('a refused report is dropped and counted, so that it does not block those behind it', async () => {
    const outbox = await open()
    await outbox.add('device.report', [1], true)
    await outbox.add('device.report', [2], true)
    await outbox.deliver(member('refused').carrier)
    expect(outbox.status()).toMatchObject({ reportsHeld: 0, refused: 2, delivered: 0 })
  })

  it('what the members that are there do not want, or cannot tell of, does not hold up what is behind it', async () => {
    const outbox = await open()
    for (const payload of [1, 2, 3]) await outbox.add('device.report', [payload], true)
    const someone = member('taken')
    const picky: Carrier = {
      ...someone.carrier,
      submit: (transaction) =>
        (transaction.payload as number[])[0] === 1 ? Promise.resolve('unwanted') : someone.carrier.submit(transaction),
    }
    await outbox.deliver(picky)
    expect(someone.payloads()).toEqual([[2], [3]])
    await outbox.deliver(picky)
    expect(outbox.status()).toMatchObject({ reportsHeld: 1, delivered: 2, refused: 0 })
    nowMs += 24 * 3_600_000
    await outbox.add('device.report', [4], true)
    await outbox.deliver({ ...someone.carrier, settlement: () => Promise.resolve('unknown') })
    expect(someone.payloads().at(-1)).toEqual([4])
    expect(outbox.status()).toMatchObject({ reportsHeld: 2, renewed: 0 })
  })

  it('a failing send leaves everything held', async () => {
    const outbox = await open()
    await outbox.add('device.report', [1], true)
    const cut = { ...member('taken').carrier, submit: () => Promise.reject(new Error('cut')) }
    await expect(outbox.deliver(cut)).rejects.toThrow('cut')
    const someone = member('taken')
    await outbox.deliver(someone.carrier)
    expect(someone.payloads()).toEqual([[1]])
  })

  it('two deliveries at once send each report once', async () => {
    const outbox = await open()
    for (const payload of [1, 2, 3]) await outbox.add('device.report', [payload], true)
    const someone = member('taken')
    await Promise.all([outbox.deliver(someone.carrier), outbox.deliver(someone.carrier)])
    expect(someone.payloads()).toEqual([[1], [2], [3]])
  })

  it('damaged, foreign and half-written files are passed over, the rest is held', async () => {
    const outbox = await open()
    await outbox.add('device.report', [1], true)
    const inside = (name: string) => join(directory, 'outbox', name)
    writeFileSync(inside('0000000000000009.report'), 'rubbish')
    writeFileSync(inside('0000000000000010.report.tmp'), 'half')
    writeFileSync(inside('README'), 'not ours')
    writeFileSync(inside('0000000000000011.report'), new Uint8Array(SPOOLED_BYTES_MAX + 1))
    const reopened = await open()
    expect(reopened.status()).toMatchObject({ reportsHeld: 1, damaged: 2 })
    expect(readdirSync(join(directory, 'outbox')).sort()).toEqual(['0000000000000001.report', 'README'])
  })

  it('more files than the spool may hold → the oldest are removed when it is opened', async () => {
    const outbox = await open()
    for (const payload of [1, 2, 3]) await outbox.add('device.report', [payload], true)
    const reopened = await open({}, directorySpool(join(directory, 'outbox'), SPOOLED_BYTES_MAX, 2))
    const someone = member('taken')
    await reopened.deliver(someone.carrier)
    await reopened.deliver(someone.carrier)
    expect(someone.payloads()).toEqual([[2], [3]])
    expect(readdirSync(join(directory, 'outbox'))).toEqual([])
  })

  it('a report on disk can be read by its owner only', async () => {
    await (await open()).add('device.report', [1], true)
    const [name] = readdirSync(join(directory, 'outbox'))
    expect(statSync(join(directory, 'outbox', name!)).mode & 0o777).toBe(0o600)
  })

  it('a failed write rejects with RTU_WRITE_FAILED, and the report is delivered from memory', async () => {
    writeFileSync(join(directory, 'file'), '')
    const broken = directorySpool(join(directory, 'file', 'outbox'), SPOOLED_BYTES_MAX, 100)
    const outbox = await open({}, { ...broken, load: () => Promise.resolve([]), remove: () => Promise.resolve() })
    await expect(outbox.add('device.report', [1], true)).rejects.toMatchObject({ code: 'RTU_WRITE_FAILED' })
    const someone = member('taken')
    await outbox.deliver(someone.carrier)
    expect(someone.payloads()).toEqual([[1]])
  })

  it('a validity beyond the hour is refused', async () => {
    await expect(open({ validityMs: 3_600_001 })).rejects.toThrow(RangeError)
  })
})
