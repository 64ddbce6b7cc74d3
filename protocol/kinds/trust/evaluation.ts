/**
 * The rule of trust (ledger.md §3), carried out once at the end of a block for each device about which opinions changed in it: voices →
 * trust → trusted or suspect → after `trustPatience` rounds below the threshold, blacklisted. No transaction does that, so no one can do it
 * alone, and no one can leave it out.
 * Invariants: all outcomes follow from the state before the evaluation, so their order does not matter; a device that is only observed is
 * never cut off; a device that is cut off or retired keeps its trust as it was.
 * Bounds: a block evaluates no more devices than it holds opinions, each over `LIMITS.ratersMax` rows.
 */
import { fromHex, toHex } from '../../bytes.ts'
import { addressOf } from '../../signature.ts'
import { blacklistDevice, type CountedOpinion } from '../access/record.ts'
import { type DeviceRecord, deviceInService, writeDevice } from '../device/record.ts'
import { memberNow } from '../governance/record.ts'
import type { BlockContext, StateReader, StateView } from '../kind.ts'
import { readAllEvents } from '../report/record.ts'
import { weightedMedian } from './median.ts'
import {
  addTrustPoint,
  readTrust,
  startingTrust,
  TRUST_POINT_STEP_PPM,
  type TrustRecord,
  writeTrust,
} from './record.ts'
import { Voices } from './voices.ts'

/** What came out about one device. */
type Outcome = {
  readonly id: string
  readonly device: DeviceRecord
  readonly before: TrustRecord
  readonly after: TrustRecord
  readonly voices: readonly CountedOpinion[]
}

/** Evaluates the devices of `ids` (hexadecimal), about which opinions have changed in the block. */
export function evaluateTrust(ids: readonly string[], block: BlockContext, state: StateView): void {
  if (ids.length === 0) return
  const voices = new Voices(block, state)
  const outcomes: Outcome[] = []
  for (const id of [...ids].sort()) {
    const outcome = outcomeOf(id, block, state, voices)
    if (outcome !== undefined) outcomes.push(outcome)
  }
  for (const outcome of outcomes) carryOut(outcome, block, state)
}

function outcomeOf(id: string, block: BlockContext, state: StateReader, all: Voices): Outcome | undefined {
  const device = deviceInService(state, id)
  if (typeof device === 'string') return undefined
  const { trustInitialPpm, trustMinRaters } = block.memberSet.parameters
  const before = readTrust(state, id) ?? startingTrust(trustInitialPpm, device.registeredAt)
  const voices = all.about(id, device)
  if (voices.length >= trustMinRaters) {
    const trustPpm = weightedMedian(voices) as number
    const { trustThresholdPpm } = block.memberSet.parameters
    const renewed = isRenewed(voices, trustThresholdPpm, before.roundHeight)
    return { id, device, before, after: evaluated(before, trustPpm, 'opinions', voices, renewed, block), voices }
  }
  const own = ownersVoice(device, voices, block, state)
  if (own?.height !== block.height) return undefined
  return { id, device, before, after: evaluated(before, own.trustPpm, 'score', voices, true, block), voices }
}

/**
 * The score that a member gave its own device. While too few voices are there to judge, it stands: the owner may cut its device off anyway,
 * and nobody is there to contradict it.
 */
function ownersVoice(
  { owner }: DeviceRecord,
  voices: readonly CountedOpinion[],
  { members }: BlockContext,
  state: StateReader,
): CountedOpinion | undefined {
  const present = memberNow(state, owner, members)
  if (present === undefined) return undefined
  const address = toHex(addressOf(fromHex(present)))
  return voices.find(({ rater }) => toHex(rater) === address)
}

/**
 * Whether a round is complete: of the voices below the threshold, those with at least half of the weight have spoken since the last round.
 * Counting evaluations instead, one rater that speaks in every block would use up the patience before the others have looked again; and
 * asking all raters, one that keeps silent would stop the count.
 */
function isRenewed(voices: readonly CountedOpinion[], thresholdPpm: number, since: number): boolean {
  let [low, renewed] = [0, 0]
  for (const { trustPpm, weightPpm, height } of voices) {
    if (trustPpm >= thresholdPpm) continue
    low += weightPpm
    if (height > since) renewed += weightPpm
  }
  return 2 * renewed >= low
}

function evaluated(
  before: TrustRecord,
  trustPpm: number,
  basis: TrustRecord['basis'],
  voices: readonly CountedOpinion[],
  isRound: boolean,
  { height, memberSet }: BlockContext,
): TrustRecord {
  const isLow = trustPpm < memberSet.parameters.trustThresholdPpm
  const counts = isLow && isRound
  return {
    ...before,
    trustPpm,
    basis,
    evaluations: before.evaluations + 1,
    raters: voices.length,
    below: isLow ? before.below + (isRound ? 1 : 0) : 0,
    roundHeight: counts ? height : before.roundHeight,
    lowScores: isLow ? before.lowScores : [],
    lastHeight: height,
  }
}

function carryOut({ id, device, before, after, voices }: Outcome, block: BlockContext, state: StateView): void {
  const { height, time, memberSet } = block
  const { trustThresholdPpm: thresholdPpm, trustPatience } = memberSet.parameters
  const isCutOff = device.mode === 'enforce' && after.below >= trustPatience
  const status = isCutOff ? 'blacklisted' : after.trustPpm < thresholdPpm ? 'suspect' : 'trusted'
  if (isCutOff)
    blacklistDevice(state, id, device, {
      cause: after.basis === 'score' ? 'score' : 'opinions',
      finalScorePpm: after.trustPpm,
      thresholdPpm,
      anomalies: anomaliesOf(state, id),
      opinions: voices,
      lowScores: after.lowScores,
      reason:
        after.basis === 'score'
          ? `${after.below} scores of its owner in a row below the threshold`
          : `the median of ${voices.length} voices was below the threshold in ${after.below} rounds`,
      member: null,
      height,
      transaction: null,
    })
  else if (status !== device.status) writeDevice(state, id, { ...device, status, statusSince: height })
  const isPoint =
    status !== device.status ||
    after.basis !== before.basis ||
    Math.abs(after.trustPpm - before.pointPpm) >= TRUST_POINT_STEP_PPM
  writeTrust(state, id, isPoint ? addTrustPoint(state, id, after, { height, time, thresholdPpm, status }) : after)
}

/** The newest report of each category in which the device was reported, the newest first. */
function anomaliesOf(state: StateReader, id: string): Uint8Array[] {
  const newestFirst = [...readAllEvents(state, id).values()].sort((a, b) => b.lastHeight - a.lastHeight)
  const ids = new Map(newestFirst.map(({ lastTransaction }) => [toHex(lastTransaction), lastTransaction]))
  return [...ids.values()]
}
