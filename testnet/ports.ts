/**
 * Stage: the operator. TCP ports for the processes of a testnet, on loopback.
 * Invariant: outside of the range from which systems take ports for outgoing connections (32768 and up on Linux, 49152 elsewhere), so that a
 * member that was killed finds its port free when it comes back.
 */
import { createServer } from 'node:net'
import { CommandError, EXIT } from '../cli/failure.ts'

const PORT_MIN = 20_000
const PORT_MAX = 32_000
const ATTEMPTS_MAX = 200

/** Whether a server could listen on 127.0.0.1:`port` now. */
export const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => server.close(() => resolve(true)))
  })

/**
 * `count` ports that are free now and not among `taken`, in ascending order, from a random place on, so that two testnets seldom look at the
 * same ones. `random` gives 0 ≤ x < 1. CommandError TESTNET_NO_PORTS (exit 75).
 */
export async function freePorts(
  count: number,
  random: () => number = Math.random,
  taken: readonly number[] = [],
): Promise<number[]> {
  const ports: number[] = []
  let next = PORT_MIN + Math.floor(random() * (PORT_MAX - PORT_MIN))
  for (let attempt = 0; attempt < count + ATTEMPTS_MAX; attempt++) {
    if (!taken.includes(next) && (await isFree(next))) ports.push(next)
    if (ports.length === count) return ports.sort((a, b) => a - b)
    next = next + 1 < PORT_MAX ? next + 1 : PORT_MIN
  }
  throw new CommandError(
    'TESTNET_NO_PORTS',
    EXIT.retry,
    `fewer than ${count} free ports between ${PORT_MIN} and ${PORT_MAX}`,
  )
}
