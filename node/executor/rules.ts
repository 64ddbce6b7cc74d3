/**
 * Rules of blocks that need no execution: what a header must say on top of its parent (agreement.md §4.1, ledger.md §4).
 * Invariant: a leader's headers are made from `expected`, and the same `expected` judges those of others.
 */
import type { Header } from '../../protocol/block.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import type { SignedTransaction } from '../../protocol/execution.ts'
import { chainIdOf, type Genesis } from '../../protocol/genesis.ts'
import { frontierRoot } from '../../protocol/history.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { memberSetHash } from '../../protocol/members.ts'
import type { Code } from '../../protocol/verdict.ts'
import { NO_MODULES_HASH } from './genesisState.ts'
import type { Tip } from './speculation.ts'

/** The rules of one chain. */
export class HeaderRules {
  readonly #chainId: Uint8Array
  readonly #memberSetHash: Uint8Array
  readonly #clockDriftMs: number

  constructor(genesis: Genesis) {
    this.#chainId = chainIdOf(genesis)
    this.#memberSetHash = memberSetHash(genesis.memberSet)
    this.#clockDriftMs = genesis.memberSet.parameters.clockDriftMs
  }

  /** The fields of a header on top of `parent` that follow from the chain alone. */
  expected(parent: Tip): Omit<Header, 'time' | 'treesRoot' | 'transactionCount' | 'stateRoot'> {
    return {
      version: 1,
      chainId: this.#chainId,
      era: parent.era,
      height: parent.height + 1,
      parent: parent.hash,
      historyRoot: frontierRoot(parent.frontier),
      memberSetHash: this.#memberSetHash,
      nextMemberSetHash: null,
      modulesHash: NO_MODULES_HASH,
    }
  }

  /** Whether the time of a block is further ahead of the clock `nowMs` than members allow. */
  isAhead(header: Header, nowMs: number): boolean {
    return header.time > nowMs + this.#clockDriftMs
  }

  /** All that can be said of a block without hashing or executing its transactions. */
  judge(header: Header, parent: Tip, transactions: readonly SignedTransaction[], nowMs: number): Code | null {
    const expected = this.expected(parent)
    if (header.height !== expected.height) return 'BLOCK_HEIGHT'
    if (header.era !== expected.era) return 'BLOCK_ERA'
    if (header.time < parent.time) return 'BLOCK_TIME'
    if (this.isAhead(header, nowMs)) return 'BLOCK_TIME_AHEAD'
    if (!equalBytes(header.historyRoot, expected.historyRoot)) return 'BLOCK_HISTORY'
    if (!equalBytes(header.memberSetHash, expected.memberSetHash)) return 'BLOCK_MEMBER_SET'
    // No kind of transaction changes the member set, so no block can end an era.
    if (header.nextMemberSetHash !== null) return 'BLOCK_MEMBER_SET'
    if (!equalBytes(header.modulesHash, expected.modulesHash)) return 'BLOCK_MODULES'
    if (header.transactionCount !== transactions.length || transactions.length > LIMITS.blockTransactionsMax)
      return 'BLOCK_COUNT'
    let length = 0
    for (const { transaction } of transactions) length += transaction.bytes.length
    return length > LIMITS.blockBytesMax ? 'BLOCK_TOO_LARGE' : null
  }
}
