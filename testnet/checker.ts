/**
 * Stage: the operator. The black-box checker: from what members answered over their public API it decides whether anything that was
 * acknowledged is lost or contradicted. It knows nothing of the inside of a node, so it can judge any of them.
 * Invariants: every claim is kept with who made it and when it was heard; a finding names both sides; no finding is made of silence: a member
 * that does not answer is asked again, and reported as unreachable if that was needed.
 */
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
    | 'value-wrong'
    | 'unreachable'
  readonly sentence: string
}

/** What a member answered to a write with `?wait=committed`, or about a transaction: it stands in this block. */
export type CommitClaim = {
  readonly id: string
  readonly member: string
  readonly height: number
  readonly block: string
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
}

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

/** Collects claims while a network is disturbed, and judges at the end. */
export class Checker {
  /** id → first claim. */
  readonly #claims = new Map<string, CommitClaim>()
  /** member → height → hash, as it was seen first. */
  readonly #seen = new Map<string, Map<number, string>>()
  /** entry → value (hexadecimal) that was acknowledged as committed. */
  readonly #values = new Map<string, string>()
  readonly #findings: Finding[] = []

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

  /** How many transactions were acknowledged as committed. */
  get acknowledgedCount(): number {
    return this.#claims.size
  }

  /** Asks every witness about everything that was claimed. No finding: nothing acknowledged was lost or contradicted. */
  async verdict(witnesses: readonly Witness[]): Promise<readonly Finding[]> {
    const findings = [...this.#findings]
    const chains: { name: string; headers: readonly HeaderView[] }[] = []
    for (const witness of witnesses) {
      const headers = await witness.headers()
      if (headers.length === 0)
        findings.push({ code: 'unreachable', sentence: `${witness.name} shows no block, so nothing is known of it` })
      chains.push({ name: witness.name, headers })
      findings.push(...this.#againstSeen(witness.name, headers))
      findings.push(...(await this.#againstClaims(witness)))
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

/** Questions to one member at the same time. */
const PARALLEL = 16

async function inParallel<T>(items: Iterable<T>, ask: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items].reverse()
  const worker = async (): Promise<void> => {
    for (let item = queue.pop(); item !== undefined; item = queue.pop()) await ask(item)
  }
  await Promise.all(Array.from({ length: PARALLEL }, worker))
}
