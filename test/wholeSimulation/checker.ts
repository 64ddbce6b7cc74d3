/**
 * What must never be seen, whatever was injected: two blocks at one height, a committed height that goes back, a key that signs two things at one
 * place, an answer that turns out untrue, a state that is not what the blocks say, a ledger with a hole, a proof that does not verify, honest
 * members that shut each other out, a queue beyond its bound.
 */

import type { CommittedBlock } from '../../node/executor/executor.ts'
import type { MemberNode } from '../../node/main.ts'
import { NETWORK_LIMITS } from '../../node/network/limits.ts'
import { fromHex, toHex } from '../../protocol/bytes.ts'
import { certificateCodec } from '../../protocol/certificate.ts'
import { decodeAs } from '../../protocol/codec.ts'
import { decodeFrame } from '../../protocol/consensus/wire.ts'
import { sha3 } from '../../protocol/crypto.ts'
import { chainIdOf, type Genesis } from '../../protocol/genesis.ts'
import { verifyHeader } from '../../protocol/light.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { type MemberSet, quorumSizes } from '../../protocol/members.ts'
import { entriesOf } from '../simulation/checker.ts'
import type { Clients } from './clients.ts'
import type { Machine } from './machine.ts'
import type { Kind } from './scenario.ts'
import type { Schedule } from './schedule.ts'
import type { Outgoing } from './twist.ts'

/** Bounds that are looked at while the run goes on; those of the product, or what a run of this size may not reach. */
const STATE_ENTRIES_MAX = 12_000
const SPECULATIONS_MAX = 64
/** Events that one process waits for: timers, writes, frames under way to it. */
const PENDING_MAX = 40_000

type Seen = { readonly hash: string; readonly by: string; readonly assurance: number | null }

export class Checker {
  readonly violations: string[] = []
  readonly chain = new Map<number, Seen>()
  heightMax = 0
  transactions = 0
  certificatesChecked = 0
  proofsChecked = 0
  statementsWatched = 0
  readonly highest = { stateEntries: 0, pending: 0, pool: 0, speculations: 0, heldFrames: 0 }
  readonly #schedule: Schedule
  readonly #genesis: Genesis
  readonly #kind: Kind
  readonly #liars: number
  /** Machine → committed height that its disk acknowledged. */
  readonly #durable = new Map<Machine, number>()
  /** Machine → time of the last block that it told of. */
  readonly #toldTime = new Map<Machine, number>()
  /** member, what, era/view/seq → hash. */
  readonly #signed = new Map<string, string>()
  readonly #looked = new WeakSet<Uint8Array>()

  constructor(schedule: Schedule, genesis: Genesis, kind: Kind, liars: number) {
    this.#schedule = schedule
    this.#genesis = genesis
    this.#kind = kind
    this.#liars = liars
  }

  violation(text: string): void {
    if (this.violations.length < 20) this.violations.push(`${text} (t=${this.#schedule.now.toFixed(1)})`)
  }

  /** An honest member opened its ledger. */
  opened(machine: Machine, { executor: { head, reads } }: MemberNode): void {
    const before = this.#durable.get(machine) ?? 0
    if (head.height < before) this.violation(`${machine.place} opened at ${head.height}, ${before} was durable`)
    // What was made and not acknowledged before a crash counts as well.
    this.#durable.set(machine, head.height)
    const { height } = head
    if (height > 0)
      this.#at(
        machine,
        height,
        toHex(head.hash),
        machine.disk.unfailing(() => reads.certificate(height)),
      )
  }

  /** Whether another honest member has written all that `machine` has: else what it loses is gone. */
  hasCopy(machine: Machine, members: readonly Machine[]): boolean {
    const own = this.#durable.get(machine) ?? 0
    return members.some((other) => other !== machine && other.keepsAll && (this.#durable.get(other) ?? -1) >= own)
  }

  /** Its ledger was lost on purpose. */
  forgets(machine: Machine): void {
    this.#durable.delete(machine)
  }

  /** An honest member committed. */
  committed(machine: Machine, blocks: readonly CommittedBlock[]): void {
    for (const { height, sealed, transactions, certified } of blocks) {
      const durable = this.#durable.get(machine) ?? 0
      // Blocks that were committed while the start was not yet over are told afterwards.
      if (height > durable + 1) this.violation(`${machine.place} commits ${height} after ${durable}`)
      this.#durable.set(machine, Math.max(height, durable))
      if (!this.chain.has(height)) this.transactions += transactions.length
      const { disk, node } = machine
      const certificate = certified ? disk.unfailing(() => node?.executor.reads.certificate(height)) : undefined
      this.#at(machine, height, toHex(sealed.hash), certificate)
      this.heightMax = Math.max(this.heightMax, height)
      this.#toldTime.set(machine, sealed.header.time)
    }
  }

  /** The block at a height, with the certificate that is shown for it. */
  #at(machine: Machine, height: number, hash: string, certificate: Uint8Array | undefined): void {
    this.#schedule.note(`${machine.place} commits ${height} ${hash}`)
    const assurance =
      certificate === undefined ? null : machine.disk.unfailing(() => this.#assurance(machine, height, certificate))
    const first = this.chain.get(height)
    if (first === undefined) {
      this.chain.set(height, { hash, by: machine.place, assurance })
      return
    }
    if (first.hash === hash) return
    // With liars and without timing, blocks that both withstand them contradict nothing; others may (agreement.md §7).
    const assured = [first.assurance, assurance].every((worth) => worth !== null && worth >= this.#liars)
    if (this.#kind !== 'lying' || assured)
      this.violation(`two blocks at ${height}: ${hash} at ${machine.place}, ${first.hash} at ${first.by}`)
  }

  /** What a certificate is worth by its signatures, counted here; it must verify, and say of itself what it is worth. */
  #assurance(machine: Machine, height: number, encoded: Uint8Array): number {
    this.certificatesChecked++
    const sealed = machine.node?.executor.reads.headerAt(height)
    if (sealed === undefined) return -1
    const memberSet = machine.node?.executor.reads.memberSet(sealed.header.memberSetHash)
    if (memberSet === undefined) {
      this.violation(`${machine.place} does not know the members of ${height}`)
      return -1
    }
    const certificate = decodeAs(certificateCodec, encoded)
    const verified = verifyHeader(sealed, certificate, memberSet, chainIdOf(this.#genesis))
    if (!('signers' in verified)) {
      this.violation(`${machine.place} keeps a certificate of ${height} that does not verify: ${verified.code}`)
      return -1
    }
    const { n, q } = quorumSizes(memberSet.members.length, memberSet.parameters.percent)
    const worth = new Set(certificate.signatures.map(toHex)).size + q - n - 1
    if (worth !== verified.assurance)
      this.violation(`${height} claims to be worth ${verified.assurance}, it is ${worth}`)
    return worth
  }

  /** A light peer saw a header that verified. */
  saw(height: number, hash: string): void {
    this.proofsChecked++
    const known = this.chain.get(height)
    // A device may hear of a block before any honest member has written it.
    if (known !== undefined && known.hash !== hash && this.#kind !== 'lying')
      this.violation(`a light peer was shown ${hash} at ${height}, the chain has ${known.hash}`)
  }

  /** Everything that leaves an honest member: one key signs one thing at one place. */
  sent(machine: Machine, { channel, bytes }: Outgoing): void {
    if (channel !== 'message' && channel !== 'push') return
    const max = channel === 'message' ? LIMITS.consensusMessageBytesMax : NETWORK_LIMITS.pushBytesMax
    if (bytes.length > max) this.violation(`${machine.place} sends ${bytes.length} bytes as ${channel}`)
    if (this.#looked.has(bytes)) return
    this.#looked.add(bytes)
    const frame = decodeFrame(bytes)
    if (frame.kind === 'link') return
    const message = frame.message.unverified
    if (message.kind === 'vote' || message.kind === 'commit') {
      const { view, seq, hash } = message.slot
      // A member relays only its own votes and commits.
      this.#signs(machine, message.kind, `${message.era}/${view}/${seq}`, hash)
    }
    if (message.kind === 'proposal')
      this.#signs(machine, 'proposal', `${message.era}/${message.view}/${message.seq}`, toHex(sha3(message.header)))
  }

  /** `slot`: era, view and seq. */
  #signs(machine: Machine, what: string, slot: string, hash: string): void {
    this.statementsWatched++
    const place = `${machine.options.index} ${what} ${slot}`
    const before = this.#signed.get(place)
    if (before !== undefined && before !== hash)
      this.violation(`${machine.place} signs twice: ${place}, ${before} and ${hash}`)
    this.#signed.set(place, hash)
  }

  /** Memory and queues of a running member. */
  watch(machine: Machine): void {
    const { node, run } = machine
    if (node === undefined || run === undefined) return
    const { pool, executor, driver } = node
    const look = (name: keyof Checker['highest'], value: number, max: number): void => {
      this.highest[name] = Math.max(this.highest[name], value)
      if (value > max) this.violation(`${machine.place}: ${name} is ${value}, more than ${max}`)
    }
    const { countMax, bytesMax } = machine.options.pool
    look('pool', pool.stats.count, countMax)
    if (pool.stats.bytes > bytesMax) this.violation(`${machine.place} holds ${pool.stats.bytes} bytes in its pool`)
    look('speculations', executor.usage.speculations, SPECULATIONS_MAX)
    look('stateEntries', entriesOf(driver.state), STATE_ENTRIES_MAX)
    look('pending', run.scope.pending, PENDING_MAX)
    look('heldFrames', run.network?.heldFramesMax ?? 0, NETWORK_LIMITS.sendQueueFramesMax)
    if (node.evidence.length > 256) this.violation(`${machine.place} keeps ${node.evidence.length} pieces of evidence`)
  }

  /** Evidence that honest members hold, or have brought to the ledger, must be against liars. `liars`: their keys. */
  async evidence(machine: Machine, liars: ReadonlySet<string>, sets: readonly MemberSet[]): Promise<void> {
    const { node } = machine
    if (node === undefined) return
    for (const evidence of node.evidence) {
      if (evidence.kind === 'fork') {
        if (this.#kind !== 'lying') this.violation(`${machine.place} holds a fork`)
        // Of which era it is, it does not say: its members had other places in some.
      } else if (!sets.some(({ members: { [evidence.member]: one } }) => one && liars.has(toHex(one.publicKey))))
        this.violation(`${machine.place} holds evidence of ${evidence.kind} against honest member ${evidence.member}`)
    }
    for (const { key } of (await node.executor.reads.states('evidence/', 1000)).items)
      if (!liars.has(key.split('/')[1] ?? ''))
        this.violation(`the ledger holds evidence against an honest member: ${key}`)
  }

  /** At the end: what was answered is true at every honest member. */
  async acknowledged(clients: Clients, machines: readonly Machine[]): Promise<void> {
    for (const machine of machines) {
      const { node, service, run } = machine
      if (node === undefined || service === undefined) continue
      for (const write of clients.writes.values()) {
        const place = node.executor.reads.transaction(fromHex(write.id))
        if (write.committed !== undefined) {
          const hash = place && node.executor.reads.headerAt(place.height)?.hash
          if (hash === undefined || toHex(hash) !== write.committed.block || place?.height !== write.committed.height)
            this.violation(
              `${write.id}, committed in ${write.committed.height} as ${write.committed.by} said, is not at ${machine.place}`,
            )
        }
        const tookIt = write.accepted.some((one) => one.machine === machine && one.run === run?.number)
        if (!tookIt || place !== undefined) continue
        const known = await service.dependencies.transaction(write.id)
        if (known === undefined) this.violation(`${machine.place} answered 202 to ${write.id} and knows nothing of it`)
        // The head moves before the pool hears of it.
        if (known?.state === 'pending' && write.validUntil < (this.#toldTime.get(machine) ?? 0))
          this.violation(`${write.id} has expired and still waits at ${machine.place}`)
      }
    }
  }
}
