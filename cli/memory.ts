/**
 * Stage: the operator. How much memory a member's process may hold beyond what it uses: settings of V8 and of the C library, which count only
 * from the first moment of a process.
 * Invariant: what an operator has set decides; only what is not set is added. Measured in docs/performance.md, under Memory.
 */

/** A flag, its value, and the only major version of Node.js that is given it; every one where there is none. */
type Flag = { readonly name: string; readonly value: number; readonly major?: number }

const FLAGS: readonly Flag[] = [
  // Half of the space for young objects, MiB. V8 lets it grow to 64 each, which holds 100 MiB more that are dead within a moment; with 8
  // and collections at 30 % growth a transaction took a fifth more processor time than with 16 and 60.
  { name: '--max-semi-space-size', value: 16 },
  // The heap is collected once it is so many parts of a hundred larger than what lived at the last time. V8 itself chooses up to four times
  // that on a machine with much memory: a member with 60 MiB of living objects held 220. It is V8's own flag, no promise of Node.js, which
  // does not start with one that it does not know: so only the version that it was measured with is given it.
  { name: '--heap-growing-percent', value: 60, major: 24 },
]

/**
 * Variables of glibc's malloc (other C libraries pass them over). Buffers lie there and are asked for and given back by several threads. By
 * itself glibc makes eight arenas a core, none of which gives anything back that lies below its top, and takes larger and larger blocks from
 * them, up to 32 MiB. So: two arenas, blocks of 128 KiB and more from the system and back to it, and what is free at the top as well.
 */
const VARIABLES: readonly (readonly [string, string])[] = [
  ['MALLOC_ARENA_MAX', '2'],
  ['MALLOC_MMAP_THRESHOLD_', String(128 * 1024)],
  ['MALLOC_TRIM_THRESHOLD_', String(2 * 1024 * 1024)],
]

/** What a process with flags `execArgv` and `environment` has to be begun again with; undefined where it has all of it. */
export function memorySettings(
  execArgv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  nodeVersion: string,
): { readonly flags: readonly string[]; readonly environment: Record<string, string | undefined> } | undefined {
  const given = [...execArgv, ...(environment['NODE_OPTIONS'] ?? '').split(/\s+/)].map(plain)
  const nodeMajor = Number(nodeVersion.split('.')[0])
  const missing = FLAGS.filter(({ name, major = nodeMajor }) => major === nodeMajor && !given.includes(name))
  if (missing.length === 0) return undefined
  return {
    flags: [...execArgv, ...missing.map(({ name, value }) => `${name}=${value}`)],
    environment: { ...Object.fromEntries(VARIABLES), ...environment },
  }
}

/** Name of a flag without its value; V8 takes `_` for `-` as well. */
const plain = (flag: string): string => flag.replace(/=.*$/s, '').replaceAll('_', '-')
