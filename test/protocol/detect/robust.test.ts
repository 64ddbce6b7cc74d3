import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Cusum, Ewma, hampel, levelOf } from '../../../protocol/detect/robust.ts'

const window = fc.array(fc.double({ min: -100, max: 100, noNaN: true }), { minLength: 5, maxLength: 50 })

describe('detect/robust', () => {
  it('hampel: does not change when window and value are scaled and shifted', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), fc.integer({ min: -50, max: 50 }), (scale, shift) => {
        const list = [1, 2, 3, 4, 5, 7, 9]
        const moved = list.map((value) => value * scale + shift)
        expect(hampel(moved, 20 * scale + shift)).toBeCloseTo(hampel(list, 20), 6)
      }),
    )
  })

  it('hampel: a spike among noise is beyond 3, and so is a step in a constant window', () => {
    expect(hampel([1, 2, 1, 2, 1, 2, 1], 30)).toBeGreaterThan(3)
    expect(hampel([5, 5, 5, 5], 5.001)).toBeGreaterThan(3)
    expect(hampel([5, 5, 5, 5], 5)).toBe(0)
  })

  it('levelOf: the deviation is never 0', () => {
    fc.assert(
      fc.property(window, (list) => {
        expect(levelOf(list).deviation).toBeGreaterThan(0)
      }),
    )
  })

  it('CUSUM: a shift of one deviation that stays is found, and the level itself never', () => {
    const level = { centre: 10, deviation: 2 }
    const steady = new Cusum(level, 0.5)
    const shifted = new Cusum(level, 0.5)
    const fallen = new Cusum(level, 0.5)
    let [still, up, down] = [0, 0, 0]
    for (let i = 0; i < 20; i++) [still, up, down] = [steady.step(10), shifted.step(12), fallen.step(8)]
    expect(still).toBe(0)
    expect(up).toBeCloseTo(10)
    expect(down).toBeCloseTo(10)
  })

  it('EWMA: the first value counts in whole deviations, whatever the weight', () => {
    fc.assert(
      fc.property(fc.double({ min: 0.01, max: 1, noNaN: true }), (weight) => {
        expect(new Ewma({ centre: 0, deviation: 1 }, weight).step(3)).toBeCloseTo(3, 6)
      }),
    )
  })

  it('EWMA: a shift too small for one value is found after many', () => {
    const chart = new Ewma({ centre: 0, deviation: 1 }, 0.1)
    expect(chart.step(1)).toBeLessThan(3)
    let last = 0
    for (let i = 0; i < 60; i++) last = chart.step(1)
    expect(last).toBeGreaterThan(3)
  })
})
