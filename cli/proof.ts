/**
 * Stage: the operator. `althing proof get | verify`: fetches a proof file from a node; verifies one with nothing but the genesis.
 * Invariant: `verify` asks nobody; what it shows is what protocol/proof.ts found, step by step, with what has to be believed.
 */
import { Argument, type Command } from 'commander'
import type { Genesis } from '../protocol/genesis.ts'
import { LIMITS } from '../protocol/limits.ts'
import { parseProof, type Verification, verifyProof } from '../protocol/proof.ts'
import {
  isReadingProof,
  parseReadingProof,
  READING_PROOF_CHARACTERS_MAX,
  verifyReadingProof,
} from '../protocol/readingProof.ts'
import { type ClientOptions, clientCommand, clientOf } from './client.ts'
import type { CommandContext } from './context.ts'
import { CommandError, EXIT } from './failure.ts'
import { readBytes, readText, writeNewFile } from './files.ts'
import { printable, show } from './output.ts'

/** `althing proof`. */
export function registerProof(program: Command, context: CommandContext): void {
  const proof = program.command('proof').description('fetch and verify proofs')
  clientCommand(proof, 'get')
    .addArgument(new Argument('<what>', 'what is to be proved').choices(['transactions', 'state']))
    .argument('<name...>', 'id of a transaction; namespace and key of an entry')
    .option('--out <file>', 'new file to write the proof to, instead of standard output')
    .option('--kept <file>', 'file with the transaction as it was submitted, for a node that has dropped its bytes')
    .description('fetch the proof of a transaction or of an entry')
    .action(async (what: string, names: string[], options: ClientOptions & { out?: string; kept?: string }) => {
      const client = await clientOf(context, options, 'read')
      const kept = options.kept === undefined ? undefined : await readBytes(options.kept, LIMITS.transactionBytesMax)
      const { bytes } = await client.send(
        kept === undefined
          ? { segments: ['proofs', what, ...names] }
          : { method: 'POST', segments: ['proofs', what], body: { bytes: kept, type: 'application/cbor' } },
      )
      const text = Buffer.from(bytes).toString('utf8')
      // Also what keeps a node's text from steering the terminal: a proof is ASCII.
      const read = parseProof(text)
      if (!read.ok) throw new CommandError('API_ANSWER', EXIT.badData, `the answer is no proof: ${read.problem}`)
      if (options.out === undefined) context.output.data(text.trimEnd())
      else {
        await writeNewFile(options.out, text, 0o644)
        context.output.remark(`wrote ${options.out}`)
      }
    })
  proof
    .command('verify')
    .argument('<file>', 'proof file; - for standard input')
    .option(
      '--genesis <file>',
      'genesis.json of the consortium, as its members agreed on it (default: that of the home)',
    )
    .description(
      'verify a proof offline; exit code 0 if it holds, 2 if it is false, 65 if the file is no proof in its one form',
    )
    .action((file: string, options: { genesis?: string }) => verify(context, file, options.genesis))
}

async function verify(context: CommandContext, file: string, genesisFile: string | undefined): Promise<void> {
  // A proof is ASCII: as many bytes as characters.
  const text =
    file === '-'
      ? await context.readStdin(READING_PROOF_CHARACTERS_MAX)
      : await readText(file, READING_PROOF_CHARACTERS_MAX)
  const read = readProof(text)
  if (!read.ok)
    throw new CommandError(
      'PROOF_MALFORMED',
      EXIT.badData,
      `${file === '-' ? 'standard input' : file}: ${read.problem}`,
    )
  const genesis = genesisFile === undefined ? await context.genesis() : await context.genesis(genesisFile, EXIT.badData)
  const verification = read.verify(genesis)
  if (!verification.ok) context.exitCode = EXIT.no
  show(context.output, verification, ({ ok, steps }) =>
    [
      ...steps.map(({ checked, code, result, believe }) =>
        [
          `${code === null ? 'holds' : 'FALSE'}  ${checked}`,
          `       ${printable(result)}${code === null ? '' : ` (${code})`}`,
          `       To believe: ${believe}`,
        ].join('\n'),
      ),
      ok ? 'The proof holds.' : 'The proof is false.',
    ].join('\n'),
  )
}

type Readable =
  | { readonly ok: true; verify(genesis: Genesis): Verification }
  | { readonly ok: false; readonly problem: string }

/** Either kind of proof file. */
function readProof(text: string): Readable {
  if (isReadingProof(text)) {
    const read = parseReadingProof(text)
    return read.ok ? { ok: true, verify: (genesis) => verifyReadingProof(read.proof, genesis) } : read
  }
  const read = parseProof(text)
  return read.ok ? { ok: true, verify: (genesis) => verifyProof(read.proof, genesis) } : read
}
