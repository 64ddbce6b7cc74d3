/**
 * RTU, part of the monitor `listeners`: with whom this machine speaks, how many there are, and how much flows.
 * Invariants: it works on what the socket tables of one cycle say, so that they are read once; at most `REMOTES_MAX` addresses are learnt, and where
 * there are more this part is silent and says so; loopback is nobody.
 */
import { integer, list, record, type TypeOf, text } from '../../../protocol/codec.ts'
import { attempt, type Machine, textOf } from '../machine.ts'
import { detailOf, type Finding } from '../monitor.ts'

/** Remote addresses that are learnt. Beyond, a new one is nothing unusual. */
export const REMOTES_MAX = 1024
/** New addresses that are named one by one. */
const NAMED_MAX = 8
/** Above so many times the most that was learnt, and above these floors, a rate is a finding. */
const TIMES = 4
const FAN_OUT_FLOOR = 32
const BYTES_PER_SECOND_FLOOR = 1_000_000
/** Cycles in a row that a rate has to be high. */
const CYCLES = 3

/** Part of the baseline on disk. */
export const connectionsCodec = record({
  remotes: list(text(64), REMOTES_MAX),
  fanOutMax: integer(),
  bytesPerSecondMax: integer(),
})
/** What was learnt, and the last reading. */
export type ConnectionsBaseline = TypeOf<typeof connectionsCodec> & {
  readonly last: { readonly bytes: number; readonly atMs: number } | null
  readonly cyclesHigh: number
}
/** Nothing yet. */
export const NO_CONNECTIONS: ConnectionsBaseline = {
  ...{ remotes: [], fanOutMax: 0, bytesPerSecondMax: 0 },
  ...{ last: null, cyclesHigh: 0 },
}

/** An open connection: `port` is that of this machine. */
export type Connection = { readonly remote: string; readonly remotePort: number; readonly port: number }

const LOCAL = /^127\.|^::1$|^::ffff:127\.|^0\.0\.0\.0$|^::$/

/** Findings about `open`, and the baseline after this cycle. `listening`: ports at which this machine waits. */
export function observeConnections(
  machine: Machine,
  open: readonly Connection[],
  listening: ReadonlySet<number>,
  before: ConnectionsBaseline,
  learning: boolean,
): { findings: readonly Finding[]; baseline: ConnectionsBaseline; blind: string | null } {
  const outside = open.filter(({ remote }) => !LOCAL.test(remote))
  const remotes = new Map(outside.map((one) => [one.remote, one]))
  const bytes = interfaceBytes(machine)
  const atMs = machine.monotonicMs()
  const seconds = before.last === null ? 0 : (atMs - before.last.atMs) / 1000
  // Counters go back where an interface was made anew.
  const rate =
    bytes === undefined || before.last === null || seconds <= 0 || bytes < before.last.bytes
      ? undefined
      : Math.round((bytes - before.last.bytes) / seconds)
  const last = bytes === undefined ? null : { bytes, atMs }
  const blind = bytes === undefined ? 'cannot see how much flows' : null
  if (learning) {
    const learnt = [...new Set([...before.remotes, ...remotes.keys()])].slice(0, REMOTES_MAX)
    const fanOutMax = Math.max(before.fanOutMax, remotes.size)
    const bytesPerSecondMax = Math.max(before.bytesPerSecondMax, rate ?? 0)
    return { findings: [], baseline: { remotes: learnt, fanOutMax, bytesPerSecondMax, last, cyclesHigh: 0 }, blind }
  }
  const isFast = rate !== undefined && rate > Math.max(BYTES_PER_SECOND_FLOOR, TIMES * before.bytesPerSecondMax)
  const cyclesHigh = isFast ? before.cyclesHigh + 1 : 0
  const findings = [...newRemotes(remotes, before, listening), ...fanOut(remotes.size, before)]
  if (cyclesHigh >= CYCLES)
    findings.push({
      category: 'network.flow',
      subject: 'bytes',
      severityPpm: 500_000,
      confidencePpm: 400_000,
      detail: detailOf(`${rate} bytes a second flow, at most ${before.bytesPerSecondMax} did in the baseline`),
    })
  return {
    findings,
    baseline: { ...before, last, cyclesHigh },
    blind: before.remotes.length >= REMOTES_MAX ? `more than ${REMOTES_MAX} addresses to learn` : blind,
  }
}

function newRemotes(
  remotes: ReadonlyMap<string, Connection>,
  { remotes: learnt }: ConnectionsBaseline,
  listening: ReadonlySet<number>,
): Finding[] {
  if (learnt.length >= REMOTES_MAX) return []
  const known = new Set(learnt)
  return [...remotes]
    .filter(([remote]) => !known.has(remote))
    .slice(0, NAMED_MAX)
    .map(([remote, { remotePort, port }]) => {
      // Whoever offers a service is called by strangers; that this machine calls one is rarer.
      const isCalled = listening.has(port)
      const words = isCalled
        ? `${remote} is connected to port ${port}`
        : `this machine is connected to ${remote} port ${remotePort}`
      return {
        category: 'network.peer',
        subject: remote,
        severityPpm: isCalled ? 250_000 : 450_000,
        confidencePpm: isCalled ? 300_000 : 500_000,
        detail: detailOf(`${words}, which was no peer in the baseline`),
      }
    })
}

function fanOut(count: number, { fanOutMax }: ConnectionsBaseline): Finding[] {
  if (count <= Math.max(FAN_OUT_FLOOR, TIMES * fanOutMax)) return []
  const detail = detailOf(`connections to ${count} addresses, to ${fanOutMax} at most in the baseline`)
  return [{ category: 'network.flow', subject: 'fan-out', severityPpm: 600_000, confidencePpm: 700_000, detail }]
}

/** Bytes in and out of all interfaces but loopback (/proc/net/dev); undefined where the system does not say. */
function interfaceBytes(machine: Machine): number | undefined {
  const content = attempt(() => machine.readFile('/proc/net/dev', 64 * 1024))
  if ('refusal' in content) return undefined
  let total = 0
  for (const line of textOf(content.value).split('\n').slice(2)) {
    const [name = '', counters = ''] = line.split(':')
    if (name.trim() === '' || name.trim() === 'lo') continue
    const fields = counters.trim().split(/ +/).map(Number)
    total += (fields[0] ?? 0) + (fields[8] ?? 0)
  }
  return Number.isSafeInteger(total) ? total : undefined
}
