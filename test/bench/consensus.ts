/**
 * What a steady, pipelined run of the consensus core costs: `node test/bench/consensus.ts [--blocks 3000]`. All members in one process, every message
 * delivered at once and in order, the disk answering at once: what is measured is `step` and the encoding of the signing record alone.
 */
import { parseArgs } from 'node:util'
import type { Effect, Event } from '../../protocol/consensus/events.ts'
import { encodeRecord } from '../../protocol/consensus/record.ts'
import type { State } from '../../protocol/consensus/state.ts'
import { initialState, step } from '../../protocol/consensus/step.ts'
import type { Block, Era, Signer, SigningRecord } from '../../protocol/consensus/types.ts'
import { quorumSizes } from '../../protocol/members.ts'

const hashAt = (height: number): string => height.toString(16).padStart(64, '0')
const FIRST: Block = { hash: hashAt(0), parent: hashAt(0), height: 0, endsEra: false }
const signature = new Uint8Array(65)
const signer: Signer = { slot: () => signature, blame: () => signature, status: () => signature }
/** Blocks between two ticks of the repeat timer: Δ/9 at 100 blocks a second and Δ = 500 ms. */
const BLOCKS_PER_TICK = 5

export type Cost = {
  readonly n: number
  readonly live: number
  readonly blocks: number
  /** Of one member. */
  readonly stepsPerBlock: number
  readonly writesPerBlock: number
  readonly microsecondsPerStep: number
  readonly recordBytesMax: number
}

/** Runs `live` of `n` members until `blocks` blocks are committed by the first. */
export function measure(n: number, live: number, blocks: number, termBlocks = 100): Cost {
  const states: State[] = Array.from({ length: live }, (_, me) => {
    const timing = { deltaMs: 500, heartbeatMs: 1000, bodyAllowanceMs: 1000, timeoutDoublingsMax: 6 }
    const era: Era = { era: 0, ...quorumSizes(n, 51), me, termBlocks, first: FIRST, ...timing }
    return initialState(era, signer, { kind: 'fresh' })
  })
  const queue: (readonly [to: number, event: Event])[] = []
  for (let me = 0; me < live; me++) {
    queue.push([me, { type: 'start' }])
    for (let member = 0; member < live; member++)
      if (member !== me) queue.push([me, { type: 'connected', member, run: 'run' }])
  }
  let steps = 0
  let writes = 0
  let elapsed = 0
  let recordBytesMax = 0
  let ticked = 0
  let record: SigningRecord | null = null
  const height = (): number => states[0]?.highest?.height ?? 0

  function carryOut(me: number, effect: Effect): void {
    switch (effect.type) {
      case 'persist':
        writes += 1
        if (me === 0) record = effect.record
        queue.push([me, { type: 'persisted', ticket: effect.ticket }])
        return
      case 'send':
        if (effect.to < live)
          queue.push([effect.to, { type: 'message', from: me, key: effect.key, message: effect.message }])
        return
      case 'acknowledge':
        queue.push([effect.to, { type: 'acknowledged', from: me, run: 'run', keys: effect.keys }])
        return
      case 'validate':
        queue.push([me, { type: 'validated', hash: effect.proposal.block.hash, valid: true }])
        return
      case 'build': {
        const block: Block = {
          hash: hashAt(effect.height),
          parent: effect.parent,
          height: effect.height,
          endsEra: false,
        }
        queue.push([me, { type: 'built', view: effect.view, seq: effect.seq, block }])
        return
      }
      case 'commit':
        queue.push([me, { type: 'applied', hash: effect.certificate.hash }])
        return
      default:
        return
    }
  }

  for (let at = 0; at < queue.length && height() < blocks; at++) {
    const [to, event] = queue[at] as (typeof queue)[number]
    const began = performance.now()
    const { state, effects } = step(states[to] as State, event)
    elapsed += performance.now() - began
    states[to] = state
    steps += 1
    for (const effect of effects) carryOut(to, effect)
    if (record !== null && steps % 50 === 0) {
      recordBytesMax = Math.max(recordBytesMax, encodeRecord(record).length)
      record = null
    }
    if (height() >= ticked + BLOCKS_PER_TICK) {
      ticked = height()
      for (let me = 0; me < live; me++) queue.push([me, { type: 'elapsed', timer: { kind: 'repeat' } }])
    }
    // Weak certificates: their waits end when nothing else is left to do.
    if (at === queue.length - 1 && height() < blocks) wake()
    if (at > 100_000) {
      queue.splice(0, at + 1)
      at = -1
    }
  }

  /** Nothing moves: the waits of §4.2 pass. */
  function wake(): void {
    states.forEach((state, me) => {
      for (const { slot, wait } of state.ballots.values()) {
        const { view, seq, hash } = slot
        const timer = { kind: 'commit' as const, view, seq, hash, generation: state.generation }
        if (wait === 'running') queue.push([me, { type: 'elapsed', timer }])
      }
      for (const [nonce] of state.echoes) queue.push([me, { type: 'elapsed', timer: { kind: 'echo', nonce } }])
    })
  }

  return {
    n,
    live,
    blocks: height(),
    stepsPerBlock: steps / live / height(),
    writesPerBlock: writes / live / height(),
    microsecondsPerStep: (elapsed * 1000) / steps,
    recordBytesMax,
  }
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { blocks: { type: 'string', default: '3000' } } })
  const blocks = Number(values.blocks)
  const show = ({ n, live, ...cost }: Cost): void =>
    console.log(
      `n=${n}, ${live} live, ${cost.blocks} blocks: ${cost.stepsPerBlock.toFixed(1)} steps and ${cost.writesPerBlock.toFixed(2)} writes`,
      `a block and member, ${cost.microsecondsPerStep.toFixed(1)} µs a step, record at most ${cost.recordBytesMax} bytes`,
    )
  measure(4, 4, 500)
  for (const n of [4, 7]) for (const count of [blocks, 4 * blocks]) show(measure(n, n, count))
  // One leader's reign, with a member down; with two down every certificate is weak, and up to a whole term waits for its commit.
  show(measure(7, 6, blocks, 10_000))
  for (const termBlocks of [50, 100, 200]) show(measure(7, 5, termBlocks, termBlocks))
  show(measure(64, 64, 20))
}
