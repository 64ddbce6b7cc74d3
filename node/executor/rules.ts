/**
 * Rules of blocks that need no execution: what a header must say on top of its parent (agreement.md §4.1, ledger.md §4).
 * Invariant: a leader's headers are made from `expected`, and the same `expected` judges those of others.
 */
import type { Header } from '../../protocol/block.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import type { BlockExecution, SignedTransaction } from '../../protocol/execution.ts'
import { chainIdOf, type Genesis } from '../../protocol/genesis.ts'
import { frontierRoot } from '../../protocol/history.ts'
import { modulesHash } from '../../protocol/kinds/module/record.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { memberSetHash } from '../../protocol/members.ts'
import type { Code } from '../../protocol/verdict.ts'
import type { LedgerEra } from './era.ts'
import type { Tip } from './speculation.ts'

/** Header field `nextMemberSetHash` of a block that was executed. */
export const nextMemberSetHashOf = ({ nextEra }: Pick<BlockExecution, 'nextEra'>): Uint8Array | null =>
  nextEra === null ? null : memberSetHash(nextEra.memberSet)

/** The rules of one chain. */
export class HeaderRules {
  readonly #chainId: Uint8Array

  constructor(genesis: Genesis) {
    this.#chainId = chainIdOf(genesis)
  }

  /** The fields of a header on top of `parent` that follow from the chain alone. */
  expected(parent: Tip): Omit<Header, 'time' | 'treesRoot' | 'transactionCount' | 'stateRoot' | 'nextMemberSetHash'> {
    return {
      version: 1,
      chainId: this.#chainId,
      era: parent.era.era,
      height: parent.height + 1,
      parent: parent.hash,
      historyRoot: frontierRoot(parent.frontier),
      memberSetHash: parent.era.memberSetHash,
      modulesHash: modulesHash(parent.state, parent.height + 1),
    }
  }

  /** Whether the time of a block is further ahead of the clock `nowMs` than members of its era allow. */
  isAhead(header: Header, { memberSet }: Pick<LedgerEra, 'memberSet'>, nowMs: number): boolean {
    return header.time > nowMs + memberSet.parameters.clockDriftMs
  }

  /** What ends an era is known from executing it: the hash of the set that comes, exactly where a change was completed. */
  judgeEnd(header: Header, execution: BlockExecution): Code | null {
    const expected = nextMemberSetHashOf(execution)
    const { nextMemberSetHash: stated } = header
    const fits = expected === null || stated === null ? expected === stated : equalBytes(expected, stated)
    return fits ? null : 'BLOCK_MEMBER_SET'
  }

  /** All that can be said of a block without hashing or executing its transactions. */
  judge(header: Header, parent: Tip, transactions: readonly SignedTransaction[], nowMs: number): Code | null {
    const expected = this.expected(parent)
    if (header.height !== expected.height) return 'BLOCK_HEIGHT'
    if (header.era !== expected.era) return 'BLOCK_ERA'
    if (header.time < parent.time) return 'BLOCK_TIME'
    if (this.isAhead(header, parent.era, nowMs)) return 'BLOCK_TIME_AHEAD'
    if (!equalBytes(header.historyRoot, expected.historyRoot)) return 'BLOCK_HISTORY'
    if (!equalBytes(header.memberSetHash, expected.memberSetHash)) return 'BLOCK_MEMBER_SET'
    if (!equalBytes(header.modulesHash, expected.modulesHash)) return 'BLOCK_MODULES'
    if (header.transactionCount !== transactions.length || transactions.length > LIMITS.blockTransactionsMax)
      return 'BLOCK_COUNT'
    let length = 0
    for (const { transaction } of transactions) length += transaction.bytes.length
    return length > LIMITS.blockBytesMax ? 'BLOCK_TOO_LARGE' : null
  }
}
