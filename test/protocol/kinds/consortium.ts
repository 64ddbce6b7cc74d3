/**
 * A consortium for tests of the state machine: four members with one API key each, a state in a map, and transactions without
 * signatures (who signed is given), so that tests are about rules and not about keys.
 */
import { compareBytes, toHex } from '../../../protocol/bytes.ts'
import { publicKeyOf } from '../../../protocol/crypto.ts'
import {
  BlockExecution,
  Overlay,
  type Seen,
  type SignedTransaction,
  type Surroundings,
} from '../../../protocol/execution.ts'
import type { Genesis } from '../../../protocol/genesis.ts'
import { firstEra, readEra } from '../../../protocol/kinds/governance/record.ts'
import { genesisEntries } from '../../../protocol/kinds/key/record.ts'
import type { BlockContext } from '../../../protocol/kinds/kind.ts'
import { KINDS } from '../../../protocol/kinds/table.ts'
import { memberIndex, quorumSizes } from '../../../protocol/members.ts'
import { addressOf } from '../../../protocol/signature.ts'
import type { Code } from '../../../protocol/verdict.ts'

/** Secret key number `n`, 1 … 255. */
export const secretKey = (n: number): Uint8Array => new Uint8Array(32).fill(n)
/** Public key of `secretKey(n)`. */
export const key = (n: number): Uint8Array => publicKeyOf(secretKey(n))
/** Address of that key, hexadecimal. */
export const address = (n: number): string => toHex(addressOf(key(n)))

export const MEMBERS = [1, 2, 3, 4]
export const API_KEYS = [11, 12, 13, 14]
/** Threshold 500 000, patience 3, initial trust 800 000; q = 3. */
export const GENESIS: Genesis = {
  format: 1,
  network: 'test',
  createdAt: 0,
  memberSet: {
    members: MEMBERS.map((n) => ({ name: `m${n}`, publicKey: key(n) })),
    parameters: {
      percent: 51,
      deltaMs: 100,
      termBlocks: 10,
      heartbeatMs: 100,
      bodyAllowanceMs: 0,
      timeoutDoublingsMax: 3,
      inclusionTimeoutMs: 1000,
      clockDriftMs: 100,
      trustThresholdPpm: 500_000,
      trustPatience: 3,
      trustInitialPpm: 800_000,
      trustMinRaters: 3,
      trustFreshnessMs: 60_000,
    },
  },
  apiKeys: API_KEYS.map((n) => [toHex(key(n))]),
  modules: [],
}
export const TIME = 10_000_000
export const CHAIN = new Uint8Array(32).fill(9)

/** Context of a block at `height`, in the first era unless another is given. */
export const blockAt = (height: number, time = TIME, present = firstEra(GENESIS.memberSet)): BlockContext => ({
  chainId: CHAIN,
  height,
  time,
  era: present.era,
  memberSet: present.memberSet,
  members: memberIndex(present.memberSet),
  quorum: quorumSizes(present.memberSet.members.length, present.memberSet.parameters.percent).q,
})

let counter = 0
/** A transaction of `kind` by key number `signer`, valid for a minute; what is in `over` takes the place of the usual. */
export function make(
  kind: string,
  signer: number,
  payload: unknown,
  over: Partial<SignedTransaction['transaction']> = {},
): SignedTransaction {
  counter++
  const id = new Uint8Array(32)
  new DataView(id.buffer).setUint32(0, counter)
  const row = KINDS.get(kind)
  const encoded = row === undefined ? null : row.payload.to(payload)
  return {
    signer: key(signer),
    transaction: {
      id,
      bytes: id,
      body: id,
      signature: new Uint8Array(65),
      kind,
      payload: encoded,
      nonce: id.slice(0, 16),
      validUntil: TIME + 60_000,
      ...over,
    },
  }
}

/** A chain that commits one transaction per block. */
export class Chain {
  readonly entries = new Map<string, Uint8Array>(genesisEntries(GENESIS))
  height = 0
  time = TIME
  seen: Seen = () => false

  get(key: string): Uint8Array | undefined {
    return this.entries.get(key)
  }

  surroundings(): Surroundings {
    const block = blockAt(this.height + 1, this.time, readEra(this.entries))
    return { block, state: this.entries, entries: this.entries.size, seen: this.seen }
  }

  /** Applies one transaction in a block of its own. */
  apply(transaction: SignedTransaction): Code | null {
    return this.block(transaction)[0] as Code | null
  }

  /** Applies all `transactions` in one block. */
  block(...transactions: SignedTransaction[]): (Code | null)[] {
    const execution = new BlockExecution(this.surroundings())
    const codes = transactions.map((transaction) => execution.apply(transaction))
    execution.end()
    this.#commit(execution)
    return codes
  }

  #commit(execution: BlockExecution): void {
    this.height++
    for (const [key, value] of execution.state.changes()) {
      if (value === null) this.entries.delete(key)
      else this.entries.set(key, value)
    }
  }

  /** Shorthand of `apply(make(…))`. */
  run(kind: string, signer: number, payload: unknown): Code | null {
    return this.apply(make(kind, signer, payload))
  }

  /** The state as text, to compare. */
  picture(): string[] {
    return [...this.entries].map(([key, value]) => `${key}=${toHex(value)}`).sort()
  }

  /** An overlay over this state. */
  overlay(): Overlay {
    return new Overlay(this.entries)
  }
}

/** Registration of device number `n`. */
export const registration = (n: number, mode: 'enforce' | 'observe' = 'enforce') => ({
  publicKey: key(n),
  hardwareId: `hw-${n}`,
  manufacturer: 'Acme',
  model: 'RTU 5',
  firmware: '1.0',
  capabilities: ['modbus.read'],
  segment: 'zone 1',
  mode,
})
/** Id of device number `n`, 20 bytes. */
export const deviceBytes = (n: number): Uint8Array => addressOf(key(n))
/** A score of device number `n`. */
export const score = (n: number, scorePpm: number) => ({
  device: deviceBytes(n),
  scorePpm,
  evidence: [new Uint8Array(32).fill(n)],
  model: 'lof 1',
})
/** A request to blacklist device number `n`. */
export const blacklisting = (n: number, finalScorePpm = 100_000, thresholdPpm = 400_000) => ({
  device: deviceBytes(n),
  finalScorePpm,
  thresholdPpm,
  anomalies: [new Uint8Array(32).fill(5)],
  reason: 'firmware of unknown origin',
})
/** A report about device number `n` with one event. */
export const report = (n: number, scorePpm = 250_000, category = 'process.unknown') => ({
  device: deviceBytes(n),
  observedAt: 1,
  events: [{ category, severityPpm: 500_000, confidencePpm: 500_000, scorePpm, detail: 'nc' }],
  features: new Uint8Array(8),
  model: null,
  scores: [],
})
/** Opinions as a payload: device number → trust, formed at `observedAt` (ms). */
export const opinions = (trust: Readonly<Record<number, number>>, observedAt: number) => ({
  opinions: Object.entries(trust)
    .map(([n, trustPpm]) => ({ device: deviceBytes(Number(n)), trustPpm, observedAt }))
    .sort((a, b) => compareBytes(a.device, b.device)),
})
