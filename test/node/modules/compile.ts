/** Modules for tests: AssemblyScript in a string → a binary, by the compiler that the repository's own modules are built with. */
import { readFileSync } from 'node:fs'
import asc from 'assemblyscript/asc'

const SOURCES = new URL('../../../protocol/modules/assembly/', import.meta.url)
/** What every module must export; kind anomaly. */
export const HEAD = `
import { alloc, abiVersion, begin, finish, float, integer, floatCount, open, put, refuse } from './abi'
export { alloc, abiVersion } from './abi'
export function moduleKind(): i32 { return 1 }
`
/** A module whose `score` has this body, where `inputAt` and `inputBytes` are the input. */
export const scoring = (body: string): string =>
  `${HEAD}export function score(modelAt: i32, modelBytes: i32, inputAt: i32, inputBytes: i32): i32 { ${body} }`

/** Compiles `source`. Throws an Error with what the compiler says. */
export async function compile(source: string, ...options: readonly string[]): Promise<Uint8Array> {
  let binary: Uint8Array | undefined
  const memory = options.some((option) => option.includes('Memory')) ? [] : ['--initialMemory=1', '--maximumMemory=1']
  const { error, stderr } = await asc.main(
    ['module.ts', '--outFile=module.wasm', '-O1', '--runtime=stub', '--disable=bulk-memory', '--use=abort=']
      .concat(memory)
      .concat(options),
    {
      readFile: (name: string) =>
        name === 'module.ts' ? source : name === 'abi.ts' ? readFileSync(new URL(name, SOURCES), 'utf8') : null,
      writeFile: (_name: string, contents: string | Uint8Array) => {
        if (typeof contents !== 'string') binary = contents
      },
    },
  )
  if (error !== null || binary === undefined) throw new Error(String(stderr))
  return binary
}
