/**
 * RTU: the newest header that a quorum of members has committed, verified here (ledger.md §6).
 * Invariants: nothing is believed without a commit certificate of the members of its era, which those of the era before have named, back to the
 * genesis; the newest header only rises, also over a restart;
 * of two headers that contradict each other neither is chosen: both are handed over as evidence, and no further one is followed.
 */
import { decodeHeader, type SealedHeader } from '../../protocol/block.ts'
import { equalBytes, toHex } from '../../protocol/bytes.ts'
import { CborError } from '../../protocol/cbor.ts'
import { certificateCodec } from '../../protocol/certificate.ts'
import { decodeAs, encodeAs } from '../../protocol/codec.ts'
import { sha3 } from '../../protocol/crypto.ts'
import { chainIdOf, type Genesis } from '../../protocol/genesis.ts'
import {
  type EraLink,
  eraLinkCodec,
  eraOfGenesis,
  followEra,
  type TrustedEra,
  verifyHeader,
} from '../../protocol/light.ts'
import type { PublicKeyHex } from '../../protocol/members.ts'
import { memberSetCodec } from '../../protocol/members.ts'
import type { Code } from '../../protocol/verdict.ts'
import type { Clock } from '../clock.ts'
import { type CertifiedHeader, decodeCertifiedHeader, encodeCertifiedHeader } from '../light/messages.ts'

/** Bounds. `recentMax`: verified headers kept in memory to compare others with, about 1.5 kB each. */
export const HEADERS_DEFAULTS = { recentMax: 16, saveIntervalMs: 60_000 } as const

/** A header that was verified. `from`: key of the member that sent it first, null where it lay on disk. */
export type VerifiedHere = CertifiedHeader & {
  readonly sealed: SealedHeader
  readonly from: PublicKeyHex | null
  /** How many members may lie, on an arbitrarily slow network, without its being contradicted (agreement.md §7). */
  readonly assurance: number
}
/** Two commit certificates that contradict each other. */
export type Fork = { readonly one: VerifiedHere; readonly other: VerifiedHere }

/** What following headers uses. */
export type HeadersNeeds = {
  readonly clock: Pick<Clock, 'now' | 'monotonic'>
  /** The file of the newest header. Failures are the caller's to log: they lose nothing but the height to begin at. */
  save(bytes: Uint8Array): void
  /** The file of the present era: how the one before ended. Later than the genesis' only. */
  saveEra(bytes: Uint8Array): void
  /** An era began. */
  era(era: TrustedEra): void
  /** Called once for each fork that is seen. */
  fork(fork: Fork): void
}

/** Follows the chain by its headers. */
export class Headers {
  readonly #genesis: Genesis
  readonly #chainId: Uint8Array
  readonly #needs: HeadersNeeds
  /** Height → verified header, the lowest dropped first. */
  readonly #recent = new Map<number, VerifiedHere>()
  #trusted: TrustedEra
  #newest: VerifiedHere | undefined
  /** Monotonic time at which the newest was heard in this run; undefined for one from disk. */
  #heardAt: number | undefined
  #savedAt = Number.NEGATIVE_INFINITY
  #isSaved = true
  #isDisputed: boolean

  /** `isDisputed`: evidence of an earlier run lies there, so nothing is followed. */
  constructor(genesis: Genesis, needs: HeadersNeeds, isDisputed = false) {
    this.#genesis = genesis
    this.#chainId = chainIdOf(genesis)
    this.#trusted = eraOfGenesis(genesis)
    this.#needs = needs
    this.#isDisputed = isDisputed
  }

  get newest(): VerifiedHere | undefined {
    return this.#newest
  }

  /** Whether contradicting certificates were seen. */
  get isDisputed(): boolean {
    return this.#isDisputed
  }

  /** Whether a header was heard in this run. */
  get isHeard(): boolean {
    return this.#heardAt !== undefined
  }

  /** Block time of the newest header: no later block has an earlier one. The genesis' where there is none. */
  get chainTime(): number {
    return this.#newest?.sealed.header.time ?? this.#genesis.createdAt
  }

  /**
   * What block time is now, as well as is known, ms: that of the newest header heard in this run and what has passed since, or this
   * machine's clock, which may be far off on a device without a battery, where nothing was heard yet.
   */
  now(): number {
    const { clock } = this.#needs
    if (this.#heardAt === undefined) return Math.max(clock.now(), this.chainTime)
    return Math.round(this.chainTime + clock.monotonic() - this.#heardAt)
  }

  /** The era that the chain was followed to. */
  get trusted(): TrustedEra {
    return this.#trusted
  }

  /**
   * Takes in the era that lay on disk, as the genesis does: whoever could change the one file could change the other. BLOCK_MALFORMED,
   * BLOCK_CHAIN, BLOCK_MEMBER_SET if it is damaged or of another chain; the chain is then followed from the genesis.
   */
  restoreEra(bytes: Uint8Array): Code {
    try {
      const link = decodeAs(eraLinkCodec, bytes, 'era')
      const { header } = decodeHeader(link.header)
      if (!equalBytes(header.chainId, this.#chainId)) return 'BLOCK_CHAIN'
      const names = header.nextMemberSetHash
      if (names === null || !equalBytes(sha3(link.memberSet), names)) return 'BLOCK_MEMBER_SET'
      const memberSet = decodeAs(memberSetCodec, link.memberSet, 'member set')
      this.#trusted = { era: header.era + 1, height: header.height, memberSet }
      return 'OK'
    } catch (error) {
      if (!(error instanceof CborError)) throw error
      return 'BLOCK_MALFORMED'
    }
  }

  /** Follows the end of the present era, shown by `from`. Codes of `followEra`; LIGHT_FORK as `accept`. */
  follow(from: PublicKeyHex, link: EraLink): Code {
    const followed = followEra(this.#trusted, link, this.#chainId)
    if (!followed.ok) return followed.code
    if (this.accept(from, link) === 'LIGHT_FORK') return 'LIGHT_FORK'
    this.#trusted = followed.next
    this.#needs.saveEra(encodeAs(eraLinkCodec, link))
    this.#needs.era(followed.next)
    return 'OK'
  }

  /** Takes in what lay on disk. Its refusal is returned; the chain is then followed from wherever a member is. */
  restore(bytes: Uint8Array): Code {
    let stored: CertifiedHeader
    try {
      stored = decodeCertifiedHeader(bytes)
    } catch (error) {
      if (!(error instanceof CborError)) throw error
      return 'BLOCK_MALFORMED'
    }
    const verified = this.#verify(stored, null)
    if (typeof verified === 'string') return verified
    this.#newest = verified
    this.#remember(verified)
    return 'OK'
  }

  /**
   * Judges a header with its certificate. `OK`: it is the newest one now. LIGHT_OLD_HEADER: not above it. LIGHT_ERA: of a later
   * era than the present one, to which `follow` leads. LIGHT_FORK: it contradicts one
   * verified before, or one was seen to. Else why it shows nothing: codes of blocks and certificates; those are the sender's fault.
   */
  accept(from: PublicKeyHex, offered: CertifiedHeader): Code {
    const verified = this.#verify(offered, from)
    if (typeof verified === 'string') return verified
    const rival = this.#rivalOf(verified)
    if (rival !== undefined) {
      this.#isDisputed = true
      this.#needs.fork({ one: rival, other: verified })
      return 'LIGHT_FORK'
    }
    if (this.#isDisputed) return 'LIGHT_FORK'
    this.#remember(verified)
    if (verified.sealed.header.height <= (this.#newest?.sealed.header.height ?? 0)) return 'LIGHT_OLD_HEADER'
    this.#newest = verified
    this.#heardAt = this.#needs.clock.monotonic()
    this.#isSaved = false
    if (this.#heardAt - this.#savedAt >= HEADERS_DEFAULTS.saveIntervalMs) this.save()
    return 'OK'
  }

  /** Puts the newest header on disk, unless it is there. Otherwise it goes there once a minute: each is a write of the flash. */
  save(): void {
    if (this.#isSaved || this.#newest === undefined) return
    this.#isSaved = true
    this.#savedAt = this.#needs.clock.monotonic()
    this.#needs.save(encodeCertifiedHeader(this.#newest))
  }

  #verify({ header, certificate }: CertifiedHeader, from: PublicKeyHex | null): VerifiedHere | Code {
    let sealed: SealedHeader
    try {
      sealed = decodeHeader(header)
    } catch (error) {
      if (!(error instanceof CborError)) throw error
      return 'BLOCK_MALFORMED'
    }
    const known = this.#recent.get(sealed.header.height)
    // The same block, perhaps with the signatures of others: verified already.
    if (known !== undefined && equalBytes(known.sealed.hash, sealed.hash)) return 'LIGHT_OLD_HEADER'
    try {
      const wire = decodeAs(certificateCodec, certificate, 'certificate')
      const { era, memberSet } = this.#trusted
      if (sealed.header.era > era) return 'LIGHT_ERA'
      // Of an era that is over: its members may have sold their keys since.
      if (sealed.header.era < era) return 'LIGHT_OLD_HEADER'
      const verified = verifyHeader(sealed, wire, memberSet, this.#chainId)
      return verified.ok ? { header, certificate, sealed, from, assurance: verified.assurance } : verified.code
    } catch (error) {
      if (!(error instanceof CborError)) throw error
      return 'CERT_MALFORMED'
    }
  }

  /** A verified header of the same height, or next to it, that cannot be in one chain with `verified`. */
  #rivalOf({ sealed: { header, hash } }: VerifiedHere): VerifiedHere | undefined {
    const same = this.#recent.get(header.height)
    if (same !== undefined) return same
    const below = this.#recent.get(header.height - 1)
    if (below !== undefined && !equalBytes(below.sealed.hash, header.parent)) return below
    const above = this.#recent.get(header.height + 1)
    return above !== undefined && !equalBytes(above.sealed.header.parent, hash) ? above : undefined
  }

  #remember(verified: VerifiedHere): void {
    this.#recent.set(verified.sealed.header.height, verified)
    if (this.#recent.size > HEADERS_DEFAULTS.recentMax) this.#recent.delete(Math.min(...this.#recent.keys()))
  }
}

/** Evidence of a fork as a file for people and for the members, and a name that is the same whichever of the two came first. */
export function evidenceOf({ one, other }: Fork, network: string): { name: string; text: string } {
  const side = ({ sealed, header, certificate, from }: VerifiedHere) => ({
    height: sealed.header.height,
    hash: toHex(sealed.hash),
    from,
    header: toHex(header),
    certificate: toHex(certificate),
  })
  const sides = [side(one), side(other)].sort((a, b) => (a.hash < b.hash ? -1 : 1)) as [
    ReturnType<typeof side>,
    ReturnType<typeof side>,
  ]
  const name = `fork-${Math.min(sides[0].height, sides[1].height)}-${sides[0].hash.slice(0, 8)}-${sides[1].hash.slice(0, 8)}.json`
  const meaning = 'Two commit certificates of one chain that contradict each other (agreement.md §7).'
  return { name, text: `${JSON.stringify({ format: 'althing-fork', network, meaning, sides }, null, 2)}\n` }
}
