/**
 * The payload of `trust.opinion`: what changed in a device's local table of trust. Devices build it and members read it through this
 * codec, so that both hold to one set of bounds.
 * Invariant: each device is named at most once, in ascending order of its id.
 */
import { compareBytes } from '../../bytes.ts'
import { CborError } from '../../cbor.ts'
import { type Codec, integer, list, record, type TypeOf } from '../../codec.ts'
import { LIMITS } from '../../limits.ts'
import { deviceId, ppm } from '../fields.ts'

/** What one device thinks of another. */
export type Opinion = TypeOf<typeof opinionCodec>
const opinionCodec = record({
  /** Whom it is about, by the id of the registration: 20 bytes. */
  device: deviceId,
  /** 0: no trust. 1 000 000: full trust. */
  trustPpm: ppm,
  /** When the rater formed it, by its own clock: ms since 1970-01-01T00:00Z. */
  observedAt: integer(),
})
const opinionsCodec = list(opinionCodec, LIMITS.opinionsMax, 1)

const sorted: Codec<readonly Opinion[]> = {
  to: (opinions) => opinionsCodec.to(assertSorted(opinions, 'opinions')),
  from: (value, where) => assertSorted(opinionsCodec.from(value, where), where),
}

function assertSorted(opinions: readonly Opinion[], where: string): readonly Opinion[] {
  for (let i = 1; i < opinions.length; i++)
    if (compareBytes((opinions[i - 1] as Opinion).device, (opinions[i] as Opinion).device) >= 0)
      throw new CborError(`${where}[${i}]: not in ascending order of devices, or one of them twice`)
  return opinions
}

/** 1 … `LIMITS.opinionsMax` opinions, in ascending order of devices. Encoding others throws `CborError`; decoding them is TX_PAYLOAD. */
export type OpinionPayload = TypeOf<typeof opinionPayload>
/** Shape of the payload. */
export const opinionPayload = record({ opinions: sorted })
