/**
 * Detectors, training. Grows the forest of `protocol/detect/forest.ts` (Breiman 2001), with the cuts drawn by lot as well: Geurts, Ernst
 * and Wehenkel, Extremely Randomized Trees, Machine Learning 2006, for which nothing has to be sorted.
 * Invariants: randomness comes from a seed, so that the same samples give the same forest; classes weigh as the options say,
 * however rare they are.
 */
import type { Forest } from '../../protocol/detect/forest.ts'

/** A labelled vector. */
export type Sample = { readonly features: Float64Array; readonly label: number }

/** How a forest grows. */
export type ForestOptions = {
  readonly trees: number
  readonly depthMax: number
  /** Samples of each class in the bootstrap sample of a tree. */
  readonly samplesOfClass: number
  /** The first class, in which nothing is wrong, has so many times as many: the dearest error is a false alarm. */
  readonly firstClassTimes: number
  /** Cuts that are tried for each of √features. */
  readonly cuts: number
  /** A node with fewer samples is a leaf. */
  readonly leafMin: number
  readonly seed: number
}

/** The forest that is used throughout. */
export const FOREST: ForestOptions = {
  trees: 60,
  depthMax: 12,
  samplesOfClass: 300,
  firstClassTimes: 8,
  cuts: 3,
  leafMin: 4,
  seed: 20_261_124,
}

/** A small generator: Steele and others, SplitMix, OOPSLA 2014, cut to 32 bits. Gives 0 ≤ x < 1. */
function random(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x9e3779b9) >>> 0
    let z = state
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
    return ((z ^ (z >>> 16)) >>> 0) / 2 ** 32
  }
}

/** Learns from `samples` of the classes 0 … `classes` − 1. RangeError without samples. */
export function trainForest(samples: readonly Sample[], classes: number, options: ForestOptions = FOREST): Forest {
  const ofClass = Array.from({ length: classes }, (_, c) => samples.filter(({ label }) => label === c))
  const present = ofClass.filter(({ length }) => length > 0)
  if (present.length === 0) throw new RangeError('no samples to learn from')
  const draw = random(options.seed)
  const { features } = samples[0] as Sample
  const grown = new Grown(classes, features.length, options, draw)
  const roots: number[] = []
  for (let t = 0; t < options.trees; t++) {
    const bag = present.flatMap((all) =>
      Array.from(
        { length: Math.min(sizeOf(all, options), Math.max(all.length, options.leafMin)) },
        () => all[Math.floor(draw() * all.length)] as Sample,
      ),
    )
    roots.push(grown.tree(bag, 0))
  }
  return grown.forest(roots)
}

/** Samples of the class of `all` in the sample of a tree. */
const sizeOf = (all: readonly Sample[], { samplesOfClass, firstClassTimes }: ForestOptions): number =>
  samplesOfClass * (all[0]?.label === 0 ? firstClassTimes : 1)

/** Nodes that have grown so far. */
class Grown {
  private readonly features: number[] = []
  private readonly thresholds: number[] = []
  private readonly lefts: number[] = []
  private readonly rights: number[] = []
  private readonly classes: number
  private readonly width: number
  private readonly options: ForestOptions
  private readonly draw: () => number

  constructor(classes: number, width: number, options: ForestOptions, draw: () => number) {
    this.classes = classes
    this.width = width
    this.options = options
    this.draw = draw
  }

  /** Grows a tree on `bag` and gives its root. */
  tree(bag: readonly Sample[], depth: number): number {
    const node = this.features.push(-1) - 1
    this.thresholds.push(0)
    this.lefts.push(-1)
    this.rights.push(this.commonest(bag))
    if (depth >= this.options.depthMax || bag.length < 2 * this.options.leafMin) return node
    const split = this.bestSplit(bag)
    if (split === null) return node
    const { feature, threshold } = split
    const left = bag.filter(({ features }) => (features[feature] as number) <= threshold)
    const right = bag.filter(({ features }) => !((features[feature] as number) <= threshold))
    this.features[node] = feature
    this.thresholds[node] = threshold
    this.lefts[node] = this.tree(left, depth + 1)
    this.rights[node] = this.tree(right, depth + 1)
    return node
  }

  /** The arrays of `protocol/detect/forest.ts`. */
  forest(roots: readonly number[]): Forest {
    return {
      classes: this.classes,
      roots: Int32Array.from(roots),
      features: Int32Array.from(this.features),
      thresholds: Float64Array.from(this.thresholds),
      lefts: Int32Array.from(this.lefts),
      rights: Int32Array.from(this.rights),
    }
  }

  private counts(bag: readonly Sample[]): Float64Array {
    const counts = new Float64Array(this.classes)
    for (const { label } of bag) counts[label] = (counts[label] as number) + 1
    return counts
  }

  private commonest(bag: readonly Sample[]): number {
    const counts = this.counts(bag)
    return counts.indexOf(Math.max(...counts))
  }

  /** The best of the cuts that are drawn for √width features; null where none makes the halves purer. */
  private bestSplit(bag: readonly Sample[]): { feature: number; threshold: number } | null {
    const total = this.counts(bag)
    const left = new Float64Array(this.classes)
    let best = squares(total) / bag.length + 1e-9
    let found: { feature: number; threshold: number } | null = null
    for (let tried = 0; tried < Math.ceil(Math.sqrt(this.width)) * this.options.cuts; tried++) {
      const column = Math.floor(this.draw() * this.width)
      const threshold = this.between(bag, column)
      left.fill(0)
      let inLeft = 0
      for (const { label, features } of bag)
        if ((features[column] as number) <= threshold) {
          left[label] = (left[label] as number) + 1
          inLeft++
        }
      const inRight = bag.length - inLeft
      if (inLeft < this.options.leafMin || inRight < this.options.leafMin) continue
      let right = 0
      for (let c = 0; c < this.classes; c++) right += ((total[c] as number) - (left[c] as number)) ** 2
      const purity = squares(left) / inLeft + right / inRight
      if (purity > best) {
        best = purity
        found = { feature: column, threshold }
      }
    }
    return found
  }

  /** A place between the values of two samples that are drawn. */
  private between(bag: readonly Sample[], column: number): number {
    const value = (): number => bag[Math.floor(this.draw() * bag.length)]?.features[column] as number
    const one = value()
    return one + (value() - one) * this.draw()
  }
}

const squares = (counts: Float64Array): number => counts.reduce((sum, count) => sum + count * count, 0)
