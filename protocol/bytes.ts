/**
 * Bytes: the one representation of everything that is signed, hashed, stored or sent.
 * Invariant: nothing here allocates more than its result; nothing throws on well-typed input except `fromHex`.
 */

const DIGITS = Array.from('0123456789abcdef', (digit) => digit.charCodeAt(0))
/** Character code → value of the digit; −1 for a foreign character. */
const VALUES = Int8Array.from({ length: 128 }, (_, code) =>
  '0123456789abcdef'.indexOf(String.fromCharCode(code).toLowerCase()),
)
/** Bytes whose digits are joined in one call: each digit is an argument of it. */
const PIECE_BYTES = 1024

/** Lower-case hexadecimal text of `bytes`. */
export function toHex(bytes: Uint8Array): string {
  let text = ''
  for (let from = 0; from < bytes.length; from += PIECE_BYTES) {
    const end = Math.min(bytes.length, from + PIECE_BYTES)
    const codes: number[] = new Array(2 * (end - from))
    for (let i = from, at = 0; i < end; i++) {
      const byte = bytes[i] as number
      codes[at++] = DIGITS[byte >> 4] as number
      codes[at++] = DIGITS[byte & 15] as number
    }
    // In one call: text made of many small ones is a tree, which costs its holder ten times the memory, and time when it is looked up.
    text += String.fromCharCode(...codes)
  }
  return text
}

/** Bytes of hexadecimal `text` (either case). Throws `RangeError` on odd length or a foreign character. */
export function fromHex(text: string): Uint8Array {
  if (text.length % 2 !== 0) throw new RangeError('not hexadecimal')
  const bytes = new Uint8Array(text.length / 2)
  for (let i = 0; i < bytes.length; i++) {
    const high = VALUES[text.charCodeAt(2 * i)] ?? -1
    const low = VALUES[text.charCodeAt(2 * i + 1)] ?? -1
    if (high < 0 || low < 0) throw new RangeError('not hexadecimal')
    bytes[i] = (high << 4) | low
  }
  return bytes
}

/** Bytes of the UTF-8 form of `text`; −1 with a lone surrogate, which has none. */
export function utf8Length(text: string): number {
  let length = 0
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) length += 1
    else if (unit < 0x800) length += 2
    else if (unit < 0xd800 || unit > 0xdfff) length += 3
    else {
      const second = text.charCodeAt(++i)
      if (unit > 0xdbff || !(second >= 0xdc00 && second <= 0xdfff)) return -1
      length += 4
    }
  }
  return length
}

/** Writes the UTF-8 form of `text`, which has one, to `bytes` from `at` on; returns where it ends. */
export function writeUtf8(bytes: Uint8Array, at: number, text: string): number {
  let next = at
  for (let i = 0; i < text.length; i++) {
    const point = text.codePointAt(i) as number
    if (point < 0x80) {
      bytes[next++] = point
      continue
    }
    if (point > 0xffff) i++
    const more = point < 0x800 ? 1 : point < 0x1_0000 ? 2 : 3
    bytes[next++] = ((0xff << (7 - more)) & 0xff) | (point >> (6 * more))
    for (let k = more - 1; k >= 0; k--) bytes[next++] = 0x80 | ((point >> (6 * k)) & 0x3f)
  }
  return next
}

/** One new array that holds `parts` in order. */
export function concat(...parts: Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  const whole = new Uint8Array(length)
  let offset = 0
  for (const part of parts) {
    whole.set(part, offset)
    offset += part.length
  }
  return whole
}

/** Whether `a` and `b` hold the same bytes. Not constant time: for public values only. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** Lexicographic order of unsigned bytes: negative, zero or positive. A prefix sorts before what it begins. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const difference = (a[i] as number) - (b[i] as number)
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

/** 32 zero bytes: the parent of the first block and the root of an empty state. Never mutated. */
export const ZERO_HASH: Uint8Array = new Uint8Array(32)
