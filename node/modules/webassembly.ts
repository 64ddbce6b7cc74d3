/**
 * WebAssembly as the host of modules uses it. The types of Node leave it out, and those of browsers would bring all of a browser along.
 */

/** A mutable global that a module exports. */
export type WasmGlobal = { value: unknown }
/** A memory that a module exports. */
export type WasmMemory = { readonly buffer: ArrayBuffer }

type ErrorClass = new (message?: string) => Error

/** The engine of this process. */
export const wasm = (
  globalThis as unknown as {
    readonly WebAssembly: {
      readonly Module: new (binary: Uint8Array) => object
      readonly Instance: new (module: object) => { readonly exports: unknown }
      readonly CompileError: ErrorClass
      readonly RuntimeError: ErrorClass
    }
  }
).WebAssembly
