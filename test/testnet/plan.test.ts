import { describe, expect, it } from 'vitest'
import { clockText, memberNames, nameAdvice, parseDuration, rtuNames } from '../../testnet/plan.ts'
import { freePorts, isFree } from '../../testnet/ports.ts'

describe('plan', () => {
  it('durations: a number and a unit are ms, up to a day', () => {
    expect(['500ms', '30s', '2m', '1h', '24h'].map(parseDuration)).toEqual([
      500, 30_000, 120_000, 3_600_000, 86_400_000,
    ])
  })

  it('durations: no unit, no number, nothing, more than a day, other units and signs are refused', () => {
    for (const text of ['30', 's', '', '0s', '25h', '1d', '-3s', '1.5s', '30 s', ' 30s', '3e1s', '999999999s'])
      expect(parseDuration(text)).toBeUndefined()
  })

  it('names: members begin with the four winds, all names differ and can be folders', () => {
    expect(memberNames(5)).toEqual(['north', 'south', 'east', 'west', 'member-5'])
    const names = [...memberNames(16), ...rtuNames(50)]
    expect(new Set(names).size).toBe(66)
    for (const name of names) expect(name).toMatch(/^[a-z][a-z0-9-]*$/)
  })

  it('names: an unknown one is answered with the nearest and all there are', () => {
    expect(nameAdvice('nort', ['north', 'south'])).toBe('Did you mean north? The names are: north, south.')
    expect(nameAdvice('xyz', ['north'])).toBe('The names are: north.')
  })

  it('times: minutes and seconds, hours where needed, nothing negative', () => {
    expect([0, 42_999, 60_000, 3_723_000, -5].map(clockText)).toEqual(['0:00', '0:42', '1:00', '1:02:03', '0:00'])
  })
})

describe('ports', () => {
  it('ports: distinct, free, in order, and below those of outgoing connections', async () => {
    const ports = await freePorts(12)
    expect(new Set(ports).size).toBe(12)
    expect(ports).toEqual([...ports].sort((a, b) => a - b))
    for (const port of ports) {
      expect(port).toBeGreaterThanOrEqual(20_000)
      expect(port).toBeLessThan(32_768)
      expect(await isFree(port)).toBe(true)
    }
  })

  it('ports: at the end of the range it goes on from its beginning', async () => {
    const ports = await freePorts(3, () => 0.999_999)
    expect(ports).toHaveLength(3)
    expect(Math.min(...ports)).toBeLessThan(21_000)
  })
})
