/**
 * WebAssembly binaries, as far as security modules may go (WebAssembly Core 2.0 §5): sections, and the instructions of a function one by one.
 * Invariants: what is not listed here does not exist; nothing is read beyond its section; reading costs one pass over the bytes.
 */

/** What a binary does that it may not, as a code of the MODULE part of the table. */
export type ModuleFault =
  | 'MODULE_MALFORMED'
  | 'MODULE_IMPORT'
  | 'MODULE_START'
  | 'MODULE_EXPORTS'
  | 'MODULE_MEMORY'
  | 'MODULE_INSTRUCTION'
  | 'MODULE_RECURSION'
  | 'MODULE_TOO_LARGE'

/** Ends the reading of a binary; caught by `harden`. */
export class ModuleError extends Error {
  readonly code: ModuleFault

  constructor(code: ModuleFault, message: string) {
    super(message)
    this.code = code
  }
}

/** Bytes with a place in them. Everything throws MODULE_MALFORMED at the end of the bytes. */
export class WasmReader {
  readonly bytes: Uint8Array
  at: number
  readonly end: number

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.bytes = bytes
    this.at = at
    this.end = end
  }

  get done(): boolean {
    return this.at >= this.end
  }

  byte(): number {
    if (this.at >= this.end) throw new ModuleError('MODULE_MALFORMED', 'the binary is cut short')
    return this.bytes[this.at++] as number
  }

  pass(length: number): void {
    if (length > this.end - this.at) throw new ModuleError('MODULE_MALFORMED', 'the binary is cut short')
    this.at += length
  }

  /** Unsigned LEB128 of at most 32 bits. */
  u32(): number {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte()
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) {
        if (value > 0xffff_ffff) break
        return value
      }
    }
    throw new ModuleError('MODULE_MALFORMED', 'a number is longer than 32 bits')
  }

  /** Passes over a LEB128 number of at most `bits`. */
  leb(bits: number): void {
    for (let length = Math.ceil(bits / 7); length > 0; length--) if (this.byte() < 0x80) return
    throw new ModuleError('MODULE_MALFORMED', `a number is longer than ${bits} bits`)
  }

  /** A name: its bytes one character each, since only ASCII names mean anything here. */
  name(): string {
    const length = this.u32()
    const start = this.at
    this.pass(length)
    return String.fromCharCode(...this.bytes.subarray(start, start + Math.min(length, 256)))
  }

  /** A part of `length` bytes from here on; this reader goes on after it. */
  part(length: number): WasmReader {
    const start = this.at
    this.pass(length)
    return new WasmReader(this.bytes, start, this.at)
  }
}

/** Unsigned LEB128. */
export function leb(value: number): number[] {
  const bytes: number[] = []
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) {
      bytes.push(rest)
      return bytes
    }
    bytes.push((rest % 128) + 128)
  }
}

/** Signed LEB128 of a number that is not negative, as `i32.const` has it. */
export function signedLeb(value: number): number[] {
  const bytes = leb(value)
  const last = bytes.length - 1
  // The sign bit of the last group must be 0.
  if (((bytes[last] as number) & 0x40) !== 0) {
    bytes[last] = (bytes[last] as number) | 0x80
    bytes.push(0)
  }
  return bytes
}

/** Instructions that are of interest to `harden`. */
export const OP = {
  unreachable: 0x00,
  loop: 0x03,
  if: 0x04,
  end: 0x0b,
  call: 0x10,
  drop: 0x1a,
  select: 0x1b,
  localGet: 0x20,
  localTee: 0x22,
  globalGet: 0x23,
  globalSet: 0x24,
  memoryGrow: 0x40,
  i32Const: 0x41,
  i32LtS: 0x48,
  i32Sub: 0x6b,
  f32Eq: 0x5b,
  f64Eq: 0x61,
  f32Const: 0x43,
  f64Const: 0x44,
} as const
/** Value types. */
export const TYPE = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c } as const

/** What stands behind an instruction's opcode. */
type Immediate = 'none' | 'block' | 'index' | 'labels' | 'memory' | 'zero' | 'i32' | 'i64' | 'f32' | 'f64'

/** Opcode → its immediates; an opcode without a row is none that a module may use. */
const IMMEDIATES: readonly (Immediate | undefined)[] = (() => {
  const table = new Array<Immediate | undefined>(256).fill(undefined)
  const rows = (immediate: Immediate, ...opcodes: (number | readonly [number, number])[]): void => {
    for (const one of opcodes) {
      const [first, last] = typeof one === 'number' ? [one, one] : one
      for (let opcode = first; opcode <= last; opcode++) table[opcode] = immediate
    }
  }
  // unreachable, nop; else, end; return; drop, select; all that compares, counts and converts, sign extensions among them.
  rows('none', [0x00, 0x01], 0x05, 0x0b, 0x0f, [0x1a, 0x1b], [0x45, 0xc4])
  rows('block', [0x02, 0x04])
  // br, br_if; call; locals and globals.
  rows('index', [0x0c, 0x0d], 0x10, [0x20, 0x24])
  rows('labels', 0x0e)
  rows('memory', [0x28, 0x3e])
  rows('zero', [0x3f, 0x40])
  rows('i32', 0x41)
  rows('i64', 0x42)
  rows('f32', 0x43)
  rows('f64', 0x44)
  return table
})()

/**
 * Type of the result where an instruction can make a NaN whose bits the standard leaves open: ceil, floor, trunc, nearest, sqrt, add, sub,
 * mul, div, min, max; conversions between the two sizes. abs, neg and copysign change the sign bit alone.
 */
export function nanType(opcode: number): 'f32' | 'f64' | undefined {
  if ((opcode >= 0x8d && opcode <= 0x97) || opcode === 0xb6) return 'f32'
  if ((opcode >= 0x9b && opcode <= 0xa5) || opcode === 0xbb) return 'f64'
  return undefined
}

/** One instruction: where it stands, and the index behind it where it has one. */
export type Instruction = {
  readonly opcode: number
  readonly start: number
  readonly end: number
  readonly index: number
}

/** The next instruction. MODULE_INSTRUCTION for one that modules may not use. */
export function readInstruction(reader: WasmReader): Instruction {
  const start = reader.at
  const opcode = reader.byte()
  let index = 0
  if (opcode === 0xfc) {
    // Saturating truncation only; its neighbours work on whole stretches of memory at no cost in steps.
    if (reader.u32() > 7) throw new ModuleError('MODULE_INSTRUCTION', 'an instruction on stretches of memory')
    return { opcode, start, end: reader.at, index }
  }
  switch (IMMEDIATES[opcode]) {
    case undefined:
      throw new ModuleError('MODULE_INSTRUCTION', `instruction 0x${opcode.toString(16)}`)
    case 'block':
      reader.leb(33)
      break
    case 'index':
      index = reader.u32()
      break
    case 'labels':
      for (let count = reader.u32() + 1; count > 0; count--) reader.leb(32)
      break
    case 'memory':
      // Flag 0x40 would name another memory.
      if (reader.u32() > 4) throw new ModuleError('MODULE_INSTRUCTION', 'a second memory')
      reader.leb(32)
      break
    case 'zero':
      if (reader.byte() !== 0) throw new ModuleError('MODULE_INSTRUCTION', 'a second memory')
      break
    case 'i32':
      reader.leb(32)
      break
    case 'i64':
      reader.leb(64)
      break
    case 'f32':
      reader.pass(4)
      break
    case 'f64':
      reader.pass(8)
      break
  }
  return { opcode, start, end: reader.at, index }
}
