import { expect, it } from 'vitest'
import { clockWarning } from '../../../node/service/observed.ts'

it('clock: minutes away from the time of the newest block → said, with the side; seconds → nothing', () => {
  const time = 1_790_000_000_000
  expect(clockWarning(time, time + 300_000)).toContain('5 min ahead of the time of the newest block')
  expect(clockWarning(time, time - 300_000)).toContain('5 min behind the time of the newest block')
  for (const offMs of [-20_000, 0, 20_000]) expect(clockWarning(time, time + offMs)).toBeUndefined()
})
