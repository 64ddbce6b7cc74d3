/**
 * Proof files of a reading: a signed reading, its way to the root of a batch, and the proof of the transaction that anchored the batch
 * (ledger.md §2, §5). Whoever alters one reading of a batch fails at the step that names it.
 * Invariants: as of proof.ts: one text for a proof, any other is refused; nothing throws on a file, whatever it holds.
 */
import { fromHex, toHex } from './bytes.ts'
import { CborError } from './cbor.ts'
import { chainIdOf, type Genesis } from './genesis.ts'
import { LIMITS } from './limits.ts'
import {
  asciiText,
  PROOF_CHARACTERS_MAX,
  type Proof,
  type ProofStep,
  parseProof,
  renderProof,
  type Verification,
  verifyProof,
} from './proof.ts'
import {
  type Batch,
  batchCodec,
  parseReading,
  type SignedReading,
  verifyReading,
  verifyReadingPath,
} from './reading.ts'
import { decodeTransaction } from './transaction.ts'

/** Characters of such a file at most. */
export const READING_PROOF_CHARACTERS_MAX = PROOF_CHARACTERS_MAX + 64 * 1024

/** A proof of one reading. */
export type ReadingProof = {
  readonly reading: SignedReading
  /** Place of the reading in its batch, from 0. */
  readonly index: number
  /** The way to the batch's root, lowest sibling first. */
  readonly path: readonly Uint8Array[]
  /** Of the `reading.batch` transaction. */
  readonly batch: Proof
}

/** The one text of a proof, ASCII, ending with a line feed. */
export function renderReadingProof({ reading, index, path, batch }: ReadingProof): string {
  const file = {
    format: 'althing-reading-proof',
    version: 1,
    senml: reading.pack,
    signature: toHex(reading.signature),
    index,
    path: path.map(toHex),
    batch: JSON.parse(renderProof(batch)) as object,
  }
  return asciiText(file)
}

/** Whether a text says of itself that it is a proof of a reading, so that a reader knows which of the two kinds to expect. */
export const isReadingProof = (text: string): boolean => text.startsWith('{\n  "format": "althing-reading-proof",\n')

/** Reads the one text of a proof. `problem` is a clause for people. */
export function parseReadingProof(
  text: string,
): { readonly ok: true; readonly proof: ReadingProof } | { readonly ok: false; readonly problem: string } {
  const no = (problem: string) => ({ ok: false, problem }) as const
  if (text.length > READING_PROOF_CHARACTERS_MAX) return no(`longer than ${READING_PROOF_CHARACTERS_MAX} characters`)
  let file: { readonly [name: string]: unknown }
  try {
    file = JSON.parse(text)
  } catch {
    return no('not JSON')
  }
  if (typeof file !== 'object' || file === null || file['format'] !== 'althing-reading-proof' || file['version'] !== 1)
    return no('not a proof of a reading, or of a version that this program does not know')
  const reading = parseReading(JSON.stringify({ senml: file['senml'], signature: file['signature'] }))
  if (!reading.ok) return no(reading.problem)
  const { index, path } = file
  if (typeof index !== 'number' || !Number.isSafeInteger(index) || index < 0 || index >= LIMITS.batchReadingsMax)
    return no('index: not a place in a batch')
  if (
    !Array.isArray(path) ||
    path.length > 16 ||
    !path.every((item) => typeof item === 'string' && /^[0-9a-f]{64}$/.test(item))
  )
    return no('path: not a list of at most 16 hashes')
  const batch = parseProof(asciiText((file['batch'] ?? null) as object | null))
  if (!batch.ok) return no(`batch: ${batch.problem}`)
  const proof = { reading: reading.reading, index, path: (path as string[]).map(fromHex), batch: batch.proof }
  if (renderReadingProof(proof) !== text)
    return no('not in the one form of a proof file; it was changed since it was made')
  return { ok: true, proof }
}

/** The batch that a transaction anchors, or undefined if it anchors none. */
export function batchOfTransaction(bytes: Uint8Array): Batch | undefined {
  try {
    const { kind, payload } = decodeTransaction(bytes)
    return kind === 'reading.batch' ? batchCodec.from(payload, 'payload') : undefined
  } catch (error) {
    if (error instanceof CborError) return undefined
    throw error
  }
}

/** Verifies a proof with `genesis` alone: who signed the reading, its place in the batch, and the batch in the chain. */
export function verifyReadingProof(proof: ReadingProof, genesis: Genesis): Verification {
  const steps: ProofStep[] = []
  for (const step of walk(proof, genesis)) {
    steps.push(step)
    if (step.code !== null) return { ok: false, steps }
  }
  const chain = verifyProof(proof.batch, genesis)
  return { ok: chain.ok, steps: [...steps, ...chain.steps] }
}

function* walk({ reading, index, path, batch }: ReadingProof, genesis: Genesis): Generator<ProofStep> {
  const signed = {
    checked: 'The reading is a SenML pack, and someone signed it for this chain.',
    believe: 'Only the holder of that secret key could sign, and measured what it signed.',
  }
  const verified = verifyReading(reading, chainIdOf(genesis))
  if (!verified.ok) {
    yield { ...signed, code: verified.code, result: `The reading: ${verified.problem}.` }
    return
  }
  const { sensor, records } = verified.verified
  const first = records[0]
  yield {
    ...signed,
    code: null,
    result: `Signed by ${sensor}; ${records.length} record(s), the first ${first?.name ?? ''}.`,
  }

  const anchors = { checked: 'The transaction anchors a batch of readings.', believe: 'Nothing.' }
  const { subject } = batch
  const anchored = subject.kind === 'transaction' ? batchOfTransaction(subject.transaction) : undefined
  if (anchored === undefined) {
    yield { ...anchors, code: 'READING_BATCH', result: 'What is proved of the chain is no reading.batch.' }
    return
  }
  yield { ...anchors, code: null, result: `A batch of ${anchored.count}, root ${toHex(anchored.root)}.` }

  const placed = {
    checked: 'The reading stands in that batch, unaltered.',
    believe: 'SHA3-256 has no collisions that anyone can find.',
  }
  const holds = verifyReadingPath(reading, index, anchored, path)
  yield holds
    ? { ...placed, code: null, result: `It is number ${index + 1} of ${anchored.count}.` }
    : {
        ...placed,
        code: 'READING_BATCH',
        result: `Number ${index + 1} of the batch is another: this reading or its signature was altered.`,
      }
}
