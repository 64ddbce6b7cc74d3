/**
 * The host of security modules, one for devices and members: a published binary → scores (ledger.md §3).
 * Invariants: the answer is a function of binary, model and input alone: memory and globals are put back before every call, steps are counted, and
 * nothing is imported; whatever a module does ends in numbers or in a code, never in an exception or a loop.
 */

import { toHex } from '../../protocol/bytes.ts'
import { sha3 } from '../../protocol/crypto.ts'
import { PPM } from '../../protocol/kinds/fields.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { ModuleEngine, ModuleScores } from '../../protocol/modules/engine.ts'
import { FUEL_EXPORT, type HardenedModule, harden } from '../../protocol/modules/harden.ts'
import { ABI_VERSION, MODULE_KINDS, type ModuleKind, STATUS } from '../../protocol/modules/input.ts'
import type { Code } from '../../protocol/verdict.ts'
import { type WasmGlobal, type WasmMemory, wasm } from './webassembly.ts'

type Exports = {
  readonly memory: WasmMemory
  abiVersion(): number
  moduleKind(): number
  alloc(length: number): number
  score(model: number, modelBytes: number, input: number, inputBytes: number): number
} & Readonly<Record<string, WasmGlobal>>

/** A module that is ready to be called. */
export class SecurityModule {
  readonly kind: ModuleKind
  readonly #exports: Exports
  readonly #fuel: WasmGlobal
  readonly #globals: readonly { readonly global: WasmGlobal; readonly value: unknown }[]
  /** Memory as each call finds it: up to the last byte that is not 0. */
  readonly #memory: Uint8Array
  readonly #modelAt: number
  readonly #modelBytes: number
  readonly #view: DataView

  private constructor(
    kind: ModuleKind,
    exports: Exports,
    hardened: HardenedModule,
    modelAt: number,
    modelBytes: number,
  ) {
    this.kind = kind
    this.#exports = exports
    this.#fuel = exports[FUEL_EXPORT] as WasmGlobal
    this.#globals = hardened.globals.map((name) => {
      const global = exports[name] as WasmGlobal
      return { global, value: global.value }
    })
    const bytes = new Uint8Array(exports.memory.buffer)
    let end = bytes.length
    while (end > 0 && bytes[end - 1] === 0) end--
    this.#memory = bytes.slice(0, end)
    this.#modelAt = modelAt
    this.#modelBytes = modelBytes
    this.#view = new DataView(exports.memory.buffer)
  }

  /**
   * Makes `binary`, as published, ready. `model`: its parameters, by default those that it carries. Gives a code of the MODULE part if it may
   * not run, or cannot take its parameters.
   */
  static load(binary: Uint8Array, model?: Uint8Array): SecurityModule | Code {
    const hardened = harden(binary)
    if ('fault' in hardened) return hardened.fault
    let exports: Exports
    try {
      const compiled = new wasm.Module(hardened.binary)
      exports = new wasm.Instance(compiled).exports as unknown as Exports
    } catch (error) {
      if (error instanceof wasm.CompileError) return 'MODULE_MALFORMED'
      // Data beyond its memory.
      if (error instanceof wasm.RuntimeError) return 'MODULE_TRAP'
      throw error
    }
    const parameters = model ?? hardened.model
    const fuel = exports[FUEL_EXPORT] as WasmGlobal
    return guarded(fuel, () => {
      const kind = MODULE_KINDS[exports.moduleKind() - 1]
      if (exports.abiVersion() !== ABI_VERSION || kind === undefined) return 'MODULE_ABI'
      const modelAt = parameters.length === 0 ? 0 : place(exports, parameters)
      if (typeof modelAt === 'string') return modelAt
      return new SecurityModule(kind, exports, hardened, modelAt, parameters.length)
    })
  }

  /** What the module says of `input` (protocol/modules/input.ts), or why it says nothing. */
  score(input: Uint8Array): ModuleScores | Code {
    if (input.length > LIMITS.moduleInputBytesMax) return 'MODULE_INPUT'
    const exports = this.#exports
    const bytes = new Uint8Array(exports.memory.buffer)
    bytes.set(this.#memory)
    bytes.fill(0, this.#memory.length)
    for (const { global, value } of this.#globals) global.value = value
    return guarded(this.#fuel, () => {
      const inputAt = place(exports, input)
      if (typeof inputAt === 'string') return inputAt
      return this.#result(exports.score(this.#modelAt, this.#modelBytes, inputAt, input.length))
    })
  }

  /** Steps that the last call took. */
  get stepsUsed(): number {
    return LIMITS.moduleStepsMax - (this.#fuel.value as number)
  }

  #result(address: number): ModuleScores | Code {
    const view = this.#view
    const at = address >>> 0
    if (at + 8 > view.byteLength) return 'MODULE_RESULT'
    const status = view.getInt32(at, true)
    if (status === STATUS.input) return 'MODULE_INPUT'
    if (status === STATUS.notANumber) return 'MODULE_NAN'
    const count = view.getUint32(at + 4, true)
    if (status !== STATUS.ok || count < 1 || count > LIMITS.moduleResultsMax || at + 8 + 4 * count > view.byteLength)
      return 'MODULE_RESULT'
    const scores: number[] = []
    for (let i = 0; i < count; i++) {
      const score = view.getInt32(at + 8 + 4 * i, true)
      if (score < 0 || score > PPM) return 'MODULE_RESULT'
      scores.push(score)
    }
    return scores
  }
}

/** Runs a module's code with the steps of one call: a trap is a code. */
function guarded<T>(fuel: WasmGlobal, run: () => T | Code): T | Code {
  fuel.value = LIMITS.moduleStepsMax
  try {
    return run()
  } catch (error) {
    if (!(error instanceof wasm.RuntimeError)) throw error
    return (fuel.value as number) < 0 ? 'MODULE_FUEL' : 'MODULE_TRAP'
  }
}

/** Puts `bytes` where the module wants them. */
function place({ alloc, memory }: Exports, bytes: Uint8Array): number | Code {
  const at = alloc(bytes.length) >>> 0
  if (at + bytes.length > memory.buffer.byteLength) return 'MODULE_INPUT'
  new Uint8Array(memory.buffer).set(bytes, at)
  return at
}

/** Modules that are kept ready; the one least lately used goes first. */
const READY_MAX = 16

/** The engine of `protocol/modules/engine.ts`: keeps modules ready by their hash. */
export class ModuleHost implements ModuleEngine {
  readonly #ready = new Map<string, SecurityModule | Code>()

  check(kind: ModuleKind, binary: Uint8Array): Code | null {
    const module = this.#module(toHex(sha3(binary)), () => binary)
    if (typeof module === 'string') return module
    return module.kind === kind ? null : 'MODULE_ABI'
  }

  score(hash: string, binary: () => Uint8Array, input: Uint8Array): ModuleScores | Code {
    const module = this.#module(hash, binary)
    return typeof module === 'string' ? module : module.score(input)
  }

  #module(hash: string, binary: () => Uint8Array): SecurityModule | Code {
    let module = this.#ready.get(hash)
    if (module === undefined) {
      const bytes = binary()
      // A module is what its hash says, wherever its bytes came from.
      if (toHex(sha3(bytes)) !== hash) throw new Error(`the bytes of module ${hash} are others`)
      module = SecurityModule.load(bytes)
      const [oldest] = this.#ready.keys()
      if (this.#ready.size >= READY_MAX && oldest !== undefined) this.#ready.delete(oldest)
    } else this.#ready.delete(hash)
    this.#ready.set(hash, module)
    return module
  }
}
