import { describe, expect, it } from 'vitest'
import { LinkFaults, linksAmong, linksBetween, OPEN } from '../../testnet/links.ts'

const there = { from: 'north', to: 'east' }
const back = { from: 'east', to: 'north' }

describe('links', () => {
  it('links: a link without a fault is open; a fault touches its own direction only', () => {
    const faults = new LinkFaults()
    faults.add([there], { passage: 'held' })
    expect(faults.of(there)).toEqual({ ...OPEN, passage: 'held' })
    expect(faults.of(back)).toEqual(OPEN)
  })

  it('links: delays and losses add up, the narrowest rate and the worst passage decide', () => {
    const faults = new LinkFaults()
    faults.add([there], { delayMs: 40, jitterMs: 5, lossPercent: 60, rateBitsPerS: 2000, passage: 'held' })
    faults.add([there], { delayMs: 60, lossPercent: 60, rateBitsPerS: 1000, passage: 'cut' })
    const sum = { passage: 'cut', delayMs: 100, jitterMs: 5, lossPercent: 100, rateBitsPerS: 1000 }
    expect(faults.of(there)).toEqual(sum)
  })

  it('links: taking one fault away leaves the other; clear takes all', () => {
    const faults = new LinkFaults()
    const remove = faults.add([there], { delayMs: 40 })
    faults.add([there], { delayMs: 60 })
    remove()
    expect(faults.of(there).delayMs).toBe(60)
    faults.clear()
    expect(faults.of(there)).toEqual(OPEN)
  })

  it('links: all among some, and those between two groups one way or both', () => {
    expect(linksAmong(['a', 'b', 'c'])).toHaveLength(6)
    expect(linksBetween(['a', 'b'], ['b', 'c'], false)).toEqual([
      { from: 'a', to: 'b' },
      { from: 'a', to: 'c' },
      { from: 'b', to: 'c' },
    ])
    expect(linksBetween(['a'], ['b'], true)).toEqual([
      { from: 'a', to: 'b' },
      { from: 'b', to: 'a' },
    ])
  })
})
