import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { QUESTIONS } from '../../../node/light/messages.ts'
import { encodeFeatures, featuresOf } from '../../../node/rtu/features.ts'
import { Scoring, type ScoringNeeds } from '../../../node/rtu/scoring.ts'
import { sha3 } from '../../../protocol/crypto.ts'
import { encodeActiveModules } from '../../../protocol/kinds/module/record.ts'
import { deviceReport, type Report } from '../../../protocol/kinds/report/report.ts'
import { memberSecret } from '../genesis.ts'
import { deviceId, genesisOf, Member, signed, startRtu, tidyUp, until } from './world.ts'

const code = new Uint8Array(readFileSync(new URL('../../../protocol/modules/built/anomaly.wasm', import.meta.url)))
const variant = Uint8Array.of(...code, 0, 2, 1, 7)
const listOf = (binary: Uint8Array, version: string): Uint8Array =>
  encodeActiveModules([{ kind: 'anomaly', hash: sha3(binary), version }])
const quiet = { debug() {}, info() {}, warn() {} }

let directory: string
let faults: string[]
let answers: Record<string, (question: string) => Uint8Array | undefined>
let modulesHash: Uint8Array
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'althing-scoring-'))
  faults = []
  answers = {}
  modulesHash = sha3(listOf(code, '1'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

function scoring(): Scoring {
  const members = {
    isUp: true,
    inTurn: () => Object.keys(answers).map((name) => ({ name, publicKey: name })),
    async askFor(member: { name: string }, question: string, _data: Uint8Array, decode: (data: Uint8Array) => unknown) {
      const answer = answers[member.name]?.(question)
      return answer === undefined ? undefined : decode(answer)
    },
    fault: (member: { name: string }, why: string) => void faults.push(`${member.name} ${why}`),
  } as unknown as ScoringNeeds['members']
  const headers = { newest: { sealed: { header: { modulesHash } } } } as unknown as ScoringNeeds['headers']
  return new Scoring({ file: join(directory, 'module'), members, headers, log: quiet })
}
const draft = {
  kind: deviceReport.name,
  payload: deviceReport.payload.to({
    device: new Uint8Array(20),
    observedAt: 1,
    events: [],
    features: encodeFeatures(featuresOf({ processUnknownCount: 1 }, ['files: nothing'])),
    model: null,
    scores: [],
  }),
  nonce: new Uint8Array(16),
  validUntil: 1,
}
const reportBy = (one: Scoring): Report => deviceReport.payload.from(one.scored(draft).payload, 'report')
const honest = (binary: Uint8Array, version: string) => (question: string) =>
  question === QUESTIONS.modules ? listOf(binary, version) : binary

/** Runs it until it has asked everybody once. */
async function follow(one: Scoring): Promise<void> {
  const stopping = new AbortController()
  const running = one.run(stopping.signal)
  await expect.poll(() => reportBy(one).model !== null || faults.length > 0, { timeout: 5000 }).toBe(true)
  stopping.abort()
  await running
}

describe('scoring', () => {
  it('without a module a report is left as it is; other kinds always are', async () => {
    const one = scoring()
    await one.load()
    expect(one.scored(draft)).toEqual(draft)
    const other = { ...draft, kind: 'kv.put' }
    expect(one.scored(other)).toBe(other)
  })

  it('the module is fetched, scores are its own, and it is there after a restart', async () => {
    answers = { silent: () => undefined, a: honest(code, '1') }
    const one = scoring()
    await follow(one)
    expect(reportBy(one)).toMatchObject({ model: { hash: sha3(code), version: '1' }, scores: [500_000, 2] })
    answers = {}
    const again = scoring()
    await again.load()
    expect(reportBy(again)).toEqual(reportBy(one))
  })

  it('a list that is not what the header says is passed over; a binary that is not what the list says is a fault', async () => {
    answers = {
      ahead: honest(variant, '2'),
      liar: (question) => (question === QUESTIONS.modules ? listOf(code, '1') : variant),
      a: honest(code, '1'),
    }
    const one = scoring()
    await follow(one)
    expect(faults).toEqual(['liar LIGHT_ANSWER'])
    await expect.poll(() => reportBy(one).model?.version).toBe('1')
  })

  it('a file that was damaged is fetched anew', async () => {
    for (const content of [Uint8Array.of(1, 2, 3), new Uint8Array(200_000)] as Uint8Array<ArrayBuffer>[]) {
      writeFileSync(join(directory, 'module'), content)
      const one = scoring()
      await one.load()
      expect(reportBy(one).model).toBeNull()
    }
  })
})

describe('scoring, with a real member', () => {
  afterEach(tidyUp)

  it('a module is activated and then another: the device follows, and every report is in the chain once', async () => {
    const genesis = genesisOf(1)
    const member = await Member.start(genesis)
    await member.register(1)
    const rtu = await startRtu(1, [member])
    await until(() => rtu.outbox.status().delivered >= 2, 'delivered by fixed rules')
    const swap = async (binary: Uint8Array, version: string): Promise<void> => {
      const byMember = (kind: string, payload: unknown) =>
        signed(genesis, kind, payload, Uint8Array.from(memberSecret(0)))
      await member.commit(byMember('module.publish', { kind: 'anomaly', version, code: binary }))
      const published = member.node.executor.head.height
      await until(() => member.node.executor.head.height > published, 'the next block')
      const height = member.node.executor.head.height + 3
      await member.commit(byMember('module.activate', { hash: sha3(binary), height }))
      const versions = async () => (await member.reports(1)).map(({ model }) => model?.version)
      await expect.poll(versions, { timeout: 45_000, interval: 100 }).toContain(version)
    }
    await swap(code, '1')
    await swap(variant, '2')
    await rtu.stop()
    const reports = await member.reports(1)
    const versions = reports.map(({ model }) => model?.version ?? '0')
    expect([...new Set(versions)]).toEqual(['0', '1', '2'])
    expect(versions).toEqual([...versions].sort())
    for (const { model, scores, device } of reports) {
      expect(device).toEqual(deviceId(1))
      expect(scores).toHaveLength(model === null ? 0 : 2)
    }
    const times = reports.map(({ observedAt }) => observedAt)
    expect(new Set(times).size).toBe(times.length)
    const { delivered, reportsHeld } = rtu.outbox.status()
    expect(times.length).toBeGreaterThanOrEqual(delivered)
    expect(times.length).toBeLessThanOrEqual(delivered + reportsHeld)
  }, 180_000)
})
