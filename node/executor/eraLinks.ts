/**
 * How eras ended, as a ledger holds it, and whether the members of each era stood behind what it holds. Stage: ledger → BKVS.
 * Invariants: nothing here believes a member set that does not follow from the genesis (agreement.md §5.5); a ledger that began with a snapshot
 * holds the ends of the eras before it as well.
 */
import type { SealedHeader } from '../../protocol/block.ts'
import { certificateCodec } from '../../protocol/certificate.ts'
import { decodeAs } from '../../protocol/codec.ts'
import { chainIdOf, type Genesis } from '../../protocol/genesis.ts'
import { type EraLink, eraOfGenesis, followEra, type TrustedEra, verifyHeader } from '../../protocol/light.ts'
import type { LedgerStore } from '../store/ledgerStore.ts'

/** What is read. `committedHeight` may be that of an earlier moment. */
export type EraSource = Pick<
  LedgerStore,
  'header' | 'certificate' | 'memberSet' | 'committedHeight' | 'firstHeight' | 'eraEndBefore'
>

/** Height of the last block of `era`; undefined while it lasts. Eras only rise along the chain, so it is found by halving. */
export function eraEnd(ledger: EraSource, era: number): number | undefined {
  const before = ledger.eraEndBefore(era)
  if (before !== undefined) return before
  let [low, high] = [ledger.firstHeight, ledger.committedHeight]
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    const sealed = ledger.header(middle)
    if (sealed === undefined) return undefined
    if (sealed.header.era <= era) low = middle
    else high = middle - 1
  }
  const found = ledger.header(low)?.header
  return found?.era === era && found.nextMemberSetHash !== null ? low : undefined
}

/** How `era` ended; undefined while it lasts, and where a part of it is missing. */
export function eraLink(ledger: EraSource, era: number): EraLink | undefined {
  const height = eraEnd(ledger, era)
  const sealed = height === undefined ? undefined : ledger.header(height)
  const next = sealed?.header.nextMemberSetHash
  const memberSet = next == null ? undefined : ledger.memberSet(next)
  const certificate = height === undefined ? undefined : ledger.certificate(height)
  if (sealed === undefined || memberSet === undefined || certificate === undefined) return undefined
  return { header: sealed.bytes, certificate, memberSet }
}

/**
 * What is wrong with the certificates of a ledger, each a sentence: each era follows from the one before, from the genesis up, and a quorum of the
 * last one's members committed the highest block that has a certificate.
 */
export function certificateProblems(ledger: EraSource, genesis: Genesis): string[] {
  const chainId = chainIdOf(genesis)
  const certified = highestCertified(ledger)
  if (certified === undefined) return []
  const { header } = certified
  let trusted: TrustedEra = eraOfGenesis(genesis)
  while (trusted.era < header.era) {
    const link = eraLink(ledger, trusted.era)
    if (link === undefined) return [`era ${trusted.era}: how it ended is not there`]
    const followed = followEra(trusted, link, chainId)
    if (!followed.ok) return [`era ${trusted.era}: its end does not follow from the genesis: ${followed.code}`]
    trusted = followed.next
  }
  const encoded = ledger.certificate(header.height) as Uint8Array
  const code = refusalOf(certified, encoded, trusted, chainId)
  return code === null ? [] : [`height ${header.height}: its certificate is none of the members of its era: ${code}`]
}

function refusalOf(
  sealed: SealedHeader,
  encoded: Uint8Array,
  { memberSet }: TrustedEra,
  chainId: Uint8Array,
): string | null {
  try {
    const verified = verifyHeader(sealed, decodeAs(certificateCodec, encoded), memberSet, chainId)
    return verified.ok ? null : verified.code
  } catch {
    return 'CERT_MALFORMED'
  }
}

/** Ancestors that a node wrote before it ended have no certificate yet: what stands below them has. */
function highestCertified(ledger: EraSource): SealedHeader | undefined {
  for (let height = ledger.committedHeight; height >= ledger.firstHeight; height--)
    if (ledger.certificate(height) !== undefined) return ledger.header(height)
  return undefined
}
