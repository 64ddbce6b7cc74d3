/**
 * Hardening: a module's binary as it was published → the binary that every host runs, or why it may not run (ledger.md §3).
 * Invariants of what comes out: it imports nothing and starts nothing; memory never grows; no function calls itself, directly or not, and none
 * through a table, so that the stack is bounded; every function and every turn of a loop is paid for in steps before it runs; a NaN has one
 * form of bits; everything that lasts from call to call is exported, so that the host can put it back. The steps are put in here and
 * not by the author: there is nothing to strip.
 */
import { LIMITS } from '../limits.ts'
import {
  leb,
  ModuleError,
  type ModuleFault,
  nanType,
  OP,
  readInstruction,
  signedLeb,
  TYPE,
  WasmReader,
} from './wasm.ts'

/** A module that may run. */
export type HardenedModule = {
  /** The binary to run. */
  readonly binary: Uint8Array
  /** Pages (64 KiB) of its memory. */
  readonly pages: number
  /** Exported names of its mutable globals. */
  readonly globals: readonly string[]
  /** What stands in its custom section `althing.model`: the parameters that it was trained to. Empty if there is none. */
  readonly model: Uint8Array
}

/** Name of the exported counter of steps; below 0 once they are used up. */
export const FUEL_EXPORT = '#fuel'
/** Name of the custom section with the parameters. */
export const MODEL_SECTION = 'althing.model'
const HEADER = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]
/** What a module exports beside its memory: parameters, all i32; the result is one i32. */
const EXPORTS: Readonly<Record<string, number>> = { abiVersion: 0, moduleKind: 0, alloc: 1, score: 4 }
const MUTABLE_GLOBALS_MAX = 32
/** The NaN that all others become. */
const F32_NAN = [OP.f32Const, 0, 0, 0xc0, 0x7f]
const F64_NAN = [OP.f64Const, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f]

const refuse = (code: ModuleFault, message: string): never => {
  throw new ModuleError(code, message)
}

/** `code` made safe to run, or what is wrong with it. That its types fit together is the engine's to check. */
export function harden(code: Uint8Array): HardenedModule | { readonly fault: ModuleFault; readonly message: string } {
  try {
    return new Hardening(code).run()
  } catch (error) {
    if (!(error instanceof ModuleError)) throw error
    return { fault: error.code, message: error.message }
  }
}

type FunctionType = { readonly parameters: readonly number[]; readonly results: readonly number[] }

class Hardening {
  readonly #code: Uint8Array
  readonly #types: FunctionType[] = []
  /** Function → its type. */
  readonly #functions: FunctionType[] = []
  readonly #sections: { readonly id: number; readonly content: number[] | Uint8Array }[] = []
  readonly #mutable: number[] = []
  #globals = 0
  #pages = 0
  #model: Uint8Array = new Uint8Array()
  /** Function → functions it calls. */
  readonly #calls: ReadonlySet<number>[] = []

  constructor(code: Uint8Array) {
    this.#code = code
  }

  run(): HardenedModule {
    const code = this.#code
    if (code.length > LIMITS.moduleBytesMax) refuse('MODULE_TOO_LARGE', `more than ${LIMITS.moduleBytesMax} bytes`)
    const reader = new WasmReader(code)
    for (const byte of HEADER) if (reader.byte() !== byte) refuse('MODULE_MALFORMED', 'no WebAssembly binary')
    let last = 0
    while (!reader.done) {
      const id = reader.byte()
      const part = reader.part(reader.u32())
      if (id !== 0 && id <= last) refuse('MODULE_MALFORMED', 'sections out of order')
      if (id !== 0) {
        // The counter's global stands where the section of globals would, and is exported beside the rest.
        if (last < 6 && id > 6) this.#sections.push({ id: 6, content: this.#globalSection(undefined) })
        last = id
      }
      this.#section(id, part)
    }
    if (last < 10 || this.#pages === 0) refuse('MODULE_EXPORTS', 'no memory or no code')
    this.#refuseRecursion()
    const binary = [...HEADER].concat(
      ...this.#sections.map(({ id, content }) => [id, ...leb(content.length), ...content]),
    )
    const globals = this.#mutable.map((index) => `#${index}`)
    return { binary: Uint8Array.from(binary), pages: this.#pages, globals, model: this.#model }
  }

  #section(id: number, part: WasmReader): void {
    const raw = (): void => {
      this.#sections.push({ id, content: part.bytes.subarray(part.at, part.end) })
    }
    switch (id) {
      case 0:
        // Names and the like are left out of what runs.
        if (part.name() === MODEL_SECTION) this.#model = part.bytes.slice(part.at, part.end)
        return
      case 1:
        raw()
        return this.#readTypes(part)
      case 2:
        return part.u32() === 0 ? undefined : refuse('MODULE_IMPORT', 'it imports something')
      case 3:
        raw()
        for (let count = this.#count(part, LIMITS.moduleFunctionsMax); count > 0; count--)
          this.#functions.push(this.#types[part.u32()] ?? refuse('MODULE_MALFORMED', 'no such type'))
        return
      case 5:
        raw()
        return this.#readMemory(part)
      case 6:
        this.#sections.push({ id, content: this.#globalSection(part) })
        return
      case 7:
        this.#sections.push({ id, content: this.#exportSection(part) })
        return
      case 8:
        return refuse('MODULE_START', 'it has a start function')
      case 10:
        this.#sections.push({ id, content: this.#codeSection(part) })
        return
      case 11:
        raw()
        return this.#readData(part)
      // Tables and what fills them are of no use without calls through them; compilers leave them in, so they are left out of what runs.
      case 4:
      case 9:
        return
      default:
        refuse('MODULE_INSTRUCTION', `section ${id}`)
    }
  }

  #count(part: WasmReader, max: number): number {
    const count = part.u32()
    return count > max ? refuse('MODULE_TOO_LARGE', `${count} where ${max} are the most`) : count
  }

  #readTypes(part: WasmReader): void {
    const list = (): number[] => Array.from({ length: this.#count(part, 64) }, () => part.byte())
    for (let count = this.#count(part, LIMITS.moduleFunctionsMax); count > 0; count--) {
      if (part.byte() !== 0x60) refuse('MODULE_INSTRUCTION', 'a type that is no function')
      this.#types.push({ parameters: list(), results: list() })
    }
  }

  #readMemory(part: WasmReader): void {
    const one = part.u32() === 1
    const flags = part.byte()
    if (!one || flags !== 1) refuse('MODULE_MEMORY', 'not one memory with a maximum')
    const pages = part.u32()
    const max = part.u32()
    if (pages < 1 || max < pages || max > LIMITS.modulePagesMax)
      refuse('MODULE_MEMORY', `1 to ${LIMITS.modulePagesMax} pages, not ${pages} to ${max}`)
    this.#pages = pages
  }

  #globalSection(part: WasmReader | undefined): number[] {
    const count = part === undefined ? 0 : this.#count(part, 1024)
    const start = part?.at ?? 0
    for (let index = 0; part !== undefined && index < count; index++) {
      part.byte()
      if (part.byte() === 1) this.#mutable.push(index)
      while (readInstruction(part).opcode !== OP.end);
    }
    if (this.#mutable.length > MUTABLE_GLOBALS_MAX) refuse('MODULE_TOO_LARGE', 'too many mutable globals')
    this.#globals = count
    const written = part === undefined ? [] : part.bytes.subarray(start, part.at)
    return [...leb(count + 1), ...written, TYPE.i32, 1, OP.i32Const, 0, OP.end]
  }

  #exportSection(part: WasmReader): number[] {
    const names = new Set<string>()
    const count = this.#count(part, 64)
    const start = part.at
    for (let i = 0; i < count; i++) {
      const name = part.name()
      const kind = part.byte()
      const index = part.u32()
      const parameters = EXPORTS[name]
      names.add(name)
      if (name === 'memory' ? kind !== 2 : kind !== 0 || parameters === undefined)
        refuse('MODULE_EXPORTS', `an export “${name.slice(0, 64)}”`)
      if (name === 'memory') continue
      const type = this.#functions[index] ?? refuse('MODULE_MALFORMED', 'no such function')
      const fits =
        type.parameters.length === parameters &&
        [...type.parameters, ...type.results].every((one) => one === TYPE.i32) &&
        type.results.length === 1
      if (!fits) refuse('MODULE_EXPORTS', `${name} takes ${parameters} × i32 and gives one i32`)
    }
    for (const name of ['memory', ...Object.keys(EXPORTS)])
      if (!names.has(name)) refuse('MODULE_EXPORTS', `no export “${name}”`)
    const exported = (name: string, index: number): number[] => [
      name.length,
      ...Array.from(name, (character) => character.charCodeAt(0)),
      3,
      ...leb(index),
    ]
    return [
      ...leb(count + 1 + this.#mutable.length),
      ...part.bytes.subarray(start, part.at),
      ...exported(FUEL_EXPORT, this.#globals),
      ...this.#mutable.flatMap((index) => exported(`#${index}`, index)),
    ]
  }

  #readData(part: WasmReader): void {
    for (let count = this.#count(part, 4096); count > 0; count--) {
      if (part.u32() !== 0) refuse('MODULE_INSTRUCTION', 'data that is not put into memory at once')
      while (readInstruction(part).opcode !== OP.end);
      part.pass(part.u32())
    }
  }

  #codeSection(part: WasmReader): number[] {
    const count = part.u32()
    if (count !== this.#functions.length) refuse('MODULE_MALFORMED', 'functions without code')
    const out: number[] = [...leb(count)]
    let locals = 0
    for (let index = 0; index < count; index++) {
      const type = this.#functions[index] as FunctionType
      const body = part.part(part.u32())
      const groups = this.#count(body, 256)
      const start = body.at
      let own = type.parameters.length
      for (let group = 0; group < groups; group++) {
        own += body.u32()
        body.byte()
      }
      // The stack of a call holds each function at most once, so this bounds it.
      locals += own
      if (locals > LIMITS.moduleLocalsMax) refuse('MODULE_TOO_LARGE', `more than ${LIMITS.moduleLocalsMax} locals`)
      const head = [...leb(groups + 2), ...body.bytes.subarray(start, body.at), 1, TYPE.f32, 1, TYPE.f64]
      const written = [...head, ...this.#body(body, index, own)]
      for (const byte of leb(written.length)) out.push(byte)
      for (const byte of written) out.push(byte)
    }
    return out
  }

  /** The instructions of one function, paid for in steps: one each, those of a loop at the beginning of each of its turns. */
  #body(body: WasmReader, index: number, locals: number): number[] {
    // A place where steps are counted down, with how many.
    type Toll = { readonly at: number; steps: number }
    const tolls: Toll[] = [{ at: 0, steps: 1 }]
    const open: (Toll | undefined)[] = []
    const calls = new Set<number>()
    const parts: number[][] = []
    let toll = tolls[0] as Toll
    let ended = false
    while (!body.done) {
      if (ended) refuse('MODULE_MALFORMED', 'code after the end')
      const instruction = readInstruction(body)
      const { opcode, start, end } = instruction
      toll.steps++
      if (opcode === OP.call) calls.add(instruction.index)
      if (opcode === OP.memoryGrow) parts.push([OP.drop, OP.i32Const, 0x7f])
      else parts.push([...body.bytes.subarray(start, end), ...canonical(nanType(opcode), locals)])
      if (opcode >= 0x02 && opcode <= OP.if) {
        open.push(toll)
        if (opcode === OP.loop) {
          toll = { at: parts.length, steps: 1 }
          tolls.push(toll)
        }
      } else if (opcode === OP.end) {
        const outer = open.pop()
        if (outer === undefined) ended = true
        else toll = outer
      }
    }
    if (!ended) refuse('MODULE_MALFORMED', 'a function without end')
    this.#calls[index] = calls
    const payments = new Map(tolls.map(({ at, steps }) => [at, this.#payment(steps)]))
    return parts.flatMap((part, at) => [...(payments.get(at) ?? []), ...part])
  }

  #payment(steps: number): number[] {
    const fuel = leb(this.#globals)
    return [
      OP.globalGet,
      ...fuel,
      OP.i32Const,
      ...signedLeb(steps),
      OP.i32Sub,
      OP.globalSet,
      ...fuel,
      OP.globalGet,
      ...fuel,
      OP.i32Const,
      0,
      OP.i32LtS,
      OP.if,
      0x40,
      OP.unreachable,
      OP.end,
    ]
  }

  #refuseRecursion(): void {
    // 1: being followed; 2: known to lead to no circle.
    const seen: number[] = []
    const follow = (index: number): void => {
      if (seen[index] === 2) return
      if (seen[index] === 1) refuse('MODULE_RECURSION', 'a function that calls itself, perhaps through others')
      seen[index] = 1
      for (const callee of this.#calls[index] ?? refuse('MODULE_MALFORMED', 'no such function')) follow(callee)
      seen[index] = 2
    }
    for (let index = 0; index < this.#calls.length; index++) follow(index)
  }
}

/** What makes the NaN on top of the stack the one NaN: kept in a local of its own, and replaced unless it equals itself. */
function canonical(type: 'f32' | 'f64' | undefined, locals: number): readonly number[] {
  if (type === undefined) return []
  const local = leb(type === 'f32' ? locals : locals + 1)
  const [nan, equal] = type === 'f32' ? [F32_NAN, OP.f32Eq] : [F64_NAN, OP.f64Eq]
  return [OP.localTee, ...local, ...nan, OP.localGet, ...local, OP.localGet, ...local, equal, OP.select]
}
