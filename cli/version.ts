/** Stage: the operator. `althing version`: which althing and which Node.js this is. */
import type { Command } from 'commander'
import { althingVersion } from '../node/version.ts'
import type { CommandContext } from './context.ts'
import { record, show } from './output.ts'

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
