/**
 * The wiring of a member's daemon: the one place that builds things (house.md). In order of the river: keys, store, ledger, pool, intake,
 * network, consensus, blocks.
 * Invariants: nothing listens before the signing record and the ledger are open and whole; `stop` ends in bounded time; what is fatal ends
 * in `fatal`, once.
 */
import { isPeerKey } from '../config/kinds.ts'
import { fromHex, toHex } from '../protocol/bytes.ts'
import type { Evidence } from '../protocol/consensus/events.ts'
import { createSigner, createVerifier } from '../protocol/consensus/verify.ts'
import { installPrimitives, publicKeyOf } from '../protocol/crypto.ts'
import { checkTransaction, type SignedTransaction } from '../protocol/execution.ts'
import { chainIdOf, type Genesis } from '../protocol/genesis.ts'
import { leaderOf, type MemberSet, type PublicKeyHex } from '../protocol/members.ts'
import { installModuleEngine } from '../protocol/modules/engine.ts'
import { VERDICTS } from '../protocol/verdict.ts'
import { backupOf } from './backup/format.ts'
import { Driver } from './consensus/driver.ts'
import { Eras, type Seat } from './consensus/eras.ts'
import { RecordGate } from './consensus/recordGate.ts'
import { seatStart, stateOf } from './consensus/seat.ts'
import { openMemberLedger, openRecord, openStaging, settleStaging, snapshotsDirectory } from './dataDirectory.ts'
import { type CommittedBlock, Executor } from './executor/executor.ts'
import { Accusing } from './intake/accusing.ts'
import { Congestion } from './intake/congestion.ts'
import { Handing } from './intake/handing.ts'
import { Intake } from './intake/intake.ts'
import { Door } from './light/door.ts'
import { serveDevices } from './light/serve.ts'
import type { MemberOptions } from './memberOptions.ts'
import { lastSeat, memberAddresses, sayWhere } from './membership.ts'
import { ModuleHost } from './modules/host.ts'
import type { MemberAddresses, Network } from './network/network.ts'
import { Opened } from './opened.ts'
import { type Platform, systemPlatform } from './platform.ts'
import { Pool, type PoolObserver, signedOf } from './pool/pool.ts'
import { type Removal, RemovalWatch } from './removal.ts'
import { Roster } from './service/roster.ts'
import { Growth, type GrowthFigures } from './snapshot/growth.ts'
import { Publishing } from './stix/publishing.ts'
import type { LedgerStore } from './store/ledgerStore.ts'
import type { DirectoryLock } from './store/lock.ts'
import { requireSigningRecord, type SigningRecord, signingDirectory } from './store/signingRecord.ts'
import { Blocks, BUILD_BOUNDS } from './sync/blocks.ts'
import { serveBlocks } from './sync/serve.ts'
import { althingVersion } from './version.ts'

type Parts = {
  readonly lock: DirectoryLock
  readonly record: SigningRecord
  readonly ledger: LedgerStore
  readonly signatures: ReturnType<Platform['createSignatures']>
  readonly growth: Growth
  readonly handing: Handing
  readonly accusing: Accusing
  readonly congestion: Congestion
  readonly removal: RemovalWatch
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
  readonly eras: Eras
  readonly stix: Publishing
  readonly startedAt: number
  readonly #parts: Parts
  readonly #listeners = new Set<(blocks: readonly CommittedBlock[]) => void>()
  readonly evidence: Evidence[] = []
  #stopping: Promise<void> | undefined

  private constructor(
    fields: Pick<MemberNode, 'genesis' | 'roster' | 'executor' | 'pool' | 'intake' | 'network' | 'eras' | 'stix'>,
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
    this.eras = fields.eras
    this.stix = fields.stix
    this.#parts = parts
    this.startedAt = startedAt
  }

  /** Opens everything on `platform`, in the order of the river, and starts. Throws AlthingError of whichever part cannot start. */
  static async start(options: MemberOptions, platform: Platform = systemPlatform): Promise<MemberNode> {
    installPrimitives(platform.primitives)
    installModuleEngine(new ModuleHost())
    const { genesis } = options
    const { disk } = platform
    const chainId = chainIdOf(genesis)
    const publicKey = toHex(publicKeyOf(options.secretKey))
    if (options.recover) await disk.createDirectory(options.dataDirectory)
    else await requireSigningRecord(signingDirectory(options.dataDirectory), disk)
    const opened = new Opened()
    try {
      return await MemberNode.#build(options, platform, { chainId, publicKey, opened })
    } catch (error) {
      // What was opened before the part that failed must not stay locked.
      await opened.close()
      throw error
    }
  }

  static async #build(
    options: MemberOptions,
    platform: Platform,
    { chainId, publicKey, opened }: { chainId: Uint8Array; publicKey: PublicKeyHex; opened: Opened },
  ): Promise<MemberNode> {
    const { genesis, dataDirectory, log } = options
    const { clock, pace, disk } = platform
    const lock = opened.add(await disk.lock(dataDirectory), (it) => it.release())
    const record = opened.add(await openRecord(dataDirectory, chainId, options.recover, disk), (it) => it.close())
    const ledger = opened.add(
      await openMemberLedger(genesis, dataDirectory, options.diskFreeBytesMin, { disk, clock, log }),
      (it) => it.close(),
    )
    const executor = await Executor.open(genesis, ledger, { speculationsMax: 64 })
    const parameters = () => executor.era.memberSet.parameters
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
        get spanMs() {
          return Math.max(1, Math.floor(parameters().inclusionTimeoutMs / 4))
        },
        // Enough for who waits for an outcome; whether a transaction was committed at all, nonces and ledger know.
        committedMax: 20_000,
        listenersMax: 10_000,
        blockTime: executor.head.time,
      },
      () => clock.monotonic(),
      observer,
    )
    const signatures = opened.add(platform.createSignatures(), (it) => it.close())
    const roster = new Roster(() => clock.now())
    const named = options.peers.map(({ member }) => member).filter((member) => isPeerKey(member))
    const door = new Door(publicKey, state, named)
    // Before anybody can knock.
    door.entered(executor.era.memberSet, executor.era.members, [])
    const membersOf = (set: MemberSet): MemberAddresses[] => memberAddresses(set, options.peers, state, publicKey)
    const network = await platform.createNetwork(
      {
        secretKey: options.secretKey,
        chainId,
        role: 'member',
        listen: options.listen,
        announce: options.announce,
        members: membersOf(executor.era.memberSet),
        ...(options.networkLimits === undefined ? {} : { limits: options.networkLimits }),
      },
      { log, roleOf: (key) => door.roleOf(key) },
    )
    const congestion = new Congestion(
      {
        get lagMsMax() {
          return parameters().deltaMs / CONGESTION_SHARE
        },
        waitingMin: CONGESTION_WAITING_MIN,
      },
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
        publish: (topic, piece) => network.publish(topic, piece, eras.present.keys.length - 1),
        arrived: () => eras.present.blocks.arrived(),
        submitted: ({ id }) => handing.submitted(toHex(id)),
        // What a node took that is no member would go nowhere.
        isBusy: () => congestion.isHigh || eras.present.me < 0 || node.removal !== undefined,
        pace,
      },
    )
    const growth = opened.add(
      await Growth.open(
        { ...options.ledger, snapshotsDirectory: snapshotsDirectory(dataDirectory) },
        {
          ...{ ledger, executor, network, clock, pace, disk, chainId, log, fatal: options.fatal },
          genesis,
          sources: () => eras.present.blocks.sources(),
          hasRoom: () => ledger.hasRoom(),
          openStaging: (anew) => openStaging(disk, dataDirectory, anew),
          settle: () => settleStaging(disk, dataDirectory),
          signers: (transactions) => intake.signers(transactions),
        },
      ),
      (it) => it.stop(),
    )
    const signer = createSigner(chainId, options.secretKey)
    const gate = new RecordGate(record)
    const alsoAsked = named.filter((key) => key !== publicKey)
    let isStartingAgain = false
    const startAgain = (): void => {
      // The seats of two eras may have waited for the same snapshot.
      if (isStartingAgain) return
      isStartingAgain = true
      log.info({}, 'starting again with the ledger that came by the snapshot')
      options.restart()
    }
    const makeSeat = (): Seat => {
      const recorded = record.read()
      const start = seatStart({ chainId, executor, recorded, publicKey, recover: options.recover })
      const { ledger, era, previousSet, fork } = start
      const { members, parameters: fixed } = ledger.memberSet
      const keys = members.map((member) => toHex(member.publicKey))
      const sets = { memberSet: ledger.memberSet, ...(previousSet === undefined ? {} : { previousSet }) }
      const verifier = createVerifier({ chainId, ...sets, era: era.era, cacheMax: 4096 })
      const { me } = era
      const blocks = new Blocks(
        { era: era.era, members: keys, me, alsoAsked, heartbeatMs: fixed.heartbeatMs, ...BUILD_BOUNDS },
        {
          ...{ clock, pace, executor, pool, intake, network, kept: record.blocks, log },
          committed: (committed, view) => node.#committed(committed, view),
          named: () => door.named,
          async join() {
            if (!(await growth.join())) return false
            startAgain()
            return true
          },
          evidence(evidence) {
            node.#remember(evidence)
            accusing.found(era.era, evidence)
            // What an earlier era forked in forks this one as well.
            if (evidence.kind === 'fork' && evidence.era < eras.present.ledger.era)
              eras.present.driver.dispatch({ type: 'forked', fork: evidence })
          },
        },
      )
      const driver = new Driver(stateOf(start, signer), {
        ...{ clock, verifier, blocks, log },
        record: { write: (bytes) => gate.write(era.era, bytes) },
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
      driver.onStep((core) => {
        if (eras.present.driver === driver) roster.stepped(core)
      })
      return { ledger, keys, me, driver, blocks, fork }
    }
    const eras: Eras = new Eras({
      ...{ clock, executor, log, makeSeat },
      send: (peer, frame) => void network.send(peer, frame),
      entered({ ledger, keys, me }, before) {
        const { memberSet } = ledger
        roster.enter(
          memberSet.members.map(({ name }, i) => ({ name, publicKey: keys[i] as string })),
          me,
        )
        sayWhere(log, publicKey, ledger, me, before)
        if (before === null) return
        door.entered(memberSet, ledger.members, before.keys)
        handing.eraBegan()
        network.setMembers(membersOf(memberSet))
        network.enforceRoles()
      },
      closed() {
        door.closed()
        network.enforceRoles()
      },
    })
    opened.add(network, (it) => it.stop())
    const handing = new Handing(() => parameters().inclusionTimeoutMs, {
      clock,
      network,
      waiting: (id) => pool.get(id)?.transaction,
      receive: (piece) => intake.receive(undefined, piece),
      leader() {
        const { keys, me, driver } = eras.present
        const { view } = driver.state
        const leader = leaderOf(view, keys.length)
        // A node that is no member has nobody to hand anything to.
        return { view, publicKey: keys[leader] as string, isThisMember: leader === me || me < 0 }
      },
      isValid(id) {
        const entry = pool.get(id)
        if (entry === undefined) return false
        return checkTransaction(signedOf(entry), executor.surroundings(clock.now())) === null
      },
      censored(view) {
        log.warn({ view }, 'the leader passed a transaction over for longer than the inclusion timeout')
        eras.present.driver.dispatch({ type: 'censored', view })
      },
    })
    const accusing = new Accusing({
      ...{ clock, chainId, log },
      ...{ secretKey: options.secretKey, kept: record.evidence, fatal: options.fatal },
      me: () => eras.present.me,
      headerBytes: (hash) =>
        executor.reads.headerBy(fromHex(hash))?.bytes ?? eras.find((driver) => driver.proposedHeader(hash)),
      submit: (encoded) => intake.submit(encoded),
    })
    const publishing = new Publishing({
      ...{ clock, chainId, genesis, log, reads: executor.reads },
      secretKey: options.secretKey,
      present: () => ({ me: eras.present.me, size: eras.present.keys.length }),
      submit: (encoded) => intake.submit(encoded),
      publish: (piece) => network.publish('stix', piece),
    })
    const memberOf = () => (eras.present.me < 0 ? undefined : eras.present.ledger)
    const removal = new RemovalWatch({
      ...{ own: publicKey, chainId, network, clock, log, memberOf },
      lastSeat: () => lastSeat(executor.reads, eras.present.ledger.era, publicKey),
    })
    const node = new MemberNode(
      { genesis, roster, executor, pool, intake, network, eras, stix: publishing },
      {
        ...{ lock, record, ledger, signatures, growth, handing, accusing, congestion, removal },
        newestSeenAt() {
          const newest = newestSeenAt
          newestSeenAt = 0
          return newest
        },
      },
      clock.now(),
    )
    const receive = (peer: PublicKeyHex, data: Uint8Array): void => {
      const code = eras.receive(peer, data)
      if (code === null) return
      log.debug({ peer, code }, 'a consensus message was refused')
      network.penalize(peer, code)
    }
    network.onMessage(receive)
    network.onPush(receive)
    network.onLink((peer, up, run) => {
      roster.link(peer, up)
      eras.link(peer, up && run !== undefined ? toHex(run) : null)
    })
    network.onGossip(async (topic, data) =>
      topic === 'proposals'
        ? VERDICTS[eras.receiveGossiped(data) ?? 'OK'].verdict
        : topic === 'stix'
          ? VERDICTS[await publishing.judge(data)].verdict
          : intake.judge(topic, data),
    )
    node.onCommitted((blocks) => {
      // Before the era moves on: whoever is named by a proposal may come in, and whoever no longer is may not.
      if (!blocks.some(({ transactions }) => transactions.some(isGovernance))) return
      if (door.look(executor.era.memberSet)) network.enforceRoles()
      eras.committed()
    })
    serveBlocks({
      network,
      executor,
      pool,
      proposalFrame: (slot) => eras.find((driver) => driver.proposalFrame(slot)),
      proposedHeader: (hash) => eras.find((driver) => driver.proposedHeader(hash)),
    })
    serveDevices({ chainId, network, executor, intake, clock, onCommitted: (listener) => node.onCommitted(listener) })
    await eras.present.blocks.restore()
    await network.start()
    eras.start()
    await accusing.resume()
    removal.start()
    // What was voted for before is served and known again, as if it had just arrived.
    for (const { frame } of await record.blocks.stored())
      if (frame !== undefined) eras.present.driver.receiveGossiped(frame)
    return node
  }

  /** Bodies of transactions that had to be fetched, since gossip had not brought them; and whether blocks wait for space on the disk. */
  get blockFigures(): { readonly bodiesFetched: number; readonly diskFull: boolean } {
    const { bodiesFetched, diskFull } = this.eras.present.blocks
    return { bodiesFetched, diskFull }
  }

  /** The driver of the present era. */
  get driver(): Driver {
    return this.eras.present.driver
  }

  /** Index of this node in the present era; −1 if it is no member. */
  get me(): number {
    return this.eras.present.me
  }

  /** Members and parameters of the present era. */
  get memberSet(): MemberSet {
    return this.eras.present.ledger.memberSet
  }

  /** That this node is no member any more, since when and by whom; undefined as far as it knows. */
  get removal(): Removal | undefined {
    return this.#parts.removal.removal
  }

  /** What is held of the past, and how far joining by a snapshot is. */
  get growth(): GrowthFigures {
    return this.#parts.growth.figures
  }

  /** A backup of the ledger as it is at this moment. */
  backup(): AsyncIterable<Uint8Array> {
    return backupOf(this.genesis, this.#parts.ledger.everything())
  }

  /** Calls `listener` after each commit, in order. */
  onCommitted(listener: (blocks: readonly CommittedBlock[]) => void): void {
    this.#listeners.add(listener)
  }

  #committed(blocks: readonly CommittedBlock[], view: number | null): void {
    if (view !== null) this.#parts.handing.included(view, this.#parts.newestSeenAt())
    this.#parts.growth.committed()
    this.stix.committed(blocks)
    for (const listener of this.#listeners) listener(blocks)
  }

  #remember(evidence: Evidence): void {
    if (this.evidence.push(evidence) > 256) this.evidence.shift()
  }

  /** Stops taking in, signs nothing more, closes everything. Bounded by the network's own 3 s and the store's last batch. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    const { lock, record, ledger, signatures, growth, handing, accusing, congestion, removal } = this.#parts
    removal.stop()
    handing.stop()
    accusing.stop()
    this.stix.stop()
    congestion.stop()
    this.intake.flush()
    this.eras.stop()
    await this.network.stop()
    await growth.stop()
    await signatures.close()
    await record.close()
    await ledger.close()
    await lock.release()
  }
}

const isGovernance = ({ transaction }: SignedTransaction): boolean => transaction.kind.startsWith('governance.')
