/**
 * Build stage: AssemblyScript sources of `protocol/modules/assembly` → `protocol/modules/built/<name>.wasm`, which are committed.
 * `npm run modules:build` writes them; a test compiles them anew and compares. Invariant: the same sources and compiler give the same bytes.
 */
import { readdirSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import asc from 'assemblyscript/asc'

const ROOT = new URL('..', import.meta.url).pathname
/** Sources, from the root of the repository. */
export const SOURCES = 'protocol/modules/assembly'
/** Binaries. */
export const BUILT = 'protocol/modules/built'
/** Files that modules share. */
const SHARED = ['abi']

/** Names of the modules in the repository. */
export const moduleNames = (): string[] =>
  readdirSync(join(ROOT, SOURCES), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => name.slice(0, -3))
    .filter((name) => !SHARED.includes(name))
    .sort()

/** Compiles one module. `pages`: of its memory. Throws an Error with what the compiler said. */
export async function compileModule(name: string, pages = 2): Promise<Uint8Array> {
  let binary: Uint8Array | undefined
  const { error, stderr } = await asc.main(
    [
      `${SOURCES}/${name}.ts`,
      '--outFile=module.wasm',
      '-O3',
      '--runtime=stub',
      '--use=abort=',
      '--disable=bulk-memory',
      `--initialMemory=${pages}`,
      `--maximumMemory=${pages}`,
      `--baseDir=${ROOT}`,
    ],
    {
      writeFile: (_path: string, contents: string | Uint8Array) => {
        if (typeof contents !== 'string') binary = contents
      },
    },
  )
  if (error !== null || binary === undefined) throw new Error(`${name} does not compile: ${String(stderr)}`)
  return binary
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await mkdir(join(ROOT, BUILT), { recursive: true })
  for (const name of moduleNames()) {
    const binary = await compileModule(name)
    await writeFile(join(ROOT, BUILT, `${name.replaceAll('/', '-')}.wasm`), binary)
    console.log(`${name} ${binary.length} bytes`)
  }
}
