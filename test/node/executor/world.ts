/** A consortium of four with real signatures, its stores in memory, and certificates of its members. */
import { Executor, type ExecutorOptions } from '../../../node/executor/executor.ts'
import { initializeLedger } from '../../../node/executor/genesisState.ts'
import { type LedgerStore, openLedger } from '../../../node/store/ledgerStore.ts'
import { type Header, type SealedHeader, sealHeader } from '../../../protocol/block.ts'
import { certificateCodec, statementBytes } from '../../../protocol/certificate.ts'
import { encodeAs } from '../../../protocol/codec.ts'
import type { SignedTransaction } from '../../../protocol/execution.ts'
import { chainIdOf } from '../../../protocol/genesis.ts'
import { type Change, consentBytes } from '../../../protocol/kinds/governance/record.ts'
import { KINDS } from '../../../protocol/kinds/table.ts'
import { sign } from '../../../protocol/signature.ts'
import { signTransaction } from '../../../protocol/transaction.ts'
import { MemoryStore } from '../../contract/memoryStore.ts'
import { API_KEYS, GENESIS, key, MEMBERS, secretKey } from '../../protocol/kinds/consortium.ts'

export { API_KEYS, GENESIS }
export const CHAIN_ID = chainIdOf(GENESIS)
/** First block times of the tests, ms. */
export const TIME = 1_000_000

let counter = 0
/** A signed transaction of `kind` by key number `signer`, with a nonce of its own unless one is given. */
export function signed(
  kind: string,
  signer: number,
  payload: unknown,
  over: { nonce?: Uint8Array; validUntil?: number } = {},
): SignedTransaction {
  const nonce = new Uint8Array(16)
  new DataView(nonce.buffer).setUint32(0, ++counter)
  const encoded = (KINDS.get(kind) as NonNullable<ReturnType<typeof KINDS.get>>).payload.to(payload)
  const draft = { kind, payload: encoded, nonce, validUntil: TIME + 600_000, ...over }
  return { transaction: signTransaction(draft, CHAIN_ID, secretKey(signer)), signer: key(signer) }
}

/** `kv.put` of one byte by an API key. */
export const put = (name: string, value = 1, signer = 11): SignedTransaction =>
  signed('kv.put', signer, { key: name, value: Uint8Array.of(value) })

/** `kv.delete` by an API key. */
export const remove = (name: string, signer = 11): SignedTransaction => signed('kv.delete', signer, { key: name })

/** A commit certificate of the members with the indices `members` among the key numbers `keys`. */
export function certify(
  { header, hash }: SealedHeader,
  members: readonly number[] = [0, 1, 2],
  keys: readonly number[] = MEMBERS,
): Uint8Array {
  const statement = { era: header.era, view: 0, seq: 0, height: header.height, hash }
  const payload = statementBytes(statement)
  const signatures = members.map((i) => sign('commit', CHAIN_ID, payload, secretKey(keys[i] as number)))
  return encodeAs(certificateCodec, { kind: 'commit', statement, signatures })
}

/** One member's ledger. */
export type Node = { readonly store: MemoryStore; readonly ledger: LedgerStore; readonly executor: Executor }

/** The node on `store`, which is initialized if it is not given. */
export async function open(store?: MemoryStore, options: Partial<ExecutorOptions> = {}): Promise<Node> {
  const beneath = store ?? new MemoryStore()
  if (store === undefined) await initializeLedger(beneath, GENESIS)
  const ledger = openLedger(beneath, { chainId: CHAIN_ID })
  return { store: beneath, ledger, executor: await Executor.open(GENESIS, ledger, { speculationsMax: 8, ...options }) }
}

/** `executor.build` that must succeed. */
export function build(
  { executor }: Node,
  transactions: readonly SignedTransaction[],
  { parent = executor.head.hash, time = TIME }: { parent?: Uint8Array; time?: number } = {},
) {
  const built = executor.build(parent, transactions, time)
  if (typeof built === 'string') throw new Error(built)
  return built
}

/** Builds and commits one block at `node`. */
export async function grow(
  node: Node,
  transactions: readonly SignedTransaction[],
  time = TIME,
  keys: readonly number[] = MEMBERS,
): Promise<SealedHeader> {
  const { sealed } = build(node, transactions, { time })
  await node.executor.commit(sealed.hash, certify(sealed, undefined, keys))
  return sealed
}

/** The change that makes key number `n` a member called `m<n>`. */
export const adding = (n: number): Change => ({
  kind: 'add',
  publicKey: key(n),
  name: `m${n}`,
  addresses: [],
  consent: sign('membership', CHAIN_ID, consentBytes(`m${n}`, []), secretKey(n)),
})

/** Two blocks at `node`: a change is proposed, then approved by a quorum, which ends the era. Members are key numbers, three or more. */
export async function endEra(node: Node, change: Change, keys: readonly number[] = MEMBERS): Promise<SealedHeader> {
  const { era, quorum } = node.executor.era
  const [first, ...others] = keys.slice(0, quorum) as [number, ...number[]]
  const payload = { era, change, expiresAt: TIME + 1_000_000, reason: '' }
  const proposal = signed('governance.propose', first, payload)
  await grow(node, [proposal], TIME, keys)
  const approvals = others.map((by) => signed('governance.approve', by, { proposal: proposal.transaction.id }))
  return grow(node, approvals, TIME, keys)
}

/** `sealed` with other fields. */
export const tampered = ({ header }: SealedHeader, over: Partial<Header>): SealedHeader =>
  sealHeader({ ...header, ...over })
