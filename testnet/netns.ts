/**
 * Stage: the operator. A network of namespaces: each member in one of its own, on a bridge in another; a second line from each to this machine
 * carries its API, so that what happens to the network does not blind us. Needs root, iproute2 and nftables.
 * Invariants: partitions are packets dropped by nftables at the receiver, so TCP behaves as on a real line; delay, jitter and loss are netem's,
 * where the kernel has it, and else refused with what is missing; all names carry our process id, and all goes when the namespaces go.
 */
import { join } from 'node:path'
import { CommandError, EXIT } from '../cli/failure.ts'
import type { MemberPlace } from './homes.ts'
import { type Condition, type Conditions, OPEN } from './links.ts'
import { isRoot, missingTools, NAMESPACES, ownInterface, ownName, runTool } from './tools.ts'
import { multiaddrAt, type Seat, type Transport } from './transport.ts'

/** Interface of a member towards the others. */
const LINE = 'net0'
const CONTROL = 'api0'
/** On the bridge; it is nobody else's, since the bridge is in a namespace. */
const lineAddress = (i: number): string => `10.213.0.${i + 1}`
/** First place on the bridge of those that are no members. */
const GUESTS_FROM = 100
/** Token bucket of a limited line: a burst of 32 KiB, and what waits longer than this is dropped. */
const BURST_BYTES = 32 * 1024
const QUEUE_MS = 400

const advice = 'Use --network relay, which needs neither root nor the kernel, or a machine that has it.'
const refusal = (what: string): CommandError =>
  new CommandError('TESTNET_NETWORK', EXIT.unavailable, `--network netns: ${what}`, { advice })

/** How the line of a member shapes what leaves it; commands for tc. Exported for its test. */
export function shapeWords(condition: Condition, hasNetem: boolean): string[] {
  const { delayMs, jitterMs, lossPercent, rateBitsPerS } = condition
  if (hasNetem && (delayMs > 0 || jitterMs > 0 || lossPercent > 0))
    return [
      ...['qdisc', 'replace', 'dev', LINE, 'root', 'netem', 'limit', '10000'],
      ...['delay', `${delayMs}ms`, ...(jitterMs > 0 ? [`${jitterMs}ms`] : [])],
      ...(lossPercent > 0 ? ['loss', `${lossPercent}%`] : []),
      ...(rateBitsPerS === null ? [] : ['rate', `${rateBitsPerS}bit`]),
    ]
  if (rateBitsPerS !== null)
    return [
      ...['qdisc', 'replace', 'dev', LINE, 'root', 'tbf', 'rate', `${rateBitsPerS}bit`],
      ...['burst', String(BURST_BYTES), 'latency', `${QUEUE_MS}ms`],
    ]
  return ['qdisc', 'replace', 'dev', LINE, 'root', 'pfifo_fast']
}

/** Rules of a member for what comes in, for nft: whose packets are dropped, and whose connections are reset. Exported for its test. */
export function inputRules(held: readonly string[], cut: readonly string[]): string {
  const rule = (from: readonly string[], verdict: string): string =>
    from.length === 0 ? '' : `    iifname "${LINE}" ip saddr { ${from.join(', ')} } ${verdict}\n`
  return [
    'table inet althing\ndelete table inet althing\ntable inet althing {\n  chain input {\n',
    '    type filter hook input priority 0; policy accept;\n',
    rule(held, 'drop'),
    rule(cut, 'meta l4proto tcp reject with tcp reset'),
    '  }\n}\n',
  ].join('')
}

/** Namespaces joined by a bridge. */
export class Netns implements Transport {
  readonly name = 'netns'
  readonly #members: readonly MemberPlace[]
  readonly #guests: readonly string[]
  readonly #hub = ownName('hub')
  #hasNetem = false
  /** Third byte of the addresses of the control lines, free on this machine. */
  #octet = 0

  private constructor(members: readonly MemberPlace[], guests: readonly string[]) {
    this.#members = members
    this.#guests = guests
  }

  /**
   * A network for `members`, and for `guests` on the same bridge, whose lines nobody disturbs; nothing is made yet. CommandError TESTNET_NETWORK
   * (exit 69) with all that is missing here.
   */
  static async prepare(members: readonly MemberPlace[], guests: readonly string[] = []): Promise<Netns> {
    const missing = await missingTools([
      'ip',
      'tc',
      'nft',
      'nsenter',
      ...(guests.length > 0 ? (['unshare'] as const) : []),
    ])
    if (!isRoot()) missing.unshift('root')
    if (missing.length > 0) throw refusal(`needs ${missing.join(', ')}`)
    const network = new Netns(members, guests)
    await network.#probe()
    return network
  }

  // Whether namespaces can be made at all, and what their kernel can do: tried, not guessed.
  async #probe(): Promise<void> {
    const name = ownName('probe')
    try {
      await runTool('ip', ['netns', 'add', name])
      this.#hasNetem = await this.#inside(
        name,
        'tc',
        'qdisc',
        'add',
        'dev',
        'lo',
        'root',
        'netem',
        'delay',
        '1ms',
      ).then(
        () => true,
        () => false,
      )
    } finally {
      await runTool('ip', ['netns', 'del', name]).catch(() => undefined)
    }
  }

  #inside(namespace: string, ...words: string[]): Promise<string> {
    return runTool('nsenter', [`--net=${join(NAMESPACES, namespace)}`, '--', ...words])
  }

  async open(): Promise<void> {
    const addresses = await runTool('ip', ['-4', '-o', 'address'])
    this.#octet = Array.from({ length: 256 }, (_, i) => i).find((i) => !addresses.includes(` 10.214.${i}.`)) ?? 0
    await runTool('ip', ['netns', 'add', this.#hub])
    await this.#inside(this.#hub, 'ip', 'link', 'add', 'bridge0', 'type', 'bridge')
    await this.#inside(this.#hub, 'ip', 'link', 'set', 'bridge0', 'up')
    for (const [i, { name }] of this.#members.entries()) {
      await this.#join(i, ownName(name))
      await this.#addControlLine(i, ownName(name))
    }
    for (const [i, name] of this.#guests.entries()) await this.#join(GUESTS_FROM + i, ownName(name))
  }

  async #join(i: number, namespace: string): Promise<void> {
    await runTool('ip', ['netns', 'add', namespace])
    const inside = (...words: string[]): Promise<string> => this.#inside(namespace, 'ip', ...words)
    await inside('link', 'set', 'lo', 'up')
    // The line to the bridge, made where it belongs.
    await inside('link', 'add', LINE, 'type', 'veth', 'peer', 'name', `port${i}`, 'netns', this.#hub)
    await this.#inside(this.#hub, 'ip', 'link', 'set', `port${i}`, 'master', 'bridge0', 'up')
    await inside('address', 'add', `${lineAddress(i)}/24`, 'dev', LINE)
    await inside('link', 'set', LINE, 'up')
  }

  // To this machine.
  async #addControlLine(i: number, namespace: string): Promise<void> {
    const inside = (...words: string[]): Promise<string> => this.#inside(namespace, 'ip', ...words)
    const outside = ownInterface(i)
    await runTool('ip', ['link', 'add', outside, 'type', 'veth', 'peer', 'name', CONTROL, 'netns', namespace])
    await runTool('ip', ['address', 'add', `${this.#control(i, 1)}/30`, 'dev', outside])
    await runTool('ip', ['link', 'set', outside, 'up'])
    await inside('address', 'add', `${this.#control(i, 2)}/30`, 'dev', CONTROL)
    await inside('link', 'set', CONTROL, 'up')
  }

  #control(i: number, host: 1 | 2): string {
    return `10.214.${this.#octet}.${4 * i + host}`
  }

  /** Where the member `name` listens on the bridge. */
  lineOf(name: string): string {
    const i = this.#members.findIndex((member) => member.name === name)
    return multiaddrAt(lineAddress(i), this.#members[i] as MemberPlace)
  }

  /** Address of the guest `name` on the bridge. */
  guestAddress(name: string): string {
    return lineAddress(GUESTS_FROM + this.#guests.indexOf(name))
  }

  seatOf(member: string): Seat {
    const i = this.#members.findIndex(({ name }) => name === member)
    const me = this.#members[i] as MemberPlace
    const apiHost = this.#control(i, 2)
    const peers = this.#members.flatMap((peer, at) =>
      at === i ? [] : [`${peer.name}=${multiaddrAt(lineAddress(at), peer)}`],
    )
    return {
      before: ['nsenter', `--net=${join(NAMESPACES, ownName(member))}`, '--'],
      settings: {
        'network.listen': multiaddrAt(lineAddress(i), me),
        'network.peers': peers.join(','),
        'api.listen': `${apiHost}:${me.apiPort}`,
        'metrics.listen': `${apiHost}:${me.metricsPort}`,
      },
      apiHost,
    }
  }

  refuses(conditions: Conditions): string | null {
    for (const { name } of this.#members) {
      const shapes = this.#shapesOf(name, conditions)
      if (new Set(shapes.map((shape) => JSON.stringify(shape))).size > 1)
        return 'netns shapes all that leaves a member, not single links: name whole members, or use --network relay'
      const [shape = OPEN] = shapes
      if (!this.#hasNetem && (shape.delayMs > 0 || shape.jitterMs > 0 || shape.lossPercent > 0))
        return 'delay, jitter and loss need netem, which this kernel does not have (module sch_netem): use --network relay'
    }
    return null
  }

  // What each open link out of `from` should be like.
  #shapesOf(from: string, conditions: Conditions): Condition[] {
    return this.#members
      .filter(({ name }) => name !== from)
      .map(({ name: to }) => ({ ...conditions({ from, to }), passage: 'open' }) as const)
  }

  async apply(conditions: Conditions): Promise<void> {
    const refused = this.refuses(conditions)
    if (refused !== null) throw refusal(refused)
    await Promise.all(
      this.#members.map(async ({ name }) => {
        const namespace = ownName(name)
        const [shape = OPEN] = this.#shapesOf(name, conditions)
        await this.#inside(namespace, 'tc', ...shapeWords(shape, this.#hasNetem))
        const from = (passage: Condition['passage']): string[] =>
          this.#members.flatMap((other, i) =>
            other.name !== name && conditions({ from: other.name, to: name }).passage === passage
              ? [lineAddress(i)]
              : [],
          )
        const words = [`--net=${join(NAMESPACES, namespace)}`, '--', 'nft', '-f', '-']
        await runTool('nsenter', words, inputRules(from('held'), from('cut')))
      }),
    )
  }

  async close(): Promise<void> {
    // Not left to the end of their namespaces: that waits for connections in it that nobody answers any more.
    for (const i of this.#members.keys()) await runTool('ip', ['link', 'del', ownInterface(i)]).catch(() => undefined)
    for (const name of [...[...this.#members.map(({ name }) => name), ...this.#guests].map(ownName), this.#hub])
      await runTool('ip', ['netns', 'del', name]).catch(() => undefined)
  }
}
