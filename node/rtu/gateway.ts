/**
 * RTU as a gateway: the store of signed readings, the door at which sensors hand them in, and the clock that closes batches. `reading.batch`
 * goes to the members through the outbox, which hands it to two of them at once.
 * Invariant: a disk that takes nothing stops no observation: sensors are told, and it is tried again.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { CborValue } from '../../protocol/cbor.ts'
import { batchCodec } from '../../protocol/reading.ts'
import type { NetworkLog } from '../network/network.ts'
import { READINGS_DEFAULTS, Readings, type ReadingsStatus } from './readings.ts'
import { openReadingsDoor } from './readingsDoor.ts'

/** How a unit takes readings. `sensors`: addresses of the keys that may sign, hexadecimal. `openMs`: the age at which a batch is closed. */
export type GatewayOptions = {
  readonly listen: { readonly host: string; readonly port: number }
  readonly sensors: ReadonlySet<string>
  readonly bytesMax: number
  readonly openMs?: number
}
/** What it needs. `anchor` resolves once the payload of `reading.batch` is signed and on disk. */
export type GatewayNeeds = {
  readonly log: NetworkLog & { error(fields: object, message: string): void }
  anchor(payload: CborValue): Promise<void>
  now(): number
}
/** A gateway that takes readings. */
export type Gateway = {
  readonly port: number
  readonly status: ReadingsStatus
  /** Closes batches until `signal`. */
  run(signal: AbortSignal): Promise<void>
  /** Ends with everything on disk. */
  close(): Promise<void>
}

/** Between two looks at whether the open batch is due, ms. */
const LOOK_MS = 500

/** Opens store and door. Throws AlthingError RTU_READ_FAILED, RTU_WRITE_FAILED, RTU_LISTEN_FAILED. */
export async function openGateway(
  { listen, sensors, bytesMax, openMs = READINGS_DEFAULTS.openMs }: GatewayOptions,
  directory: string,
  chainId: Uint8Array,
  { log, anchor, now }: GatewayNeeds,
): Promise<Gateway> {
  const readings = await Readings.open(
    { directory, chainId, sensors, bytesMax, readingsMax: READINGS_DEFAULTS.readingsMax, openMs },
    { anchor: (batch) => anchor(batchCodec.to(batch)), now },
  )
  const failed = (error: unknown): void => log.error({ error }, 'readings could not be kept')
  const door = await openReadingsDoor(listen, readings, failed)
  log.info({ host: door.host, port: door.port, sensors: sensors.size }, 'readings are taken')
  return {
    port: door.port,
    get status() {
      return readings.status
    },
    async run(signal) {
      while (!signal.aborted) {
        await readings.tick().catch(failed)
        await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined)
      }
    },
    async close() {
      await door.close()
      await readings.stop()
    },
  }
}
