/**
 * Stage: the operator. `althing version`: which althing and which Node.js this is.
 * Invariant: the number comes from package.json, its only home.
 */
import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import type { CommandContext } from './context.ts'
import { record, show } from './output.ts'

/** Version of this althing, as in package.json. */
export function althingVersion(): string {
  // From a checkout (cli/) and from a package (dist/cli/) alike.
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

/** `althing version`. */
export function registerVersion(program: Command, context: CommandContext): void {
  program
    .command('version')
    .description('print the versions of althing and Node.js')
    .action(() => {
      const versions = {
        althing: althingVersion(),
        node: process.versions.node,
        platform: `${process.platform}-${process.arch}`,
      }
      show(context.output, versions, record)
    })
}
