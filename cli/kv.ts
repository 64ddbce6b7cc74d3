/**
 * Stage: the operator. `althing kv get | list | put | delete`: the key-value store, through a node's API. Values are bytes as they are. One
 * writes in the namespace of one's own API key; any may be read.
 */
import type { Command } from 'commander'
import { toHex } from '../protocol/bytes.ts'
import { LIMITS } from '../protocol/limits.ts'
import { addressOf } from '../protocol/signature.ts'
import { showAnswer } from './answers.ts'
import {
  addWait,
  type ClientOptions,
  clientCommand,
  clientOf,
  subjectOf,
  type WaitOptions,
  waitQuery,
} from './client.ts'
import type { CommandContext } from './context.ts'
import { readBytes } from './files.ts'
import { keyFileOf } from './keys.ts'

type ReadOptions = ClientOptions & { namespace?: string }

/** `althing kv`. */
export function registerKv(program: Command, context: CommandContext): void {
  const kv = program.command('kv').description('read and write the key-value store')
  readCommand(kv, 'get')
    .argument('<key>', 'the key')
    .description('show an entry')
    .action(async (key: string, options: ReadOptions) => {
      const client = await clientOf(context, options, 'read')
      showAnswer(context.output, await client.json({ segments: ['kv', await namespaceOf(context, options), key] }))
    })
  readCommand(kv, 'list')
    .description('list the keys of a namespace')
    .action(async (options: ReadOptions) => {
      const client = await clientOf(context, options, 'read')
      showAnswer(context.output, await client.json({ segments: ['kv', await namespaceOf(context, options)] }), [
        'key',
        'height',
        'valueBytes',
      ])
    })
  addWait(clientCommand(kv, 'put'))
    .argument('<key>', 'the key')
    .argument('<file>', 'file with the value')
    .description('write an entry in the namespace of the API key')
    .action(async (key: string, file: string, options: ClientOptions & WaitOptions) => {
      const bytes = await readBytes(file, LIMITS.stateValueBytesMax)
      const client = await clientOf(context, options, 'write')
      const body = { bytes, type: 'application/octet-stream' }
      const request = { method: 'PUT', segments: ['kv', key], body, query: waitQuery(options) } as const
      showAnswer(context.output, await client.json(request))
    })
  addWait(clientCommand(kv, 'delete'))
    .argument('<key>', 'the key')
    .description('delete an entry in the namespace of the API key')
    .action(async (key: string, options: ClientOptions & WaitOptions) => {
      const client = await clientOf(context, options, 'write')
      const request = { method: 'DELETE', segments: ['kv', key], query: waitQuery(options) } as const
      showAnswer(context.output, await client.json(request))
    })
}

const readCommand = (parent: Command, name: string): Command =>
  clientCommand(parent, name).option(
    '--namespace <address>',
    'address of the key that the namespace belongs to (default: the API key of this home)',
  )

/** The namespace asked for, else that of the API key in whose name the command acts. */
async function namespaceOf(context: CommandContext, { namespace, as }: ReadOptions): Promise<string> {
  if (namespace !== undefined) return namespace
  const { readKeyFile } = await import('../node/crypto/keys.ts')
  const key = await readKeyFile(keyFileOf(context.home, await subjectOf(context, as)))
  return toHex(addressOf(key.publicKey))
}
