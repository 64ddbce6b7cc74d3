import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  deviationAround,
  History,
  lowerBound,
  MAD_TO_DEVIATION,
  median,
  quantile,
} from '../../../protocol/detect/statistics.ts'

const values = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 200 })

describe('detect/statistics', () => {
  it('quantile: at least the share of all values does not exceed it, and it is one of them', () => {
    fc.assert(
      fc.property(values, fc.double({ min: 0, max: 1, noNaN: true }), (list, share) => {
        const found = quantile(list, share)
        expect(list).toContain(found)
        expect(list.filter((value) => value <= found).length).toBeGreaterThanOrEqual(share * list.length - 1e-9)
      }),
    )
  })

  it('median and deviation: a third of the values may be anything and they stay within the others', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: -1e9, max: 1e9, noNaN: true }), { maxLength: 9 }), (wild) => {
        const tame = Array.from({ length: 21 }, (_, i) => i - 10)
        const middle = median([...tame, ...wild])
        expect(Math.abs(middle)).toBeLessThanOrEqual(10)
        expect(deviationAround([...tame, ...wild], middle)).toBeLessThanOrEqual(20 * MAD_TO_DEVIATION)
      }),
    )
  })

  it('an empty list has no quantile, and nothing is changed by asking', () => {
    expect(quantile([], 0.5)).toBeNaN()
    const list = [3, 1, 2]
    expect(median(list)).toBe(2)
    expect(list).toEqual([3, 1, 2])
  })

  it('lowerBound: everything before it is smaller, nothing from it on', () => {
    fc.assert(
      fc.property(values, fc.double({ noNaN: true }), (list, value) => {
        const sorted = Float64Array.from(list).sort()
        const at = lowerBound(sorted, sorted.length, value)
        expect(sorted.subarray(0, at).every((one) => one < value)).toBe(true)
        expect(sorted.subarray(at).every((one) => one >= value)).toBe(true)
      }),
    )
  })

  it('history: below its capacity it gives the very quantiles of all values', () => {
    fc.assert(
      fc.property(values, fc.double({ min: 0, max: 1, noNaN: true }), (list, share) => {
        const history = new History(200)
        for (const value of list) history.add(value)
        expect(history.count).toBe(list.length)
        expect(history.quantile(share)).toBe(quantile(list, share))
      }),
    )
  })

  it('history: beyond its capacity it stays bounded, and its median near that of all values', () => {
    const history = new History(64)
    for (let i = 0; i < 10_000; i++) history.add((i * 7919) % 10_007)
    expect(history.count).toBeLessThanOrEqual(64)
    expect(Math.abs(history.quantile(0.5) - 5000)).toBeLessThan(1000)
  })
})
