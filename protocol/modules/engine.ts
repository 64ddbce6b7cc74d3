/**
 * The seam to what runs security modules. `node/modules` fills it; nothing here can run WebAssembly.
 * Invariant: two engines give the same answer to the same question; hardening (harden.ts) leaves nothing open on which they could differ.
 */
import type { Code } from '../verdict.ts'
import type { ModuleKind } from './input.ts'

/** Numbers of 0 … 1 000 000, at least one. What they mean depends on the kind (docs/modules.md). */
export type ModuleScores = readonly number[]

/** What runs modules. */
export type ModuleEngine = {
  /** null if `binary` may run as a module of `kind`, else a code of the MODULE part. */
  check(kind: ModuleKind, binary: Uint8Array): Code | null
  /**
   * What the module with `hash` (hexadecimal) says of `input`, or the code of why it says nothing. `binary` is asked for its bytes where they
   * are not at hand.
   */
  score(hash: string, binary: () => Uint8Array, input: Uint8Array): ModuleScores | Code
}

let engine: ModuleEngine | undefined

/** Puts `provider` in for the whole process. Called once at start. */
export function installModuleEngine(provider: ModuleEngine): void {
  engine = provider
}

/** The engine of this process. Throws an Error where none was installed: a bug. */
export function moduleEngine(): ModuleEngine {
  if (engine === undefined) throw new Error('no engine for security modules is installed')
  return engine
}
