/**
 * `trust.opinion`: what changed in a device's local table of trust (ledger.md §2, §3). Owns 'opinions/'. What follows from it is computed
 * at the end of the block: evaluation.ts.
 * Invariants: a device rates others of its own segment, and none but them; what counts of a rater is its newest opinion; all entries of a
 * transaction are taken, or none.
 */
import { fromHex, toHex } from '../../bytes.ts'
import { LIMITS } from '../../limits.ts'
import type { Code } from '../../verdict.ts'
import { type DeviceRecord, readDevice } from '../device/record.ts'
import type { Kind, KindContext, StateReader } from '../kind.ts'
import { type Opinion, type OpinionPayload, opinionPayload } from './opinionPayload.ts'
import { keepOpinion, readOpinion } from './opinions.ts'

/**
 * Takes opinions in. OPINION_SELF; OPINION_SEGMENT; OPINION_STALE, OPINION_AHEAD; DEVICE_UNKNOWN, DEVICE_RETIRED of the device that is
 * rated. One about a device that is blacklisted already is passed over: its rater could not know in time.
 */
export const trustOpinion: Kind<OpinionPayload> = {
  name: 'trust.opinion',
  describe: 'A device says how far it trusts others of its segment; the weighted median of all becomes their trust.',
  signers: ['device'],
  usesReserve: true,
  payload: opinionPayload,
  apply({ opinions }, context, state) {
    const rater = fromHex(context.signerAddress)
    const own = readDevice(state, context.signerAddress) as DeviceRecord
    const staleBefore = context.time - context.memberSet.parameters.trustFreshnessMs
    const taken: { readonly id: string; readonly opinion: Opinion }[] = []
    for (const opinion of opinions) {
      const id = toHex(opinion.device)
      if (id === context.signerAddress) return 'OPINION_SELF'
      const device = readDevice(state, id)
      if (device === undefined) return 'DEVICE_UNKNOWN'
      if (device.status === 'retired') return 'DEVICE_RETIRED'
      if (device.segment !== own.segment) return 'OPINION_SEGMENT'
      const refusal = timeRefusal(id, opinion, rater, context, staleBefore, state)
      if (refusal !== null) return refusal
      if (device.status !== 'blacklisted') taken.push({ id, opinion })
    }
    for (const { id, opinion } of taken) {
      const { trustPpm, observedAt } = opinion
      keepOpinion(state, id, { rater, trustPpm, observedAt, height: context.height }, staleBefore)
    }
    return null
  },
}

function timeRefusal(
  id: string,
  { observedAt }: Opinion,
  rater: Uint8Array,
  { time }: KindContext,
  staleBefore: number,
  state: StateReader,
): Code | null {
  if (observedAt < staleBefore) return 'OPINION_STALE'
  if (observedAt > time + LIMITS.opinionAheadMsMax) return 'OPINION_AHEAD'
  const last = readOpinion(state, id, rater)
  return last !== undefined && observedAt <= last.observedAt ? 'OPINION_STALE' : null
}
