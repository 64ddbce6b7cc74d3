/**
 * RTU, stage 2: the features of one snapshot of the machine, as integers and in a fixed order, so that every member can feed the same
 * numbers to the same module (ledger.md §3: scores are recomputed).
 * Invariants: a feature that could not be observed is null and never 0; position in the vector is part of the format, so names are
 * only ever appended and the version rises with them. What the monitors could not see travels with the numbers as text.
 */
import { CborError } from '../../protocol/cbor.ts'
import { decodeModuleInput, encodeModuleInput } from '../../protocol/modules/input.ts'

/** Format of the vector. */
export const FEATURES_VERSION = 2
/**
 * Names in the order of the vector. `…Ppm` are parts per million of the whole machine; all others are counts, except `loadMilli` and
 * `clockOffsetMs`.
 */
export const FEATURE_NAMES = [
  'processCount',
  'processUnknownCount',
  'executableCount',
  'listenerCount',
  'listenerUnknownCount',
  'connectionCount',
  'watchedFileCount',
  'watchedFileChangedCount',
  'cpuPpm',
  'memoryPpm',
  'diskPpm',
  'loadMilli',
  'findingCount',
  'blindMonitorCount',
  'reportsDroppedCount',
  'loginFailedCount',
  'clockOffsetMs',
] as const
export type FeatureName = (typeof FEATURE_NAMES)[number]
/** What is known of one snapshot; a name that is absent was not observed. Non-negative integers. */
export type FeatureCounts = Partial<Readonly<Record<FeatureName, number>>>

/** Characters of one monitor's sentence about what it cannot see. */
export const BLIND_CHARACTERS_MAX = 200
/** Sentences about blindness in one report. */
export const BLIND_MAX = 8
/** Largest value of a feature; greater ones are cut to it. */
export const FEATURE_MAX = 0xffff_ffff

/** The vector with what goes with it. */
export type Features = {
  readonly version: number
  /** In the order of `FEATURE_NAMES`: 0 … `FEATURE_MAX`, null where unknown. */
  readonly values: readonly (number | null)[]
  /** At most `BLIND_MAX` sentences of at most `BLIND_CHARACTERS_MAX` characters. */
  readonly blind: readonly string[]
}

/** Features of `counts`; `blind` holds the monitors' sentences and is cut to its bounds. */
export const featuresOf = (counts: FeatureCounts, blind: readonly string[]): Features => ({
  version: FEATURES_VERSION,
  values: FEATURE_NAMES.map((name) => {
    const value = counts[name]
    return value === undefined ? null : Math.max(0, Math.min(FEATURE_MAX, Math.round(value)))
  }),
  blind: blind.slice(0, BLIND_MAX),
})

/** The one encoding of `features`: an input of security modules (docs/modules.md), with the sentences as its text, one a line. */
export const encodeFeatures = ({ version, values, blind }: Features): Uint8Array =>
  encodeModuleInput({
    floats: values.map((value) => value ?? Number.NaN),
    integers: [version],
    text: new TextEncoder().encode(blind.map((sentence) => sentence.replaceAll('\n', ' ')).join('\n')),
  })

/** Features of `data`. Throws `CborError` on anything else. */
export function decodeFeatures(data: Uint8Array): Features {
  const input = decodeModuleInput(data)
  const [version] = input?.integers ?? []
  if (input === undefined || version !== FEATURES_VERSION || input.floats.length !== FEATURE_NAMES.length)
    throw new CborError('features: not of this version')
  const text = new TextDecoder().decode(input.text)
  return {
    version,
    values: input.floats.map((value) => (Number.isNaN(value) ? null : value)),
    blind: text === '' ? [] : text.split('\n'),
  }
}
