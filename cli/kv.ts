/** Stage: the operator. `althing kv get | put | delete`: the key-value store, through a node's API. Values are bytes as they are. */
import type { Command } from 'commander'
import { LIMITS } from '../protocol/limits.ts'
import { showAnswer } from './answers.ts'
import { type ClientOptions, clientCommand, clientOf } from './client.ts'
import type { CommandContext } from './context.ts'
import { readBytes } from './files.ts'

const NAMESPACE = 'address of the key that the namespace belongs to'

/** `althing kv`. */
export function registerKv(program: Command, context: CommandContext): void {
  const kv = program.command('kv').description('read and write the key-value store')
  clientCommand(kv, 'get')
    .argument('<namespace>', NAMESPACE)
    .argument('<key>', 'the key')
    .description('show an entry')
    .action(async (namespace: string, key: string, options: ClientOptions) => {
      const client = await clientOf(context, options, 'read')
      showAnswer(context.output, await client.json({ segments: ['kv', namespace, key] }))
    })
  clientCommand(kv, 'put')
    .argument('<namespace>', NAMESPACE)
    .argument('<key>', 'the key')
    .argument('<file>', 'file with the value')
    .description('write an entry')
    .action(async (namespace: string, key: string, file: string, options: ClientOptions) => {
      const bytes = await readBytes(file, LIMITS.stateValueBytesMax)
      const client = await clientOf(context, options, 'write')
      const body = { bytes, type: 'application/octet-stream' }
      showAnswer(context.output, await client.json({ method: 'PUT', segments: ['kv', namespace, key], body }))
    })
  clientCommand(kv, 'delete')
    .argument('<namespace>', NAMESPACE)
    .argument('<key>', 'the key')
    .description('delete an entry')
    .action(async (namespace: string, key: string, options: ClientOptions) => {
      const client = await clientOf(context, options, 'write')
      showAnswer(context.output, await client.json({ method: 'DELETE', segments: ['kv', namespace, key] }))
    })
}
