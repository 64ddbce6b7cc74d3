/**
 * RTU: who belongs to its segment, as the chain proved it; kept on disk, so that the devices find and know each other while no member can be
 * reached. The gate and the judgement both ask here.
 * Invariants: a device is known only by a proof (lookup.ts) that it is in service in this segment; where the chain says otherwise it is out at
 * the next look; while nobody answers, the last proof stands; at most `ROSTER_MAX` devices, the longest not proved forgotten first; looks are
 * one at a time, and who asks for many unknown ones waits behind those that are known.
 */
import { toHex } from '../../protocol/bytes.ts'
import { CborError } from '../../protocol/cbor.ts'
import { bytes, decodeAs, encodeAs, integer, list, optional, record } from '../../protocol/codec.ts'
import { decodeDevice, deviceStateKey } from '../../protocol/kinds/device/record.ts'
import type { PublicKeyHex } from '../../protocol/members.ts'
import { addressOf } from '../../protocol/signature.ts'
import { AlthingError, isAlthingError } from '../errors.ts'
import { type Card, readCard } from '../light/card.ts'
import { LIGHT_LIMITS } from '../light/limits.ts'
import { deviceIdOf } from '../light/roles.ts'
import type { NetworkLog } from '../network/network.ts'
import { Alarm, withJitter } from './alarm.ts'
import { type LookupNeeds, lookUp } from './lookup.ts'
import type { OwnFile } from './ownFile.ts'

/** Devices that are known at once, and unknown ones that wait to be looked up. */
export const ROSTER_MAX = 256
/** Bytes of its file: a key, a height and a card each. */
export const ROSTER_FILE_BYTES_MAX: number = ROSTER_MAX * (LIGHT_LIMITS.cardBytesMax + 64)
/** Times, ms. */
export type RosterOptions = {
  /** Between two looks at one device. */
  readonly refreshMs: number
  /** Between any two looks. */
  readonly paceMs: number
  /** How long a device that the chain does not have in this segment is not looked up again. */
  readonly strangerMs: number
}
/** A device that was cut off is shut out here within a minute, also where nobody tells. */
export const ROSTER_DEFAULTS: RosterOptions = { refreshMs: 60_000, paceMs: 250, strangerMs: 30_000 }

/** A device of the segment. */
export type Neighbour = {
  /** Id, hexadecimal. */
  readonly device: string
  readonly publicKey: PublicKeyHex
  /** Of the block that proved it. */
  readonly height: number
  /** Its newest card. */
  readonly card: Card | undefined
}
type Entry = { publicKey: Uint8Array; height: number; card: Card | undefined; lookedAt: number }

const fileCodec = list(
  record({ publicKey: bytes(33), height: integer(), card: optional(bytes(1, LIGHT_LIMITS.cardBytesMax)) }),
  ROSTER_MAX,
)

/** What the roster uses. */
export type RosterNeeds = LookupNeeds & {
  readonly chainId: Uint8Array
  /** Own id, hexadecimal. */
  readonly self: string
  readonly segment: string
  readonly file: OwnFile
  readonly log: NetworkLog
  monotonic(): number
  /** Who belongs to it has changed, or where they are. */
  changed(): void
}

/** The devices of the segment. */
export class Roster {
  readonly #options: RosterOptions
  readonly #needs: RosterNeeds
  readonly #known = new Map<string, Entry>()
  /** Device → until when it is not looked up; bounded, the oldest forgotten first. */
  readonly #strangers = new Map<string, number>()
  readonly #wanted = new Map<string, Uint8Array>()
  readonly #alarm = new Alarm()
  #isSaved = true

  constructor(options: RosterOptions, needs: RosterNeeds) {
    this.#options = options
    this.#needs = needs
  }

  /** Reads what lies on disk. Rejects with RTU_FILE_ALTERED and as `OwnFile.read`. */
  async load(): Promise<void> {
    const content = await this.#needs.file.read()
    if (content === undefined) return
    try {
      for (const { publicKey, height, card } of decodeAs(fileCodec, content, 'roster'))
        this.#known.set(toHex(addressOf(publicKey)), {
          publicKey,
          height,
          card: card === null ? undefined : readCard(card, this.#needs.chainId),
          lookedAt: Number.NEGATIVE_INFINITY,
        })
    } catch (cause) {
      if (!(cause instanceof CborError)) throw cause
      throw new AlthingError('RTU_FILE_ALTERED', 'the roster cannot be read; delete the file to learn it again', {
        cause,
      })
    }
  }

  /** Whether the device (id, hexadecimal) is in service in this segment. */
  has(device: string): boolean {
    return this.#known.has(device)
  }

  /** The same by its key. */
  hasKey(publicKey: PublicKeyHex): boolean {
    return this.#known.has(deviceIdOf(publicKey))
  }

  /** All that are known. */
  all(): Neighbour[] {
    return [...this.#known].map(([device, { publicKey, height, card }]) => ({
      ...{ device, height, card },
      publicKey: toHex(publicKey),
    }))
  }

  /** The holder of `publicKey` was heard: if it is not known it is looked up soon. */
  meet(publicKey: Uint8Array): void {
    const device = toHex(addressOf(publicKey))
    const { self, monotonic } = this.#needs
    if (device === self || this.#known.has(device) || this.#wanted.has(device)) return
    if ((this.#strangers.get(device) ?? 0) > monotonic() || this.#wanted.size >= ROSTER_MAX) return
    this.#wanted.set(device, publicKey)
    this.#alarm.ring()
  }

  /** Takes in a card: of a device that is not known it is only reason to look it up. Whether it was news. */
  takeCard(card: Card, publicKey: Uint8Array): boolean {
    const known = this.#known.get(toHex(addressOf(publicKey)))
    if (known === undefined) {
      this.meet(publicKey)
      return false
    }
    if (known.card !== undefined && known.card.issuedAt >= card.issuedAt) return false
    const isNew = known.card?.addresses.join() !== card.addresses.join()
    known.card = card
    if (isNew) this.#change()
    return true
  }

  /** Looks devices up, whenever one is met and now and then, until `signal` aborts. Rejects with a bug only. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const next = this.#next()
      if (next !== undefined) await this.#look(...next)
      await this.save()
      await this.#alarm.wait(next === undefined ? withJitter(this.#options.paceMs * 4) : this.#options.paceMs, signal)
    }
  }

  /** Puts it on disk, unless it is there. A failure is logged, and tried again. */
  async save(): Promise<void> {
    if (this.#isSaved) return
    this.#isSaved = true
    const entries = [...this.#known.values()].map(({ publicKey, height, card }) => ({
      ...{ publicKey, height },
      card: card?.bytes ?? null,
    }))
    await this.#needs.file.write(encodeAs(fileCodec, entries)).catch((error: unknown) => {
      if (!isAlthingError(error)) throw error
      this.#isSaved = false
      this.#needs.log.warn({ error }, 'the devices of the segment could not be put on disk')
    })
  }

  /** Who is to be looked up next: the known whose time has come before the unknown. */
  #next(): [string, Uint8Array] | undefined {
    if (this.#needs.members.inTurn().length === 0) return undefined
    const dueBefore = this.#needs.monotonic() - this.#options.refreshMs
    for (const [device, { publicKey, lookedAt }] of this.#known) if (lookedAt <= dueBefore) return [device, publicKey]
    for (const wanted of this.#wanted) return wanted
    return undefined
  }

  async #look(device: string, publicKey: Uint8Array): Promise<void> {
    const before = this.#known.get(device)
    const looked = await lookUp(deviceStateKey(device), this.#needs)
    this.#wanted.delete(device)
    if (before !== undefined) before.lookedAt = this.#needs.monotonic()
    if (looked === undefined) return
    if (looked.entry !== null && this.#isInService(looked.entry.value)) this.#admit(device, publicKey, looked.height)
    else this.#dismiss(device)
  }

  #isInService(value: Uint8Array): boolean {
    try {
      const { status, segment } = decodeDevice(value)
      return segment === this.#needs.segment && status !== 'blacklisted' && status !== 'retired'
    } catch (error) {
      // A record that a quorum committed and this version cannot read: such a device cannot be judged here.
      if (error instanceof CborError) return false
      throw error
    }
  }

  #admit(device: string, publicKey: Uint8Array, height: number): void {
    const before = this.#known.get(device)
    this.#known.delete(device)
    this.#known.set(device, { publicKey, height, card: before?.card, lookedAt: this.#needs.monotonic() })
    if (before !== undefined) return
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= ROSTER_MAX) break
      this.#known.delete(oldest)
    }
    this.#needs.log.info({ device, height }, 'a device of the segment')
    this.#change()
  }

  #dismiss(device: string): void {
    this.#strangers.delete(device)
    this.#strangers.set(device, this.#needs.monotonic() + this.#options.strangerMs)
    for (const oldest of this.#strangers.keys()) {
      if (this.#strangers.size <= ROSTER_MAX) break
      this.#strangers.delete(oldest)
    }
    if (!this.#known.delete(device)) return
    this.#needs.log.info({ device }, 'a device is in service in this segment no longer')
    this.#change()
  }

  #change(): void {
    this.#isSaved = false
    this.#needs.changed()
  }
}
