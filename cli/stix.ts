/** Stage: the operator. `althing stix list | show`: what blocks say of devices as STIX 2.1 bundles, asked of a node's API. Reads only. */
import { type Command, InvalidArgumentError } from 'commander'
import { showAnswer } from './answers.ts'
import { type ClientOptions, clientCommand, clientOf } from './client.ts'
import type { CommandContext } from './context.ts'
import { printable } from './output.ts'

/** `althing stix`. */
export function registerStix(program: Command, context: CommandContext): void {
  const stix = program.command('stix').description('look at what blocks say of devices, in STIX 2.1')
  clientCommand(stix, 'list')
    .description('list the bundles that are anchored on the chain')
    .action(async (options: ClientOptions) => {
      const client = await clientOf(context, options, 'read')
      showAnswer(context.output, await client.json({ segments: ['stix', 'bundles'] }), ['height', 'claims'])
    })
  clientCommand(stix, 'show')
    .argument('<height>', 'height of a block', heightOf)
    .description('print the bundle of one block, in its canonical text: its SHA3-256 is the hash on the chain')
    .action(async (height: string, options: ClientOptions) => {
      const client = await clientOf(context, options, 'read')
      const { bytes } = await client.send({ segments: ['stix', 'bundles', height] })
      // JSON keeps controls escaped; what a node sends otherwise does not reach the terminal.
      context.output.data(printable(Buffer.from(bytes).toString('utf8')))
    })
}

function heightOf(text: string): string {
  if (!/^[1-9][0-9]{0,14}$/.test(text)) throw new InvalidArgumentError('It must be a height, from 1.')
  return text
}
