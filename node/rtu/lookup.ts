/**
 * RTU: what the chain says under a key of the state, proved against a verified header and not told by one member.
 * Invariants: only an entry, or its absence, with a proof is given, and only of a block not far below the newest verified header; a member
 * whose proof does not hold is set aside.
 */
import type { Genesis } from '../../protocol/genesis.ts'
import type { StateEntry } from '../../protocol/state/entry.ts'
import type { Code } from '../../protocol/verdict.ts'
import { QUESTIONS } from '../light/messages.ts'
import type { Headers } from './headers.ts'
import type { Members } from './members.ts'
import { checkProof, provedEntry } from './proofs.ts'

/** Blocks that a proof may be behind the newest header: members are not at one height at every moment. */
export const PROOF_LAG_MAX = 16

/** What looking uses. */
export type LookupNeeds = {
  readonly genesis: Genesis
  readonly members: Pick<Members, 'inTurn' | 'ask' | 'fault'>
  readonly headers: Pick<Headers, 'accept' | 'newest'>
}
/** What was proved: the entry at `height`, null for its absence. */
export type Looked = { readonly height: number; readonly entry: StateEntry | null }

/** Asks the members in turn, until one proves what the chain says under `key`. undefined if none does now. */
export async function lookUp(key: string, needs: LookupNeeds): Promise<Looked | undefined> {
  const { members, headers } = needs
  for (const member of members.inTurn()) {
    const heightBefore = headers.newest?.sealed.header.height ?? 0
    const answer = await members.ask(member, QUESTIONS.state, new TextEncoder().encode(key))
    if (answer === undefined || answer.proof === null) continue
    const looked = check(answer.proof, key, member.publicKey, heightBefore, needs)
    if (typeof looked !== 'string') return looked
    members.fault(member, looked, QUESTIONS.state)
  }
  return undefined
}

function check(text: string, key: string, from: string, heightBefore: number, needs: LookupNeeds): Looked | Code {
  const { genesis, headers } = needs
  const proved = checkProof(text, 'state', genesis)
  if (typeof proved === 'string') return proved
  // The header that comes with a proof is as good as a pushed one, and compared with the others in the same way.
  if (headers.accept(from, proved.certified) === 'LIGHT_FORK') return 'LIGHT_FORK'
  const { height } = proved.sealed.header
  if (height < heightBefore - PROOF_LAG_MAX) return 'LIGHT_STALE'
  const entry = provedEntry(proved, key)
  return typeof entry === 'string' ? entry : { height, entry }
}
