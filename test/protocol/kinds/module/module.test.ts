import { readFileSync } from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import { ModuleHost } from '../../../../node/modules/host.ts'
import { toHex } from '../../../../protocol/bytes.ts'
import { sha3 } from '../../../../protocol/crypto.ts'
import {
  activeModule,
  activeModules,
  decodeActiveModules,
  encodeActiveModules,
  genesisModuleEntries,
  modulesHash,
  readModule,
  readModuleCode,
} from '../../../../protocol/kinds/module/record.ts'
import { scoresBy } from '../../../../protocol/kinds/report/report.ts'
import { LIMITS } from '../../../../protocol/limits.ts'
import { installModuleEngine } from '../../../../protocol/modules/engine.ts'
import { encodeModuleInput } from '../../../../protocol/modules/input.ts'
import { Chain, deviceBytes, GENESIS, registration, report } from '../consortium.ts'

installModuleEngine(new ModuleHost())

const code = new Uint8Array(readFileSync(new URL('../../../../protocol/modules/built/anomaly.wasm', import.meta.url)))
/** The same module under another hash: a custom section without meaning. */
const variant = (n: number): Uint8Array => Uint8Array.of(...code, 0, 2, 1, n)
const hashOf = (binary: Uint8Array): Uint8Array => sha3(binary)
const publish = (binary: Uint8Array, version: string) => ({ kind: 'anomaly', version, code: binary })
const features = encodeModuleInput({ floats: [100, 350_000, Number.NaN], integers: [] })

let chain: Chain
beforeEach(() => {
  chain = new Chain()
  expect(chain.run('device.register', 11, registration(21))).toBeNull()
})

/** Publishes `binary` and has three of four members activate it at `height`. */
function activate(binary: Uint8Array, version: string, height: number): void {
  expect(chain.run('module.publish', 1, publish(binary, version))).toBeNull()
  for (const member of [1, 2, 3])
    expect(chain.run('module.activate', member, { hash: hashOf(binary), height })).toBeNull()
}
const scored = (binary: Uint8Array, version: string, over: object = {}) => ({
  ...report(21),
  features,
  model: { hash: hashOf(binary), version },
  scores: scoresBy(chain, toHex(hashOf(binary)), features),
  ...over,
})

describe('module.publish', () => {
  it('the binary is in the state, under its hash', () => {
    expect(chain.run('module.publish', 1, publish(code, '1.0'))).toBeNull()
    const hash = toHex(hashOf(code))
    expect(readModule(chain, hash)).toMatchObject({
      kind: 'anomaly',
      version: '1.0',
      byteCount: code.length,
      height: 2,
    })
    expect(readModuleCode(chain, hash)).toEqual(code)
    expect(activeModule(chain, 'anomaly', 3)).toBeNull()
  })

  it('one hash, and one version of a kind, once', () => {
    expect(chain.run('module.publish', 1, publish(code, '1.0'))).toBeNull()
    expect(chain.run('module.publish', 2, publish(code, '2.0'))).toBe('MODULE_EXISTS')
    expect(chain.run('module.publish', 2, publish(variant(1), '1.0'))).toBe('MODULE_EXISTS')
  })

  it('what may not run is not published, nor under another kind', () => {
    const picture = chain.picture()
    expect(chain.run('module.publish', 1, publish(code.slice(0, -1), '1'))).toBe('MODULE_MALFORMED')
    expect(chain.run('module.publish', 1, { ...publish(code, '1'), kind: 'trust' })).toBe('MODULE_ABI')
    expect(chain.picture()).toEqual(picture)
  })

  it('API keys and devices publish nothing', () => {
    expect(chain.run('module.publish', 11, publish(code, '1'))).toBe('TX_FORBIDDEN')
    expect(chain.run('module.publish', 21, publish(code, '1'))).toBe('TX_FORBIDDEN')
  })

  it('a member publishes so many, then no more', () => {
    for (let n = 0; n < LIMITS.modulesPerMemberMax; n++)
      expect(chain.run('module.publish', 1, publish(variant(n), `${n}`))).toBeNull()
    expect(chain.run('module.publish', 1, publish(variant(200), '200'))).toBe('MODULES_FULL')
    expect(chain.run('module.publish', 2, publish(variant(200), '200'))).toBeNull()
  })
})

describe('module.activate', () => {
  it('fewer than a quorum change nothing; the quorum settles it from its height on', () => {
    chain.run('module.publish', 1, publish(code, '1.0'))
    const vote = { hash: hashOf(code), height: 20 }
    expect(chain.run('module.activate', 1, vote)).toBeNull()
    expect(chain.run('module.activate', 2, vote)).toBeNull()
    expect(activeModule(chain, 'anomaly', 20)).toBeNull()
    expect(chain.run('module.activate', 3, vote)).toBeNull()
    expect(activeModule(chain, 'anomaly', 19)).toBeNull()
    expect(activeModule(chain, 'anomaly', 20)).toMatchObject({ version: '1.0', height: 20 })
    expect([...chain.entries.keys()].filter((key) => key.startsWith('module/vote/'))).toEqual([])
  })

  it('votes for different heights or modules do not add up, and the later of one member takes the place of the earlier', () => {
    chain.run('module.publish', 1, publish(code, '1'))
    chain.run('module.publish', 1, publish(variant(1), '2'))
    chain.run('module.activate', 1, { hash: hashOf(code), height: 20 })
    chain.run('module.activate', 2, { hash: hashOf(code), height: 21 })
    chain.run('module.activate', 3, { hash: hashOf(variant(1)), height: 20 })
    chain.run('module.activate', 4, { hash: hashOf(code), height: 20 })
    expect(activeModule(chain, 'anomaly', 30)).toBeNull()
    chain.run('module.activate', 2, { hash: hashOf(code), height: 20 })
    expect(activeModule(chain, 'anomaly', 20)?.version).toBe('1')
  })

  it('refusals: unknown, a height that is here or too far, a second time', () => {
    const hash = hashOf(code)
    expect(chain.run('module.activate', 1, { hash, height: 20 })).toBe('MODULE_UNKNOWN')
    chain.run('module.publish', 1, publish(code, '1'))
    expect(chain.run('module.activate', 1, { hash, height: chain.height + 1 })).toBe('MODULE_HEIGHT')
    const far = chain.height + 2 + LIMITS.moduleActivationBlocksMax
    expect(chain.run('module.activate', 1, { hash, height: far })).toBe('MODULE_HEIGHT')
    expect(chain.run('module.activate', 1, { hash, height: 50 })).toBeNull()
    expect(chain.run('module.activate', 1, { hash, height: 50 })).toBe('MODULE_APPROVED')
    for (const member of [2, 3]) chain.run('module.activate', member, { hash, height: 50 })
    expect(chain.run('module.activate', 4, { hash, height: 50 })).toBe('MODULE_APPROVED')
    expect(chain.run('module.activate', 11, { hash, height: 60 })).toBe('TX_FORBIDDEN')
  })

  it('what was to run later is given up for what is settled after it; what runs goes on until then', () => {
    activate(code, '1', 10)
    chain.height = Math.max(chain.height, 10)
    activate(variant(1), '2', 40)
    activate(variant(2), '3', 30)
    expect(activeModule(chain, 'anomaly', 29)?.version).toBe('1')
    expect(activeModule(chain, 'anomaly', 40)?.version).toBe('3')
  })

  it('the hash in the header covers kind, hash and version of what runs at its height', () => {
    const none = modulesHash(chain, 1)
    activate(code, '1', 20)
    expect(modulesHash(chain, 19)).toEqual(none)
    expect(modulesHash(chain, 20)).not.toEqual(none)
    const listed = encodeActiveModules(activeModules(chain, 20))
    expect(sha3(listed)).toEqual(modulesHash(chain, 20))
    expect(decodeActiveModules(listed)).toEqual([{ kind: 'anomaly', hash: hashOf(code), version: '1' }])
  })

  it('modules of the genesis run from block 1 on', () => {
    const modules = [{ kind: 'anomaly', version: '1', code } as const]
    const state = genesisModuleEntries({ modules })
    expect(activeModule(state, 'anomaly', 1)).toMatchObject({ version: '1' })
    expect(() => genesisModuleEntries({ modules: [...modules, ...modules] })).toThrow('two modules of kind anomaly')
    expect(genesisModuleEntries(GENESIS).size).toBe(0)
  })
})

describe('device.report with a module', () => {
  it('the scores of the active module are accepted; one digit more is not', () => {
    activate(code, '1', 7)
    const right = scored(code, '1')
    expect(right.scores).toEqual([500_000, 2])
    chain.height = Math.max(chain.height, 6)
    expect(chain.run('device.report', 21, { ...right, scores: [500_001, 2] })).toBe('REPORT_SCORE')
    expect(chain.run('device.report', 21, { ...right, scores: [500_000] })).toBe('REPORT_SCORE')
    expect(chain.run('device.report', 21, { ...right, scores: [] })).toBe('REPORT_SCORE')
    const other = encodeModuleInput({ floats: [1], integers: [] })
    expect(chain.run('device.report', 21, { ...right, features: other })).toBe('REPORT_SCORE')
    expect(chain.run('device.report', 21, right)).toBeNull()
  })

  it('another hash or version, or none, is not accepted of a device; an API key may have none', () => {
    activate(code, '1', 7)
    chain.height = Math.max(chain.height, 6)
    const right = scored(code, '1')
    expect(chain.run('device.report', 21, { ...right, model: { ...right.model, version: '2' } })).toBe('REPORT_MODEL')
    const strange = { hash: new Uint8Array(32), version: '1' }
    expect(chain.run('device.report', 21, { ...right, model: strange })).toBe('REPORT_MODEL')
    expect(chain.run('device.report', 21, report(21))).toBe('REPORT_MODEL')
    expect(chain.run('device.report', 11, report(21))).toBeNull()
    expect(chain.run('device.report', 11, { ...report(21), scores: [1] })).toBe('REPORT_SCORE')
  })

  it('at the height of a swap the new module counts, and the old one no more', () => {
    activate(code, '1', 7)
    activate(variant(1), '2', 12)
    chain.height = Math.max(chain.height, 10)
    expect(chain.run('device.report', 21, scored(variant(1), '2'))).toBe('REPORT_MODEL')
    expect(chain.run('device.report', 21, scored(code, '1'))).toBe('REPORT_MODEL')
    expect(chain.run('device.report', 21, scored(variant(1), '2'))).toBeNull()
  })

  it('features of which the module says nothing: a report without scores, and with no others', () => {
    activate(code, '1', 7)
    chain.height = Math.max(chain.height, 6)
    const mute = { ...scored(code, '1'), features: new Uint8Array(3) }
    expect(chain.run('device.report', 21, { ...mute, scores: [0, 0] })).toBe('REPORT_SCORE')
    expect(chain.run('device.report', 21, { ...mute, scores: [] })).toBeNull()
  })

  it('without an active module a report names none', () => {
    chain.run('module.publish', 1, publish(code, '1'))
    expect(chain.run('device.report', 21, scored(code, '1'))).toBe('REPORT_MODEL')
    expect(chain.run('device.report', 21, { ...report(21), device: deviceBytes(21) })).toBeNull()
  })
})
