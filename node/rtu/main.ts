/**
 * The wiring of an RTU: the one place that builds it. In order: lock, what lies on disk, network, members, outbox, cycle.
 * Invariants: what it observes is on disk before anyone is told; it goes on observing whatever the members do; nothing of a member's word
 * counts without a certificate or a proof; `stop` ends in bounded time and loses nothing.
 */
import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import type { Server } from 'node:net'
import { join } from 'node:path'
import { toHex } from '../../protocol/bytes.ts'
import { CborError, type CborValue } from '../../protocol/cbor.ts'
import { decodeAs, encodeAs } from '../../protocol/codec.ts'
import { publicKeyOf } from '../../protocol/crypto.ts'
import { chainIdOf } from '../../protocol/genesis.ts'
import { trustOpinion } from '../../protocol/kinds/trust/opinion.ts'
import type { Opinion } from '../../protocol/kinds/trust/opinionPayload.ts'
import type { TrustedEra } from '../../protocol/light.ts'
import type { PublicKeyHex } from '../../protocol/members.ts'
import { addressOf } from '../../protocol/signature.ts'
import { signTransaction, type Transaction } from '../../protocol/transaction.ts'
import type { Code } from '../../protocol/verdict.ts'
import { systemClock } from '../clock.ts'
import { installNativePrimitives } from '../crypto/native.ts'
import { isAlthingError } from '../errors.ts'
import { decodeFrame, erasAnswer, erasQuestion, type PushedFrame, QUESTIONS } from '../light/messages.ts'
import { createNetwork } from '../network/host.ts'
import type { Network } from '../network/network.ts'
import { type DirectoryLock, lockDirectory } from '../store/lock.ts'
import { BASELINE_BYTES_MAX, type BaselineStore, baselineFile, emptyBaselines } from './baseline.ts'
import { CYCLE_DEFAULTS, type Cycle, type CycleResult, createCycle } from './cycle.ts'
import { DELIVERY_DEFAULTS, Delivery } from './delivery.ts'
import { directorySpool } from './disk.ts'
import { type Gateway, openGateway } from './gateway.ts'
import { HeaderDisk } from './headerDisk.ts'
import { Headers } from './headers.ts'
import { JUDGE_DEFAULTS, type TrustRow } from './judge.ts'
import { realMachine } from './machine.ts'
import { MEMBERS_DEFAULTS, type MemberName, Members } from './members.ts'
import { worstFirst } from './monitor.ts'
import { allMonitors } from './monitors/all.ts'
import { NEIGHBOURS_DEFAULTS } from './neighbours.ts'
import type { RtuOptions, RtuStatus } from './options.ts'
import { OUTBOX_DEFAULTS, type Outbox, openOutbox, SPOOLED_BYTES_MAX } from './outbox.ts'
import { type OwnFile, ownFile } from './ownFile.ts'
import { Peers } from './peers.ts'
import { eventOf, REPORT_DEFAULTS } from './report.ts'
import { ROSTER_DEFAULTS, ROSTER_FILE_BYTES_MAX } from './roster.ts'
import { Scoring } from './scoring.ts'
import { StandingWatch } from './standing.ts'
import { serveStatus } from './statusSocket.ts'
import { readTrustTable, TRUST_FILE_BYTES_MAX } from './trustTable.ts'

/** The configured members with their keys of `era`; one that is none of its members as it was. */
function membersNow<T extends MemberName>(configured: readonly T[], { memberSet }: TrustedEra): T[] {
  const keys = new Map(memberSet.members.map(({ name, publicKey }) => [name, toHex(publicKey)]))
  return configured.map((member) => ({ ...member, publicKey: keys.get(member.name) ?? member.publicKey }))
}

/** The next cycle after one whose report could not be put on disk, ms: it goes out from memory, and should not go out each second. */
const AFTER_FAILURE_MS = 60_000
/** Between two lines of the log that say how it is, ms. */
const SUMMARY_MS = 600_000

/** A device that listens nowhere would hear only whom it dials: it takes part in its segment through the members. */
const isGossiping = ({ listen }: Pick<RtuOptions, 'listen'>): boolean => listen !== undefined && listen.length > 0
/** A log that is played is judged by its own past. */
const NO_BASELINES: BaselineStore = { load: async (monitors) => emptyBaselines(monitors), save: async () => {} }

type Parts = {
  readonly lock: DirectoryLock
  readonly disk: HeaderDisk
  readonly network: Network
  readonly headers: Headers
  readonly outbox: Outbox
  /** Keys of the members that it may be connected to. */
  readonly keys: Set<PublicKeyHex>
  readonly files: Record<'baseline' | 'roster' | 'trust', OwnFile>
  readonly trust: readonly TrustRow[]
}

/** A running RTU. */
export class RtuNode {
  /** Own id, hexadecimal. */
  readonly device: string
  readonly network: Network
  readonly headers: Headers
  readonly outbox: Outbox
  readonly members: Members
  readonly standing: StandingWatch
  readonly peers: Peers
  readonly scoring: Scoring
  readonly #options: RtuOptions
  readonly #parts: Pick<Parts, 'lock' | 'disk' | 'keys' | 'files'>
  #following = false
  readonly #delivery: Delivery
  readonly #cycle: Cycle
  readonly #stopping = new AbortController()
  #running: Promise<unknown> = Promise.resolve()
  #stopped: Promise<void> | undefined
  #statusServer: Server | undefined
  #gateway: Gateway | undefined
  #summaryAt = Number.NEGATIVE_INFINITY
  #last: Pick<CycleResult, 'learning' | 'findings' | 'blind'> = { learning: true, findings: [], blind: [] }

  private constructor(options: RtuOptions, parts: Parts) {
    const { genesis, secretKey, log } = options
    const id = addressOf(publicKeyOf(secretKey))
    this.#options = options
    this.#parts = parts
    this.device = toHex(id)
    this.network = parts.network
    this.headers = parts.headers
    this.outbox = parts.outbox
    this.members = new Members(
      options.members,
      { ...MEMBERS_DEFAULTS, ...options.times },
      {
        network: this.network,
        log,
        advice: options.advice,
        frame: (member, bytes) => this.#hear(member, bytes),
        up: () => {
          this.#delivery.wake()
          this.standing.wake()
          this.peers.wake()
        },
      },
    )
    const { members, headers, outbox, network } = this
    this.peers = new Peers(
      {
        ...{ self: this.device, segment: options.segment, isGossiping: isGossiping(options) },
        announce: options.announce ?? [],
        configured: options.neighbours ?? [],
        ...NEIGHBOURS_DEFAULTS,
        ...options.times,
        roster: { ...ROSTER_DEFAULTS, ...options.times },
        judge: { ...JUDGE_DEFAULTS, intervalMs: options.intervalMs, ...options.times },
      },
      {
        ...{ genesis, chainId: chainIdOf(genesis), secretKey, members, headers, network, log },
        files: parts.files,
        trust: parts.trust,
        monotonic: () => systemClock.monotonic(),
        snapshot: (maxAgeMs) => this.#cycle.snapshot(maxAgeMs),
        tell: (opinions) => this.#tell(opinions),
      },
    )
    this.standing = new StandingWatch({
      ...{ genesis, members, headers, log },
      device: this.device,
      segment: options.segment,
      advice: options.advice,
    })
    this.scoring = new Scoring({ ...{ members, headers, log }, file: join(options.dataDirectory, 'module') })
    this.#delivery = new Delivery(
      { ...DELIVERY_DEFAULTS, ...options.times },
      { genesis, outbox, members, headers, log, outOfService: () => this.standing.wake() },
    )
    this.#cycle = createCycle(
      {
        ...CYCLE_DEFAULTS,
        learningCycles: options.replay ? 0 : (options.learningCycles ?? CYCLE_DEFAULTS.learningCycles),
        intervalMs: options.intervalMs,
        report: { ...REPORT_DEFAULTS, heartbeatMs: 0 },
      },
      {
        device: id,
        machine: options.machine ?? realMachine(),
        monitors: options.replay
          ? [options.replay]
          : allMonitors(options, () => (headers.isHeard ? headers.now() : undefined)),
        baselines: options.replay ? NO_BASELINES : baselineFile(parts.files.baseline),
        outbox: { add: (...report) => this.#add(...report), status: () => outbox.status() },
        now: () => systemClock.now(),
      },
    )
  }

  /** Opens what lies on disk, and starts. Throws AlthingError STORE_LOCKED, STORE_OPEN_FAILED, RTU_READ_FAILED or RTU_WRITE_FAILED. */
  static async start(options: RtuOptions): Promise<RtuNode> {
    installNativePrimitives()
    const { genesis, secretKey, dataDirectory, log } = options
    const chainId = chainIdOf(genesis)
    await mkdir(dataDirectory, { recursive: true, mode: 0o700 })
    const lock = await lockDirectory(dataDirectory)
    try {
      const disk = new HeaderDisk(dataDirectory, genesis.network, log)
      const { newest, era, isDisputed } = await disk.load()
      const headers = new Headers(
        genesis,
        {
          clock: systemClock,
          save: (bytes) => disk.save(bytes),
          saveEra: (bytes) => disk.saveEra(bytes),
          era: () => node.#eraBegan(),
          fork: (fork) => disk.keepEvidence(fork),
        },
        isDisputed,
      )
      const restoredEra = era === undefined ? 'OK' : headers.restoreEra(era)
      if (restoredEra !== 'OK') log.warn({ code: restoredEra }, 'the era of the last run cannot be read: passed over')
      const restored = newest === undefined ? 'OK' : headers.restore(newest)
      // Where an era has begun since, its beginning is what counts.
      if (restored !== 'OK' && restored !== 'LIGHT_OLD_HEADER')
        log.warn({ code: restored }, 'the newest header of the last run shows nothing: passed over')
      const owner = { chainId, secretKey }
      const files = {
        baseline: ownFile(join(dataDirectory, 'baseline.json'), 'baseline', BASELINE_BYTES_MAX, owner),
        roster: ownFile(join(dataDirectory, 'roster'), 'roster', ROSTER_FILE_BYTES_MAX, owner),
        trust: ownFile(join(dataDirectory, 'trust'), 'trust', TRUST_FILE_BYTES_MAX, owner),
      }
      const trust = await readTrustTable(files.trust)
      const keys = new Set<PublicKeyHex>()
      const members = membersNow(options.members, headers.trusted)
      for (const { publicKey } of members) keys.add(publicKey)
      const outbox = await openOutbox(
        { ...OUTBOX_DEFAULTS, ...options.times },
        {
          spool: directorySpool(join(dataDirectory, 'outbox'), SPOOLED_BYTES_MAX, OUTBOX_DEFAULTS.reportsMax),
          sign: (draft) => signTransaction(node.scoring.scored(draft), chainId, secretKey),
          nonce: () => Uint8Array.from(randomBytes(16)),
          now: () => headers.now(),
          monotonic: () => systemClock.monotonic(),
        },
      )
      const network = await createNetwork(
        {
          ...{ secretKey, chainId, members },
          role: 'device',
          listen: options.listen ?? [],
          ...(isGossiping(options) ? { segment: options.segment } : {}),
        },
        { log, roleOf: (key) => (keys.has(key) ? 'member' : node.peers.roster.hasKey(key) ? 'device' : null) },
      )
      const node: RtuNode = new RtuNode(
        { ...options, members },
        { lock, disk, network, headers, outbox, keys, files, trust },
      )
      await node.peers.roster.load()
      if (options.gateway !== undefined)
        node.#gateway = await openGateway(options.gateway, join(dataDirectory, 'readings'), chainId, {
          log,
          anchor: async (payload) => void (await outbox.add('reading.batch', payload, true)),
          now: () => systemClock.now(),
        })
      await node.scoring.load()
      await node.#start()
      return node
    } catch (error) {
      await lock.release()
      throw error
    }
  }

  async #start(): Promise<void> {
    const { log } = this.#options
    const { signal } = this.#stopping
    const { reportsHeld, damaged } = this.outbox.status()
    const height = this.headers.newest?.sealed.header.height ?? 0
    log.info({ device: this.device, height, reportsHeld, damaged }, 'RTU started')
    await this.network.start()
    this.#statusServer = await serveStatus(this.#options.dataDirectory, () => this.status, log)
    this.members.start()
    const parts = [
      this.#cycle.run(
        signal,
        (result) => this.#observed(result),
        (error) => this.#notObserved(error),
      ),
      this.#delivery.run(signal),
      this.standing.run(signal),
      ...this.peers.run(signal),
      ...(this.#gateway === undefined ? [] : [this.#gateway.run(signal)]),
      this.scoring.run(signal),
    ]
    this.#running = Promise.allSettled(parts)
    for (const part of parts) part.catch((error: unknown) => this.#options.fatal(error))
  }

  /** Where readings are taken; undefined where the unit is no gateway. */
  get readingsPort(): number | undefined {
    return this.#gateway?.port
  }

  get status(): RtuStatus {
    return {
      device: this.device,
      segment: this.#options.segment,
      members: this.members.status,
      height: this.headers.newest?.sealed.header.height ?? 0,
      isDisputed: this.headers.isDisputed,
      standing: this.standing.standing,
      outbox: this.outbox.status(),
      learning: this.#last.learning,
      findings: worstFirst(this.#last.findings).map((finding) => {
        const { category, scorePpm, detail } = eventOf(finding)
        return { category, scorePpm, detail }
      }),
      blind: this.#last.blind,
      ...this.peers.status,
      ...(this.#gateway === undefined ? {} : { readings: this.#gateway.status }),
    }
  }

  /** Ends the cycle, the links and the network, and leaves everything that is held on disk. Bounded by the network's own 3 s and one cycle. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async #stop(): Promise<void> {
    this.#stopping.abort()
    this.#statusServer?.close()
    await Promise.all([this.members.stop(), this.network.stop()])
    await this.#running
    await this.peers.save()
    await this.#gateway?.close()
    this.headers.save()
    await this.#parts.disk.settled()
    await this.#parts.lock.release()
  }

  /** On disk first; then the segment hears of it, whether a member does or not. */
  async #add(kind: string, payload: CborValue, hasEvents: boolean): Promise<Transaction> {
    const transaction = await this.outbox.add(kind, payload, hasEvents)
    this.peers.say(transaction.bytes)
    return transaction
  }

  async #tell(opinions: readonly Opinion[]): Promise<void> {
    const { log } = this.#options
    for (const { device, trustPpm } of opinions) log.info({ device: toHex(device), trustPpm }, 'opinion')
    try {
      await this.#add(trustOpinion.name, trustOpinion.payload.to({ opinions }), true)
    } catch (error) {
      if (!isAlthingError(error, 'RTU_WRITE_FAILED')) throw error
      log.error({ error }, 'opinions are held in memory only: the disk took nothing')
    }
    this.#delivery.wake()
  }

  #observed(result: CycleResult): void {
    const { findings, blind, learning, report, cpuMs, wallMs } = result
    const { log } = this.#options
    this.#last = { learning, findings, blind }
    const fields = { findings: findings.length, blind, learning, cpuMs: Math.round(cpuMs), wallMs: Math.round(wallMs) }
    log.debug(fields, 'observed')
    for (const { category, detail, scorePpm } of report?.events ?? [])
      log.info({ category, detail, scorePpm }, 'anomaly')
    if (report !== null) this.#delivery.wake()
    if (systemClock.monotonic() - this.#summaryAt < SUMMARY_MS) return
    this.#summaryAt = systemClock.monotonic()
    const { members, height, outbox, peersHeard, peersKnown, peersLinked, readings } = this.status
    log.info(
      {
        members,
        height,
        outbox,
        peersHeard,
        peersKnown,
        peersLinked,
        readings,
        learning,
        blind,
        residentMb: Math.round(process.memoryUsage.rss() / 1e6),
      },
      'observing',
    )
  }

  /**
   * A full disk is something to report, and an RTU that stopped for it could be silenced by whoever fills the disk: it goes on, with the
   * report in memory only (house.md asks daemons to stop; here that would serve the wrong one).
   */
  #notObserved(error: unknown): number | undefined {
    if (!isAlthingError(error, 'RTU_WRITE_FAILED')) return undefined
    this.#options.log.error(
      { error, nextMs: AFTER_FAILURE_MS },
      'a report is held in memory only: the disk took nothing',
    )
    this.#delivery.wake()
    return AFTER_FAILURE_MS
  }

  #hear(member: MemberName, bytes: Uint8Array): Code {
    let frame: PushedFrame
    try {
      frame = decodeFrame(bytes)
    } catch (error) {
      if (!(error instanceof CborError)) throw error
      return 'MESSAGE_MALFORMED'
    }
    if (frame.kind === 'report') return this.peers.segment.hear(frame.transaction)
    const code = this.headers.accept(member.publicKey, frame.header)
    if (code === 'LIGHT_ERA') void this.#followEras(member).catch((error: unknown) => this.#options.fatal(error))
    return code
  }

  /** A member is in a later era: it shows how each one before ended, and the chain is followed through them. */
  async #followEras(member: MemberName): Promise<void> {
    if (this.#following) return
    this.#following = true
    try {
      for (;;) {
        const question = encodeAs(erasQuestion, this.headers.trusted.era)
        const links = await this.members.askFor(member, QUESTIONS.eras, question, (data) => decodeAs(erasAnswer, data))
        if (links === undefined || links.length === 0) return
        for (const link of links) {
          const code = this.headers.follow(member.publicKey, link)
          if (code === 'OK') continue
          this.members.fault(member, code, QUESTIONS.eras)
          return
        }
      }
    } finally {
      this.#following = false
    }
  }

  /** Members are configured by name: where one has another key now, it is reached under that. */
  #eraBegan(): void {
    const { era, height, memberSet } = this.headers.trusted
    this.#options.log.info({ era, height, members: memberSet.members.map(({ name }) => name) }, 'an era began')
    const members = membersNow(this.#options.members, this.headers.trusted)
    this.#parts.keys.clear()
    for (const { publicKey } of members) this.#parts.keys.add(publicKey)
    this.network.setMembers(members)
    for (const { name, publicKey } of members) this.members.rename(name, publicKey)
    const left = members.filter(({ name }) => !memberSet.members.some((member) => member.name === name))
    if (left.length > 0)
      this.#options.log.warn(
        { left: left.map(({ name }) => name), advice: 'Take them out of rtu.members in config.toml, and name others.' },
        'members that this device is configured for have left',
      )
  }
}
