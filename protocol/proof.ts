/**
 * Proof files: a transaction, or an entry of the state (or its absence), all the way to a commit certificate (ledger.md §5), checked
 * offline with nothing but the genesis: from there, the last block of each era names the members of the next (agreement.md §5.5).
 * JSON for people to look at; bytes in lower-case hexadecimal.
 * Invariants: a proof has one text, `parseProof` refuses any other, so that no byte of a file is without meaning; every field is
 * bound to the certificate's signatures or to the genesis, so that whatever is changed makes verification fail; the text is ASCII, so that
 * bytes of the file and characters are one; nothing throws on a file, whatever it holds.
 */
import { decodeHeader, type SealedHeader } from './block.ts'
import { equalBytes, fromHex, toHex } from './bytes.ts'
import { certificateCodec, type WireCertificate } from './certificate.ts'
import { decodeAs } from './codec.ts'
import { readTransaction } from './execution.ts'
import { chainIdOf, type Genesis } from './genesis.ts'
import { type EraLink, eraOfGenesis, followEra, type VerifiedHeader, verifyHeader, verifyHistory } from './light.ts'
import { LIMITS } from './limits.ts'
import { type TransactionProof, verifyTransaction } from './merkle.ts'
import { decodeEntry, isStateKey, keyHashOf } from './state/entry.ts'
import { DEPTH_MAX, type StateProof, verifyState } from './state/proof.ts'
import type { Code } from './verdict.ts'

/** Characters of a proof file at most: the largest transaction in hexadecimal, and the ends of some hundred eras. Beyond: there is no proof. */
export const PROOF_CHARACTERS_MAX = 1024 * 1024
/** Characters of a state key in a proof. */
const KEY_CHARACTERS_MAX = 1024
/** Hashes on the way through the log of all heights. */
const HISTORY_PATH_MAX = 64

/** What is proved. */
export type ProofSubject =
  | { readonly kind: 'transaction'; readonly transaction: Uint8Array; readonly place: TransactionProof }
  /** `entry` is null for absence. */
  | { readonly kind: 'state'; readonly key: string; readonly entry: Uint8Array | null; readonly place: StateProof }

/** That a block is committed: everything in its own bytes. */
export type BlockEvidence = {
  readonly chainId: Uint8Array
  /** How each era ended before the one whose members signed `certificate`, from the first on. */
  readonly eras: readonly EraLink[]
  /** Header of the block with the subject. */
  readonly header: Uint8Array
  /** Where the block has no certificate of its own: header of a descendant that has, and the way through its log to the block. */
  readonly history: { readonly header: Uint8Array; readonly path: readonly Uint8Array[] } | null
  /** Commit certificate of the block, or of that descendant. */
  readonly certificate: Uint8Array
}

/** A proof. */
export type Proof = { readonly subject: ProofSubject; readonly block: BlockEvidence }

/** One step of a verification. Steps after one that failed are not taken. */
export type ProofStep = {
  /** What was checked, for people. */
  readonly checked: string
  /** null if it holds. */
  readonly code: Code | null
  /** What it showed, or what was wrong. */
  readonly result: string
  /** What has to be believed for it to mean anything. */
  readonly believe: string
}

/** Puts a proof together. Throws `RangeError` on parts that no file could hold. */
export function buildProof(subject: ProofSubject, block: BlockEvidence): Proof {
  if (subject.kind === 'state' && !isStateKey(subject.key)) throw new RangeError('no proof: key: not a key')
  const read = parseProof(renderProof({ subject, block }))
  if (!read.ok) throw new RangeError(`no proof: ${read.problem}`)
  return read.proof
}

/** The one text of `proof`, ending with a line feed. Throws `RangeError` on a key with a lone surrogate. */
export function renderProof({ subject, block }: Proof): string {
  const file = {
    format: 'althing-proof',
    version: 1,
    kind: subject.kind,
    chainId: toHex(block.chainId),
    eras: block.eras.map(({ header, certificate, memberSet }) => ({
      header: toHex(header),
      certificate: toHex(certificate),
      memberSet: toHex(memberSet),
    })),
    ...(subject.kind === 'transaction'
      ? {
          transaction: toHex(subject.transaction),
          index: subject.place.index,
          tree: subject.place.tree.map(toHex),
          block: subject.place.block.map(toHex),
        }
      : {
          key: subject.key,
          // The place where one absent key would be is that of many: without this, the file with another key would be a proof as well.
          keyHash: toHex(keyHashOf(subject.key)),
          entry: subject.entry === null ? null : toHex(subject.entry),
          siblings: subject.place.siblings.map(toHex),
          other:
            subject.place.other === null
              ? null
              : { keyHash: toHex(subject.place.other.keyHash), valueHash: toHex(subject.place.other.valueHash) },
        }),
    header: toHex(block.header),
    history:
      block.history === null ? null : { header: toHex(block.history.header), path: block.history.path.map(toHex) },
    certificate: toHex(block.certificate),
  }
  return asciiText(file)
}

/** The JSON of `value` in the form of proof files: two spaces, ASCII only, a line feed at the end. */
export function asciiText(value: object | null): string {
  const json = JSON.stringify(value, null, 2)
  return `${json.replace(/[^\n\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)}\n`
}

/** A refusal while a file is read; never leaves this file. */
class Malformed extends Error {}

const malformed = (problem: string): never => {
  throw new Malformed(problem)
}

/** Reads the one text of a proof. `problem` is a clause for people. */
export function parseProof(text: string): { ok: true; proof: Proof } | { ok: false; problem: string } {
  if (text.length > PROOF_CHARACTERS_MAX)
    return { ok: false, problem: `longer than ${PROOF_CHARACTERS_MAX} characters` }
  try {
    const proof = readFile(parseJson(text))
    // Whatever JSON allows beside the one form (spaces, order, twice the same name, other escapes) shows here, and a hash that is not the key's.
    if (renderProof(proof) !== text) malformed('not in the one form of a proof file; it was changed since it was made')
    return { ok: true, proof }
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    return { ok: false, problem: error.message }
  }
}

type Fields = { readonly [name: string]: unknown }

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return malformed('not JSON')
  }
}

const COMMON = ['format', 'version', 'kind', 'chainId', 'eras', 'header', 'history', 'certificate']
const OWN = {
  transaction: ['transaction', 'index', 'tree', 'block'],
  state: ['key', 'keyHash', 'entry', 'siblings', 'other'],
} as const

function readFile(json: unknown): Proof {
  const named = json as Fields | null
  if (typeof named !== 'object' || named === null || Array.isArray(named)) return malformed('not an object')
  if (named['format'] !== 'althing-proof') malformed('not a proof file')
  if (named['version'] !== 1) malformed('of a version that this program does not know')
  const kind = named['kind']
  if (kind !== 'transaction' && kind !== 'state') return malformed('of a kind that this program does not know')
  const file = fields(named, [...COMMON, ...OWN[kind]], 'file')
  const history = file['history'] === null ? null : fields(file['history'], ['header', 'path'], 'history')
  const block: BlockEvidence = {
    chainId: hex(file['chainId'], 32, 'chainId', 32),
    eras: links(file['eras']),
    header: hex(file['header'], LIMITS.headerBytesMax, 'header'),
    history: history && {
      header: hex(history['header'], LIMITS.headerBytesMax, 'history.header'),
      path: hashes(history['path'], HISTORY_PATH_MAX, 'history.path'),
    },
    certificate: hex(file['certificate'], LIMITS.consensusMessageBytesMax, 'certificate'),
  }
  return { subject: kind === 'transaction' ? readTransactionSubject(file) : readStateSubject(file), block }
}

function readTransactionSubject(file: Fields): ProofSubject {
  const index = file['index']
  if (typeof index !== 'number' || !Number.isSafeInteger(index) || index < 0 || index >= LIMITS.blockTransactionsMax)
    return malformed('index: not a place in a block')
  const place = { index, tree: hashes(file['tree'], 10, 'tree'), block: hashes(file['block'], 3, 'block') }
  return {
    kind: 'transaction',
    transaction: hex(file['transaction'], LIMITS.transactionBytesMax, 'transaction'),
    place,
  }
}

function readStateSubject(file: Fields): ProofSubject {
  const { key, entry, siblings, other } = file
  if (typeof key !== 'string' || key.length > KEY_CHARACTERS_MAX || !isStateKey(key)) return malformed('key: not a key')
  const taken = other === null ? null : fields(other, ['keyHash', 'valueHash'], 'other')
  const place: StateProof = {
    siblings: hashes(siblings, DEPTH_MAX, 'siblings'),
    other: taken && {
      keyHash: hex(taken['keyHash'], 32, 'other.keyHash', 32),
      valueHash: hex(taken['valueHash'], 32, 'other.valueHash', 32),
    },
  }
  return { kind: 'state', key, entry: entry === null ? null : hex(entry, LIMITS.transactionBytesMax, 'entry'), place }
}

function links(value: unknown): EraLink[] {
  if (!Array.isArray(value) || value.length > LIMITS.proofErasMax)
    return malformed(`eras: not a list of at most ${LIMITS.proofErasMax} ends of eras`)
  return value.map((item, i) => {
    const link = fields(item, ['header', 'certificate', 'memberSet'], `eras[${i}]`)
    return {
      header: hex(link['header'], LIMITS.headerBytesMax, `eras[${i}].header`),
      certificate: hex(link['certificate'], LIMITS.consensusMessageBytesMax, `eras[${i}].certificate`),
      memberSet: hex(link['memberSet'], LIMITS.memberSetBytesMax, `eras[${i}].memberSet`),
    }
  })
}

/** `value` as an object with exactly `names`. */
function fields(value: unknown, names: readonly string[], where: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return malformed(`${where}: not an object`)
  for (const name of Object.keys(value)) if (!names.includes(name)) malformed(`${where}: a field that no proof has`)
  for (const name of names) if (!Object.hasOwn(value, name)) malformed(`${where}: ${name} is missing`)
  return value as Fields
}

function hex(value: unknown, bytesMax: number, where: string, bytesMin = 1): Uint8Array {
  if (typeof value !== 'string' || value.length < 2 * bytesMin || value.length > 2 * bytesMax)
    return malformed(`${where}: not ${bytesMin} to ${bytesMax} bytes in hexadecimal`)
  try {
    return fromHex(value)
  } catch {
    return malformed(`${where}: not hexadecimal`)
  }
}

function hashes(value: unknown, max: number, where: string): Uint8Array[] {
  if (!Array.isArray(value) || value.length > max) return malformed(`${where}: not a list of at most ${max} hashes`)
  return value.map((item, i) => hex(item, 32, `${where}[${i}]`, 32))
}

/** The outcome of a verification: `ok` if every step holds. */
export type Verification = { readonly ok: boolean; readonly steps: readonly ProofStep[] }

/**
 * Verifies `proof` with `genesis` alone: the chain, the subject in its block, the ends of the eras that lead to the block's, the block's
 * certificate.
 */
export function verifyProof(proof: Proof, genesis: Genesis): Verification {
  const steps: ProofStep[] = []
  for (const step of walk(proof, genesis)) {
    steps.push(step)
    if (step.code !== null) return { ok: false, steps }
  }
  return { ok: true, steps }
}

function* walk({ subject, block }: Proof, genesis: Genesis): Generator<ProofStep> {
  const chainId = chainIdOf(genesis)
  const stepOf = (checked: string, believe: string) => (code: Code | null, result: string) => ({
    checked,
    code,
    result,
    believe,
  })
  const chain = stepOf(
    'The proof is for the consortium of this genesis.',
    'This genesis file is the one on which the members agreed.',
  )
  if (!equalBytes(block.chainId, chainId)) {
    yield chain('BLOCK_CHAIN', `The proof is for chain ${toHex(block.chainId)}, the genesis is ${toHex(chainId)}.`)
    return
  }
  yield chain(null, `Chain ${toHex(chainId)}.`)

  const decoded = stepOf('The headers and the certificate are in their one encoding.', 'Nothing.')
  const sealed = attempt(() => decodeHeader(block.header))
  const descendant = block.history === null ? sealed : attempt(() => decodeHeader((block.history as History).header))
  if (sealed === undefined || descendant === undefined) {
    yield decoded('BLOCK_MALFORMED', 'A header is not one.')
    return
  }
  const certificate = attempt(() => decodeAs(certificateCodec, block.certificate, 'certificate'))
  if (certificate === undefined) {
    yield decoded('CERT_MALFORMED', 'The certificate is not one.')
    return
  }
  yield decoded(null, `Block ${sealed.header.height}, of ${timeText(sealed.header.time)}, hash ${toHex(sealed.hash)}.`)

  if (subject.kind === 'transaction') yield* walkTransaction(subject, sealed, chainId, stepOf)
  else yield* walkState(subject, sealed, stepOf)
  yield* walkCommit(block, sealed, descendant, certificate, genesis, stepOf)
}

type History = NonNullable<BlockEvidence['history']>
type StepOf = (checked: string, believe: string) => (code: Code | null, result: string) => ProofStep

function* walkTransaction(
  { transaction, place }: Extract<ProofSubject, { kind: 'transaction' }>,
  { header }: SealedHeader,
  chainId: Uint8Array,
  stepOf: StepOf,
): Generator<ProofStep> {
  const signed = stepOf(
    'The transaction is whole and someone signed it for this chain.',
    'Only the holder of that secret key could sign (ECDSA over secp256k1), and the signing was meant.',
  )
  const read = readTransaction(transaction, chainId)
  if (typeof read === 'string') {
    yield signed(read, 'It is not a signed transaction.')
    return
  }
  yield signed(null, `${read.transaction.kind} ${toHex(read.transaction.id)}, signed by ${toHex(read.signer)}.`)
  const inside = stepOf('The transaction is in the block.', 'Nobody can find two inputs of one SHA3-256 hash.')
  yield verifyTransaction(header.treesRoot, header.transactionCount, read.transaction.id, place)
    ? inside(null, `It is number ${place.index} of ${header.transactionCount}, counted from 0.`)
    : inside('BLOCK_TREES', 'The way through the trees of the block does not lead from it to the header.')
}

function* walkState(
  { key, entry, place }: Extract<ProofSubject, { kind: 'state' }>,
  { header }: SealedHeader,
  stepOf: StepOf,
): Generator<ProofStep> {
  const inside = stepOf(
    entry === null ? 'The state after the block has no such key.' : 'The state after the block holds the entry.',
    'Nobody can find two inputs of one SHA3-256 hash. It says nothing of later blocks, which may have changed the entry.',
  )
  const name = JSON.stringify(key)
  if (!verifyState(header.stateRoot, key, entry, place)) {
    yield inside('BLOCK_ROOT', `The way through the state tree does not lead from ${name} to the header.`)
    return
  }
  if (entry === null) {
    yield inside(null, `${name} is absent.`)
    return
  }
  const read = attempt(() => decodeEntry(entry))
  yield read === undefined
    ? inside('BLOCK_ROOT', `What the state holds under ${name} is not an entry.`)
    : inside(null, `${name} holds ${read.value.length} bytes, last changed in block ${read.height}.`)
}

function* walkCommit(
  block: BlockEvidence,
  sealed: SealedHeader,
  certified: SealedHeader,
  certificate: WireCertificate,
  genesis: Genesis,
  stepOf: StepOf,
): Generator<ProofStep> {
  let trusted = eraOfGenesis(genesis)
  const chainId = chainIdOf(genesis)
  for (const link of block.eras) {
    const end = stepOf(
      `A quorum of the members of era ${trusted.era} committed its last block, which names the members of the next.`,
      'No more members lied than stated, and their secret keys were their own then (agreement.md §7).',
    )
    const followed = followEra(trusted, link, chainId)
    if (!followed.ok) {
      yield end(followed.code, 'It is not the end of that era, or not committed by its members.')
      return
    }
    if (!inOrder(followed.verified)) {
      yield end('CERT_MALFORMED', 'The signatures are not in the order of the members.')
      return
    }
    trusted = followed.next
    const count = trusted.memberSet.members.length
    yield end(
      null,
      `Block ${trusted.height}: ${followed.verified.sentence} The next era has ${count} ${count === 1 ? 'member' : 'members'}.`,
    )
  }
  const era = stepOf('The members of that era decided about the block.', 'Nothing.')
  const fits = certified.header.era === trusted.era
  yield era(
    fits ? null : 'BLOCK_ERA',
    fits
      ? `Era ${trusted.era}.`
      : `The block is of era ${certified.header.era}, the proof leads to era ${trusted.era}.`,
  )
  if (!fits) return
  if (block.history !== null) {
    const below = stepOf(
      'A later block with a certificate rests on the block.',
      'Nobody can find two inputs of one SHA-256 hash, and the members checked the log of the later block.',
    )
    const { height } = sealed.header
    yield verifyHistory(certified, height, sealed.hash, block.history.path)
      ? below(null, `Block ${certified.header.height} has block ${height} in its history.`)
      : below('BLOCK_HISTORY', `The history of block ${certified.header.height} does not hold block ${height}.`)
  }
  const committed = stepOf(
    'A quorum of members committed it.',
    'No more members lied than stated, and their secret keys were their own (agreement.md §7).',
  )
  const verified = verifyHeader(certified, certificate, trusted.memberSet, chainId)
  if (!verified.ok) {
    yield committed(verified.code, 'The certificate is not a quorum of commits of that block.')
    return
  }
  yield inOrder(verified)
    ? committed(null, verified.sentence)
    : committed('CERT_MALFORMED', 'The signatures are not in the order of the members.')
}

/** One certificate, one text: signatures in another order would say the same. */
const inOrder = ({ signers }: VerifiedHeader): boolean =>
  signers.every((member, i) => i === 0 || (signers[i - 1] as number) < member)

/** What `read` gives, or undefined where it throws: decoders throw on bytes that are not theirs. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}

/** UTC, or the number where it is beyond what a date can hold. */
const timeText = (timeMs: number): string => (timeMs <= 8.64e15 ? new Date(timeMs).toISOString() : `${timeMs} ms`)
