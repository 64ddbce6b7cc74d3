/**
 * Stage: the operator. Transactions that a member signs itself: made and signed here with the key of this home, handed to a node of the member.
 * Invariants: the secret key stays in this process; what is signed is shown by the command before or after, never hidden in a default.
 */
import { randomBytes } from 'node:crypto'
import { type NodeKey, readKeyFile } from '../node/crypto/keys.ts'
import { toHex } from '../protocol/bytes.ts'
import { CborError } from '../protocol/cbor.ts'
import { chainIdOf } from '../protocol/genesis.ts'
import type { Kind } from '../protocol/kinds/kind.ts'
import { signTransaction } from '../protocol/transaction.ts'
import { type ApiClient, type ClientOptions, clientOf } from './client.ts'
import type { CommandContext } from './context.ts'
import { CommandError, EXIT } from './failure.ts'

/** How long what was signed may wait for a block, ms: what is not committed by then is not meant any more. */
const VALIDITY_MS = 10 * 60_000

/** Signs a transaction of `kind` as this home's member, hands it in and waits for its block. The answer of the API. CommandError PAYLOAD_INVALID. */
export async function submitAsMember<P>(
  context: CommandContext,
  options: ClientOptions,
  kind: Kind<P>,
  payload: P,
): Promise<unknown> {
  const key = await readKeyFile(context.home.nodeKeyFile)
  const chainId = chainIdOf(await context.genesis())
  const client = await clientOf(context, options, 'write')
  const nonce = Uint8Array.from(randomBytes(16))
  const draft = { kind: kind.name, payload: encoded(kind, payload), nonce, validUntil: Date.now() + VALIDITY_MS }
  const { bytes } = signTransaction(draft, chainId, key.secretKey())
  const body = { bytes, type: 'application/cbor' }
  return client.json({ method: 'POST', segments: ['transactions'], query: { wait: 'committed' }, body })
}

function encoded<P>(kind: Kind<P>, payload: P) {
  try {
    return kind.payload.to(payload)
  } catch (cause) {
    if (!(cause instanceof CborError)) throw cause
    throw new CommandError('PAYLOAD_INVALID', EXIT.usage, `that is nothing to propose: ${cause.message}`, { cause })
  }
}

/** A member as GET /v1/members shows it. */
export type MemberEntry = { readonly name: string; readonly publicKey: string; readonly addresses: readonly string[] }
/** The answer of GET /v1/members, as far as commands use it. */
export type PresentMembers = { readonly era: number; readonly items: readonly MemberEntry[] }

/** The members of the present era. CommandError API_ANSWER on an answer of another form. */
export async function presentMembers(client: ApiClient): Promise<PresentMembers> {
  const answer = (await client.json({ segments: ['members'] })) as Partial<PresentMembers> | null
  const { era, items } = answer ?? {}
  const isMember = (item: Partial<MemberEntry>): boolean =>
    typeof item?.name === 'string' && typeof item.publicKey === 'string' && Array.isArray(item.addresses)
  if (typeof era === 'number' && Array.isArray(items) && items.every(isMember)) return { era, items }
  throw new CommandError('API_ANSWER', EXIT.badData, 'the answer is no list of members')
}

/** The member called `wanted`, by name or public key. CommandError MEMBER_NAME. */
export function memberNamed({ items }: PresentMembers, wanted: string): MemberEntry {
  const found = items.find(({ name, publicKey }) => name === wanted || publicKey === wanted.toLowerCase())
  if (found !== undefined) return found
  throw new CommandError('MEMBER_NAME', EXIT.usage, `${JSON.stringify(wanted)} is no member of the present era`, {
    advice: `The members are: ${items.map(({ name }) => name).join(', ')}.`,
  })
}

/** The member that `key` is. CommandError MEMBER_NAME. */
export const ownMember = (members: PresentMembers, key: NodeKey): MemberEntry =>
  memberNamed(members, toHex(key.publicKey))
