/**
 * One thread of `SignaturePool` (pool.ts): packed questions in, packed answers out. It shares no state with the main thread.
 */
import { parentPort } from 'node:worker_threads'
import { installNativePrimitives } from './native.ts'
import { type PoolAnswer, type PoolQuestion, recoverPacked } from './packing.ts'

installNativePrimitives()
parentPort?.on('message', ({ packed }: PoolQuestion) => {
  const answer: PoolAnswer = { packed: recoverPacked(packed) }
  parentPort?.postMessage(answer, [answer.packed])
})
