import { describe, expect, it } from 'vitest'
import {
  BLIND_CHARACTERS_MAX,
  decodeFeatures,
  encodeFeatures,
  FEATURE_MAX,
  FEATURE_NAMES,
  featuresOf,
} from '../../../node/rtu/features.ts'
import type { Finding } from '../../../node/rtu/monitor.ts'
import {
  EMPTY_REPORT_MEMORY,
  payloadOf,
  REMEMBERED_MAX,
  REPORT_DEFAULTS,
  reportOf,
  selectReport,
} from '../../../node/rtu/report.ts'
import type { CborValue } from '../../../protocol/cbor.ts'
import { decodeCbor, encodeCbor } from '../../../protocol/cbor.ts'
import { deviceReport, FEATURES_BYTES_MAX } from '../../../protocol/kinds/report/report.ts'
import { LIMITS } from '../../../protocol/limits.ts'

const finding = (subject: string, severityPpm = 500_000): Finding => ({
  category: 'process.unknown',
  subject,
  severityPpm,
  confidencePpm: 900_000,
  detail: subject,
})
const { heartbeatMs, repeatMs } = REPORT_DEFAULTS
const parts = { device: new Uint8Array(20).fill(3), observedAt: 1_700_000_000_000, model: null }

describe('features', () => {
  it('decode to what was encoded; what was not observed is null and not 0', () => {
    const features = featuresOf({ processCount: 7, cpuPpm: 0 }, ['processes: nothing'])
    expect(decodeFeatures(encodeFeatures(features))).toEqual(features)
    expect(features.values[FEATURE_NAMES.indexOf('processCount')]).toBe(7)
    expect(features.values[FEATURE_NAMES.indexOf('cpuPpm')]).toBe(0)
    expect(features.values[FEATURE_NAMES.indexOf('memoryPpm')]).toBeNull()
  })

  it('the largest fit into a report', () => {
    const counts = Object.fromEntries(FEATURE_NAMES.map((name) => [name, Number.MAX_SAFE_INTEGER]))
    const features = featuresOf(
      counts,
      Array.from({ length: 20 }, () => '€'.repeat(BLIND_CHARACTERS_MAX)),
    )
    expect(features.values[0]).toBe(FEATURE_MAX)
    expect(encodeFeatures(features).length).toBeLessThan(FEATURES_BYTES_MAX)
  })
})

describe('report', () => {
  it('the first cycle without findings gives a sign of life, the next only after the interval', () => {
    const first = selectReport([], EMPTY_REPORT_MEMORY, 0, REPORT_DEFAULTS)
    expect(first?.findings).toEqual([])
    const memory = first!.memory
    expect(selectReport([], memory, heartbeatMs - 1, REPORT_DEFAULTS)).toBeNull()
    expect(selectReport([], memory, heartbeatMs, REPORT_DEFAULTS)?.findings).toEqual([])
  })

  it('a finding that lasts is reported at once, not in the next cycle, and again after the interval', () => {
    const first = selectReport([finding('a')], EMPTY_REPORT_MEMORY, 0, REPORT_DEFAULTS)!
    expect(first.findings).toHaveLength(1)
    expect(selectReport([finding('a')], first.memory, 5000, REPORT_DEFAULTS)).toBeNull()
    expect(selectReport([finding('a')], first.memory, repeatMs, REPORT_DEFAULTS)?.findings).toHaveLength(1)
  })

  it('a finding that comes and goes is not reported each time it comes', () => {
    const first = selectReport([finding('a')], EMPTY_REPORT_MEMORY, 0, REPORT_DEFAULTS)!
    const silent = selectReport([], first.memory, heartbeatMs, REPORT_DEFAULTS)!
    expect(selectReport([finding('a')], silent.memory, heartbeatMs + 5000, REPORT_DEFAULTS)).toBeNull()
  })

  it('a finding that grows clearly worse is news before the interval', () => {
    const first = selectReport([finding('a', 300_000)], EMPTY_REPORT_MEMORY, 0, REPORT_DEFAULTS)!
    expect(selectReport([finding('a', 400_000)], first.memory, 5000, REPORT_DEFAULTS)).toBeNull()
    expect(selectReport([finding('a', 450_000)], first.memory, 5000, REPORT_DEFAULTS)?.findings).toHaveLength(1)
  })

  it('more findings than one report holds → the worst first, the rest in the next cycle, none lost', () => {
    const many = Array.from({ length: 100 }, (_, i) => finding(`f${i}`, 100_000 + i))
    const first = selectReport(many, EMPTY_REPORT_MEMORY, 0, REPORT_DEFAULTS)!
    const second = selectReport(many, first.memory, 5000, REPORT_DEFAULTS)!
    expect(first.findings).toHaveLength(LIMITS.reportEventsMax)
    expect(first.findings[0]?.subject).toBe('f99')
    const subjects = [...first.findings, ...second.findings].map(({ subject }) => subject)
    expect(new Set(subjects).size).toBe(100)
    expect(subjects).toHaveLength(100)
  })

  it('the memory stays bounded whatever is found', () => {
    let memory = EMPTY_REPORT_MEMORY
    for (let i = 0; i < 50; i++) {
      const news = Array.from({ length: 64 }, (_, j) => finding(`${i} ${j}`))
      memory = selectReport(news, memory, i * 5000, REPORT_DEFAULTS)!.memory
    }
    expect(memory.reported.size).toBe(REMEMBERED_MAX)
    expect(memory.reported.has('process.unknown 49 63')).toBe(true)
  })

  it('the payload is what the kind `device.report` decodes, with the score that it recomputes', () => {
    const report = reportOf({ ...parts, findings: [finding('a')], features: featuresOf({}, []) })
    expect(report.events[0]?.scorePpm).toBe(450_000)
    expect(deviceReport.payload.from(decodeCbor(encodeCbor(payloadOf(report))), 'report')).toEqual(report)
  })

  it('a sign of life has the same payload but for its empty list of events', () => {
    const features = featuresOf({}, [])
    for (const model of [null, { hash: new Uint8Array(32), version: '1' }]) {
      const full = payloadOf(reportOf({ ...parts, model, findings: [finding('a')], features })) as readonly CborValue[]
      const empty = payloadOf(reportOf({ ...parts, model, findings: [], features }))
      expect(empty).toEqual(full.map((field, i) => (i === 2 ? [] : field)))
    }
  })
})
