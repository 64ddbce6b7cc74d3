/**
 * What the API and the feed ask about trust: how it stands, every voice with its weight, and how it got there. Reads only.
 * Invariant: weights and freshness are those of the rule itself, at the time of the newest block.
 */
import { toHex } from '../../protocol/bytes.ts'
import { readBlacklist, readReinstatement } from '../../protocol/kinds/access/record.ts'
import { readDevice } from '../../protocol/kinds/device/record.ts'
import type { StateReader } from '../../protocol/kinds/kind.ts'
import { readOpinions } from '../../protocol/kinds/trust/opinions.ts'
import { readTrust, readTrustPoints, TRUST_POINTS_MAX, TRUST_PREFIX } from '../../protocol/kinds/trust/record.ts'
import { Voices } from '../../protocol/kinds/trust/voices.ts'
import { addressOf } from '../../protocol/signature.ts'
import type { ApiDependencies } from '../api/dependencies.ts'
import type { Executor } from '../executor/executor.ts'
import { type LedgerReads, PAGE_ENTRIES_MAX } from '../executor/reads.ts'
import type { DeviceTrustPoint } from '../executor/speculation.ts'

/** Queries about trust over one node. `state` reads the committed state. */
export function trustQueries(
  executor: Pick<Executor, 'head' | 'era'>,
  state: StateReader,
): Pick<ApiDependencies, 'deviceTrust' | 'trustHistory'> {
  return {
    async deviceTrust(id) {
      const device = readDevice(state, id)
      const trust = readTrust(state, id)
      if (device === undefined || trust === undefined) return undefined
      const { memberSet } = executor.era
      const counted = new Voices({ time: executor.head.time, memberSet }, state).about(id, device)
      const weights = new Map(counted.map(({ rater, weightPpm }) => [toHex(rater), weightPpm]))
      const names = new Map(memberSet.members.map(({ name, publicKey }) => [toHex(addressOf(publicKey)), name]))
      return {
        device,
        trust,
        parameters: memberSet.parameters,
        opinions: readOpinions(state, id).map((opinion) => {
          const rater = toHex(opinion.rater)
          return { ...opinion, rater, member: names.get(rater) ?? null, weightPpm: weights.get(rater) ?? 0 }
        }),
        blacklist: readBlacklist(state, id),
        reinstatement: readReinstatement(state, id),
      }
    },
    async trustHistory(id, page) {
      return readTrustPoints(state, id, page)
    },
  }
}

/** Points of the histories of all devices from blocks at `height` and above, by height, in the order of devices. One pass over 'trust/'. */
export async function trustPointsFrom(
  reads: Pick<LedgerReads, 'state' | 'states'>,
  height: number,
): Promise<ReadonlyMap<number, readonly DeviceTrustPoint[]>> {
  const state: StateReader = { get: (key) => reads.state(key)?.value }
  const found = new Map<number, DeviceTrustPoint[]>()
  for (let cursor: string | undefined; ; ) {
    const page = await reads.states(TRUST_PREFIX, PAGE_ENTRIES_MAX, cursor)
    for (const { key, entry } of page.items) {
      if (entry.height < height) continue
      const device = key.slice(TRUST_PREFIX.length)
      for (const point of readTrustPoints(state, device, { limit: TRUST_POINTS_MAX, height }).toReversed()) {
        const there = found.get(point.height)
        if (there === undefined) found.set(point.height, [{ device, point }])
        else there.push({ device, point })
      }
    }
    if (page.next === null) return found
    cursor = page.next
  }
}
