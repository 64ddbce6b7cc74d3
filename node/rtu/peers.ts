/**
 * RTU: the half of the wiring that concerns the other devices of the segment: who they are, what is heard of them, what is thought of them.
 * Invariant: all of it goes on while no member can be reached.
 */
import { toHex } from '../../protocol/bytes.ts'
import type { Opinion } from '../../protocol/kinds/trust/opinionPayload.ts'
import { isAlthingError } from '../errors.ts'
import type { Network, NetworkLog } from '../network/network.ts'
import { Alarm } from './alarm.ts'
import type { Headers } from './headers.ts'
import { Judge, type JudgeOptions, type Snapshot, type TrustRow } from './judge.ts'
import type { LookupNeeds } from './lookup.ts'
import type { Members } from './members.ts'
import { Neighbours, type NeighboursOptions } from './neighbours.ts'
import type { OwnFile } from './ownFile.ts'
import { Roster, type RosterOptions } from './roster.ts'
import { Segment } from './segment.ts'
import { writeTrustTable } from './trustTable.ts'

/** What is configured. */
export type PeersOptions = NeighboursOptions & {
  /** Own id, hexadecimal. */
  readonly self: string
  readonly segment: string
  readonly roster: RosterOptions
  readonly judge: JudgeOptions
}
/** What is used. */
export type PeersNeeds = Pick<LookupNeeds, 'genesis'> & {
  readonly chainId: Uint8Array
  readonly secretKey: Uint8Array
  readonly members: Members
  readonly headers: Headers
  readonly network: Network
  readonly log: NetworkLog
  readonly files: Readonly<Record<'roster' | 'trust', OwnFile>>
  /** The table of trust of the last run. */
  readonly trust: readonly TrustRow[]
  monotonic(): number
  /** As `Cycle.snapshot`. */
  snapshot(maxAgeMs: number): Promise<Snapshot>
  /** As `JudgeNeeds.tell`. */
  tell(opinions: readonly Opinion[]): Promise<void>
}

/** The segment as this device sees it. */
export type PeersStatus = {
  /** Devices of the segment that were heard. */
  readonly peersHeard: number
  /** Devices of the segment that the chain knows. */
  readonly peersKnown: number
  /** Of them: linked for gossip now. */
  readonly peersLinked: number
  /** What it thinks of them. */
  readonly trust: readonly TrustRow[]
  /** What they said of others last: rater → device → trust, ppm; ids in hexadecimal. */
  readonly opinionsHeard: Readonly<Record<string, Readonly<Record<string, number>>>>
}

/** Between two writes of the table of trust, ms. */
const TRUST_SAVE_MS = 60_000

/** The other devices of the segment. */
export class Peers {
  readonly roster: Roster
  readonly segment: Segment
  readonly judge: Judge
  readonly neighbours: Neighbours
  readonly #self: string
  readonly #needs: PeersNeeds
  /** Rater → device → trust that it told of; both are of the roster, which bounds them. */
  readonly #told = new Map<string, Map<string, number>>()
  #savedTrust = ''

  constructor(options: PeersOptions, needs: PeersNeeds) {
    const { genesis, chainId, secretKey, members, headers, network, log, monotonic } = needs
    const { self, segment } = options
    const now = (): number => headers.now()
    this.#self = self
    this.#needs = needs
    this.roster = new Roster(options.roster, {
      ...{ genesis, chainId, members, headers, log, monotonic, self, segment },
      file: needs.files.roster,
      changed: () => {
        this.neighbours.relink()
        network.enforceRoles()
        // Who is new has not heard of this device either.
        this.neighbours.wake()
      },
    })
    const { roster } = this
    this.segment = new Segment({
      ...{ chainId, monotonic, now, self },
      isKnown: (device) => roster.has(device),
      met: (publicKey) => roster.meet(publicKey),
      report: (device, report) => this.judge.hear(device, report),
      opinions: (rater, opinions) => this.#heard(rater, opinions),
    })
    this.neighbours = new Neighbours(options, {
      ...{ network, roster, members, chainId, secretKey, log, now },
      segment: this.segment,
      publicKey: network.publicKey,
    })
    this.judge = new Judge(
      options.judge,
      {
        ...{ monotonic, now },
        snapshot: needs.snapshot,
        isKnown: (device) => roster.has(device),
        known: () => roster.all().map(({ device }) => device),
        isConnected: () => members.isUp,
        tell: needs.tell,
      },
      needs.trust,
    )
  }

  /** All that goes on until `signal` aborts; each rejects with a bug only. */
  run(signal: AbortSignal): Promise<void>[] {
    return [
      this.roster.run(signal),
      this.neighbours.run(signal),
      this.judge.run(signal),
      this.#saveTrustNowAndThen(signal),
    ]
  }

  /** A member can be asked. */
  wake(): void {
    this.neighbours.wake()
  }

  /** Says a signed transaction of this device to the segment. */
  say(transaction: Uint8Array): void {
    this.neighbours.say(transaction)
  }

  /** Puts on disk what is not there. Failures are logged. */
  async save(): Promise<void> {
    await this.roster.save()
    await this.#saveTrust()
  }

  get status(): PeersStatus {
    return {
      peersHeard: this.segment.heard.size,
      peersKnown: this.roster.all().length,
      peersLinked: this.#needs.network.peers().filter(({ role }) => role === 'device').length,
      trust: this.judge.table,
      opinionsHeard: Object.fromEntries([...this.#told].map(([rater, told]) => [rater, Object.fromEntries(told)])),
    }
  }

  #heard(rater: string, opinions: readonly Opinion[]): void {
    const told = this.#told.get(rater) ?? new Map<string, number>()
    for (const { device, trustPpm } of opinions) {
      const id = toHex(device)
      if (id === this.#self || this.roster.has(id)) told.set(id, trustPpm)
    }
    this.#told.set(rater, told)
    for (const known of this.#told.keys()) if (!this.roster.has(known)) this.#told.delete(known)
  }

  async #saveTrustNowAndThen(signal: AbortSignal): Promise<void> {
    const alarm = new Alarm()
    while (!signal.aborted) {
      await alarm.wait(TRUST_SAVE_MS, signal)
      await this.#saveTrust()
    }
  }

  /** A failure is logged and tried again: judgements go on, and that the disk is full is what the reports say. */
  async #saveTrust(): Promise<void> {
    const { table } = this.judge
    const now = JSON.stringify(table)
    if (now === this.#savedTrust) return
    try {
      await writeTrustTable(this.#needs.files.trust, table)
      this.#savedTrust = now
    } catch (error) {
      if (!isAlthingError(error)) throw error
      this.#needs.log.warn({ error }, 'the table of trust could not be put on disk')
    }
  }
}
