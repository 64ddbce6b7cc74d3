/**
 * The member's side of light peers, put on its network: five questions, pushes, and the end of connections that lost their role.
 * Invariant: what a device did wrong is held against it by the table of verdicts, whichever question it was.
 */
import { encodeAs } from '../../protocol/codec.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { PublicKeyHex } from '../../protocol/members.ts'
import type { Clock } from '../clock.ts'
import type { CommittedBlock, Executor } from '../executor/executor.ts'
import type { Intake } from '../intake/intake.ts'
import type { Network, ServeLimits } from '../network/network.ts'
import { Cards } from './cards.ts'
import { LIGHT_LIMITS } from './limits.ts'
import { cardsAnswer, encodeAnswer, QUESTIONS } from './messages.ts'
import { Pushing } from './pushing.ts'
import { type Answered, Questions } from './questions.ts'

/** What serving devices uses. */
export type LightDependencies = {
  readonly chainId: Uint8Array
  readonly network: Network
  readonly executor: Pick<Executor, 'head' | 'reads'>
  readonly intake: Pick<Intake, 'submit' | 'onReport'>
  readonly clock: Clock
  onCommitted(listener: (blocks: readonly CommittedBlock[]) => void): void
}

/** Serves devices from now on. Call before the network starts. */
export function serveDevices({ chainId, network, executor, intake, clock, onCommitted }: LightDependencies): void {
  const questions = new Questions({ chainId, clock, intake, reads: executor.reads })
  const pushing = new Pushing({ network, executor, clock })
  const serve = (
    name: string,
    answer: (peer: PublicKeyHex, data: Uint8Array) => Promise<Answered>,
    limits: ServeLimits,
  ): void =>
    network.serve(
      name,
      async (peer, data) => {
        const answered = await answer(peer, data)
        network.penalize(peer, answered.code)
        return encodeAnswer(answered)
      },
      { roles: ['device'], timeoutMs: LIGHT_LIMITS.answerTimeoutMs, ...limits },
    )
  serve(QUESTIONS.submit, (peer, data) => questions.submit(peer, data), {
    // One byte more, so that a report that is too large has a code and not only a closed stream.
    bytesMax: LIMITS.transactionBytesMax + 1,
    ratePerSecond: LIGHT_LIMITS.submitsPerSecond,
    burst: LIGHT_LIMITS.submitsBurst,
    concurrencyMax: LIGHT_LIMITS.submitsAtOnceMax,
  })
  const asking: ServeLimits = {
    bytesMax: LIGHT_LIMITS.questionBytesMax,
    ratePerSecond: LIGHT_LIMITS.questionsPerSecond,
    burst: LIGHT_LIMITS.questionsBurst,
    concurrencyMax: LIGHT_LIMITS.questionsAtOnceMax,
  }
  serve(QUESTIONS.state, (peer, data) => questions.state(peer, data), asking)
  serve(QUESTIONS.receipt, (peer, data) => questions.receipt(peer, data), asking)
  network.serve(QUESTIONS.eras, async (_peer, data) => questions.eras(data), {
    // Whoever was a member may ask how it ended.
    roles: ['device', 'former'],
    timeoutMs: LIGHT_LIMITS.answerTimeoutMs,
    ...asking,
  })
  const cards = new Cards(chainId, { get: (key) => executor.reads.state(key)?.value })
  network.serve(
    QUESTIONS.cards,
    async (peer, data) => {
      network.penalize(peer, cards.take(peer, data))
      return encodeAs(cardsAnswer, cards.of(peer))
    },
    { roles: ['device'], timeoutMs: LIGHT_LIMITS.answerTimeoutMs, ...asking, bytesMax: LIGHT_LIMITS.cardBytesMax },
  )
  network.onSubscribe((peer) => pushing.subscribed(peer))
  intake.onReport((report) => pushing.report(report))
  onCommitted((blocks) => pushing.committed(blocks))
}
