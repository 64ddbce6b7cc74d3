/** protocol/consensus/README.md: its example is run as it stands there. */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const root = join(import.meta.dirname, '../../..')

it('two members driven by hand, as the README says it', async () => {
  const readme = await readFile(join(root, 'protocol/consensus/README.md'), 'utf8')
  const [, example = ''] = /```ts\n([\s\S]*?)```/.exec(readme) ?? []
  const [, promised] = /\/\/ (\[ .* \])\n/.exec(example) ?? []
  const directory = await mkdtemp(join(tmpdir(), 'althing-readme-'))
  try {
    const file = join(directory, 'example.ts')
    const source = example.replaceAll(/'althing\/(.*)\.js'/g, (_, path: string) => `'${join(root, path)}.ts'`)
    await writeFile(file, source)
    const { stdout } = await promisify(execFile)(process.execPath, [file])
    expect(promised).toBeDefined()
    expect(stdout.trim()).toBe(promised)
  } finally {
    await rm(directory, { recursive: true })
  }
}, 30_000)
