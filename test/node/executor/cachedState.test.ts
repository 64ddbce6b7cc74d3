import { describe, expect, it } from 'vitest'
import { CachedState } from '../../../node/executor/cachedState.ts'

/** A ledger that counts how often it is asked. */
function ledger(entries: Record<string, number>) {
  const asked: string[] = []
  const state = (key: string) => {
    asked.push(key)
    const value = entries[key]
    return value === undefined ? undefined : { height: 1, value: Uint8Array.of(value) }
  }
  return { asked, state }
}

describe('cached state', () => {
  it('cached state: what was read or written is not asked for again, absence included', () => {
    const { asked, state } = ledger({ a: 1 })
    const cached = new CachedState({ state })
    for (let i = 0; i < 2; i++) {
      expect(cached.get('a')).toEqual(Uint8Array.of(1))
      expect(cached.get('b')).toBeUndefined()
    }
    cached.apply(new Map([['b', Uint8Array.of(2)]]))
    cached.apply(new Map([['a', null]]))
    expect(cached.get('b')).toEqual(Uint8Array.of(2))
    expect(cached.get('a')).toBeUndefined()
    expect(asked).toEqual(['a', 'b'])
  })

  it('cached state: a value that was a view of something larger is held in memory of its own', () => {
    const { state } = ledger({})
    const cached = new CachedState({ state })
    const piece = new Uint8Array(48 * 1024).fill(7)
    cached.apply(new Map([['a', piece.subarray(100, 200)]]))
    piece.fill(0)
    expect(cached.get('a')).toEqual(new Uint8Array(100).fill(7))
    expect(cached.get('a')?.buffer.byteLength).toBe(100)
  })

  it('cached state: beyond 8 MiB the half that was written first goes, and is asked for again', () => {
    const { asked, state } = ledger({})
    const cached = new CachedState({ state })
    const value = new Uint8Array(1024 * 1024)
    for (let i = 0; i < 9; i++) cached.apply(new Map([[`${i}`, value]]))
    cached.get('8')
    expect(asked).toEqual([])
    cached.get('0')
    expect(asked).toEqual(['0'])
  })

  it('cached state: many small ones are bounded as well, by what their objects take', () => {
    const { asked, state } = ledger({})
    const cached = new CachedState({ state })
    for (let i = 0; i < 40_000; i++) cached.apply(new Map([[`${i}`, Uint8Array.of(1)]]))
    cached.get('39999')
    expect(asked).toEqual([])
    cached.get('0')
    expect(asked).toEqual(['0'])
  })
})
