/** Stage: the operator. `althing proof get`: fetches a proof file from a node. What it proves is for its verifier to say, not for us. */
import { Argument, type Command } from 'commander'
import { type ClientOptions, clientCommand, clientOf } from './client.ts'
import type { CommandContext } from './context.ts'
import { writeNewFile } from './files.ts'

/** `althing proof`. */
export function registerProof(program: Command, context: CommandContext): void {
  const proof = program.command('proof').description('fetch proofs')
  clientCommand(proof, 'get')
    .addArgument(new Argument('<what>', 'what is to be proved').choices(['transactions', 'state']))
    .argument('<name...>', 'id of a transaction; namespace and key of an entry')
    .option('--out <file>', 'new file to write the proof to, instead of standard output')
    .description('fetch the proof of a transaction or of an entry')
    .action(async (what: string, names: string[], options: ClientOptions & { out?: string }) => {
      const client = await clientOf(context, options, 'read')
      const answer = await client.json({ segments: ['proofs', what, ...names] })
      const text = JSON.stringify(answer, null, 2)
      if (options.out === undefined) context.output.data(text)
      else {
        await writeNewFile(options.out, `${text}\n`, 0o644)
        context.output.remark(`wrote ${options.out}`)
      }
    })
}
