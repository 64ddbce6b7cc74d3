/** Binaries in protocol/modules/built are what build/modules.ts makes of protocol/modules/assembly. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { BUILT, compileModule, moduleNames } from '../../../build/modules.ts'
import { SecurityModule } from '../../../node/modules/host.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { sha3 } from '../../../protocol/crypto.ts'

const ROOT = new URL('../../../', import.meta.url)

describe('security modules of the repository', () => {
  for (const name of moduleNames())
    it(`${name}: its source compiles to the binary that is committed, to the byte, and it may run`, async () => {
      const committed = readFileSync(new URL(`${BUILT}/${name.replaceAll('/', '-')}.wasm`, ROOT))
      expect(toHex(sha3(await compileModule(name)))).toBe(toHex(sha3(committed)))
      expect(SecurityModule.load(committed)).toBeInstanceOf(SecurityModule)
    })
})
