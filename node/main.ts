/**
 * The wiring of a member's daemon: the one place that builds things (house.md). In order of the river: keys, store, ledger, pool, intake,
 * network, consensus, blocks.
 * Invariants: nothing listens before the signing record and the ledger are open and whole; `stop` ends in bounded time; what is fatal ends
 * in `fatal`, once.
 */
import { fromHex, toHex, ZERO_HASH } from '../protocol/bytes.ts'
import { certificateCodec } from '../protocol/certificate.ts'
import { decodeAs } from '../protocol/codec.ts'
import type { Evidence } from '../protocol/consensus/events.ts'
import { decodeRecord } from '../protocol/consensus/record.ts'
import type { State } from '../protocol/consensus/state.ts'
import { type Beginning, initialState } from '../protocol/consensus/step.ts'
import type { Block, Era } from '../protocol/consensus/types.ts'
import { createSigner, createVerifier, type Verifier } from '../protocol/consensus/verify.ts'
import { installPrimitives, publicKeyOf } from '../protocol/crypto.ts'
import { checkTransaction } from '../protocol/execution.ts'
import { chainIdOf, type Genesis } from '../protocol/genesis.ts'
import { leaderOf, memberIndex, type PublicKeyHex, quorumSizes } from '../protocol/members.ts'
import { VERDICTS } from '../protocol/verdict.ts'
import { blockOf, Driver } from './consensus/driver.ts'
import { isRecovering, openMemberLedger, openRecord } from './dataDirectory.ts'
import { AlthingError } from './errors.ts'
import { type CommittedBlock, Executor } from './executor/executor.ts'
import { Congestion } from './intake/congestion.ts'
import { Handing } from './intake/handing.ts'
import { Intake } from './intake/intake.ts'
import { peerRoleOf } from './light/roles.ts'
import { serveDevices } from './light/serve.ts'
import type { NetworkLimits } from './network/limits.ts'
import type { MemberAddresses, Network, NetworkLog } from './network/network.ts'
import { type Platform, systemPlatform } from './platform.ts'
import { Pool, type PoolObserver } from './pool/pool.ts'
import { Roster } from './service/roster.ts'
import type { LedgerStore } from './store/ledgerStore.ts'
import type { DirectoryLock } from './store/lock.ts'
import { requireSigningRecord, type SigningRecord, signingDirectory } from './store/signingRecord.ts'
import { Blocks, BUILD_BOUNDS } from './sync/blocks.ts'
import { serveBlocks } from './sync/serve.ts'
import { althingVersion } from './version.ts'

/** The logger that the parts of a node use; pino fits. */
export type NodeLog = NetworkLog & { error(fields: object, message: string): void }

/** What a member's daemon is made of. */
export type MemberOptions = {
  readonly genesis: Genesis
  readonly dataDirectory: string
  /** 32-byte secret of the member. */
  readonly secretKey: Uint8Array
  readonly listen: readonly string[]
  readonly announce: readonly string[]
  readonly addresses: readonly MemberAddresses[]
  readonly pool: { readonly bytesMax: number; readonly countMax: number }
  /** Bounds of the network other than its defaults. */
  readonly networkLimits?: Partial<NetworkLimits>
  readonly diskFreeBytesMin: number
  /** Start without a signing record (agreement.md §6). */
  readonly recover: boolean
  /** Hears how transactions leave the pool. */
  readonly poolObserver?: PoolObserver
  readonly log: NodeLog
  /** Called once, when the node cannot go on. */
  readonly fatal: (error: unknown) => void
}

type Parts = {
  readonly lock: DirectoryLock
  readonly record: SigningRecord
  readonly ledger: LedgerStore
  readonly signatures: ReturnType<Platform['createSignatures']>
  readonly blocks: Blocks
  readonly handing: Handing
  readonly congestion: Congestion
  /** Arrival here, monotonic ms, of the newest transaction committed since this was asked last. */
  newestSeenAt(): number
}

/** Version of this program. */
export const VERSION: string = althingVersion()

/** Submitters are pushed back when the event loop is late by this part of Δ (a stall is a quarter), and so many transactions wait. */
const CONGESTION_SHARE = 10
const CONGESTION_WAITING_MIN = 500

/** A running member. */
export class MemberNode {
  readonly version = VERSION
  readonly genesis: Genesis
  readonly chainId: Uint8Array
  /** What this member knows of the others. */
  readonly roster: Roster
  readonly executor: Executor
  readonly pool: Pool
  readonly intake: Intake
  readonly network: Network
  readonly driver: Driver
  readonly me: number
  readonly startedAt: number
  readonly #parts: Parts
  readonly #listeners = new Set<(blocks: readonly CommittedBlock[]) => void>()
  readonly evidence: Evidence[] = []
  #stopping: Promise<void> | undefined

  private constructor(
    fields: Pick<MemberNode, 'genesis' | 'roster' | 'executor' | 'pool' | 'intake' | 'network' | 'driver' | 'me'>,
    parts: Parts,
    startedAt: number,
  ) {
    this.genesis = fields.genesis
    this.chainId = chainIdOf(fields.genesis)
    this.roster = fields.roster
    this.executor = fields.executor
    this.pool = fields.pool
    this.intake = fields.intake
    this.network = fields.network
    this.driver = fields.driver
    this.me = fields.me
    this.#parts = parts
    this.startedAt = startedAt
  }

  /** Opens everything on `platform`, in the order of the river, and starts. Throws AlthingError of whichever part cannot start. */
  static async start(options: MemberOptions, platform: Platform = systemPlatform): Promise<MemberNode> {
    installPrimitives(platform.primitives)
    const { genesis } = options
    const { disk } = platform
    const chainId = chainIdOf(genesis)
    const publicKey = toHex(publicKeyOf(options.secretKey))
    const index = memberIndex(genesis.memberSet)
    const me = index.get(publicKey)
    if (me === undefined)
      throw new AlthingError(
        'NOT_A_MEMBER',
        `the key ${publicKey} of this node is not among the members of the genesis`,
        { exitCode: 78 },
      )
    if (options.recover) await disk.createDirectory(options.dataDirectory)
    else await requireSigningRecord(signingDirectory(options.dataDirectory), disk)
    const opened = new Opened()
    try {
      return await MemberNode.#build(options, platform, { chainId, publicKey, index, me, opened })
    } catch (error) {
      // What was opened before the part that failed must not stay locked.
      await opened.close()
      throw error
    }
  }

  static async #build(
    options: MemberOptions,
    platform: Platform,
    {
      chainId,
      publicKey,
      index,
      me,
      opened,
    }: { chainId: Uint8Array; publicKey: string; index: ReadonlyMap<string, number>; me: number; opened: Opened },
  ): Promise<MemberNode> {
    const { genesis, dataDirectory, log } = options
    const { clock, pace, disk } = platform
    const lock = opened.add(await disk.lock(dataDirectory), (it) => it.release())
    const record = opened.add(await openRecord(dataDirectory, options.recover, disk), (it) => it.close())
    const ledger = opened.add(
      await openMemberLedger(genesis, dataDirectory, options.diskFreeBytesMin, { disk, clock, log }),
      (it) => it.close(),
    )
    const executor = await Executor.open(genesis, ledger, { speculationsMax: 64 })
    const { memberSet } = genesis
    const { parameters } = memberSet
    const state = { get: (key: string) => executor.reads.state(key)?.value }
    // Arrival here of the newest transaction in the blocks that are being committed.
    let newestSeenAt = 0
    const observer: PoolObserver = {
      committed(id, waitedMs) {
        newestSeenAt = Math.max(newestSeenAt, clock.monotonic() - waitedMs)
        handing.left(id)
        options.poolObserver?.committed(id, waitedMs)
      },
      dropped(entry, code) {
        handing.left(entry.id)
        options.poolObserver?.dropped(entry, code)
      },
    }
    const pool = new Pool(
      {
        ...options.pool,
        spanMs: Math.max(1, Math.floor(parameters.inclusionTimeoutMs / 4)),
        committedMax: 100_000,
        listenersMax: 10_000,
        blockTime: executor.head.time,
      },
      () => clock.monotonic(),
      observer,
    )
    const signatures = opened.add(platform.createSignatures(), (it) => it.close())
    const keys = memberSet.members.map((member) => toHex(member.publicKey))
    const roster = new Roster(
      memberSet.members.map(({ name }, i) => ({ name, publicKey: keys[i] as string })),
      me,
      () => clock.now(),
    )
    const network = await platform.createNetwork(
      {
        secretKey: options.secretKey,
        chainId,
        role: 'member',
        listen: options.listen,
        announce: options.announce,
        members: options.addresses.filter((address) => address.publicKey !== publicKey),
        ...(options.networkLimits === undefined ? {} : { limits: options.networkLimits }),
      },
      { log, roleOf: (key) => peerRoleOf(key, index, state) },
    )
    const congestion = new Congestion(
      { lagMsMax: parameters.deltaMs / CONGESTION_SHARE, waitingMin: CONGESTION_WAITING_MIN },
      clock,
      () => pool.stats.count,
    )
    const intake = new Intake(
      { chainId, pieceBytesMax: 48 * 1024, gatherMs: 4 },
      {
        clock,
        pool,
        recover: (items) => signatures.recover(items),
        surroundings: () => executor.surroundings(clock.now()),
        publish: (topic, piece) => network.publish(topic, piece),
        arrived: () => blocks.arrived(),
        submitted: ({ id }) => handing.submitted(toHex(id)),
        isBusy: () => congestion.isHigh,
        pace,
      },
    )
    const era: Era = {
      era: 0,
      ...quorumSizes(keys.length, parameters.percent),
      me,
      ...parameters,
      first: { hash: toHex(chainId), parent: toHex(ZERO_HASH), height: 0, endsEra: false },
    }
    const verifier = createVerifier({ chainId, memberSet, era: 0, cacheMax: 4096 })
    const blocks = new Blocks(
      { era: 0, members: keys, me, heartbeatMs: parameters.heartbeatMs, ...BUILD_BOUNDS },
      {
        clock,
        pace,
        executor,
        pool,
        intake,
        network,
        verifier,
        log,
        committed: (committed, view) => node.#committed(committed, view),
        evidence: (evidence) => node.#remember(evidence),
      },
    )
    const initial = stateAtStart(
      era,
      createSigner(chainId, options.secretKey),
      record.read(),
      executor,
      verifier,
      options.recover,
    )
    const driver = new Driver(initial, {
      clock,
      verifier,
      record,
      blocks,
      log,
      links: {
        send: (to, frame) => void network.send(keys[to] as string, frame),
        push: (to, frame) => void network.push(keys[to] as string, frame),
        // Whoever has no link to this leader hears of the proposal through the others.
        gossip(frame) {
          if (network.linkedPeers().length + 1 < keys.length)
            void network.publish('proposals', frame).catch(() => undefined)
        },
      },
      fatal: options.fatal,
    })
    opened.add(network, (it) => it.stop())
    const handing = new Handing(parameters.inclusionTimeoutMs, {
      clock,
      network,
      waiting: (id) => pool.get(id)?.transaction,
      receive: (piece) => intake.receive(undefined, piece),
      leader() {
        const { view } = driver.state
        const leader = leaderOf(view, keys.length)
        return { view, publicKey: keys[leader] as string, isThisMember: leader === me }
      },
      isValid(id) {
        const entry = pool.get(id)
        if (entry === undefined) return false
        const signed = { transaction: entry.transaction, signer: fromHex(entry.signer) }
        return checkTransaction(signed, executor.surroundings(clock.now())) === null
      },
      censored(view) {
        log.warn({ view }, 'the leader passed a transaction over for longer than the inclusion timeout')
        driver.dispatch({ type: 'censored', view })
      },
    })
    const node = new MemberNode(
      { genesis, roster, executor, pool, intake, network, driver, me },
      {
        ...{ lock, record, ledger, signatures, blocks, handing, congestion },
        newestSeenAt() {
          const newest = newestSeenAt
          newestSeenAt = 0
          return newest
        },
      },
      clock.now(),
    )
    const receive = (peer: PublicKeyHex, data: Uint8Array): void => {
      const from = index.get(peer)
      const code = from === undefined ? null : driver.receive(from, data)
      if (code === null) return
      log.debug({ peer, code }, 'a consensus message was refused')
      network.penalize(peer, code)
    }
    network.onMessage(receive)
    network.onPush(receive)
    network.onLink((peer, up, run) => {
      const from = index.get(peer)
      if (from === undefined) return
      roster.link(from, up)
      driver.link(from, up && run !== undefined ? toHex(run) : null)
    })
    driver.onStep((state) => roster.stepped(state))
    network.onGossip(async (topic, data) =>
      topic === 'proposals' ? VERDICTS[driver.receiveGossiped(data) ?? 'OK'].verdict : intake.judge(topic, data),
    )
    serveBlocks({
      network,
      executor,
      pool,
      proposalFrame: (slot) => driver.proposalFrame(slot),
      proposedHeader: (hash) => driver.proposedHeader(hash),
    })
    serveDevices({ chainId, network, executor, intake, clock, onCommitted: (listener) => node.onCommitted(listener) })
    await network.start()
    driver.start()
    return node
  }

  /** Bodies of transactions that had to be fetched, since gossip had not brought them; and whether blocks wait for space on the disk. */
  get blockFigures(): { readonly bodiesFetched: number; readonly diskFull: boolean } {
    const { bodiesFetched, diskFull } = this.#parts.blocks
    return { bodiesFetched, diskFull }
  }

  /** Calls `listener` after each commit, in order. */
  onCommitted(listener: (blocks: readonly CommittedBlock[]) => void): void {
    this.#listeners.add(listener)
  }

  #committed(blocks: readonly CommittedBlock[], view: number | null): void {
    if (view !== null) this.#parts.handing.included(view, this.#parts.newestSeenAt())
    for (const listener of this.#listeners) listener(blocks)
  }

  #remember(evidence: Evidence): void {
    this.evidence.push(evidence)
    if (this.evidence.length > 256) this.evidence.shift()
  }

  /** Stops taking in, signs nothing more, closes everything. Bounded by the network's own 3 s and the store's last batch. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    const { lock, record, ledger, signatures, blocks, handing, congestion } = this.#parts
    handing.stop()
    congestion.stop()
    this.intake.stop()
    this.driver.stop()
    blocks.stop()
    await this.network.stop()
    await signatures.close()
    await record.close()
    await ledger.close()
    await lock.release()
  }
}

/** What has been opened, to be closed in the opposite order if a later part cannot start. */
class Opened {
  readonly #closers: (() => Promise<unknown>)[] = []

  add<T>(part: T, close: (part: T) => Promise<unknown>): T {
    this.#closers.unshift(() => close(part))
    return part
  }

  async close(): Promise<void> {
    for (const close of this.#closers) await close().catch(() => undefined)
  }
}

/** §6: an empty record is a member that has never signed; a member without one starts with `recover`. */
function stateAtStart(
  era: Era,
  signer: ReturnType<typeof createSigner>,
  recorded: Uint8Array,
  executor: Executor,
  verifier: Verifier,
  recover: boolean,
): State {
  const beginning: Beginning =
    recover || isRecovering(recorded)
      ? { kind: 'recover' }
      : recorded.length === 0
        ? { kind: 'fresh' }
        : { kind: 'restart', record: decodeRecord(recorded) }
  const known: Block[] = []
  for (let height = Math.max(1, executor.head.height - 128); height <= executor.head.height; height++) {
    const sealed = executor.reads.headerAt(height)
    if (sealed !== undefined) known.push(blockOf(sealed))
  }
  const head = certificateAt(executor, executor.head.height)
  const verified = head === undefined ? undefined : verifier.certificate(head)
  return initialState(era, signer, beginning, {
    blocks: known,
    certificate: verified?.ok === true ? verified.certificate : null,
  })
}

/** The encoded certificate of a committed block, decoded; undefined where it has none. */
export function certificateAt(
  executor: Executor,
  height: number,
): ReturnType<typeof certificateCodec.from> | undefined {
  const encoded = executor.reads.certificate(height)
  return encoded === undefined ? undefined : decodeAs(certificateCodec, encoded)
}
