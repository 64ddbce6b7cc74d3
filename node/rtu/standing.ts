/**
 * RTU: what the chain says of this device itself, proved against a verified header and not told by one member.
 * Invariants: a standing is believed only with a proof (lookup.ts); a change is logged once, with what to do about it.
 */
import { CborError } from '../../protocol/cbor.ts'
import { type DeviceRecord, decodeDevice, deviceStateKey } from '../../protocol/kinds/device/record.ts'
import type { NetworkLog } from '../network/network.ts'
import { Alarm, withJitter } from './alarm.ts'
import { type LookupNeeds, lookUp } from './lookup.ts'

/** Between two looks where nothing happened, ms. */
const LOOK_MS = 600_000

/** What is known: `record` null where the chain has no such device; undefined before anything was proved. */
export type Standing = {
  readonly height: number
  readonly record: Pick<DeviceRecord, 'status' | 'segment' | 'statusSince' | 'mode'> | null
}

/** What looking uses. */
export type StandingNeeds = LookupNeeds & {
  /** Own id, hexadecimal. */
  readonly device: string
  /** The segment that config.toml names. */
  readonly segment: string
  readonly log: NetworkLog
  readonly advice: string
}

/** Looks this device up in the chain. */
export class StandingWatch {
  readonly #needs: StandingNeeds
  readonly #alarm = new Alarm()
  #standing: Standing | undefined

  constructor(needs: StandingNeeds) {
    this.#needs = needs
  }

  /** The last that was proved. */
  get standing(): Standing | undefined {
    return this.#standing
  }

  /** Something may have changed: look again. */
  wake(): void {
    this.#alarm.ring()
  }

  /** Looks whenever it is woken, and now and then, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.look()
      await this.#alarm.wait(withJitter(LOOK_MS), signal)
    }
  }

  /** Asks the members in turn, until one proves what the chain says. undefined if none does now. */
  async look(): Promise<Standing | undefined> {
    const looked = await lookUp(deviceStateKey(this.#needs.device), this.#needs)
    if (looked === undefined) return undefined
    const { height, entry } = looked
    return this.#learn({ height, record: entry === null ? null : this.#decode(entry.value) })
  }

  /** A record that a quorum committed and this version cannot read is a newer version's: the last one that could be read stays. */
  #decode(value: Uint8Array): Standing['record'] {
    try {
      return decodeDevice(value)
    } catch (error) {
      if (!(error instanceof CborError)) throw error
      this.#needs.log.warn(
        { problem: error.message },
        'the record of this device is of another version; update althing',
      )
      return this.#standing?.record ?? null
    }
  }

  #learn(standing: Standing): Standing {
    const before = this.#standing
    this.#standing = standing
    const { log, advice, segment } = this.#needs
    const { height, record } = standing
    if (
      record?.status === before?.record?.status &&
      record?.segment === before?.record?.segment &&
      before !== undefined
    )
      return standing
    if (record === null) log.warn({ height, code: 'DEVICE_UNKNOWN', advice }, 'the chain does not know this device')
    else {
      const { status, statusSince, mode } = record
      log.info({ height, status, statusSince, mode, segment: record.segment }, 'the chain knows this device')
      if (record.segment !== segment)
        log.warn(
          { registered: record.segment, configured: segment, advice: 'Mend rtu.segment, or update the device.' },
          'this device is registered in another segment than config.toml names; the chain decides',
        )
    }
    return standing
  }
}
