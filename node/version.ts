/** The version of this program. Invariant: the number comes from package.json, its only home. */
import { readFileSync } from 'node:fs'

/** Version of this althing, as in package.json. */
export function althingVersion(): string {
  // From a checkout (node/) and from a package (dist/node/) alike.
  for (const path of ['../package.json', '../../package.json']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'))
      if (name === 'althing') return version
    } catch {
      // Not there: the other place has it.
    }
  }
  throw new Error('package.json of althing is missing')
}
