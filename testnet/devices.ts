/**
 * Stage: the operator. What became of the devices of a scenario, asked at each member through the public API: who is cut off, by which rule, on what
 * grounds, how soon, and whether anything of it is still taken.
 * Invariants: nothing is read that an outsider with a token could not read; times are those of the chain and of the device's own report.
 */
import { randomBytes } from 'node:crypto'
import { readKeyFile } from '../node/crypto/keys.ts'
import { fromHex } from '../protocol/bytes.ts'
import { deviceReport } from '../protocol/kinds/report/report.ts'
import { signTransaction } from '../protocol/transaction.ts'
import { homeIn, type RtuPlace } from './homes.ts'
import { handIn } from './load.ts'
import { type DeviceStanding, readDevice, readFirstEvent, readPage, readPoint, readReason } from './status.ts'
import type { Member, Testnet } from './testnet.ts'

/** A device that was compromised, and when (ms since 1970). */
export type Compromise = { readonly rtu: string; readonly at: number }

/** How it went with a compromised device. Cycles: times of its report interval, to a tenth; null where it did not come that far. */
export type DeviceStory = {
  readonly rtu: string
  /** From the compromise, and from the first report that shows it, to the block that cut it off. */
  readonly cyclesFromCompromise: number | null
  readonly cyclesFromReport: number | null
  /** What its own first report said: categories. */
  readonly reported: readonly string[]
  /** Of the record of why. */
  readonly cause: string | null
  readonly finalTrustPpm: number | null
  readonly raters: number
}

/** Cycles within which a device that reports its compromise has to be cut off. */
const CYCLES_MAX = 3

/** What is found wrong, a sentence each, and the stories of those that were compromised. */
export type DeviceVerdict = { readonly reasons: readonly string[]; readonly stories: readonly DeviceStory[] }

/** Judges all RTUs of `testnet`; `cycleMs`: their report interval. */
export async function judgeDevices(
  testnet: Testnet,
  compromised: readonly Compromise[],
  cycleMs: number,
  chainId: Uint8Array,
): Promise<DeviceVerdict> {
  const reasons: string[] = []
  const stories: DeviceStory[] = []
  for (const place of testnet.places.rtus) {
    const compromise = compromised.find(({ rtu }) => rtu === place.name)
    for (const member of testnet.members) {
      const standing = await standingOf(member, place)
      const problem = problemOf(place.name, member.place.name, standing, compromise !== undefined)
      if (problem !== null) reasons.push(problem)
    }
    if (compromise === undefined) continue
    const story = await storyOf(testnet.members[0] as Member, place, compromise, cycleMs)
    stories.push(story)
    reasons.push(...doubtsOf(story))
    for (const member of testnet.members) {
      const code = await reportAgain(testnet.places.folder, member, place, chainId)
      if (code !== 'DEVICE_BLACKLISTED')
        reasons.push(
          `${member.place.name} answers a later report of ${place.name} with ${code}, not DEVICE_BLACKLISTED`,
        )
    }
  }
  return { reasons, stories }
}

/** How the device `place` stands at `member`. */
export const standingOf = async ({ client }: Member, place: RtuPlace): Promise<DeviceStanding> =>
  readDevice(await client.get(['devices', place.device]))

/** Why this standing is not as it should be, or null. Exported for its test. */
export function problemOf(
  rtu: string,
  member: string,
  standing: DeviceStanding,
  isCompromised: boolean,
): string | null {
  const { status, blacklistedAt, lastReportAt } = standing
  if (!isCompromised) return status === 'trusted' ? null : `${member} has ${rtu}, which nobody touched, as ${status}`
  if (status !== 'blacklisted' || blacklistedAt === undefined)
    return `${member} has ${rtu}, which was compromised, as ${status}`
  // The block that cut it off may hold reports of its own, which came before.
  if ((lastReportAt ?? 0) > blacklistedAt)
    return `${member} counts a report of ${rtu} at height ${lastReportAt}, after it was cut off at ${blacklistedAt}`
  return null
}

/** What a story lacks. Exported for its test. */
export function doubtsOf({ rtu, cause, cyclesFromReport, reported, raters }: DeviceStory): string[] {
  const doubts: string[] = []
  if (cause !== 'opinions') doubts.push(`${rtu} was cut off by ${cause ?? 'nothing'}, not by the rule of trust`)
  if (reported.length === 0) doubts.push(`${rtu} reported nothing of its compromise`)
  if (raters === 0) doubts.push(`the record of why ${rtu} was cut off names no opinion`)
  if (cyclesFromReport === null || cyclesFromReport > CYCLES_MAX)
    doubts.push(`${rtu} was cut off ${cyclesFromReport ?? 'no'} cycles after its report, more than ${CYCLES_MAX}`)
  return doubts
}

async function storyOf(
  { client }: Member,
  { name: rtu, device }: RtuPlace,
  { at }: Compromise,
  cycleMs: number,
): Promise<DeviceStory> {
  const page = async (...more: string[]): Promise<readonly unknown[]> =>
    readPage(await client.get(['devices', device, ...more], { limit: '100' })).items
  const cutOff = (await page('trust', 'history')).map(readPoint).find(({ status }) => status === 'blacklisted')
  const first = readFirstEvent(await page('events'), at)
  const { cause, finalScorePpm, raters } = readReason(await client.get(['devices', device, 'trust']))
  const cyclesSince = (from: number | undefined): number | null =>
    cutOff === undefined || from === undefined ? null : Math.round((10 * (cutOff.time - from)) / cycleMs) / 10
  return {
    rtu,
    cyclesFromCompromise: cyclesSince(at),
    cyclesFromReport: cyclesSince(first?.observedAt),
    reported: first?.categories ?? [],
    cause: cause ?? null,
    finalTrustPpm: finalScorePpm ?? null,
    raters,
  }
}

// Signed with the device's own key, as by whoever has taken the machine over.
async function reportAgain(
  folder: string,
  { place: { name }, client }: Member,
  { name: rtu, device }: RtuPlace,
  chainId: Uint8Array,
): Promise<string> {
  const key = await readKeyFile(homeIn(folder, rtu).nodeKeyFile)
  const observedAt = Date.now()
  const report = {
    ...{ device: fromHex(device), observedAt, events: [], features: new Uint8Array(), model: null, scores: [] },
  }
  const { bytes } = signTransaction(
    {
      kind: deviceReport.name,
      payload: deviceReport.payload.to(report),
      nonce: Uint8Array.from(randomBytes(16)),
      validUntil: observedAt + 60_000,
    },
    chainId,
    key.secretKey(),
  )
  const { refused } = await handIn(await client.api(), [bytes])
  return Object.keys(refused)[0] ?? `an acceptance (${name})`
}
