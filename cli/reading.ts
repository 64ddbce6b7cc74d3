/**
 * Stage: the operator. `althing reading sign | verify | prove`: signed readings of sensors, offline but for fetching a proof.
 * Invariant: the key that signs comes from a file; what a file of readings says is shown as it was signed, never as it claims.
 */
import type { Command } from 'commander'
import { readKeyFile } from '../node/crypto/keys.ts'
import { equalBytes, toHex } from '../protocol/bytes.ts'
import { chainIdOf, type Genesis } from '../protocol/genesis.ts'
import { LIMITS } from '../protocol/limits.ts'
import { PROOF_CHARACTERS_MAX, parseProof } from '../protocol/proof.ts'
import {
  batchOf,
  parseReading,
  readingPath,
  renderReading,
  signReading,
  type VerifiedReading,
  verifyReading,
} from '../protocol/reading.ts'
import { batchOfTransaction, renderReadingProof } from '../protocol/readingProof.ts'
import type { CommandContext } from './context.ts'
import { CommandError, EXIT } from './failure.ts'
import { readText, writeNewFile } from './files.ts'
import { printable, show } from './output.ts'

/** Characters of a file of readings: a batch of small ones, or some ten thousand of the largest. */
const READINGS_CHARACTERS_MAX = 256 * 1024 * 1024

type GenesisOption = { readonly genesis?: string }

/** `althing reading`. */
export function registerReading(program: Command, context: CommandContext): void {
  const reading = program.command('reading').description('sign, verify and prove readings of sensors (SenML)')
  const genesisOption = ['--genesis <file>', 'genesis.json of the consortium (default: that of the home)'] as const
  reading
    .command('sign')
    .argument('[file]', 'one SenML pack (RFC 8428, JSON) a line; - for standard input', '-')
    .requiredOption('--key <file>', 'file with the key of the sensor or gateway, as `althing keys new` writes it')
    .option(...genesisOption)
    .description('sign SenML packs; writes one signed reading a line')
    .action(async (file: string, options: GenesisOption & { key: string }) => sign(context, file, options))
  reading
    .command('verify')
    .argument('<file>', 'signed readings, one a line; - for standard input')
    .option(...genesisOption)
    .option(
      '--batch <file>',
      'proof of the transaction that anchored them: whether these are the readings of that batch',
    )
    .description(
      'check who signed each reading; exit code 0 if all hold, 2 if one is altered, 65 if the file has other lines',
    )
    .action(async (file: string, options: GenesisOption & { batch?: string }) => verify(context, file, options))
  reading
    .command('prove')
    .argument('<file>', 'the readings of one batch, as the gateway keeps them in data/readings')
    .argument('<number>', 'which line, from 1')
    .requiredOption(
      '--batch <file>',
      'proof of the transaction that anchored the batch (`althing proof get transactions <id>`)',
    )
    .option('--out <file>', 'new file to write the proof to, instead of standard output')
    .option(...genesisOption)
    .description('make the proof of one reading; `althing proof verify` checks it')
    .action(async (file: string, number: string, options: GenesisOption & { batch: string; out?: string }) =>
      prove(context, file, number, options),
    )
}

const genesisOf = (context: CommandContext, { genesis }: GenesisOption): Promise<Genesis> =>
  genesis === undefined ? context.genesis() : context.genesis(genesis, EXIT.badData)

const nameOf = (file: string): string => (file === '-' ? 'standard input' : file)

async function linesOf(context: CommandContext, file: string): Promise<string[]> {
  const text =
    file === '-' ? await context.readStdin(READINGS_CHARACTERS_MAX) : await readText(file, READINGS_CHARACTERS_MAX)
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  if (lines.length === 0) throw new CommandError('READINGS_MALFORMED', EXIT.badData, `${nameOf(file)} holds no line`)
  if (lines.length > LIMITS.batchReadingsMax)
    throw new CommandError(
      'INPUT_TOO_LARGE',
      EXIT.badData,
      `${nameOf(file)} has more than ${LIMITS.batchReadingsMax} lines`,
    )
  return lines
}

async function sign(context: CommandContext, file: string, options: GenesisOption & { key: string }): Promise<void> {
  const chainId = chainIdOf(await genesisOf(context, options))
  const secretKey = (await readKeyFile(options.key)).secretKey()
  const signed = (await linesOf(context, file)).map((pack, i) => {
    try {
      return renderReading(signReading(pack.trim(), chainId, secretKey))
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause
      throw new CommandError(
        'READINGS_MALFORMED',
        EXIT.badData,
        `${nameOf(file)}, line ${i + 1}: ${printable(cause.message)}`,
      )
    }
  })
  context.output.data(signed.join('\n'))
}

type Judged = { readonly line: number } & (
  | { readonly ok: true; readonly sensor: string; readonly verified: VerifiedReading }
  | { readonly ok: false; readonly code: string; readonly problem: string }
)

function judge(lines: readonly string[], chainId: Uint8Array): Judged[] {
  return lines.map((text, i) => {
    const line = i + 1
    const parsed = parseReading(text)
    if (!parsed.ok) return { line, ok: false, code: 'READING_MALFORMED', problem: parsed.problem }
    const answer = verifyReading(parsed.reading, chainId)
    return answer.ok
      ? { line, ok: true, sensor: answer.verified.sensor, verified: answer.verified }
      : { line, ok: false, code: answer.code, problem: answer.problem }
  })
}

async function verify(
  context: CommandContext,
  file: string,
  options: GenesisOption & { batch?: string },
): Promise<void> {
  const genesis = await genesisOf(context, options)
  const judged = judge(await linesOf(context, file), chainIdOf(genesis))
  const bad = judged.flatMap((one) => (one.ok ? [] : [{ line: one.line, code: one.code, problem: one.problem }]))
  const sensors = new Map<string, number>()
  for (const one of judged) if (one.ok) sensors.set(one.sensor, (sensors.get(one.sensor) ?? 0) + 1)
  const anchored = options.batch === undefined ? undefined : await anchoredBatch(options.batch)
  const good = judged.flatMap((one) => (one.ok ? [one.verified] : []))
  const isBatch =
    anchored === undefined
      ? null
      : bad.length === 0 && good.length === anchored.count && equalBytes(batchOf(good).root, anchored.root)
  if (bad.some(({ code }) => code === 'READING_MALFORMED')) context.exitCode = EXIT.badData
  else if (bad.length > 0 || isBatch === false) context.exitCode = EXIT.no
  const result = {
    readings: judged.length,
    sensors: [...sensors].map(([sensor, readings]) => ({ sensor, readings })),
    bad,
    isBatch,
  }
  show(context.output, result, ({ readings, bad, isBatch }) =>
    [
      `${readings} readings, ${readings - bad.length} of them signed:`,
      ...result.sensors.map(({ sensor, readings }) => `  ${sensor}  ${readings}`),
      ...bad.map(({ line, code, problem }) => `FALSE  line ${line}: ${printable(problem)} (${code})`),
      ...(isBatch === null
        ? []
        : [isBatch ? 'They are the readings of the batch.' : 'They are not the readings of the batch, one for one.']),
      ...(sensors.size > 0 ? ['Whose keys these are, the consortium knows: `althing device show <address>`.'] : []),
    ].join('\n'),
  )
}

/** The batch that the transaction of a proof file anchors. The proof itself is checked by `proof verify`. */
async function anchoredBatch(file: string) {
  const read = parseProof(await readText(file, PROOF_CHARACTERS_MAX))
  if (!read.ok) throw new CommandError('PROOF_MALFORMED', EXIT.badData, `${file}: ${read.problem}`)
  const { subject } = read.proof
  const batch = subject.kind === 'transaction' ? batchOfTransaction(subject.transaction) : undefined
  if (batch === undefined)
    throw new CommandError('READINGS_OTHER', EXIT.badData, `${file} is not the proof of a reading.batch transaction`)
  return { ...batch, proof: read.proof }
}

async function prove(
  context: CommandContext,
  file: string,
  number: string,
  options: GenesisOption & { batch: string; out?: string },
): Promise<void> {
  const genesis = await genesisOf(context, options)
  const batch = await anchoredBatch(options.batch)
  const judged = judge(await linesOf(context, file), chainIdOf(genesis))
  const bad = judged.find((one) => !one.ok)
  if (bad !== undefined && !bad.ok)
    throw new CommandError(
      'READINGS_MALFORMED',
      EXIT.badData,
      `${nameOf(file)}, line ${bad.line}: ${printable(bad.problem)} (${bad.code})`,
    )
  const readings = judged.flatMap((one) => (one.ok ? [one.verified] : []))
  const index = /^\d{1,6}$/.test(number) ? Number(number) - 1 : -1
  const reading = readings[index]
  if (reading === undefined)
    throw new CommandError(
      'READINGS_OTHER',
      EXIT.badData,
      `there is no line ${printable(number)} in ${nameOf(file)}: it has ${readings.length}`,
    )
  const { root } = batchOf(readings)
  if (!equalBytes(root, batch.root))
    throw new CommandError(
      'READINGS_OTHER',
      EXIT.badData,
      `${nameOf(file)} is not the batch of ${options.batch}: its root is ${toHex(root)}, not ${toHex(batch.root)}`,
    )
  const path = readingPath(
    readings.map((one) => one.reading),
    index,
  )
  const text = renderReadingProof({ reading: reading.reading, index, path, batch: batch.proof })
  if (options.out === undefined) context.output.data(text.trimEnd())
  else {
    await writeNewFile(options.out, text, 0o644)
    context.output.remark(`wrote ${options.out}`)
  }
}
