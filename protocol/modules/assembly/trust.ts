/**
 * `trust`: what a peer reported and what was seen here of the same moment → [φ, new trust, new memory], all in ppm. The rule of
 * protocol/judgement.ts, in integers alone, so that both say the same to the last digit (ledger.md §3: `T ← (1−α)·T + α·φ`).
 * Input, i32: trust, memory, share of the way up and down (α), φ below which something is misbehaviour, share that is remembered, share
 * that is forgotten; then per category: the peer's weight, the own weight, flags (1: the rater could have seen it; 2: it concerns the
 * machine itself, so that the peer need not see what the rater sees).
 * Status 2 where nothing can be said: the peer reports only what the rater cannot see.
 */
import { begin, finish, integer, integerCount, open, put, refuse } from './abi'

export { abiVersion, alloc } from './abi'

const PPM: i64 = 1000000
const RULE: i32 = 7

/** 3: trust. */
export function moduleKind(): i32 {
  return 3
}

function times(a: i64, b: i64): i64 {
  return (a * b) / PPM
}

export function score(modelAt: i32, modelBytes: i32, inputAt: i32, inputBytes: i32): i32 {
  if (!open(inputAt, inputBytes) || integerCount < RULE || (integerCount - RULE) % 3 != 0) return refuse(1)
  for (let i = 0; i < integerCount; i++) if (integer(i) < 0 || integer(i) > 1000000) return refuse(1)
  let disagreed: i64 = 0
  let seen: i64 = 0
  let skipped = false
  for (let i = RULE; i < integerCount; i += 3) {
    const theirs = <i64>integer(i)
    const ours = <i64>integer(i + 1)
    const flags = integer(i + 2)
    if ((flags & 1) == 0) {
      if (theirs > 0) skipped = true
    } else if ((flags & 2) != 0 && ours >= theirs) {
      seen += theirs
    } else {
      seen += max(theirs, ours)
      disagreed += max(theirs, ours) - min(theirs, ours)
    }
  }
  if (skipped && seen == 0) return refuse(2)
  const whole = max(PPM, seen)
  const phi = ((whole - disagreed) * PPM) / whole
  const trust = <i64>integer(0)
  let memory = <i64>integer(1)
  if (phi < <i64>integer(4)) memory += times(PPM - memory, times(PPM - phi, <i64>integer(5)))
  else memory -= times(memory, <i64>integer(6))
  const aim = min(phi, PPM - memory)
  const after = aim < trust ? trust - times(trust - aim, <i64>integer(3)) : trust + times(aim - trust, <i64>integer(2))
  begin()
  put(<f64>phi)
  put(<f64>after)
  put(<f64>memory)
  return finish()
}
