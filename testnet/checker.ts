/**
 * Stage: the operator. The black-box checker: from what members answered over their public API it decides whether anything that was
 * acknowledged is lost or contradicted. It knows nothing of the inside of a node, so it can judge any of them.
 * Invariants: every claim is kept with who made it and when it was heard; a finding names both sides; no finding is made of silence: a member
 * that does not answer is asked again, and reported as unreachable if that was needed.
 */
import { toHex } from '../protocol/bytes.ts'
import { signersOf, type WireCertificate } from '../protocol/certificate.ts'
import { chainIdOf, type Genesis } from '../protocol/genesis.ts'
import { memberIndex, quorumSizes } from '../protocol/members.ts'
import { parseProof, verifyProof } from '../protocol/proof.ts'
import type { HeaderView } from './status.ts'

/** Something that must not be. `code` is stable. */
export type Finding = {
  readonly code:
    | 'fork'
    | 'block-changed'
    | 'parent-broken'
    | 'height-lost'
    | 'acknowledged-lost'
    | 'acknowledged-moved'
    | 'not-in-block'
    | 'order-wrong'
    | 'value-wrong'
    | 'certificate-false'
    | 'proof-false'
    | 'assurance-wrong'
    | 'unreachable'
  readonly sentence: string
}

/** What a member answered to a write with `?wait=committed`, or about a transaction: it stands in this block. */
export type CommitClaim = {
  readonly id: string
  readonly member: string
  readonly height: number
  readonly block: string
  /** When it was sent and when this answer was heard, ms of the asker's monotonic clock. */
  readonly span?: { readonly sentMs: number; readonly heardMs: number }
}

/** What a member said of its last block with a commit certificate (agreement.md §7). */
export type AssuranceClaim = {
  readonly member: string
  /** Era in which the member was when it said so. */
  readonly era: number
  readonly height: number
  readonly signers: readonly string[]
  readonly liarsTolerated: number
}

/** How the checker asks a member at the end; undefined: it does not answer, or knows nothing of it. */
export type Witness = {
  readonly name: string
  headers(): Promise<readonly HeaderView[]>
  /** Where the transaction is committed, as this member says. */
  placeOf(id: string): Promise<{ readonly height: number; readonly block: string } | undefined>
  transactionIds(height: number): Promise<readonly string[]>
  /** Value of an entry, hexadecimal. */
  valueAt(key: string): Promise<string | undefined>
  /** The commit certificate of the block, or of the next one that has one. */
  certificateAt?(height: number): Promise<WireCertificate | undefined>
  /** The proof file of a committed transaction. */
  proofOf?(id: string): Promise<string | undefined>
}

/** Certificates and proofs that are verified offline, of each member: spread evenly over all there are. */
const VERIFIED_MAX = 40

/** Compares whole chains, each in ascending order of height: fork and parent-broken. Heights that one lacks say nothing. */
export function compareChains(
  chains: readonly { readonly name: string; readonly headers: readonly HeaderView[] }[],
): Finding[] {
  const findings: Finding[] = []
  const first = new Map<number, { name: string; header: HeaderView }>()
  for (const { name, headers } of chains) {
    let before: HeaderView | undefined
    for (const header of headers) {
      if (before !== undefined && header.height === before.height + 1 && header.parent !== before.hash)
        findings.push({
          code: 'parent-broken',
          sentence: `${name}: block ${header.height} does not name its block ${before.height} as its parent`,
        })
      before = header
      const other = first.get(header.height)
      if (other === undefined) first.set(header.height, { name, header })
      else if (other.header.hash !== header.hash || other.header.stateRoot !== header.stateRoot)
        findings.push({
          code: 'fork',
          sentence:
            `${name} and ${other.name} committed different blocks at height ${header.height}: ` +
            `${header.hash.slice(0, 12)} and ${other.header.hash.slice(0, 12)}`,
        })
    }
  }
  return findings
}

/**
 * What was acknowledged before another transaction was sent must stand in an earlier block than that one: order-wrong. Claims without a
 * span say nothing.
 */
export function compareOrder(claims: Iterable<CommitClaim>): Finding[] {
  const timed = [...claims].flatMap((claim) => (claim.span === undefined ? [] : [{ claim, ...claim.span }]))
  const heard = [...timed].sort((a, b) => a.heardMs - b.heardMs)
  const findings: Finding[] = []
  let highest: CommitClaim | undefined
  let next = 0
  for (const { claim, sentMs } of [...timed].sort((a, b) => a.sentMs - b.sentMs)) {
    for (let one = heard[next]; one !== undefined && one.heardMs < sentMs; one = heard[++next])
      if (one.claim.height > (highest?.height ?? 0)) highest = one.claim
    if (highest !== undefined && claim.height <= highest.height)
      findings.push({
        code: 'order-wrong',
        sentence:
          `transaction ${claim.id.slice(0, 12)} stands at height ${claim.height}, though it was sent after ` +
          `${highest.member} had acknowledged ${highest.id.slice(0, 12)} at height ${highest.height}`,
      })
  }
  return findings
}

/** Collects claims while a network is disturbed, and judges at the end. */
export class Checker {
  /** id → first claim. */
  readonly #claims = new Map<string, CommitClaim>()
  /** member → height → hash, as it was seen first. */
  readonly #seen = new Map<string, Map<number, string>>()
  /** entry → value (hexadecimal) that was acknowledged as committed. */
  readonly #values = new Map<string, string>()
  readonly #assurances = new Map<string, AssuranceClaim>()
  readonly #findings: Finding[] = []
  readonly #genesis: Genesis | undefined
  /** How much was verified offline. */
  readonly verified = { certificates: 0, proofs: 0, assurances: 0 }

  /** With `genesis`, certificates, proofs and assurances are verified against it. */
  constructor(genesis?: Genesis) {
    this.#genesis = genesis
  }

  /** A member acknowledged a transaction as committed. Two claims that contradict each other are a finding at once. */
  acknowledged(claim: CommitClaim): void {
    const before = this.#claims.get(claim.id)
    if (before === undefined) this.#claims.set(claim.id, claim)
    else if (before.height !== claim.height || before.block !== claim.block)
      this.#findings.push({
        code: 'acknowledged-moved',
        sentence:
          `transaction ${claim.id.slice(0, 12)}: ${before.member} said height ${before.height}, ` +
          `${claim.member} says height ${claim.height}`,
      })
  }

  /** The committed value of an entry that is written once: it must be there at the end, on every member. */
  wrote(key: string, valueHex: string): void {
    this.#values.set(key, valueHex)
  }

  /** A member showed this block as committed. The same height must show the same hash for ever. */
  saw(member: string, height: number, hash: string): void {
    const heights = this.#seen.get(member) ?? new Map<number, string>()
    this.#seen.set(member, heights)
    const before = heights.get(height)
    if (before === undefined) heights.set(height, hash)
    else if (before !== hash)
      this.#findings.push({
        code: 'block-changed',
        sentence: `${member} showed block ${before.slice(0, 12)} at height ${height}, and later ${hash.slice(0, 12)}`,
      })
  }

  /** A member said how certain its newest block is. */
  assured(claim: AssuranceClaim): void {
    const key = `${claim.member} ${claim.height}`
    const before = this.#assurances.get(key)
    if (before !== undefined && before.liarsTolerated >= claim.liarsTolerated) return
    this.#assurances.set(key, claim)
    // The genesis knows the members of the first era; certificates of later ones are judged in the proofs, which lead from era to era.
    if (this.#genesis === undefined || claim.era > 0) return
    const { members, parameters } = this.#genesis.memberSet
    const { n, q } = quorumSizes(members.length, parameters.percent)
    const known = new Set(claim.signers.filter((signer) => members.some(({ name }) => name === signer)))
    if (known.size < q || known.size !== claim.signers.length || claim.liarsTolerated > known.size + q - n - 1)
      this.#findings.push({
        code: 'assurance-wrong',
        sentence: `${claim.member} says that ${claim.liarsTolerated} may lie about height ${claim.height}, signed by ${claim.signers.join(', ')}`,
      })
  }

  /** How many transactions were acknowledged as committed. */
  get acknowledgedCount(): number {
    return this.#claims.size
  }

  /** Asks every witness about everything that was claimed. No finding: nothing acknowledged was lost or contradicted. */
  async verdict(witnesses: readonly Witness[]): Promise<readonly Finding[]> {
    const findings = [...this.#findings, ...compareOrder(this.#claims.values())]
    const chains: { name: string; headers: readonly HeaderView[] }[] = []
    for (const witness of witnesses) {
      const headers = await witness.headers()
      if (headers.length === 0)
        findings.push({ code: 'unreachable', sentence: `${witness.name} shows no block, so nothing is known of it` })
      chains.push({ name: witness.name, headers })
      findings.push(...this.#againstSeen(witness.name, headers))
      findings.push(...(await this.#againstClaims(witness)))
      findings.push(...this.#againstAssurances(witness.name, headers))
      if (this.#genesis !== undefined) findings.push(...(await this.#offline(this.#genesis, witness, headers)))
      await inParallel(this.#values, async ([key, value]) => {
        const found = await witness.valueAt(key)
        if (found !== value)
          findings.push({
            code: 'value-wrong',
            sentence: `${witness.name}: entry ${key} is ${found ?? 'absent'}, committed was ${value.slice(0, 24)}`,
          })
      })
    }
    return [...findings, ...compareChains(chains)]
  }

  // What a member has shown, it and all others must still show.
  #againstSeen(name: string, headers: readonly HeaderView[]): Finding[] {
    const findings: Finding[] = []
    const now = new Map(headers.map((header) => [header.height, header.hash]))
    const highest = headers.at(-1)?.height ?? 0
    for (const [member, heights] of this.#seen)
      for (const [height, hash] of heights) {
        const shown = now.get(height)
        if (shown !== undefined && shown !== hash)
          findings.push({
            code: 'block-changed',
            sentence: `${member} showed ${hash.slice(0, 12)} at height ${height}, ${name} shows ${shown.slice(0, 12)}`,
          })
        if (member === name && height > highest)
          findings.push({
            code: 'height-lost',
            sentence: `${name} had shown height ${height} and now ends at ${highest}`,
          })
      }
    return findings
  }

  // Nobody lies here, so what was assured to whatever degree is on every chain.
  #againstAssurances(name: string, headers: readonly HeaderView[]): Finding[] {
    const highest = headers.at(-1)?.height ?? 0
    const lacking = [...this.#assurances.values()].filter(({ height }) => height > highest)
    this.verified.assurances = this.#assurances.size
    return lacking.slice(0, 1).map(({ member, height }) => ({
      code: 'assurance-wrong',
      sentence: `${member} was assured of height ${height}, and ${name} ends at ${highest}`,
    }))
  }

  // With nothing but the genesis: certificates of the chain that is shown, and proofs of what was acknowledged.
  async #offline(genesis: Genesis, witness: Witness, headers: readonly HeaderView[]): Promise<Finding[]> {
    const findings: Finding[] = []
    const { memberSet } = genesis
    const { q } = quorumSizes(memberSet.members.length, memberSet.parameters.percent)
    const [chainId, index] = [chainIdOf(genesis), memberIndex(memberSet)]
    const hashes = new Map(headers.map((header) => [header.height, header.hash]))
    await inParallel(spread(headers), async ({ height, hash }) => {
      const certificate = await witness.certificateAt?.(height)
      if (certificate === undefined) return
      const { kind, statement } = certificate
      if (statement.era > 0) return
      this.verified.certificates += 1
      const signers = signersOf(certificate, chainId, index)
      // A block without a certificate of its own is committed by a descendant's (agreement.md §4.2).
      const isOfChain = statement.height >= height && hashes.get(statement.height) === toHex(statement.hash)
      if (!signers.ok || signers.members.length < q || kind !== 'commit' || !isOfChain)
        findings.push({
          code: 'certificate-false',
          sentence: `${witness.name}: the certificate of height ${height} does not show that block ${hash.slice(0, 12)} is committed`,
        })
    })
    await inParallel(spread([...this.#claims.values()]), async ({ id }) => {
      const text = await witness.proofOf?.(id)
      if (text === undefined) return
      this.verified.proofs += 1
      const read = parseProof(text)
      if (!read.ok || !verifyProof(read.proof, genesis).ok)
        findings.push({
          code: 'proof-false',
          sentence: `${witness.name}: the proof of transaction ${id.slice(0, 12)} is false`,
        })
    })
    return findings
  }

  async #againstClaims(witness: Witness): Promise<Finding[]> {
    const findings: Finding[] = []
    const blocks = new Map<number, Promise<ReadonlySet<string>>>()
    const idsAt = (height: number): Promise<ReadonlySet<string>> => {
      const ids = blocks.get(height) ?? witness.transactionIds(height).then((list) => new Set(list))
      blocks.set(height, ids)
      return ids
    }
    await inParallel(this.#claims.values(), async (claim) => {
      const id = claim.id.slice(0, 12)
      const place = await witness.placeOf(claim.id)
      if (place === undefined)
        findings.push({
          code: 'acknowledged-lost',
          sentence: `${witness.name} does not have transaction ${id}, which ${claim.member} acknowledged at height ${claim.height}`,
        })
      else if (place.height !== claim.height || place.block !== claim.block)
        findings.push({
          code: 'acknowledged-moved',
          sentence: `${witness.name} has transaction ${id} at height ${place.height}, ${claim.member} had said ${claim.height}`,
        })
      else if (!(await idsAt(place.height)).has(claim.id))
        findings.push({
          code: 'not-in-block',
          sentence: `${witness.name} says that transaction ${id} is in block ${place.height}, but the block does not list it`,
        })
    })
    return findings
  }
}

// At most VERIFIED_MAX of `items`, evenly, the last among them.
function spread<T>(items: readonly T[]): T[] {
  const step = Math.max(1, Math.ceil(items.length / VERIFIED_MAX))
  return items.filter((_, i) => (items.length - 1 - i) % step === 0)
}

/** Questions to one member at the same time. */
const PARALLEL = 16

async function inParallel<T>(items: Iterable<T>, ask: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items].reverse()
  const worker = async (): Promise<void> => {
    for (let item = queue.pop(); item !== undefined; item = queue.pop()) await ask(item)
  }
  await Promise.all(Array.from({ length: PARALLEL }, worker))
}
