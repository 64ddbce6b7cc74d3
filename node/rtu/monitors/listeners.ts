/**
 * RTU, monitor `listeners`: which sockets wait for others, compared with those of the baseline, and whose they are; and with whom
 * this machine speaks (connections.ts).
 * Invariants: a socket is known by protocol, address and port; a UDP socket on an ephemeral port (any client that asks a name server
 * has one) counts only if it is still there one cycle later; owners are looked up for unknown sockets only, since that means reading
 * every process's descriptors. Only the network namespace of this process is seen.
 */
import { list, record, text } from '../../../protocol/codec.ts'
import { attempt, type Machine, textOf } from '../machine.ts'
import { blindOf, cannotSee, detailOf, type Finding, type Monitor, type Turn, worstFindings } from '../monitor.ts'
import {
  type Connection,
  type ConnectionsBaseline,
  connectionsCodec,
  NO_CONNECTIONS,
  observeConnections,
} from './connections.ts'

/** Bounds of the monitor. */
export type ListenersOptions = {
  readonly listenersMax: number
  /** Of each file of /proc/net: about 150 bytes a socket; those that listen come first. */
  readonly tableBytesMax: number
  /** Descriptors looked at in one search for owners. */
  readonly descriptorsMax: number
}
/** 2 MiB hold about 14 000 sockets. */
export const LISTENERS_DEFAULTS: ListenersOptions = {
  listenersMax: 2048,
  tableBytesMax: 2 * 1024 * 1024,
  descriptorsMax: 65_536,
}

/** One socket that waits. `inode` is the kernel's number for it, 0 where it does not say. */
export type Listener = {
  readonly protocol: 'tcp' | 'tcp6' | 'udp' | 'udp6'
  readonly address: string
  readonly port: number
  readonly inode: number
}
/** `known`: keys of the learnt sockets. The rest is of the last cycle and is not kept on disk. */
export type ListenersBaseline = {
  readonly known: ReadonlySet<string>
  readonly connections: ConnectionsBaseline
  readonly lastInodes: ReadonlySet<number>
  /** Inode → who holds the unknown socket, in words. */
  readonly owners: ReadonlyMap<number, string>
}

const ESTABLISHED = '01'
/** Open connections that are looked at, of each table. */
const OPEN_MAX = 4096
const PROTOCOLS = ['tcp', 'tcp6', 'udp', 'udp6'] as const
// States of the kernel (include/net/tcp_states.h): TCP_LISTEN, and TCP_CLOSE, which is an unconnected UDP socket.
const WAITING = { tcp: '0A', tcp6: '0A', udp: '07', udp6: '07' } as const
const baselineCodec = record({ known: list(text(80), 1_000_000), connections: connectionsCodec })

/** Monitor of listening sockets. */
export const listenersMonitor = (options: ListenersOptions = LISTENERS_DEFAULTS): Monitor<ListenersBaseline> => ({
  name: 'listeners',
  categories: ['network.listener', 'network.peer', 'network.flow'],
  empty: () => ({ known: new Set(), connections: NO_CONNECTIONS, lastInodes: new Set(), owners: new Map() }),
  async observe(machine, baseline, turn) {
    const listeners: Listener[] = []
    const refused: string[] = []
    const open: Connection[] = []
    let connections = 0
    let cut = false
    for (const protocol of PROTOCOLS) {
      const table = attempt(() => machine.readFile(`/proc/net/${protocol}`, options.tableBytesMax))
      if ('refusal' in table) {
        // A kernel without IPv6 has no such tables, and then no such sockets either.
        if (table.refusal !== 'ENOENT' || !protocol.endsWith('6'))
          refused.push(cannotSee(protocol, `/proc/net/${protocol}`, table.refusal))
        continue
      }
      const parsed = parseSocketTable(protocol, textOf(table.value))
      listeners.push(...parsed.listeners)
      connections += parsed.connectionCount
      open.push(...parsed.open)
      cut ||= table.value.truncated
    }
    if (refused.length === PROTOCOLS.length || (listeners.length === 0 && refused.length > 1))
      return { findings: [], baseline, blind: blindOf(refused), counts: {} }
    cut ||= listeners.length > options.listenersMax
    const seen = listeners.slice(0, options.listenersMax)
    const ephemeral = ephemeralPorts(machine)
    const lasting = seen.filter(
      ({ protocol, port, inode }) =>
        protocol.startsWith('tcp') || port < ephemeral.low || port > ephemeral.high || baseline.lastInodes.has(inode),
    )
    const known = turn.learning ? learnListeners(lasting, baseline.known, options.listenersMax) : baseline.known
    const unknown = turn.learning ? [] : lasting.filter((listener) => !known.has(keyOf(listener)))
    const owners = await ownersOf(machine, unknown, baseline.owners, options.descriptorsMax, turn)
    const ports = new Set(seen.map(({ port }) => port))
    const flow = observeConnections(machine, open, ports, baseline.connections, turn.learning)
    return {
      findings: worstFindings([...scoreListeners(unknown, owners, ephemeral), ...flow.findings]),
      baseline: { known, owners, connections: flow.baseline, lastInodes: new Set(seen.map(({ inode }) => inode)) },
      blind: blindOf([...refused, flow.blind, cut ? 'more sockets than are looked at' : null]),
      counts: { listenerCount: lasting.length, listenerUnknownCount: unknown.length, connectionCount: connections },
    }
  },
  toDisk: ({ known, connections: { remotes, fanOutMax, bytesPerSecondMax } }) =>
    baselineCodec.to({ known: [...known], connections: { remotes, fanOutMax, bytesPerSecondMax } }),
  fromDisk(json) {
    const { known, connections } = baselineCodec.from(json as never, 'listeners')
    return {
      known: new Set(known.slice(0, options.listenersMax)),
      connections: { ...NO_CONNECTIONS, ...connections },
      lastInodes: new Set(),
      owners: new Map(),
    }
  },
})

const keyOf = ({ protocol, address, port }: Listener): string => `${protocol} ${address} ${port}`

/**
 * Waiting sockets of a table of /proc/net (proc_pid_net(5)), the open connections among the others, and the number of those. Lines out of
 * shape are passed over.
 */
export function parseSocketTable(
  protocol: Listener['protocol'],
  table: string,
): { listeners: readonly Listener[]; open: readonly Connection[]; connectionCount: number } {
  const listeners: Listener[] = []
  const open: Connection[] = []
  let connectionCount = 0
  for (const line of table.split('\n').slice(1)) {
    const match =
      /^\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) ([0-9A-F]{8,32}):([0-9A-F]{4}) ([0-9A-F]{2}) \S+ \S+ \S+ +\d+ +\d+ +(\d+)/.exec(
        line,
      )
    if (match === null) continue
    const [, address = '', port = '', remote = '', remotePort = '', state, inode] = match
    if (state === WAITING[protocol])
      listeners.push({ protocol, address: addressText(address), port: Number.parseInt(port, 16), inode: Number(inode) })
    else {
      connectionCount++
      if (state === ESTABLISHED && open.length < OPEN_MAX)
        open.push({
          remote: addressText(remote),
          remotePort: Number.parseInt(remotePort, 16),
          port: Number.parseInt(port, 16),
        })
    }
  }
  return { listeners, open, connectionCount }
}

/** Text of an address of /proc/net: 32-bit words in the byte order of the machine, which is little-endian wherever this runs. */
export function addressText(hex: string): string {
  const octets: number[] = []
  for (let word = 0; word < hex.length; word += 8)
    for (let i = 6; i >= 0; i -= 2) octets.push(Number.parseInt(hex.slice(word + i, word + i + 2), 16))
  if (octets.length === 4) return octets.join('.')
  if (octets.slice(0, 10).every((octet) => octet === 0) && octets[10] === 255 && octets[11] === 255)
    return `::ffff:${octets.slice(12).join('.')}`
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((octets[2 * i] ?? 0) << 8) | (octets[2 * i + 1] ?? 0)).toString(16),
  )
  return groups
    .join(':')
    .replace(/^(?:0:)+(?=[0-9a-f]+$)/, '::')
    .replace(/^::0$/, '::')
}

function ephemeralPorts(machine: Machine): { low: number; high: number } {
  const range = attempt(() => machine.readFile('/proc/sys/net/ipv4/ip_local_port_range', 64))
  const [low, high] = 'refusal' in range ? [] : textOf(range.value).trim().split(/\s+/).map(Number)
  // Linux's default where it does not say.
  return Number.isInteger(low) && Number.isInteger(high)
    ? { low: low as number, high: high as number }
    : { low: 32768, high: 60999 }
}

function learnListeners(seen: readonly Listener[], known: ReadonlySet<string>, max: number): ReadonlySet<string> {
  const learnt = new Set(known)
  for (const listener of seen) if (learnt.size < max) learnt.add(keyOf(listener))
  return learnt.size === known.size ? known : learnt
}

/** Findings about sockets that the baseline does not hold; `owners` says whose they are. */
export function scoreListeners(
  unknown: readonly Listener[],
  owners: ReadonlyMap<number, string>,
  ephemeral: { readonly low: number; readonly high: number },
): readonly Finding[] {
  return unknown.map((listener) => {
    const { protocol, address, port, inode } = listener
    const local = /^127\.|^::1$|^::ffff:127\./.test(address)
    // Programs that take any free port get another one at each start.
    const anyPort = port >= ephemeral.low && port <= ephemeral.high
    return {
      category: 'network.listener',
      subject: keyOf(listener),
      severityPpm: local ? 300_000 : 650_000,
      confidencePpm: anyPort ? (protocol.startsWith('udp') ? 300_000 : 700_000) : 950_000,
      detail: detailOf(
        `${protocol} ${address} port ${port} listens and did not in the baseline; ${owners.get(inode) ?? 'owner not known'}`,
      ),
    }
  })
}

/** Who holds each of `unknown`: from `cached`, or else by one search through the descriptors of all processes. */
async function ownersOf(
  machine: Machine,
  unknown: readonly Listener[],
  cached: ReadonlyMap<number, string>,
  descriptorsMax: number,
  turn: Turn,
): Promise<ReadonlyMap<number, string>> {
  if (unknown.length === 0) return unknown.length === cached.size ? cached : new Map()
  const owners = new Map<number, string>()
  const wanted = new Set<number>()
  for (const { inode } of unknown) {
    const owner = cached.get(inode)
    if (owner !== undefined) owners.set(inode, owner)
    else wanted.add(inode)
  }
  if (wanted.size === 0) return owners
  const listed = attempt(() => machine.readdir('/proc', 16_384))
  const pids = 'refusal' in listed ? [] : listed.value.names.filter((name) => /^[1-9][0-9]*$/.test(name))
  let descriptors = 0
  // A new socket belongs most likely to a new process: the youngest first.
  for (const pid of pids.reverse()) {
    if (wanted.size === 0 || descriptors >= descriptorsMax) break
    const names = attempt(() => machine.readdir(`/proc/${pid}/fd`, descriptorsMax - descriptors))
    if ('refusal' in names) continue
    for (const name of names.value.names) {
      descriptors++
      const link = attempt(() => machine.readlink(`/proc/${pid}/fd/${name}`))
      const inode = 'refusal' in link ? undefined : /^socket:\[(\d+)\]$/.exec(link.value)?.[1]
      if (inode === undefined || !wanted.delete(Number(inode))) continue
      const comm = attempt(() => machine.readFile(`/proc/${pid}/comm`, 64))
      owners.set(Number(inode), `held by ${'refusal' in comm ? 'a process' : textOf(comm.value).trim()} (pid ${pid})`)
    }
    await turn.pause()
    if (machine.monotonicMs() > turn.deadlineMs) return owners
  }
  for (const inode of wanted) owners.set(inode, 'its owner may not be read')
  return owners
}
