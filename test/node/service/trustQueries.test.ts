/** Queries about trust over a real ledger, and the proofs of what they rest on. */
import { beforeAll, describe, expect, it } from 'vitest'
import { installNativePrimitives } from '../../../node/crypto/native.ts'
import { trustPointsFrom, trustQueries } from '../../../node/service/trustQueries.ts'
import { decodeBlacklist } from '../../../protocol/kinds/access/record.ts'
import { decodeOpinions, opinionsStateKey } from '../../../protocol/kinds/trust/opinions.ts'
import { decodeTrust, trustStateKey } from '../../../protocol/kinds/trust/record.ts'
import { parseProof, renderProof, verifyProof } from '../../../protocol/proof.ts'
import { decodeEntry } from '../../../protocol/state/entry.ts'
import { address, opinions, registration, score } from '../../protocol/kinds/consortium.ts'
import { build, certify, GENESIS, grow, type Node, open, signed, TIME } from '../executor/world.ts'

installNativePrimitives()
const [SUBJECT, ...RATERS] = [21, 22, 23, 24]
const id = address(SUBJECT)
let node: Node
let told: (readonly { device: string; point: { status: string; height: number } }[])[]

/** One block in which the three raters say `trustPpm` of the device. */
async function rate(trustPpm: number, time: number): Promise<void> {
  const said = RATERS.map((n) => signed('trust.opinion', n, opinions({ [SUBJECT]: trustPpm }, time)))
  const { sealed, refused } = build(node, said, { time })
  expect(refused).toEqual([])
  for (const { trustPoints } of await node.executor.commit(sealed.hash, certify(sealed))) told.push(trustPoints)
}

beforeAll(async () => {
  node = await open()
  told = []
  await grow(
    node,
    [SUBJECT, ...RATERS].map((n) => signed('device.register', 11, registration(n))),
  )
  await grow(node, [signed('trust.score', 12, score(SUBJECT, 900_000))])
  for (const [i, trustPpm] of [900_000, 100_000, 100_001, 100_002].entries())
    await rate(trustPpm, TIME + 1000 * (i + 1))
})

const queries = () => trustQueries(node.executor, { get: (key) => node.executor.reads.state(key)?.value })

describe('trust queries', () => {
  it('the trust in a device with every opinion, those of members by name, and why it is cut off', async () => {
    const found = await queries().deviceTrust(id)
    expect(found).toMatchObject({ device: { status: 'blacklisted' }, trust: { trustPpm: 100_002, basis: 'opinions' } })
    expect(found?.opinions.map(({ member, trustPpm, weightPpm }) => [member, trustPpm, weightPpm]).sort()).toEqual([
      [null, 100_002, 800_000],
      [null, 100_002, 800_000],
      [null, 100_002, 800_000],
      ['m2', 900_000, 1_000_000],
    ])
    expect(found?.blacklist).toMatchObject({ cause: 'opinions', finalScorePpm: 100_002, thresholdPpm: 500_000 })
    expect(await queries().deviceTrust(address(99))).toBeUndefined()
  })

  it('the history, newest first, by pages', async () => {
    const all = await queries().trustHistory(id, { before: undefined, limit: 10 })
    expect(all.map(({ sequence, status, height }) => [sequence, status, height])).toEqual([
      [2, 'blacklisted', 6],
      [1, 'suspect', 4],
      [0, 'trusted', 3],
    ])
    expect(await queries().trustHistory(id, { before: 2, limit: 1 })).toEqual(all.slice(1, 2))
    expect(await queries().trustHistory(id, { before: 0, limit: 1 })).toEqual([])
  })

  it('what a commit tells of is what can be read again after a start', async () => {
    const live = told.flat().map(({ device, point }) => [device, point])
    expect(live).toHaveLength(3)
    const read = await trustPointsFrom(node.executor.reads, 3)
    expect([...read.keys()].sort()).toEqual([3, 4, 6])
    expect([...read.values()].flat().map(({ device, point }) => [device, point])).toEqual(live)
    expect([...(await trustPointsFrom(node.executor.reads, 5)).keys()]).toEqual([6])
  })

  it.each([
    ['the trust', trustStateKey(id), (value: Uint8Array) => decodeTrust(value).trustPpm, 100_002],
    ['the opinions', opinionsStateKey(id), (value: Uint8Array) => decodeOpinions(value).length, 4],
    ['the blacklist record', `blacklist/${id}`, (value: Uint8Array) => decodeBlacklist(value).opinions.length, 4],
  ])('%s can be proved to whoever has the genesis only', async (_what, stateKey, look, expected) => {
    const proof = await node.executor.reads.proveState(stateKey)
    const parsed = parseProof(renderProof(proof!))
    if (!parsed.ok) throw new Error(parsed.problem)
    expect(verifyProof(parsed.proof, GENESIS).ok).toBe(true)
    const { subject } = parsed.proof
    if (subject.kind !== 'state' || subject.entry === null) throw new Error('proves something else')
    expect(subject.key).toBe(stateKey)
    expect(look(decodeEntry(subject.entry).value)).toBe(expected)
  })
})
