/**
 * Bundles the process of an RTU into one file, for which a device needs a quarter less memory than for the modules one by one
 * (node/rtu/README.md): `npm run build:rtu` for the package, and `althing rtu` in a checkout. Argument: the file to write.
 * Invariant: the file appears whole or not at all, so several may be written at once.
 */
import { randomUUID } from 'node:crypto'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const entry = fileURLToPath(new URL('../cli/rtuProcess.ts', import.meta.url))
const target = process.argv[2] ?? fileURLToPath(new URL('../dist/rtu.mjs', import.meta.url))

const { outputFiles } = await build({
  entryPoints: [entry],
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  write: false,
  outfile: target,
  // Names stay, so that a stack trace can be read.
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: 'none',
  // Members only, terminals only, and threads of the logger that are never started.
  external: ['@libp2p/identify', 'pino-pretty', 'thread-stream'],
  banner: {
    js: "import { createRequire as requireOf } from 'node:module';const require = requireOf(import.meta.url);",
  },
  logLevel: 'warning',
})
// Not by the process id: two containers that share a checkout may have the same.
const draft = `${target}.${randomUUID()}`
await mkdir(dirname(target), { recursive: true })
await writeFile(draft, outputFiles[0]?.contents ?? new Uint8Array(0))
await rename(draft, target)
