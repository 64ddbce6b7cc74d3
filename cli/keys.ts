/**
 * Stage: the operator. `althing keys new | list | show | import | export`. A key is called `node` (the member or device itself) or by the
 * name of an API key.
 * Invariants: a secret is written to a file of mode 0600 or, with --stdout only, to standard output; never read from the command line;
 * no key is overwritten.
 */
import { readdir } from 'node:fs/promises'
import type { Command } from 'commander'
import { API_KEY_NAME, apiKeyFile, type Home } from '../config/home.ts'
import { generateKey, NodeKey, readKeyFile, writeKeyFile } from '../node/crypto/keys.ts'
import { AlthingError } from '../node/errors.ts'
import { fromHex, toHex } from '../protocol/bytes.ts'
import { addressOf } from '../protocol/signature.ts'
import type { CommandContext } from './context.ts'
import { CommandError, EXIT } from './failure.ts'
import { readText } from './files.ts'
import { record, show, table } from './output.ts'

/** What may be told of a key. */
export type KeyView = { name: string; publicKey: string; address: string }

/** What may be told of `key`. */
export const viewOf = (name: string, key: NodeKey): KeyView => ({
  name,
  publicKey: key.publicKeyHex,
  address: toHex(addressOf(key.publicKey)),
})

/** File of the key `name`. CommandError KEY_NAME_INVALID. */
export function keyFileOf(home: Home, name: string): string {
  if (name === 'node') return home.nodeKeyFile
  const file = apiKeyFile(home, name)
  if (file === undefined) throw new CommandError('KEY_NAME_INVALID', EXIT.usage, 'that is no name of a key')
  return file
}

/** Names of the API keys of `home`, sorted. */
export async function apiKeyNames(home: Home): Promise<string[]> {
  const files = await readdir(home.apiKeysFolder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  return files
    .filter((file) => file.endsWith('.key'))
    .map((file) => file.slice(0, -'.key'.length))
    .filter((name) => API_KEY_NAME.test(name) && name !== 'node')
    .sort()
}

/** `althing keys`. */
export function registerKeys(program: Command, context: CommandContext): void {
  const keys = program.command('keys').description('make, list, import and export keys')
  keys
    .command('new')
    .argument('<name>', '`node`, or the name of an API key')
    .description('make a key')
    .action(async (name: string) => {
      const key = generateKey()
      await writeKeyFile(keyFileOf(context.home, name), key)
      show(context.output, viewOf(name, key), record)
    })
  keys
    .command('list')
    .description('list the keys of this home')
    .action(() => list(context))
  keys
    .command('show')
    .argument('<name>', '`node`, or the name of an API key')
    .description('print the public key and the address of a key')
    .action(async (name: string) =>
      show(context.output, viewOf(name, await readKeyFile(keyFileOf(context.home, name))), record),
    )
  keys
    .command('import')
    .argument('<name>', '`node`, or the name of an API key')
    .argument('<file>', 'file with 64 hexadecimal digits; - for standard input')
    .description('take over a secret key from a file')
    .action((name: string, file: string) => importKey(context, name, file))
  keys
    .command('export')
    .argument('<name>', '`node`, or the name of an API key')
    .option('--out <file>', 'new file to write the secret key to (mode 0600)')
    .option('--stdout', 'print the secret key to standard output')
    .description('copy a SECRET key out of this home')
    .action((name: string, options: { out?: string; stdout?: boolean }) => exportKey(context, name, options))
}

async function list({ home, output }: CommandContext): Promise<void> {
  const views: (KeyView & { problem: string | null })[] = []
  for (const name of ['node', ...(await apiKeyNames(home))]) {
    try {
      views.push({ ...viewOf(name, await readKeyFile(keyFileOf(home, name))), problem: null })
    } catch (error) {
      if (!(error instanceof AlthingError)) throw error
      // One bad file must not hide the others; a home without a node key is one that only holds API keys.
      if (error.code !== 'KEY_FILE_MISSING') views.push({ name, publicKey: '', address: '', problem: error.message })
    }
  }
  show(output, views, () =>
    table(
      ['name', 'public key', 'address', 'problem'],
      views.map((view) => [view.name, view.publicKey, view.address, view.problem ?? '']),
    ),
  )
}

async function importKey(context: CommandContext, name: string, file: string): Promise<void> {
  const target = keyFileOf(context.home, name)
  const text = file === '-' ? await context.readStdin(256) : await readText(file, 256)
  const key = keyFrom(text.trim())
  if (key === undefined) throw new CommandError('KEY_MALFORMED', EXIT.badData, 'that is no secret key of secp256k1')
  await writeKeyFile(target, key)
  if (name === 'node')
    context.output.remark(
      'althing: warning: a member key that runs in two places at once, or without its signing record, will be seen as lying',
    )
  show(context.output, viewOf(name, key), record)
}

function keyFrom(text: string): NodeKey | undefined {
  if (!/^[0-9a-fA-F]{64}$/.test(text)) return undefined
  try {
    return new NodeKey(fromHex(text))
  } catch {
    return undefined
  }
}

async function exportKey(
  { home, output }: CommandContext,
  name: string,
  options: { out?: string; stdout?: boolean },
): Promise<void> {
  if ((options.out === undefined) === (options.stdout !== true))
    throw new CommandError('EXPORT_TARGET', EXIT.usage, 'say where the secret key goes')
  const key = await readKeyFile(keyFileOf(home, name))
  if (options.out === undefined) {
    output.data(toHex(key.secretKey()))
    return
  }
  await writeKeyFile(options.out, key)
  output.remark(`wrote the secret key of ${name} to ${options.out}; whoever has it can sign in its name`)
}
