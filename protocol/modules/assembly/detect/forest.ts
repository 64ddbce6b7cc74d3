/**
 * `anomaly`: a random forest (Breiman 2001) over features. In: the features → [share of the votes that are not for the first class, the class with
 * the most of them (0 the first), its share].
 * Model, f64: classes, trees, nodes, then the root of each tree and, per node, feature (−1: leaf), threshold, left, right (class at a leaf).
 * The same votes as protocol/detect/forest.ts.
 */
import { alloc, begin, finish, float, floatCount, open, put, refuse } from '../abi'

export { abiVersion, alloc } from '../abi'

/** 1: anomaly. */
export function moduleKind(): i32 {
  return 1
}

export function score(modelAt: i32, modelBytes: i32, inputAt: i32, inputBytes: i32): i32 {
  if (!open(inputAt, inputBytes) || modelBytes < 24) return refuse(1)
  const model = <usize>modelAt
  const classes = <i32>load<f64>(model)
  const trees = <i32>load<f64>(model, 8)
  const count = <i32>load<f64>(model, 16)
  if (classes < 1 || classes > 256 || trees < 1 || trees > 65536 || count < 1 || count > 1048576) return refuse(1)
  if (<i64>modelBytes != 8 * (3 + <i64>trees + 4 * <i64>count)) return refuse(1)
  const nodes = model + 24 + 8 * <usize>trees
  const votes = <usize>alloc(4 * classes)
  for (let c = 0; c < classes; c++) store<i32>(votes + ((<usize>c) << 2), 0)
  for (let t = 0; t < trees; t++) {
    let node = <i32>load<f64>(model + 24 + ((<usize>t) << 3))
    for (;;) {
      if (node < 0 || node >= count) return refuse(1)
      const place = nodes + ((<usize>node) << 5)
      const feature = <i32>load<f64>(place)
      if (feature < 0) {
        const winner = <i32>load<f64>(place, 24)
        if (winner < 0 || winner >= classes) return refuse(1)
        const vote = votes + ((<usize>winner) << 2)
        store<i32>(vote, load<i32>(vote) + 1)
        break
      }
      if (feature >= floatCount) return refuse(1)
      node = <i32>(float(feature) <= load<f64>(place, 8) ? load<f64>(place, 16) : load<f64>(place, 24))
    }
  }
  let winner = 0
  for (let c = 1; c < classes; c++)
    if (load<i32>(votes + ((<usize>c) << 2)) > load<i32>(votes + ((<usize>winner) << 2))) winner = c
  begin()
  put((<f64>(trees - load<i32>(votes)) * 1000000.0) / <f64>trees)
  put(<f64>winner)
  put((<f64>load<i32>(votes + ((<usize>winner) << 2)) * 1000000.0) / <f64>trees)
  return finish()
}
