import { describe, expect, it } from 'vitest'
import { Alarm, withJitter } from '../../../node/rtu/alarm.ts'

const never = new AbortController().signal

describe('alarm', () => {
  it('a wait ends at a ring, at an abort, or after its time', async () => {
    const alarm = new Alarm()
    const rung = alarm.wait(undefined, never)
    alarm.ring()
    await rung
    const abort = new AbortController()
    const aborted = alarm.wait(undefined, abort.signal)
    abort.abort()
    await aborted
    await alarm.wait(undefined, abort.signal)
    await alarm.wait(1, never)
  })

  it('a ring that nobody waits for ends the next wait, and only that', async () => {
    const alarm = new Alarm()
    alarm.ring()
    alarm.ring()
    await alarm.wait(undefined, never)
    let over = false
    const next = alarm.wait(undefined, never).then(() => {
      over = true
    })
    await new Promise(setImmediate)
    expect(over).toBe(false)
    alarm.ring()
    await next
  })

  it('jitter is half of the time either way', () => {
    expect([withJitter(1000, () => 0), withJitter(1000, () => 0.5), withJitter(1000, () => 1)]).toEqual([
      500, 1000, 1500,
    ])
  })
})
