/** The scoring halves as security modules: the same parts per million as protocol/detect, on the same models and inputs. */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BUILT } from '../../../build/modules.ts'
import { believabilityRules } from '../../../config/believability.ts'
import { FOREST, type Sample, trainForest } from '../../../node/detect/forestTraining.ts'
import { forestBytes, pasadBytes, principalBytes, qualityBytes } from '../../../node/detect/moduleModels.ts'
import { pasadThreshold, trainPasad } from '../../../node/detect/pasadTraining.ts'
import { trainPrincipal } from '../../../node/detect/principalTraining.ts'
import { SecurityModule } from '../../../node/modules/host.ts'
import {
  aspectScores,
  type BelievabilityRules,
  believabilityPpm,
  levelScore,
  usualOf,
  windowMeasures,
} from '../../../protocol/detect/believability.ts'
import { classOf } from '../../../protocol/detect/forest.ts'
import { departure, departurePpm } from '../../../protocol/detect/pasad.ts'
import { Principal } from '../../../protocol/detect/principal.ts'
import { encodeModuleInput } from '../../../protocol/modules/input.ts'

const noise = (i: number): number => ((Math.imul(i + 1, 2_654_435_761) >>> 8) % 1000) / 1000 - 0.5

/** The module `name` with `model`. */
function moduleOf(name: string, model: Uint8Array): SecurityModule {
  const binary = readFileSync(new URL(`../../../${BUILT}/detect-${name}.wasm`, import.meta.url))
  const loaded = SecurityModule.load(binary, model)
  if (typeof loaded === 'string') throw new Error(loaded)
  return loaded
}

describe('node/detect/moduleModels', () => {
  it('pasad: every departure of a signal, healthy and attacked, is the same', () => {
    const series = Float64Array.from(
      { length: 600 },
      (_, i) => 10 + Math.sin(i / 7) + 0.1 * noise(i) + (i > 450 ? 1 : 0),
    )
    const model = trainPasad(series.slice(0, 200), 60, 5)
    const threshold = pasadThreshold(model, series, 200, 400)
    const module = moduleOf('pasad', pasadBytes(model, threshold))
    for (let at = 200; at < 600; at++) {
      const input = encodeModuleInput({ floats: Array.from(series.subarray(at - 59, at + 1)), integers: [] })
      expect(module.score(input)).toEqual([departurePpm(departure(model, series, at), threshold)])
    }
    expect(module.score(encodeModuleInput({ floats: [1, 2], integers: [] }))).toBe('MODULE_INPUT')
  })

  it('principal: whatever the vectors, the last one scores the same', () => {
    const model = trainPrincipal(
      Array.from({ length: 200 }, (_, i) => [noise(i), noise(i) + noise(i + 999), noise(i + 77)]),
    )
    const module = moduleOf('principal', principalBytes(model))
    const vector = fc.tuple(fc.double(), fc.double({ min: -5, max: 5 }), fc.double({ min: -5, max: 5 }))
    fc.assert(
      fc.property(fc.array(vector, { minLength: 1, maxLength: 40 }), (vectors) => {
        const detector = new Principal(model)
        const expected = vectors.map((one) => detector.step(one)).at(-1)
        expect(module.score(encodeModuleInput({ floats: vectors.flat(), integers: [3] }))).toEqual([expected])
      }),
    )
  })

  it('forest: whatever the features, the votes are the same', () => {
    const samples: Sample[] = Array.from({ length: 300 }, (_, i) => ({
      features: Float64Array.of((i % 3) + noise(i), noise(i + 999)),
      label: i % 3,
    }))
    const forest = trainForest(samples, 3, { ...FOREST, trees: 12, samplesOfClass: 50 })
    const module = moduleOf('forest', forestBytes(forest))
    fc.assert(
      fc.property(fc.double({ min: -1, max: 4 }), fc.double(), (a, b) => {
        const { winner, sharePpm } = classOf(forest, Float64Array.of(a, b))
        const scores = module.score(encodeModuleInput({ floats: [a, b], integers: [] }))
        expect(scores.slice(1)).toEqual([winner, sharePpm])
      }),
    )
    expect(module.score(encodeModuleInput({ floats: [1], integers: [] }))).toBe('MODULE_INPUT')
  })

  it('quality: whatever the window, every aspect and the window score the same', () => {
    const rules = believabilityRules(
      readFileSync(new URL('../../../config/believability.toml', import.meta.url), 'utf8'),
    ) as BelievabilityRules
    const usual = usualOf({
      times: Array.from({ length: 100 }, (_, i) => 60 * i),
      values: Array.from({ length: 100 }, (_, i) => 20 + noise(i)),
    })
    const module = moduleOf('quality', qualityBytes(usual, rules))
    const reading = fc.tuple(
      fc.double({ min: 0, max: 600, noNaN: true }),
      fc.oneof(fc.double({ min: 19, max: 21, noNaN: true }), fc.double({ min: -1e6, max: 1e6, noNaN: true })),
    )
    fc.assert(
      fc.property(fc.array(reading, { minLength: 4, maxLength: 60 }), (readings) => {
        let time = 0
        const times = readings.map(([gap]) => (time += gap))
        const values = readings.map(([, value]) => value)
        const scores = aspectScores(windowMeasures({ times, values }, usual), rules)
        const expected = [levelScore(scores, rules), ...Object.values(scores)].map(believabilityPpm)
        expect(module.score(encodeModuleInput({ floats: [...times, ...values], integers: [] }))).toEqual(expected)
      }),
      { numRuns: 300 },
    )
    const broken = { floats: [0, 1, 2, 3, 20, 20, Number.NaN, 20], integers: [] }
    expect(module.score(encodeModuleInput(broken))).toBe('MODULE_NAN')
  })

  it('no input and no model makes a module do anything but answer', () => {
    for (const name of ['pasad', 'principal', 'forest', 'quality'])
      fc.assert(
        fc.property(
          fc.uint8Array({ maxLength: 400 }),
          fc.array(fc.double(), { maxLength: 30 }),
          fc.array(fc.integer(), { maxLength: 2 }),
          (model, floats, integers) => {
            const scores = moduleOf(name, model).score(encodeModuleInput({ floats, integers }))
            if (typeof scores === 'string') expect(scores).toMatch(/^MODULE_/)
            else for (const score of scores) expect(score >= 0 && score <= 1_000_000).toBe(true)
          },
        ),
        { numRuns: 30 },
      )
  })
})
