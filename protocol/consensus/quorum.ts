/**
 * Signatures and certificates of one member set (agreement.md §3): each signature is checked once, each certificate is a quorum of distinct members.
 * Invariants: no signature that a member made is recovered twice while the cache holds it; nobody but a member can put anything into it.
 */
import { toHex } from '../bytes.ts'
import { blameBytes, statementBytes, type WireCertificate } from '../certificate.ts'
import { type MemberSet, memberIndex, type QuorumSizes, quorumSizes } from '../members.ts'
import { type Domain, recover as recoverSigner } from '../signature.ts'
import type { Code } from '../verdict.ts'
import type { BlameCertificate, Certificate, MemberIndex, Signature } from './types.ts'
import type { WireBlameCertificate } from './wire.ts'

/** Leaves the checks of one message; caught in `verify` and nowhere else. */
export class Refused extends Error {
  readonly code: Code
  constructor(code: Code) {
    super(code)
    this.code = code
  }
}
/** Refuses with `code` unless `condition` holds. */
export function demand(condition: boolean, code: Code): asserts condition {
  if (!condition) throw new Refused(code)
}

type CacheOptions = { readonly chainId: Uint8Array; readonly cacheMax: number; readonly recover?: typeof recoverSigner }

/** Signatures that were recovered to a key of a member. The oldest goes first: what is repeated at all is repeated soon. */
export class SignatureCache {
  readonly #options: CacheOptions
  readonly #known = new Map<string, string>()

  constructor(options: CacheOptions) {
    this.#options = options
  }

  /** The key that signed, compressed, in hexadecimal, or undefined; remembered if `isMember` says so. */
  keyOf(
    domain: Domain,
    payload: Uint8Array,
    signature: Signature,
    isMember: (key: string) => boolean,
  ): string | undefined {
    const { chainId, cacheMax, recover = recoverSigner } = this.#options
    const name = `${domain}/${toHex(payload)}/${toHex(signature)}`
    const known = this.#known.get(name)
    if (known !== undefined) return known
    const recovered = recover(domain, chainId, payload, signature)
    const key = recovered === undefined ? undefined : toHex(recovered)
    if (key === undefined || cacheMax === 0 || !isMember(key)) return key
    if (this.#known.size >= cacheMax) this.#known.delete(this.#known.keys().next().value as string)
    this.#known.set(name, key)
    return key
  }

  get size(): number {
    return this.#known.size
  }
}

/** Checks what the members of one era signed together. The checks throw `Refused`. */
export type QuorumCheck = {
  readonly sizes: QuorumSizes
  /** The member that signed, or undefined. */
  signerOf(domain: Domain, payload: Uint8Array, signature: Signature): MemberIndex | undefined
  certificate(certificate: WireCertificate): Certificate
  blameCertificate(certificate: WireBlameCertificate): BlameCertificate
}

/** For `memberSet` in `era`. Throws `RangeError` if two members share a key. */
export function createQuorumCheck(memberSet: MemberSet, era: number, cache: SignatureCache): QuorumCheck {
  const sizes = quorumSizes(memberSet.members.length, memberSet.parameters.percent)
  const { n, q, f } = sizes
  const index = memberIndex(memberSet)

  function signerOf(domain: Domain, payload: Uint8Array, signature: Signature): MemberIndex | undefined {
    const key = cache.keyOf(domain, payload, signature, (one) => index.has(one))
    return key === undefined ? undefined : index.get(key)
  }

  function quorum(domain: Domain, payload: Uint8Array, signatures: readonly Signature[], atLeast: number) {
    demand(signatures.length >= atLeast, 'CERT_NO_QUORUM')
    demand(signatures.length <= n, 'CERT_DUPLICATE_SIGNER')
    const members = new Map<MemberIndex, Signature>()
    for (const signature of signatures) {
      const member = signerOf(domain, payload, signature)
      demand(member !== undefined, 'CERT_FOREIGN_SIGNER')
      demand(!members.has(member), 'CERT_DUPLICATE_SIGNER')
      members.set(member, signature)
    }
    return members
  }

  function certificate({ kind, statement, signatures }: WireCertificate): Certificate {
    demand(statement.era === era && statement.seq < memberSet.parameters.termBlocks, 'CERT_STATEMENT')
    const { view, seq, height, hash } = statement
    const members = quorum(kind, statementBytes(statement), signatures, q)
    return { kind, view, seq, height, hash: toHex(hash), signatures: members }
  }

  const blameCertificate = ({ view, signatures }: WireBlameCertificate): BlameCertificate => ({
    view,
    signatures: quorum('blame', blameBytes(era, view), signatures, f + 1),
  })

  return { sizes, signerOf, certificate, blameCertificate }
}
