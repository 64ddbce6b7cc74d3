/**
 * Inspecting: the reading half of the API over the data directory of a stopped member, on loopback. Stage: BKVS → explorer.
 * Invariants: it holds the lock of the directory, so that no daemon and no second inspection runs on it; nothing is written to the ledger and
 * nothing is taken in; no link to any member is made, no key but the token secret is read.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { toHex } from '../../protocol/bytes.ts'
import { chainIdOf, type Genesis } from '../../protocol/genesis.ts'
import { createApi } from '../api/api.ts'
import type { ApiDependencies, JsonObject } from '../api/dependencies.ts'
import type { TokenRules } from '../api/token.ts'
import { backupOf } from '../backup/format.ts'
import { installNativePrimitives } from '../crypto/native.ts'
import { AlthingError } from '../errors.ts'
import { Executor } from '../executor/executor.ts'
import { ledgerQueries } from '../service/ledgerQueries.ts'
import { type LedgerStore, openLedger } from '../store/ledgerStore.ts'
import { openLevel } from '../store/level.ts'
import { lockDirectory } from '../store/lock.ts'
import { althingVersion } from '../version.ts'

/** What an inspection is opened with. `port` 0 takes a free one. */
export type InspectionOptions = TokenRules & {
  readonly dataDirectory: string
  readonly genesis: Genesis
  readonly port: number
  readonly requestsPerMinuteMax: number
}

/** A running inspection. */
export type Inspection = { readonly url: string; readonly height: number; close(): Promise<void> }

/**
 * Opens the ledger, checks that its state is that of its head, and answers on loopback until `close`. Throws AlthingError STORE_LOCKED while
 * a daemon runs, STORE_MISSING, STORE_CORRUPT, STORE_WRONG_CHAIN, API_LISTEN.
 */
export async function openInspection(options: InspectionOptions): Promise<Inspection> {
  installNativePrimitives()
  const { dataDirectory, genesis, port } = options
  const closers: (() => Promise<unknown>)[] = []
  const close = async (): Promise<void> => {
    for (const one of closers.splice(0).reverse()) await one()
  }
  try {
    const lock = await lockDirectory(dataDirectory)
    closers.push(() => lock.release())
    const store = await openLevel(join(dataDirectory, 'ledger'), { mode: 'open' })
    closers.push(() => store.close())
    const ledger = openLedger(store, { chainId: chainIdOf(genesis) })
    const executor = await Executor.open(genesis, ledger, { speculationsMax: 2 })
    const api = createApi(
      {
        ...options,
        listen: { host: '127.0.0.1', port },
        bodyBytesMax: 1024 * 1024,
        requestTimeoutMs: 30_000,
      },
      dependenciesOf(genesis, ledger, executor),
    )
    await api.listen()
    closers.push(() => api.close())
    return { url: api.url, height: executor.head.height, close }
  } catch (error) {
    await close()
    throw error
  }
}

function dependenciesOf(genesis: Genesis, ledger: LedgerStore, executor: Executor): ApiDependencies {
  const version = althingVersion()
  const chainId = chainIdOf(genesis)
  const readOnly = (): never => {
    throw new AlthingError('INSPECT_READ_ONLY', 'a stopped directory is inspected: nothing is taken in')
  }
  const status = (): JsonObject => {
    const { height, hash, time } = executor.head
    const { firstHeight, firstBody } = ledger
    return {
      inspected: true,
      version,
      network: genesis.network,
      chainId: toHex(chainId),
      ...{ height, headHash: toHex(hash), headTime: time },
      ledger: { firstHeight, firstBody, snapshots: [], joining: null },
      state: { entries: executor.usage.entries },
      era: executor.era.era,
      members: executor.era.memberSet.members.map(({ name, publicKey }) => ({ name, publicKey: toHex(publicKey) })),
    }
  }
  return {
    ...ledgerQueries(genesis, { executor, pool: { get: () => undefined }, refusedOf: () => undefined }),
    chainId,
    version,
    now: () => Date.now(),
    randomNonce: () => Uint8Array.from(randomBytes(16)),
    signingKey: () => undefined,
    submit: async () => readOnly(),
    waitFor: async () => ({ outcome: 'timeout' }),
    status: async () => status(),
    backup: () => backupOf(genesis, ledger.everything()),
    recentLog: () => [],
    metrics: async () => ({
      contentType: 'text/plain; charset=utf-8',
      text: '# A stopped directory has no metrics.\n',
    }),
    health: async () => [
      { name: 'database', needed: 'alive', ok: true, detail: 'open' },
      {
        name: 'inspection',
        needed: 'ready',
        ok: false,
        detail: 'a stopped directory is inspected: nothing is taken in',
      },
    ],
    subscribe: () => ({ replay: [], gap: null, close() {} }),
  }
}
