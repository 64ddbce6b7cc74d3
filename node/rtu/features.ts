/**
 * RTU, stage 2: the features of one snapshot of the machine, as integers and in a fixed order, so that every member can feed the same
 * numbers to the same module (ledger.md §3: scores are recomputed).
 * Invariants: a feature that could not be observed is null and never 0; position in the vector is part of the format, so names are
 * only ever appended and the version rises with them. What the monitors could not see travels with the numbers as text.
 */
import { decodeAs, encodeAs, integer, list, optional, record, type TypeOf, text } from '../../protocol/codec.ts'

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

const featuresCodec = record({
  version: integer(FEATURES_VERSION, FEATURES_VERSION),
  values: list(optional(integer(0, FEATURE_MAX)), FEATURE_NAMES.length, FEATURE_NAMES.length),
  blind: list(text(BLIND_CHARACTERS_MAX), BLIND_MAX),
})
/** The vector with what goes with it: `values` in the order of `FEATURE_NAMES`, null where unknown. */
export type Features = TypeOf<typeof featuresCodec>

/** Features of `counts`; `blind` holds the monitors' sentences and is cut to its bounds. */
export const featuresOf = (counts: FeatureCounts, blind: readonly string[]): Features => ({
  version: FEATURES_VERSION,
  values: FEATURE_NAMES.map((name) => {
    const value = counts[name]
    return value === undefined ? null : Math.max(0, Math.min(FEATURE_MAX, Math.round(value)))
  }),
  blind: blind.slice(0, BLIND_MAX),
})

/** The one encoding of `features`. */
export const encodeFeatures = (features: Features): Uint8Array => encodeAs(featuresCodec, features)
/** Features of `data`. Throws `CborError` on anything else. */
export const decodeFeatures = (data: Uint8Array): Features => decodeAs(featuresCodec, data, 'features')
