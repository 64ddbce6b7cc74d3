/**
 * The ABI of security modules, version 1: what goes in and what comes out (docs/modules.md).
 * Input, little endian: four u32 (version 1, number of f64, number of i32, bytes of text), the f64, the i32, the text (UTF-8, for people; a
 * module passes over it). Output, at the address that `score` returns: i32 status, i32 count, then that many i32 of 0 … 1 000 000.
 */
import { LIMITS } from '../limits.ts'

/** Version of the ABI: what `abiVersion` returns. */
export const ABI_VERSION = 1
/** Kinds of modules; `moduleKind` returns the place, from 1. */
export const MODULE_KINDS = ['anomaly', 'quality', 'trust'] as const
/** What a module judges: a report's features, a window of readings, a peer's report. */
export type ModuleKind = (typeof MODULE_KINDS)[number]
/** What `status` of an output says. */
export const STATUS = { ok: 0, input: 1, notANumber: 2 } as const

/** Numbers for a module. A value that is not known is NaN among the f64. */
export type ModuleInput = {
  readonly floats: readonly number[]
  /** −2³¹ … 2³¹−1. */
  readonly integers: readonly number[]
  /** For people; not more than a report's features may hold. */
  readonly text?: Uint8Array
}

const HEADER_BYTES = 16

/** The bytes of `input`. Throws `RangeError` if they are more than a module takes, or an integer is none. */
export function encodeModuleInput({ floats, integers, text = new Uint8Array() }: ModuleInput): Uint8Array {
  const length = HEADER_BYTES + 8 * floats.length + 4 * integers.length + text.length
  if (length > LIMITS.moduleInputBytesMax) throw new RangeError(`an input of ${length} bytes`)
  const bytes = new Uint8Array(length)
  const view = new DataView(bytes.buffer)
  for (const [i, value] of [ABI_VERSION, floats.length, integers.length, text.length].entries())
    view.setUint32(4 * i, value, true)
  let at = HEADER_BYTES
  for (const value of floats) {
    // The bits of a NaN are the engine's affair in JavaScript, so they are written here.
    if (Number.isNaN(value)) view.setUint32(at + 4, 0x7ff8_0000, true)
    else view.setFloat64(at, value, true)
    at += 8
  }
  for (const value of integers) {
    if ((value | 0) !== value) throw new RangeError(`${value} is no 32-bit integer`)
    view.setInt32(at, value, true)
    at += 4
  }
  bytes.set(text, at)
  return bytes
}

/** The numbers of `bytes`; undefined if they are no input of this version. */
export function decodeModuleInput(bytes: Uint8Array): Required<ModuleInput> | undefined {
  if (bytes.length < HEADER_BYTES || bytes.length > LIMITS.moduleInputBytesMax) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const [version, floats, integers, text] = [0, 4, 8, 12].map((at) => view.getUint32(at, true)) as [
    number,
    number,
    number,
    number,
  ]
  const integersAt = HEADER_BYTES + 8 * floats
  const textAt = integersAt + 4 * integers
  if (version !== ABI_VERSION || textAt + text !== bytes.length) return undefined
  return {
    floats: Array.from({ length: floats }, (_, i) => view.getFloat64(HEADER_BYTES + 8 * i, true)),
    integers: Array.from({ length: integers }, (_, i) => view.getInt32(integersAt + 4 * i, true)),
    text: bytes.slice(textAt),
  }
}
