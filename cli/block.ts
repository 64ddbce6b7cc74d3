/** Stage: the operator. `althing block list | show`, asked of a node's API. Reads only. */
import type { Command } from 'commander'
import { showAnswer } from './answers.ts'
import { type ClientOptions, clientCommand, clientOf } from './client.ts'
import type { CommandContext } from './context.ts'

/** `althing block`. */
export function registerBlock(program: Command, context: CommandContext): void {
  const block = program.command('block').description('look at blocks')
  clientCommand(block, 'list')
    .description('list the newest blocks')
    .action(async (options: ClientOptions) => {
      const client = await clientOf(context, options, 'read')
      showAnswer(context.output, await client.json({ segments: ['blocks'] }), [
        'height',
        'hash',
        'time',
        'transactionCount',
      ])
    })
  clientCommand(block, 'show')
    .argument('<height-or-hash>', 'height, or hash in hexadecimal')
    .description('show one block')
    .action(async (name: string, options: ClientOptions) => {
      const client = await clientOf(context, options, 'read')
      showAnswer(context.output, await client.json({ segments: ['blocks', name] }))
    })
}
