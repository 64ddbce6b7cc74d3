/** Where this node stands among the members, and where they are found. */
import { isPeerKey } from '../config/kinds.ts'
import { toHex } from '../protocol/bytes.ts'
import { type EraRecord, readAddresses, readPastEra } from '../protocol/kinds/governance/record.ts'
import type { StateReader } from '../protocol/kinds/kind.ts'
import type { EraLink } from '../protocol/light.ts'
import type { MemberSet, PublicKeyHex } from '../protocol/members.ts'
import type { Seat } from './consensus/eras.ts'
import type { LedgerEra } from './executor/era.ts'
import type { LedgerReads } from './executor/reads.ts'
import type { NodeLog } from './log.ts'
import type { MemberAddresses } from './network/network.ts'

/**
 * Where each other member listens: as configured under its name or key, or as it said when it joined. Peers that are configured by key and are no
 * members stand here as well: a node that is none finds its way to the consortium through them.
 */
export function memberAddresses(
  { members }: MemberSet,
  peers: readonly { readonly member: string; readonly address: string }[],
  state: StateReader,
  own: PublicKeyHex,
): MemberAddresses[] {
  const found = members.map(({ name, publicKey }) => {
    const key = toHex(publicKey)
    const configured = peers.filter(({ member }) => member === name || member === key).map(({ address }) => address)
    return { publicKey: key, addresses: configured.length > 0 ? configured : [...readAddresses(state, key)] }
  })
  const others = peers.filter(({ member }) => isPeerKey(member) && !found.some(({ publicKey }) => publicKey === member))
  return [...found, ...others.map(({ member, address }) => ({ publicKey: member, addresses: [address] }))].filter(
    ({ publicKey }) => publicKey !== own,
  )
}

/**
 * The last era before `era` in which `own` was a member, and how it ended; undefined where that is longer ago than the state keeps eras.
 */
export function lastSeat(
  reads: Pick<LedgerReads, 'state' | 'eraLinks'>,
  era: number,
  own: PublicKeyHex,
): { readonly trusted: EraRecord; readonly link: EraLink } | undefined {
  const state = { get: (key: string) => reads.state(key)?.value }
  for (let past = era - 1; past >= 0; past--) {
    const trusted = readPastEra(state, past)
    if (trusted === undefined) return undefined
    if (!trusted.memberSet.members.some(({ publicKey }) => toHex(publicKey) === own)) continue
    const [link] = reads.eraLinks(past, past + 1) ?? []
    return link && { trusted, link }
  }
  return undefined
}

/** An operator is told where this node stands in an era that begins, loudly where it stands outside. */
export function sayWhere(
  log: NodeLog,
  own: PublicKeyHex,
  { era, memberSet }: LedgerEra,
  me: number,
  before: Seat | null,
): void {
  const fields = { era, members: memberSet.members.map(({ name }) => name), publicKey: own }
  if (me >= 0) {
    if (before === null) return log.info(fields, 'this node is a member')
    return log.info(fields, before.me < 0 ? 'an era begins: this node is a member now' : 'an era begins')
  }
  if (before !== null && before.me >= 0)
    return log.error(
      fields,
      'this node is no member any more: it was removed, or its key was replaced. It signs nothing, the members end their connections, and what it ' +
        'has can still be read. After a change of key: `althing keys activate`, then start again',
    )
  log.warn(
    fields,
    'this node is no member: it follows the chain as far as members let it, and signs nothing. Members let in whose key stands in a proposal',
  )
}
