/**
 * The ledgers of stopped members: each is whole by the rules of `althing db check`, and its state is what a naive machine makes of the blocks, era by
 * era. Blocks that one has dropped, or never had, are taken from another that has the same chain.
 */
import { decodeBody } from '../../node/executor/body.ts'
import { checkLedger } from '../../node/store/check.ts'
import type { KeyValueStore } from '../../node/store/store.ts'
import { decodeHeader } from '../../protocol/block.ts'
import { equalBytes, toHex } from '../../protocol/bytes.ts'
import { sha3 } from '../../protocol/crypto.ts'
import { BlockExecution, readTransaction } from '../../protocol/execution.ts'
import { chainIdOf, type Genesis } from '../../protocol/genesis.ts'
import { readEra } from '../../protocol/kinds/governance/record.ts'
import { genesisEntries } from '../../protocol/kinds/key/record.ts'
import { memberIndex, memberSetHash, quorumSizes } from '../../protocol/members.ts'
import { encodeEntry, keyHashOf, valueHashOf } from '../../protocol/state/entry.ts'
import { naiveStateRoot } from '../protocol/state/reference.ts'
import type { Read } from './clients.ts'
import { LEDGER, type Machine } from './machine.ts'

type Held = {
  readonly machine: Machine
  readonly store: KeyValueStore
  readonly height: number
  readonly headers: ReadonlyMap<number, Uint8Array>
}

/** Buckets, written out: what the disk holds is read here without the product's help. */
const [HEADERS, BODIES, STATE] = [1, 3, 5]

/** Looks at the ledgers of `machines` and at what was read from them, and says what is wrong. */
export async function checkLedgers(
  genesis: Genesis,
  machines: readonly Machine[],
  reads: readonly Read[],
  violation: (text: string) => void,
): Promise<void> {
  const all: Held[] = []
  for (const machine of machines) {
    const store = machine.disk.peek(LEDGER)
    if (store === undefined) {
      if (machine.runs > 0) violation(`${machine.place} has no ledger`)
      continue
    }
    const headers = new Map<number, Uint8Array>()
    for await (const [key, value] of store.iterate({ gte: Uint8Array.of(HEADERS), lt: Uint8Array.of(HEADERS + 1) }))
      headers.set(Number(Buffer.from(key).readBigUInt64BE(1)), value)
    const height = [...headers.keys()].reduce((most, one) => Math.max(most, one), 0)
    all.push({ machine, store, height, headers })
    // Ancestors are written before the block whose certificate commits them: whoever ends in between has a last block without one.
    for (const problem of await problemsOf(genesis, store))
      if (!problem.endsWith('the last block has no commit certificate'))
        violation(`ledger of ${machine.place}: ${problem}`)
  }
  // One replay for all who hold the same chain.
  const waiting = new Set(all)
  for (const longest of all.toSorted((a, b) => b.height - a.height)) {
    if (!waiting.has(longest)) continue
    const same = [...waiting].filter(({ height, headers }) => {
      const [own, other] = [headers.get(height), longest.headers.get(height)]
      return height === 0 || (own !== undefined && other !== undefined && equalBytes(own, other))
    })
    for (const held of same) waiting.delete(held)
    const replay = new Replay(genesis, same, waiting.size + same.length === all.length ? reads : [])
    for (const held of same.toSorted((a, b) => a.height - b.height)) {
      const problem = replay.goOn(held.height) ?? (await replay.compare(held))
      if (problem === null) continue
      violation(problem)
      break
    }
  }
}

const problemsOf = (genesis: Genesis, store: KeyValueStore): Promise<string[]> =>
  checkLedger(store, {
    chainId: chainIdOf(genesis),
    transactionIdsOf(body) {
      const transactions = decodeBody(body)
      if (typeof transactions === 'string') throw new Error(transactions)
      return transactions.map(sha3)
    },
  })

/** The naive machine: a map, and the blocks one after the other. */
class Replay {
  readonly #chainId: Uint8Array
  readonly #held: readonly Held[]
  readonly #state: Map<string, Uint8Array>
  readonly #heights: Map<string, number>
  readonly #reads: ReadonlyMap<number, readonly Read[]>
  /** Signer and nonce → validUntil. */
  readonly #used = new Map<string, number>()
  #height = 0
  #root: Uint8Array | undefined

  /** `held`: ledgers of one chain, together with all of its bodies; `reads`: what was read of it. */
  constructor(genesis: Genesis, held: readonly Held[], reads: readonly Read[]) {
    this.#reads = Map.groupBy(reads, ({ height }) => height)
    this.#chainId = chainIdOf(genesis)
    this.#held = held
    this.#state = new Map(genesisEntries(genesis))
    this.#heights = new Map([...this.#state.keys()].map((key) => [key, 0]))
  }

  /** Up to `height`; what is wrong on the way, or null. */
  goOn(height: number): string | null {
    while (this.#height < height) {
      const problem = this.#next(this.#height + 1)
      if (problem !== null) return problem
      this.#height++
    }
    return null
  }

  #next(height: number): string | null {
    const encoded = this.#held.map(({ headers }) => headers.get(height)).find((one) => one !== undefined)
    const body = this.#held
      .map(({ store }) => store.getSync(bucketKey(BODIES, height)))
      .find((one) => one !== undefined)
    if (encoded === undefined || body === undefined) return `nobody has block ${height} any more`
    const { header } = decodeHeader(encoded)
    const state = this.#state
    const { era, memberSet } = readEra({ get: (key) => state.get(key) })
    if (header.era !== era || !equalBytes(header.memberSetHash, memberSetHash(memberSet)))
      return `block ${height} is of era ${header.era}, the state says ${era}, or of other members`
    const block = {
      ...{
        chainId: this.#chainId,
        era,
        memberSet,

        members: memberIndex(memberSet),
        height,
      },
      time: header.time,
      quorum: quorumSizes(memberSet.members.length, memberSet.parameters.percent).q,
    }
    const execution = new BlockExecution({ block, state, entries: state.size, seen: () => false })
    const transactions = decodeBody(body)
    if (typeof transactions === 'string') return `body ${height}: ${transactions}`
    for (const bytes of transactions) {
      const signed = readTransaction(bytes, this.#chainId)
      if (typeof signed === 'string' || execution.apply(signed) !== null)
        return `block ${height} holds what cannot be applied`
      const { nonce, validUntil } = signed.transaction
      const name = `${toHex(signed.signer)} ${toHex(nonce)}`
      if ((this.#used.get(name) ?? 0) >= header.time) return `block ${height} holds a transaction that counted before`
      this.#used.set(name, validUntil)
    }
    execution.end()
    for (const [key, value] of execution.state.changes()) {
      this.#heights.set(key, height)
      if (value === null) state.delete(key)
      else state.set(key, value)
    }
    for (const { key, value, by } of this.#reads.get(height) ?? []) {
      const own = execution.state.changes().get(key)
      if (own === undefined || own === null || !equalBytes(own, value))
        return `${by} showed a value of ${key} that block ${height} did not write`
    }
    const next = readEra({ get: (key) => state.get(key) })
    if (next.era > era !== (header.nextMemberSetHash !== null))
      return `block ${height} does not say whether it ends its era`
    this.#root = header.stateRoot
    return null
  }

  /** What in the state of a ledger at this height is not what the blocks make of it, or null. */
  async compare({ machine: { place }, store }: Held): Promise<string | null> {
    const leaves = new Map<string, Uint8Array>()
    let entries = 0
    for await (const [key, entry] of store.iterate({ gte: Uint8Array.of(STATE), lt: Uint8Array.of(STATE + 1) })) {
      entries++
      const name = Buffer.from(key.subarray(1)).toString('utf8')
      const value = this.#state.get(name)
      const expected = value && encodeEntry({ height: this.#heights.get(name) ?? 0, value })
      if (expected === undefined || !equalBytes(entry, expected))
        return `state of ${place}: ${name} is not what the blocks make of it`
      leaves.set(toHex(keyHashOf(name)), valueHashOf(entry))
    }
    if (entries !== this.#state.size)
      return `state of ${place}: ${entries} entries, the blocks make ${this.#state.size} at ${this.#height}`
    if (this.#root !== undefined && !equalBytes(naiveStateRoot(leaves), this.#root))
      return `state of ${place}: the root is not that of its entries`
    return null
  }
}

function bucketKey(bucket: number, height: number): Uint8Array {
  const key = new Uint8Array(9)
  key[0] = bucket
  new DataView(key.buffer).setBigUint64(1, BigInt(height))
  return key
}
