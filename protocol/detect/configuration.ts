/**
 * Stage: detectors. THE fixed configuration: one set of numbers for every series, file and site.
 * Invariant: what a detector gives is integer parts per million in which 500 000 is its threshold, whatever the method.
 */

/** Parts per million of a score at which a detector alarms. */
export const ALARM_PPM = 500_000

/** `univariate.ts`. Counts are values of the series. */
export const UNIVARIATE = {
  /** Lag vectors: one value (its level), and twelve means of two values (its shape). */
  level: { width: 1, stride: 1, neighbours: 5, capacity: 5000 },
  shape: { width: 12, stride: 2, neighbours: 3, capacity: 2500 },
  /** A score is compared with this quantile of all earlier ones … */
  quantile: 0.99,
  /** … and alarms at so many times its distance from the median. */
  margin: 1.25,
  /** Values that are too early to be compared with. */
  settling: 50,
  /** After an alarm no other one for this part of the learning stretch: one incident is one alarm. */
  refractory: 0.5,
} as const

/** `principal.ts`. */
export const PRINCIPAL = {
  /** Weight of the newest vector in the moving average. */
  weight: 0.1,
  /** A value that is more deviations away counts as that many: one wild value must not drown those behind it. */
  clip: 100,
  /** Vectors until the average has forgotten where it began. */
  settling: 20,
  /** Part of the variance that the subspace holds. */
  share: 0.7,
  /** Limits are this quantile of the learning stretch … */
  quantile: 0.99,
  /** … times this. */
  margin: 2,
  /** The stretch is cut into so many blocks … */
  blocks: 20,
  /** … and a channel of whose standard deviation more than this part lies between the blocks wanders, and is left out. */
  wanderingMax: 0.8,
} as const

/** `pasad.ts`. */
export const PASAD = {
  /** The threshold is the greatest score of the validation stretch times this. */
  margin: 1.2,
  /** Part of the series behind the training stretch and before the test that is used for validation. */
  validation: 0.5,
} as const

/** `sensorFault.ts`. */
export const SENSOR = {
  /** Part of the votes that all faults together need before a value counts as faulty. */
  faultShare: 0.75,
} as const

/** `position.ts`. Distances in metres, speeds in metres a second. */
export const POSITION = {
  /** No vehicle of the fleet is faster. */
  speedMax: 45,
  /** What reporting, rounding and urban canyons may add to a step. */
  slack: 250,
  /** Seconds by which a time may stand before the last one, or ahead of the receiving clock. */
  clockSlack: 60,
  /** From this speed on a position that stays where it was to the last digit is frozen … */
  freezeSpeed: 4,
  /** … after so many such fixes in a row, over so many seconds. */
  freezeFixes: 3,
  freezeSeconds: 150,
  /** A heading is compared where a step is at least so long and at most so many seconds. */
  headingStep: 30,
  headingSeconds: 20,
  /** Degrees and fixes in a row at which it contradicts the movement. */
  headingDifference: 90,
  headingFixes: 3,
  /** Fixes in a row at one earlier stretch's very positions, of at least so many metres, at which they are a replay. */
  replayFixes: 4,
  replayLength: 400,
  /** Fixes of the vehicle itself that are remembered for that. */
  remembered: 512,
  /** Satellites and dilution that no fix is believed with. */
  satellitesMin: 4,
  hdopMax: 10,
  /** Side of a cell of the map of the fleet, in degrees of latitude. */
  cell: 0.002,
  /** Fixes in a row outside of everything that other vehicles passed. */
  astrayFixes: 3,
  /** After a finding of one check no other one of it for so many seconds: one incident is one alarm. */
  quietSeconds: 1800,
} as const
