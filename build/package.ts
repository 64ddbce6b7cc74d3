/**
 * Builds the package: `dist/` from the sources with the bundle of the RTU, and for `npm pack` the list of exact packages that goes with it.
 * Invariant: nothing of an earlier build is left in `dist/`. A checkout never runs `dist/` (althing.js), so an old one harms nobody.
 *
 * node build/package.ts                    dist/
 * node build/package.ts --for-package          dist/ and npm-shrinkwrap.json (npm run prepack)
 * node build/package.ts --after-package        takes npm-shrinkwrap.json away again (npm run postpack)
 */
import { execFileSync } from 'node:child_process'
import { copyFileSync, cpSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const at = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url))
const [step] = process.argv.slice(2)

if (step === '--after-package') rmSync(at('npm-shrinkwrap.json'), { force: true })
else {
  rmSync(at('dist'), { recursive: true, force: true })
  const tsc = at('node_modules/typescript/bin/tsc')
  for (const project of ['tsconfig.build.json', 'protocol/tsconfig.build.json'])
    execFileSync(process.execPath, [tsc, '-p', at(project)], { stdio: 'inherit' })
  cpSync(at('protocol/modules/built'), at('dist/protocol/modules/built'), { recursive: true })
  execFileSync(process.execPath, [at('build/rtu.ts')], { stdio: 'inherit' })
  // npm takes no package-lock.json into a package. With this, `npm ci --omit=dev` in the unpacked package installs what was tested, to the
  // last package; what althing knows of libp2p's streams is true of these versions (docs/dependencies.md).
  if (step === '--for-package') copyFileSync(at('package-lock.json'), at('npm-shrinkwrap.json'))
}
