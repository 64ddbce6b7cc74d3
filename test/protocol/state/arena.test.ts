import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Arena } from '../../../protocol/state/arena.ts'

describe('arena', () => {
  it('never gives out a live record, and what is written in one stays, whatever is allocated and freed', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 99 }), { maxLength: 400 }), (steps) => {
        const arena = new Arena(12)
        const live = new Map<number, number>()
        steps.forEach((step, mark) => {
          const victim = [...live.keys()][step]
          if (step % 3 === 0 && victim !== undefined) {
            arena.free(victim)
            live.delete(victim)
          } else {
            const number = arena.allocate()
            expect(live.has(number)).toBe(false)
            live.set(number, mark)
            arena.words(number).fill(mark, arena.wordAt(number), arena.wordAt(number) + 3)
          }
        })
        expect(arena.size).toBe(live.size)
        for (const [number, mark] of live) {
          expect(arena.isLive(number)).toBe(true)
          const at = arena.wordAt(number)
          expect([...arena.words(number).subarray(at, at + 3)]).toEqual([mark, mark, mark])
        }
      }),
    )
  })

  it('reuses freed records before it grows', () => {
    const arena = new Arena(4)
    const numbers = Array.from({ length: 20_000 }, () => arena.allocate())
    const { reservedBytes } = arena
    for (const number of numbers) arena.free(number)
    for (const _ of numbers) arena.allocate()
    expect(arena.reservedBytes).toBe(reservedBytes)
    expect(arena.size).toBe(20_000)
  })

  it('a record freed twice or never allocated → RangeError, nothing changed', () => {
    const arena = new Arena(4)
    const number = arena.allocate()
    arena.free(number)
    expect(() => arena.free(number)).toThrow(RangeError)
    expect(() => arena.free(99_999)).toThrow(RangeError)
    expect(arena.size).toBe(0)
  })
})
