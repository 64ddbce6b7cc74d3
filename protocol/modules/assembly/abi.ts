/**
 * What every security module has in common: where its input lies, how its result is written (docs/modules.md).
 * AssemblyScript. Nothing is allocated but by `alloc`, which only ever goes forward: the host puts memory back before each call.
 */

/** Beginning of the memory that `alloc` hands out; 0 before the first, when it is what follows what the compiler placed. */
let next: usize = 0

/** A place for `length` bytes, at a multiple of 16. For what the host puts in, and for a module's own room: `new` is not for modules. */
export function alloc(length: i32): i32 {
  const at = next == 0 ? (__heap_base + 15) & ~15 : next
  next = (at + <usize>length + 15) & ~15
  if (length < 0 || next > <usize>memory.size() << 16) unreachable()
  return <i32>at
}

/** Version of the ABI. */
export function abiVersion(): i32 {
  return 1
}

/** Address of the f64 and of the i32 of the present input, and how many there are. */
export let floatsAt: usize = 0
export let floatCount: i32 = 0
export let integersAt: usize = 0
export let integerCount: i32 = 0

/** Reads the header of an input. false: it is none. */
export function open(at: i32, length: i32): bool {
  if (length < 16) return false
  const start = <usize>at
  if (load<u32>(start) != 1) return false
  const floats = <u64>load<u32>(start, 4)
  const integers = <u64>load<u32>(start, 8)
  const text = <u64>load<u32>(start, 12)
  if (16 + 8 * floats + 4 * integers + text != <u64>length) return false
  floatsAt = start + 16
  floatCount = <i32>floats
  integersAt = floatsAt + 8 * <usize>floats
  integerCount = <i32>integers
  return true
}

/** The `i`-th number of the input. */
// @ts-ignore: decorator
@inline
export function float(i: i32): f64 {
  return load<f64>(floatsAt + ((<usize>i) << 3))
}
// @ts-ignore: decorator
@inline
export function integer(i: i32): i32 {
  return load<i32>(integersAt + ((<usize>i) << 2))
}

/** Room for a result of 64 numbers. */
const RESULT: usize = memory.data(8 + 4 * 64, 8)

/** The result that says why there is none: 1 input, 2 not a number. */
export function refuse(status: i32): i32 {
  store<i32>(RESULT, status)
  store<i32>(RESULT, 0, 4)
  return <i32>RESULT
}

/** Begins a result. */
export function begin(): void {
  store<i32>(RESULT, 0)
  store<i32>(RESULT, 0, 4)
}

/** Adds a number to the result, cut to 0 … 1 000 000; a NaN makes the whole result one that says so. */
export function put(value: f64): void {
  if (value != value) {
    store<i32>(RESULT, 2)
    return
  }
  const count = load<i32>(RESULT, 4)
  store<i32>(RESULT + 8 + ((<usize>count) << 2), <i32>Math.floor(min<f64>(max<f64>(value, 0.0), 1000000.0)))
  store<i32>(RESULT, count + 1, 4)
}

/** The result. */
export function finish(): i32 {
  return <i32>RESULT
}
