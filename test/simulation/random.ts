/** Randomness of the simulator: one 32-bit seed gives one run, on every machine (mulberry32). */
export type Random = {
  /** Uniform in [0, 1). */ next(): number
  /** Integer in [0, n). */ below(n: number): number
  /** True with probability p. */ chance(p: number): boolean
  /** One of `items`. */ pick<T>(items: readonly T[]): T
  /** A copy of `items` in another order. */ shuffled<T>(items: readonly T[]): T[]
}

export function seededRandom(seed: number): Random {
  let a = seed >>> 0
  const next = (): number => {
    a = (a + 0x6d2b79f5) >>> 0
    let t = a
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  const below = (n: number): number => Math.floor(next() * n)
  return {
    next,
    below,
    chance: (p) => next() < p,
    shuffled: (items) => {
      const copy = [...items]
      for (let i = copy.length - 1; i > 0; i--) {
        const j = below(i + 1)
        const item = copy[i]
        copy[i] = copy[j] as (typeof copy)[number]
        copy[j] = item as (typeof copy)[number]
      }
      return copy
    },
    pick: (items) => {
      if (items.length === 0) throw new RangeError('nothing to pick from')
      return items[below(items.length)] as (typeof items)[number]
    },
  }
}
