/**
 * `npm run bench:modules`: what a call of each security module costs, and what recomputing scores adds to applying a report, beside the
 * recovery of its signer, which every transaction costs a member as well.
 */
import { readFileSync } from 'node:fs'
import { installNativePrimitives } from '../../node/crypto/native.ts'
import { ModuleHost, SecurityModule } from '../../node/modules/host.ts'
import { encodeFeatures, featuresOf } from '../../node/rtu/features.ts'
import { sha3 } from '../../protocol/crypto.ts'
import { BlockExecution, readTransaction, type SignedTransaction } from '../../protocol/execution.ts'
import { installModuleEngine } from '../../protocol/modules/engine.ts'
import { encodeModuleInput } from '../../protocol/modules/input.ts'
import { CHAIN_ID, grow, open, signed, TIME } from '../node/executor/world.ts'
import { registration, report } from '../protocol/kinds/consortium.ts'

installNativePrimitives()
installModuleEngine(new ModuleHost())
const binaryOf = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../../protocol/modules/built/${name}.wasm`, import.meta.url)))

/** Median of the rounds, µs per run. */
function timed(run: () => unknown, runs: number, rounds = 9): number {
  const took: number[] = []
  for (let round = 0; round < rounds; round++) {
    const start = performance.now()
    for (let i = 0; i < runs; i++) run()
    took.push(((performance.now() - start) / runs) * 1000)
  }
  return took.sort((a, b) => a - b)[rounds >> 1] as number
}

const features = encodeFeatures(
  featuresOf({ processCount: 180, processUnknownCount: 1, cpuPpm: 300_000 }, ['files: x']),
)
const window = Array.from({ length: 120 }, (_, i) => [i, 20 + Math.sin(i)]).flat()
const inputs: Record<string, Uint8Array> = {
  anomaly: features,
  quality: encodeModuleInput({ floats: [-40, 85, 1, 5, 0.5, 120, ...window], integers: [] }),
  trust: encodeModuleInput({
    floats: [],
    integers: [700_000, 0, 20_000, 800_000, 700_000, 400_000, 2000, ...Array.from({ length: 45 }, () => 1)],
  }),
}
for (const [name, input] of Object.entries(inputs)) {
  const module = SecurityModule.load(binaryOf(name)) as SecurityModule
  const microseconds = timed(() => module.score(input), 5000)
  console.log(`${name.padEnd(8)} ${microseconds.toFixed(1)} µs a call, ${module.stepsUsed} steps`)
}
for (const name of Object.keys(inputs)) {
  const load = timed(() => SecurityModule.load(binaryOf(name)), 20)
  console.log(`${name.padEnd(8)} ${load.toFixed(0)} µs to harden and load, once`)
}

const node = await open()
const code = binaryOf('anomaly')
const hash = sha3(code)
await grow(node, [
  signed('device.register', 11, registration(21)),
  signed('module.publish', 1, { kind: 'anomaly', version: '1', code }),
])
await grow(
  node,
  [1, 2, 3].map((by) => signed('module.activate', by, { hash, height: 3 })),
)
const modelled = { ...report(21), features, model: { hash, version: '1' }, scores: [500_000, 2] }
const COUNT = 2000
const plain = Array.from({ length: COUNT }, () => signed('device.report', 11, report(21)))
const scored = Array.from({ length: COUNT }, () => signed('device.report', 21, modelled))
const surroundings = node.executor.surroundings(TIME)
const applied = (list: readonly SignedTransaction[]): number =>
  timed(() => {
    const execution = new BlockExecution(surroundings)
    for (const one of list) if (execution.apply(one) !== null) throw new Error('refused')
  }, 1) / COUNT
const recovered = timed(() => readTransaction((scored[0] as SignedTransaction).transaction.bytes, CHAIN_ID), 2000)
const [without, withModule] = [applied(plain), applied(scored)]
console.log(
  `a report: ${recovered.toFixed(1)} µs to read and recover; ${without.toFixed(1)} µs to apply without a module,`,
)
const sharePercent = (100 * (withModule - without)) / (recovered + withModule)
console.log(
  `${withModule.toFixed(1)} µs with: recomputing is ${sharePercent.toFixed(1)} % of a member’s time per report`,
)
