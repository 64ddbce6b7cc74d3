/** The data directory of a stopped member with a real ledger in it, signed by the consortium of test/node/executor/world.ts. */
import { join } from 'node:path'
import { createDataDirectory } from '../../node/dataDirectory.ts'
import { Executor } from '../../node/executor/executor.ts'
import { openLedger } from '../../node/store/ledgerStore.ts'
import { openLevel } from '../../node/store/level.ts'
import type { SignedTransaction } from '../../protocol/execution.ts'
import { CHAIN_ID, certify, GENESIS, type Node, put, TIME } from './executor/world.ts'

/** Goes on in the ledger of a stopped member. */
export async function withMember(directory: string, use: (node: Node) => Promise<void>): Promise<void> {
  const store = await openLevel(join(directory, 'ledger'), { mode: 'open' })
  const ledger = openLedger(store, { chainId: CHAIN_ID })
  await use({
    store: undefined as never,
    ledger,
    executor: await Executor.open(GENESIS, ledger, { speculationsMax: 8 }),
  })
  await store.close()
}

/** Writes a member with `heights` blocks into `directory`; its transactions, one a block. */
export async function writeMember(directory: string, heights: number): Promise<SignedTransaction[]> {
  await createDataDirectory(directory, GENESIS)
  const store = await openLevel(join(directory, 'ledger'), { mode: 'open', writeBufferBytes: 256 * 1024 })
  const ledger = openLedger(store, { chainId: CHAIN_ID })
  const executor = await Executor.open(GENESIS, ledger, { speculationsMax: 8 })
  const transactions: SignedTransaction[] = []
  for (let height = 1; height <= heights; height++) {
    const transaction = put(`key/${height}`, height & 255)
    transactions.push(transaction)
    const built = executor.build(executor.head.hash, [transaction], TIME)
    if (typeof built === 'string') throw new Error(built)
    await executor.commit(built.sealed.hash, certify(built.sealed))
  }
  await store.close()
  return transactions
}
