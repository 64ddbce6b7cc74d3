/**
 * What must never be seen, whatever was injected: two blocks at one height, a committed height that goes back, a key that signs two things at one
 * place, an answer that turns out untrue, a state that is not what the blocks say, a ledger with a hole, a proof that does not verify, honest
 * members that shut each other out, a queue beyond its bound.
 */

import { decodeBody } from '../../node/executor/body.ts'
import type { CommittedBlock } from '../../node/executor/executor.ts'
import type { MemberNode } from '../../node/main.ts'
import { NETWORK_LIMITS } from '../../node/network/limits.ts'
import { checkLedger } from '../../node/store/check.ts'
import { decodeHeader } from '../../protocol/block.ts'
import { equalBytes, fromHex, toHex } from '../../protocol/bytes.ts'
import { certificateCodec } from '../../protocol/certificate.ts'
import { decodeAs } from '../../protocol/codec.ts'
import { decodeFrame } from '../../protocol/consensus/wire.ts'
import { sha3 } from '../../protocol/crypto.ts'
import { BlockExecution, readTransaction } from '../../protocol/execution.ts'
import { chainIdOf, type Genesis } from '../../protocol/genesis.ts'
import { genesisEntries } from '../../protocol/kinds/key/record.ts'
import { verifyHeader } from '../../protocol/light.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { memberIndex, quorumSizes } from '../../protocol/members.ts'
import { encodeEntry, keyHashOf, valueHashOf } from '../../protocol/state/entry.ts'
import { naiveStateRoot } from '../protocol/state/reference.ts'
import { entriesOf } from '../simulation/checker.ts'
import type { Clients } from './clients.ts'
import { LEDGER, type Machine } from './machine.ts'
import type { Outgoing } from './network.ts'
import type { Kind } from './scenario.ts'
import type { Schedule } from './schedule.ts'

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
  /** member/what/view/seq → hash. */
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
    if (head.height > 0) this.#at(machine, head.height, toHex(head.hash), reads.certificate(head.height))
  }

  /** Whether another honest member has written all that `machine` has: else what it loses is gone. */
  hasCopy(machine: Machine, honest: readonly Machine[]): boolean {
    const own = this.#durable.get(machine) ?? 0
    return honest.some((other) => other !== machine && (this.#durable.get(other) ?? -1) >= own)
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
      const certificate = certified ? machine.node?.executor.reads.certificate(height) : undefined
      this.#at(machine, height, toHex(sealed.hash), certificate)
      this.heightMax = Math.max(this.heightMax, height)
      this.#toldTime.set(machine, sealed.header.time)
    }
  }

  /** The block at a height, with the certificate that is shown for it. */
  #at(machine: Machine, height: number, hash: string, certificate: Uint8Array | undefined): void {
    this.#schedule.note(`${machine.place} commits ${height} ${hash}`)
    const assurance = certificate === undefined ? null : this.#assurance(machine, height, certificate)
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
    const { memberSet } = this.#genesis
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
      this.#signs(machine, message.kind, view, seq, hash)
    }
    if (message.kind === 'proposal')
      this.#signs(machine, 'proposal', message.view, message.seq, toHex(sha3(message.header)))
  }

  #signs(machine: Machine, what: string, view: number, seq: number, hash: string): void {
    this.statementsWatched++
    const place = `${machine.options.index} ${what} ${view}/${seq}`
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

  /** Evidence that honest members hold must be against liars. */
  evidence(machine: Machine, liars: ReadonlySet<number>): void {
    for (const evidence of machine.node?.evidence ?? []) {
      if (evidence.kind === 'fork') {
        if (this.#kind !== 'lying') this.violation(`${machine.place} holds a fork`)
      } else if (!liars.has(evidence.member))
        this.violation(`${machine.place} holds evidence of ${evidence.kind} against honest member ${evidence.member}`)
    }
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

  /** At the end: the ledger of a stopped member is whole, and its state is what a naive machine makes of its blocks. */
  async ledger(machine: Machine): Promise<void> {
    const store = machine.disk.peek(LEDGER)
    if (store === undefined) return this.violation(`${machine.place} has no ledger`)
    const chainId = chainIdOf(this.#genesis)
    const problems = await checkLedger(store, {
      chainId,
      transactionIdsOf(body) {
        const transactions = decodeBody(body)
        if (typeof transactions === 'string') throw new Error(transactions)
        return transactions.map(sha3)
      },
    })
    for (const problem of problems) this.violation(`ledger of ${machine.place}: ${problem}`)
    await this.#replay(machine, store)
  }

  async #replay(machine: Machine, store: NonNullable<ReturnType<Machine['disk']['peek']>>): Promise<void> {
    const genesis = this.#genesis
    const { memberSet } = genesis
    const chainId = chainIdOf(genesis)
    const state = new Map<string, Uint8Array>(genesisEntries(genesis))
    const heights = new Map<string, number>([...state.keys()].map((key) => [key, 0]))
    const common = {
      // No scenario changes members yet.
      ...{ chainId, era: 0, memberSet, members: memberIndex(memberSet) },
      quorum: quorumSizes(memberSet.members.length, memberSet.parameters.percent).q,
    }
    let root: Uint8Array | undefined
    for (let height = 1; ; height++) {
      const header = store.getSync(bucketKey(1, height))
      const body = store.getSync(bucketKey(3, height))
      if (header === undefined || body === undefined) break
      const { time, stateRoot } = decodeHeader(header).header
      root = stateRoot
      const block = { ...common, height, time }
      const execution = new BlockExecution({ block, state, entries: state.size, seen: () => false })
      const transactions = decodeBody(body)
      if (typeof transactions === 'string') return this.violation(`body ${height} of ${machine.place}: ${transactions}`)
      for (const bytes of transactions) {
        const signed = readTransaction(bytes, chainId)
        if (typeof signed === 'string' || execution.apply(signed) !== null)
          return this.violation(`${machine.place} committed in ${height} what cannot be applied`)
      }
      execution.end()
      for (const [key, value] of execution.state.changes()) {
        heights.set(key, height)
        if (value === null) state.delete(key)
        else state.set(key, value)
      }
    }
    const leaves = new Map<string, Uint8Array>()
    let entries = 0
    for await (const [key, entry] of store.iterate({ gte: Uint8Array.of(5), lt: Uint8Array.of(6) })) {
      entries++
      const name = Buffer.from(key.subarray(1)).toString('utf8')
      const value = state.get(name)
      const expected = value && encodeEntry({ height: heights.get(name) ?? 0, value })
      if (expected === undefined || !equalBytes(entry, expected))
        return this.violation(`state of ${machine.place}: ${name} is not what the blocks make of it`)
      leaves.set(toHex(keyHashOf(name)), valueHashOf(entry))
    }
    if (entries !== state.size)
      this.violation(`state of ${machine.place}: ${entries} entries, the blocks make ${state.size}`)
    if (root !== undefined && !equalBytes(naiveStateRoot(leaves), root))
      this.violation(`state of ${machine.place}: the root is not that of its entries`)
  }
}

/** Key of a bucket of heights, written out: what the disk holds is read here without the product's help. */
function bucketKey(bucket: number, height: number): Uint8Array {
  const key = new Uint8Array(9)
  key[0] = bucket
  new DataView(key.buffer).setBigUint64(1, BigInt(height))
  return key
}
