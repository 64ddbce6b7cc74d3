/**
 * Deterministic CBOR (RFC 8949 §4.2.1), decoded strictly: one value has one encoding, any other is refused.
 * The subset: unsigned and negative safe integers, byte strings, text, arrays, booleans, null. No maps, floats, tags, bigints,
 * undefined or indefinite lengths: what is signed is a list of positions, not of names.
 * What arrived is kept as bytes; nothing signed or hashed is ever encoded again. Byte strings of a decoded value are views of the input.
 */
import { utf8Length, writeUtf8 } from './bytes.ts'

/** A value that CBOR carries here. */
export type CborValue = number | string | boolean | null | Uint8Array | readonly CborValue[]

/** Refusal of bytes that are not the one encoding of a value of the subset or not of the expected shape. */
export class CborError extends Error {
  override readonly name = 'CborError'
  /** Whether the bytes encode a value of the subset, only otherwise than in the one way. */
  readonly nonCanonical: boolean

  constructor(message: string, nonCanonical = false) {
    super(message)
    this.nonCanonical = nonCanonical
  }
}

/** Arrays within arrays at most. */
const DEPTH_MAX = 16
/** Values in one encoding at most, arrays included: eight times what any message has. An empty one is a byte on the wire and a hundred here. */
export const VALUES_MAX = 65_536

/** The one encoding of `value`, in an array of its own. Throws `CborError` if it holds anything outside the subset. */
export function encodeCbor(value: CborValue): Uint8Array {
  const measure: Measure = { values: 0 }
  const bytes = new Uint8Array(sizeOf(value, 0, measure))
  if (measure.values > VALUES_MAX) throw new CborError(`more than ${VALUES_MAX} values`)
  write(bytes, 0, value)
  return bytes
}

/** The value of `bytes`. Throws `CborError` unless they are exactly its one encoding, nested at most 16 deep, of at most `VALUES_MAX` values. */
export function decodeCbor(bytes: Uint8Array): CborValue {
  const reader = new Reader(bytes)
  const value = reader.value(0)
  if (reader.at !== bytes.length) throw new CborError('bytes after the value')
  return value
}

type Measure = { values: number }

/** Bytes of the encoding of `value`; counts its values, itself included. Throws `CborError` where it is outside the subset. */
function sizeOf(value: unknown, depth: number, measure: Measure): number {
  if (depth > DEPTH_MAX) throw new CborError(`nested deeper than ${DEPTH_MAX}`)
  measure.values++
  switch (typeof value) {
    case 'string': {
      const length = textBytes(value)
      return headSize(length) + length
    }
    case 'boolean':
      return 1
    case 'number':
      if (!Number.isSafeInteger(value) || Object.is(value, -0))
        throw new CborError('a number that is not a safe integer')
      return headSize(value < 0 ? -1 - value : value)
    case 'object': {
      if (value === null) return 1
      if (value instanceof Uint8Array) return headSize(value.length) + value.length
      if (!Array.isArray(value)) break
      let size = headSize(value.length)
      for (let i = 0; i < value.length; i++) size += sizeOf(value[i], depth + 1, measure)
      return size
    }
  }
  throw new CborError('a type outside the subset')
}

/** Bytes of an initial byte and its argument in the shortest form. */
const headSize = (argument: number): number =>
  argument < 24 ? 1 : argument < 0x100 ? 2 : argument < 0x1_0000 ? 3 : argument < 0x1_0000_0000 ? 5 : 9

/** Writes `value`, which `sizeOf` has passed, at `at`; returns where the next one begins. */
function write(bytes: Uint8Array, at: number, value: CborValue): number {
  if (value === null || typeof value === 'boolean') {
    bytes[at] = value === null ? 0xf6 : value ? 0xf5 : 0xf4
    return at + 1
  }
  if (typeof value === 'number')
    return value < 0 ? writeHead(bytes, at, 0x20, -1 - value) : writeHead(bytes, at, 0, value)
  if (typeof value === 'string') return writeUtf8(bytes, writeHead(bytes, at, 0x60, textBytes(value)), value)
  if (value instanceof Uint8Array) {
    const begin = writeHead(bytes, at, 0x40, value.length)
    bytes.set(value, begin)
    return begin + value.length
  }
  let next = writeHead(bytes, at, 0x80, value.length)
  for (let i = 0; i < value.length; i++) next = write(bytes, next, value[i] as CborValue)
  return next
}

function writeHead(bytes: Uint8Array, at: number, major: number, argument: number): number {
  const size = headSize(argument)
  if (size === 1) {
    bytes[at] = major | argument
    return at + 1
  }
  bytes[at] = major | (size === 2 ? 24 : size === 3 ? 25 : size === 5 ? 26 : 27)
  let rest = argument
  for (let i = at + size - 1; i > at; i--) {
    bytes[i] = rest % 256
    rest = Math.floor(rest / 256)
  }
  return at + size
}

function textBytes(text: string): number {
  const length = utf8Length(text)
  if (length < 0) throw new CborError('text with a lone surrogate')
  return length
}

/** The text of well-formed UTF-8 (Unicode §3.9, table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF); else `CborError`. */
function textOf(bytes: Uint8Array): string {
  let text = ''
  for (let i = 0; i < bytes.length; ) {
    const lead = bytes[i++] as number
    if (lead < 0x80) {
      text += String.fromCharCode(lead)
      continue
    }
    const more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1
    let point = lead & (0x3f >> more)
    for (let k = 0; k < more; k++) {
      const unit = bytes[i++]
      if (unit === undefined || (unit & 0xc0) !== 0x80) throw new CborError('text that is not UTF-8')
      point = (point << 6) | (unit & 0x3f)
    }
    const least = more === 1 ? 0x80 : more === 2 ? 0x800 : 0x1_0000
    const surrogate = point >= 0xd800 && point <= 0xdfff
    if (lead < 0xc2 || lead > 0xf4 || point < least || surrogate || point > 0x10_ffff)
      throw new CborError('text that is not UTF-8')
    text += String.fromCodePoint(point)
  }
  return text
}

/** Reads one item after another; `at` is where the next begins. */
class Reader {
  readonly #bytes: Uint8Array
  at = 0
  #valuesLeft = VALUES_MAX

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  value(depth: number): CborValue {
    if (depth > DEPTH_MAX) throw new CborError(`nested deeper than ${DEPTH_MAX}`)
    if (--this.#valuesLeft < 0) throw new CborError(`more than ${VALUES_MAX} values`)
    const initial = this.#byte()
    switch (initial >> 5) {
      case 0:
        return this.#argument(initial)
      case 1: {
        const value = -1 - this.#argument(initial)
        if (!Number.isSafeInteger(value)) throw new CborError('a number that is not a safe integer')
        return value
      }
      case 2:
        return this.#take(this.#argument(initial))
      case 3:
        return textOf(this.#take(this.#argument(initial)))
      case 4:
        return this.#array(this.#argument(initial), depth)
      default:
        return this.#simple(initial)
    }
  }

  #byte(): number {
    const byte = this.#bytes[this.at]
    if (byte === undefined) throw new CborError('the bytes end within the value')
    this.at++
    return byte
  }

  /** The argument of an initial byte (RFC 8949 §3), which must be in its shortest form. */
  #argument(initial: number): number {
    const information = initial & 31
    if (information < 24) return information
    if (information > 27) throw new CborError('an indefinite or reserved length', information === 31)
    const size = 1 << (information - 24)
    let value = 0
    for (let i = 0; i < size; i++) value = value * 256 + this.#byte()
    if (!Number.isSafeInteger(value)) throw new CborError('a number that is not a safe integer')
    const least = size === 1 ? 24 : 2 ** (4 * size)
    if (value < least) throw new CborError('a number or length that is not in its shortest form', true)
    return value
  }

  #take(length: number): Uint8Array {
    const end = this.at + length
    if (end > this.#bytes.length) throw new CborError('the bytes end within the value')
    // Not `subarray`: that of a Buffer is a Buffer, whose `slice` does not copy.
    const part = new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + this.at, length)
    this.at = end
    return part
  }

  #array(length: number, depth: number): CborValue[] {
    // Each item takes a byte at least, so that a length cannot ask for more memory than was sent.
    if (length > this.#bytes.length - this.at) throw new CborError('the bytes end within the value')
    if (length > this.#valuesLeft) throw new CborError(`more than ${VALUES_MAX} values`)
    const items: CborValue[] = new Array(length)
    for (let i = 0; i < length; i++) items[i] = this.value(depth + 1)
    return items
  }

  #simple(initial: number): boolean | null {
    if (initial === 0xf4) return false
    if (initial === 0xf5) return true
    if (initial === 0xf6) return null
    throw new CborError('a type outside the subset')
  }
}
