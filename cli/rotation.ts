/**
 * Stage: the operator. `althing keys rotate | activate | authorize`: what a member does with its own key: give it up for another, and let API
 * keys act for it.
 * Invariants: no key is overwritten or destroyed here; a next key is made once and signs nothing but its consent until it is activated.
 */
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import { readKeyFile, readOrCreateKeyFile } from '../node/crypto/keys.ts'
import { fromHex } from '../protocol/bytes.ts'
import { keyAuthorize } from '../protocol/kinds/key/key.ts'
import { showAnswer } from './answers.ts'
import { ownMember, presentMembers, submitAsMember } from './asMember.ts'
import { type ClientOptions, clientCommand, clientOf } from './client.ts'
import type { CommandContext } from './context.ts'
import { exists } from './files.ts'
import { collect, joinRequest, type ProposeOptions, propose, proposing } from './governance.ts'
import { keyFileOf, viewOf } from './keys.ts'
import { record, show } from './output.ts'

type RotateOptions = ProposeOptions & { address: string[] }

/** Adds to `althing keys`, which is registered before. */
export function registerRotation(program: Command, context: CommandContext): void {
  const keys = program.commands.find((command) => command.name() === 'keys') as Command
  proposing(keys, 'rotate')
    .description('make the next key of this member and propose it; the running node goes on with the present one')
    .option('--address <multiaddr>', 'where the node will listen, if that changes; may be repeated', collect, [])
    .action((options: RotateOptions) => rotate(context, options))
  keys
    .command('activate')
    .description('put the next key in the place of the present one; the node must be stopped')
    .action(() => activate(context))
  clientCommand(keys, 'authorize')
    .argument('<name>', 'name of an API key of this home')
    .description('let an API key act for this member')
    .action((name: string, options: ClientOptions) => authorize(context, name, options))
}

/** The next key is made (or taken, if a proposal of it has expired) and proposed with the present one. */
async function rotate(context: CommandContext, options: RotateOptions): Promise<void> {
  const { home } = context
  const key = await readKeyFile(home.nodeKeyFile)
  const own = ownMember(await presentMembers(await clientOf(context, options, 'read')), key)
  const { publicKey: by } = await readOrCreateKeyFile(home.nextKeyFile)
  const addresses = options.address.length > 0 ? options.address : own.addresses
  const { consent } = await joinRequest(context, home.nextKeyFile, own.name, addresses)
  await propose(context, options, {
    kind: 'replace',
    publicKey: key.publicKey,
    by,
    addresses,
    consent: fromHex(consent),
  })
  context.output.remark(
    'althing: the others approve it with `althing proposal approve`. When the log of this node says that its key was replaced: stop it, ' +
      '`althing keys activate`, start it again.',
  )
}

/** The next key takes the place of the present one, which is kept beside it under its own name. */
async function activate({ home, output }: CommandContext): Promise<void> {
  const next = await readKeyFile(home.nextKeyFile)
  if (await exists(home.nodeKeyFile)) {
    const old = await readKeyFile(home.nodeKeyFile)
    await rename(home.nodeKeyFile, join(home.keysFolder, `node.${old.publicKeyHex.slice(0, 16)}.old.key`))
  }
  // Should this be interrupted here, the same command goes on where it was.
  await rename(home.nextKeyFile, home.nodeKeyFile)
  const { syncDirectory } = await import('../node/directory.ts')
  await syncDirectory(home.keysFolder)
  output.remark('althing: start the node again. Destroy the old key once the new one signs: `althing status`.')
  show(output, viewOf('node', next), record)
}

/** This home's member lets its API key act for it. */
async function authorize(context: CommandContext, name: string, options: ClientOptions): Promise<void> {
  const { publicKey } = await readKeyFile(keyFileOf(context.home, name))
  const answer = await submitAsMember(context, options, keyAuthorize, { publicKey, label: name })
  showAnswer(context.output, answer)
}
