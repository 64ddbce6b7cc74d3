/** Attack: requests sent ahead, all that a connection may bring, in one write. What they hold of the process is bounded in each turn. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { API_LIMITS } from '../../../node/api/api.ts'
import { type Running, start } from './helper.ts'

let running: Running
afterEach(() => running.api.close())

it('requests sent ahead: all are answered, and no turn of the event loop begins more than a few', async () => {
  running = await start()
  const { node, api } = running
  let turn = 0
  let ticking = true
  const tick = (): void => {
    turn++
    if (ticking) setImmediate(tick)
  }
  tick()
  const begun = new Map<number, number>()
  const health = node.health.bind(node)
  node.health = () => {
    begun.set(turn, (begun.get(turn) ?? 0) + 1)
    return health()
  }
  const count = API_LIMITS.requestsPerConnectionMax - 1
  const socket = connect(Number(new URL(api.url).port), '127.0.0.1')
  let answers = ''
  socket.setEncoding('utf8').on('data', (text: string) => (answers += text))
  await once(socket, 'connect')
  socket.write('GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(count))
  await expect.poll(() => answers.match(/HTTP\/1\.1 200/g)?.length, { timeout: 20_000 }).toBe(count)
  ticking = false
  expect(begun.size).toBeGreaterThanOrEqual(Math.floor(count / API_LIMITS.requestsPerTurnMax))
  // The read that brought them and the turn after it may be one.
  expect(Math.max(...begun.values())).toBeLessThanOrEqual(2 * API_LIMITS.requestsPerTurnMax)
  socket.destroy()
})
