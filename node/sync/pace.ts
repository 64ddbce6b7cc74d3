/** How long members are waited for, and how often they are asked, where something is fetched. */

/** How long one peer may take to answer before another is asked. */
export const ASK_TIMEOUT_MS = 5_000
/** Between two rounds of asking when nobody had it. */
export const RETRY_MS = 100
/** The pause after a round in which nobody had it: longer each time, so that what nobody has costs little. */
export const pauseOf = (round: number): number => Math.min(RETRY_MS / 4 + round * RETRY_MS, 2000)
