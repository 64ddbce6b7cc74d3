/** Stage: the operator. `althing tx show | submit`: transactions as bytes that were signed elsewhere, asked of a node's API. */
import type { Command } from 'commander'
import { CborError } from '../protocol/cbor.ts'
import { LIMITS } from '../protocol/limits.ts'
import { decodeTransaction } from '../protocol/transaction.ts'
import { showAnswer } from './answers.ts'
import { addWait, type ClientOptions, clientCommand, clientOf, type WaitOptions, waitQuery } from './client.ts'
import type { CommandContext } from './context.ts'
import { CommandError, EXIT } from './failure.ts'
import { readBytes } from './files.ts'

/** `althing tx`. */
export function registerTx(program: Command, context: CommandContext): void {
  const tx = program.command('tx').description('look at transactions and submit signed ones')
  clientCommand(tx, 'show')
    .argument('<id>', 'id in hexadecimal')
    .description('show one transaction')
    .action(async (id: string, options: ClientOptions) => {
      const client = await clientOf(context, options, 'read')
      showAnswer(context.output, await client.json({ segments: ['transactions', id] }))
    })
  addWait(clientCommand(tx, 'submit'))
    .argument('<file>', 'file with the signed transaction (CBOR)')
    .description('submit a signed transaction')
    .action(async (file: string, options: ClientOptions & WaitOptions) => {
      const bytes = await readBytes(file, LIMITS.transactionBytesMax)
      checkShape(bytes, file)
      const client = await clientOf(context, options, 'write')
      const body = { bytes, type: 'application/cbor' }
      const request = { method: 'POST', segments: ['transactions'], body, query: waitQuery(options) } as const
      showAnswer(context.output, await client.json(request))
    })
}

// A wrong file is better refused here than by a node far away.
function checkShape(bytes: Uint8Array, file: string): void {
  try {
    decodeTransaction(bytes)
  } catch (cause) {
    if (!(cause instanceof CborError)) throw cause
    throw new CommandError('TX_MALFORMED', EXIT.badData, `${file} is not a signed transaction`, { cause })
  }
}
