/** Stage: the operator. `althing status`: how the node is, asked of its API. Reads only. */
import type { Command } from 'commander'
import { showAnswer } from './answers.ts'
import { type ClientOptions, clientCommand, clientOf } from './client.ts'
import type { CommandContext } from './context.ts'

/** `althing status`. */
export function registerStatus(program: Command, context: CommandContext): void {
  clientCommand(program, 'status')
    .description('show how the node is')
    .action(async (options: ClientOptions) => {
      const client = await clientOf(context, options, 'read')
      showAnswer(context.output, await client.json({ segments: ['status'] }))
    })
}
