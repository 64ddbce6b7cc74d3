/**
 * Voices: the opinions about a device that count at a moment, with their weights (ledger.md §3).
 * Invariants: a device has no voice about itself, nor has one that is blacklisted, retired or of another segment; a member has one voice,
 * however many API keys and modules it has; weights are those from before the block's evaluation, so no order of devices matters.
 */
import { toHex } from '../../bytes.ts'
import { addressOf } from '../../signature.ts'
import type { CountedOpinion } from '../access/record.ts'
import { type DeviceRecord, readDevice } from '../device/record.ts'
import { PPM } from '../fields.ts'
import type { BlockContext, StateReader } from '../kind.ts'
import { readOpinions } from './opinions.ts'
import { readTrust } from './record.ts'

/** What a rater's word weighs, and in which segment: null in every one. */
type Standing = { readonly weightPpm: number; readonly segment: string | null }
const SILENT: Standing = { weightPpm: 0, segment: null }

/** Reads voices of one block; remembers raters, who are few where opinions are many. */
export class Voices {
  readonly #block: Pick<BlockContext, 'time' | 'memberSet'>
  readonly #state: StateReader
  readonly #standing = new Map<string, Standing>()

  constructor(block: Pick<BlockContext, 'time' | 'memberSet'>, state: StateReader) {
    this.#block = block
    this.#state = state
    for (const { publicKey } of block.memberSet.members)
      this.#standing.set(toHex(addressOf(publicKey)), { weightPpm: PPM, segment: null })
  }

  /** Those about the device `id` (hexadecimal), in the order of raters. */
  about(id: string, { segment }: Pick<DeviceRecord, 'segment'>): CountedOpinion[] {
    const freshFrom = this.#block.time - this.#block.memberSet.parameters.trustFreshnessMs
    const found: CountedOpinion[] = []
    for (const opinion of readOpinions(this.#state, id)) {
      if (opinion.observedAt < freshFrom) continue
      const rater = toHex(opinion.rater)
      const standing = this.#standingOf(rater)
      const isNeighbour = standing.segment === null || standing.segment === segment
      if (rater !== id && isNeighbour && standing.weightPpm > 0)
        found.push({ ...opinion, weightPpm: standing.weightPpm })
    }
    return found
  }

  #standingOf(rater: string): Standing {
    const known = this.#standing.get(rater)
    if (known !== undefined) return known
    const device = readDevice(this.#state, rater)
    const isOut = device === undefined || device.status === 'blacklisted' || device.status === 'retired'
    const weightPpm = isOut ? 0 : (readTrust(this.#state, rater)?.trustPpm ?? 0)
    const standing = isOut ? SILENT : { weightPpm, segment: device.segment }
    this.#standing.set(rater, standing)
    return standing
  }
}
