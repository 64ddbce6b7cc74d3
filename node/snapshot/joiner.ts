/**
 * Joining by snapshot: a member that is far behind takes the state of one committed height from the others, and the blocks of the last hour
 * before it, instead of all blocks since the genesis. Stage: BKVS of the others → ledger.
 * Invariants: nothing is written that was not checked against a header with a commit certificate, whoever sent it; who sends what does not
 * lead there is penalised and asked no more, and what others sent stays; after a kill it goes on where it was; memory is a few chunks.
 */
import { decodeHeader, type SealedHeader } from '../../protocol/block.ts'
import { equalBytes, toHex } from '../../protocol/bytes.ts'
import { type Codec, decodeAs, encodeAs } from '../../protocol/codec.ts'
import type { Genesis } from '../../protocol/genesis.ts'
import { frontierRoot } from '../../protocol/history.ts'
import type { PublicKeyHex } from '../../protocol/members.ts'
import type { Transaction } from '../../protocol/transaction.ts'
import type { Clock } from '../clock.ts'
import { isAlthingError } from '../errors.ts'
import type { Network } from '../network/network.ts'
import type { Pace } from '../steps.ts'
import { replaySince } from '../store/replayWindow.ts'
import type { KeyValueStore } from '../store/store.ts'
import { blocksAnswer, blocksQuestion, EXCHANGE_LIMITS, headersAnswer, headersQuestion } from '../sync/serve.ts'
import { memberSetIn, SNAPSHOT_LIMITS, type VerifiedManifest, verifyChunk, verifyManifest } from './manifest.ts'
import { chunkQuestion, type Holding, isMissing, ledgerAnswer, ledgerQuestion, snapshotQuestion } from './serve.ts'
import { Staging } from './staging.ts'
import { wholeBlock } from './wholeBlock.ts'

/** What a joiner works with. */
export type JoinerDependencies = {
  readonly chainId: Uint8Array
  /** What the eras are followed from. */
  readonly genesis: Pick<Genesis, 'memberSet'>
  readonly network: Pick<Network, 'request' | 'penalize'>
  /** Whoever may hold a snapshot and answers this node. */
  readonly sources: () => readonly PublicKeyHex[]
  readonly clock: Pick<Clock, 'after' | 'monotonic'>
  readonly pace: Pick<Pace, 'breathe'>
  /** Height of this member's own ledger. */
  readonly head: () => number
  /** Opens the ledger that is built, or makes it; `anew` removes what there is. */
  readonly openStaging: (anew: boolean) => Promise<KeyValueStore>
  /** Whether enough of the disk is free to write to it. */
  readonly hasRoom: () => Promise<boolean>
  /** Gives the whole ledger its name, by which it replaces the other one at the next start. */
  readonly settle: () => Promise<void>
  readonly signers: (transactions: readonly Transaction[]) => Promise<(Uint8Array | undefined)[]>
  readonly log: { info(fields: object, message: string): void; warn(fields: object, message: string): void }
}

/** How far it is: chunks of the state and whole blocks, of how many. */
export type JoinProgress = {
  readonly height: number
  readonly chunks: number
  readonly chunksMissing: number
  readonly blocks: number
  readonly blocksMissing: number
}

/** How much a snapshot must be ahead of a ledger to be worth it, blocks: fewer are fetched and executed as fast. */
export const JOIN_GAIN_MIN = 256
/** Chunks asked of one member at the same time. */
const WORKERS_PER_PEER = 2
const ASK_TIMEOUT_MS = 30_000
const FAILURES_MAX = 3
const PAUSE_MS = 500
/** Rounds without anyone who has the snapshot before another is looked for. */
const LONELY_ROUNDS_MAX = 20
const LOG_EVERY_MS = 5000

/** Joins once. */
export class Joiner {
  readonly #deps: JoinerDependencies
  readonly #gainMin: number
  readonly #liars = new Set<PublicKeyHex>()
  #progress: JoinProgress | undefined
  #loggedAt = Number.NEGATIVE_INFINITY
  #stopped = false
  #turn = 0

  constructor(deps: JoinerDependencies, { gainMin = JOIN_GAIN_MIN }: { gainMin?: number } = {}) {
    this.#deps = deps
    this.#gainMin = gainMin
  }

  /** How far it is, while it joins. */
  get progress(): JoinProgress | undefined {
    return this.#progress
  }

  stop(): void {
    this.#stopped = true
  }

  /**
   * Joins if the others hold a snapshot that is far ahead of this ledger, or nobody has the next block any more; true once the new ledger is
   * whole and has its name, false where there is nothing to join. Resolves early after `stop`. Failures of the disk are thrown.
   */
  async join(): Promise<boolean> {
    try {
      while (!this.#stopped) {
        const holdings = await this.#holdings()
        if (!this.#isWorthwhile(holdings)) return false
        const found = await this.#choose(holdings)
        if (found === undefined) return false
        if (await this.#take(found)) return true
      }
      return false
    } finally {
      this.#progress = undefined
    }
  }

  #isWorthwhile(holdings: ReadonlyMap<PublicKeyHex, Holding>): boolean {
    const head = this.#deps.head()
    const best = Math.max(0, ...[...holdings.values()].flatMap(({ snapshots }) => snapshots))
    // More than half of the chain is missing. Else the blocks are fetched: nobody shall lose old blocks by having been away.
    if (head < best / 2 && best - head >= this.#gainMin) return true
    const nobodyHasNext = holdings.size > 0 && [...holdings.values()].every(({ firstBody }) => firstBody > head + 1)
    if (nobodyHasNext && best <= head)
      this.#deps.log.warn({ height: head + 1 }, 'no member holds the next block any more, and none has a snapshot')
    return nobodyHasNext && best > head
  }

  /** The snapshot that was begun if someone still has it, else the highest that leads to its state root. */
  async #choose(
    holdings: ReadonlyMap<PublicKeyHex, Holding>,
  ): Promise<{ snapshot: VerifiedManifest; staging: Staging; from: PublicKeyHex | undefined } | undefined> {
    const { openStaging } = this.#deps
    const heights = new Set([...holdings.values()].flatMap(({ snapshots }) => snapshots))
    const store = await openStaging(false)
    const begun = Staging.manifestIn(store)
    const snapshot = begun && this.#verify(begun, heights)
    if (begun !== undefined && snapshot !== undefined)
      return { snapshot, staging: await this.#open(store, snapshot, begun), from: undefined }
    await store.close()
    for (const height of [...heights].sort((a, b) => b - a))
      for (const [peer, { snapshots }] of holdings) {
        if (!snapshots.includes(height) || height <= this.#deps.head()) continue
        const data = await this.#ask(peer, 'snapshot', encodeAs(snapshotQuestion, { height }))
        if (data === undefined || isMissing(data)) continue
        const offered = this.#verify(data, new Set([height]))
        if (offered === undefined) this.#lied(peer)
        else {
          const staging = await this.#open(await openStaging(true), offered, data)
          return { snapshot: offered, staging, from: peer }
        }
      }
    return undefined
  }

  #open(store: KeyValueStore, snapshot: VerifiedManifest, data: Uint8Array): Promise<Staging> {
    return Staging.open(store, snapshot, data, this.#deps.chainId)
  }

  #verify(data: Uint8Array, heights: ReadonlySet<number>): VerifiedManifest | undefined {
    const { chainId, genesis } = this.#deps
    for (const height of heights) {
      const verified = verifyManifest(data, height, chainId, genesis)
      if (verified !== undefined) return verified
    }
    return undefined
  }

  /** Fetches all of one snapshot; false where it has to be given up. The staging is closed in any case. */
  async #take({
    snapshot,
    staging,
    from,
  }: {
    snapshot: VerifiedManifest
    staging: Staging
    from: PublicKeyHex | undefined
  }): Promise<boolean> {
    const { manifest, sealed } = snapshot
    const { height } = sealed.header
    const { log, settle } = this.#deps
    log.info({ height, entries: manifest.entries, chunks: snapshot.parts.length }, 'joining by a snapshot')
    try {
      if (!(await this.#takeHeaders(snapshot, staging, from))) return false
      if (!(await this.#takeChunks(snapshot, staging))) return false
      if (!(await this.#takeBlocks(snapshot, staging))) return false
      await staging.finish()
    } finally {
      await staging.close()
    }
    if (height <= this.#deps.head()) {
      log.info({ height, head: this.#deps.head() }, 'the blocks were there before the snapshot: it is not needed')
      return false
    }
    await settle()
    log.info({ height, hash: toHex(sealed.hash).slice(0, 16) }, 'the snapshot is whole')
    return true
  }

  /** Headers from the snapshot's down to the first block that is taken whole, and whether the history log below it is what they say. */
  async #takeHeaders(
    { manifest, sealed }: VerifiedManifest,
    staging: Staging,
    from: PublicKeyHex | undefined,
  ): Promise<boolean> {
    const { firstHeight, peaks } = manifest
    await staging.putHeaders([sealed])
    let lowest = sealed
    while (lowest.header.height > firstHeight) {
      const known = staging.header(lowest.header.height - 1)
      if (known !== undefined && equalBytes(known.hash, lowest.header.parent)) {
        lowest = known
        continue
      }
      const count = Math.min(EXCHANGE_LIMITS.headersMax, lowest.header.height - firstHeight)
      const question = encodeAs(headersQuestion, { hash: lowest.header.parent, count })
      const chain = await this.#fromAnyone(sealed.header.height, 'headers', question, (data) =>
        linkedBelow(lowest, decodeAs(headersAnswer, data)),
      )
      if (chain === undefined) return false
      await staging.putHeaders(chain)
      lowest = chain.at(-1) as SealedHeader
    }
    const first = lowest.header
    const isWhole = firstHeight === 1 || first.time < replaySince(sealed.header.time)
    if (isWhole && equalBytes(frontierRoot({ size: firstHeight, peaks }), first.historyRoot)) {
      await staging.beginHistory()
      return true
    }
    // Nothing but the manifest says where to begin; the rest of it may be true.
    if (from !== undefined) this.#lied(from)
    await staging.close()
    await (await this.#deps.openStaging(true)).close()
    return false
  }

  async #takeChunks(snapshot: VerifiedManifest, staging: Staging): Promise<boolean> {
    const { height } = snapshot.sealed.header
    for (let lonely = 0; !this.#stopped; ) {
      const missing = await staging.missingChunks()
      this.#report(snapshot, staging, missing.length)
      if (missing.length === 0) return true
      const peers = [...(await this.#holdings())].flatMap(([peer, { snapshots }]) =>
        snapshots.includes(height) ? [peer] : [],
      )
      lonely = peers.length === 0 ? lonely + 1 : 0
      if (lonely > LONELY_ROUNDS_MAX) return false
      const workers = peers.flatMap((peer) => Array<PublicKeyHex>(WORKERS_PER_PEER).fill(peer))
      await Promise.all(workers.map((peer) => this.#takeChunksFrom(peer, missing, snapshot, staging)))
      await this.#pause()
    }
    return false
  }

  /** One of several at work on `missing`: takes from it, and puts back what it did not get. */
  async #takeChunksFrom(
    peer: PublicKeyHex,
    missing: number[],
    snapshot: VerifiedManifest,
    staging: Staging,
  ): Promise<void> {
    const { height } = snapshot.sealed.header
    for (let failures = 0; !this.#stopped && !this.#liars.has(peer) && failures < FAILURES_MAX; ) {
      const part = missing.pop()
      if (part === undefined) return
      const data = await this.#ask(peer, 'snapshot-chunk', encodeAs(chunkQuestion, { height, part }))
      const entries = data === undefined || isMissing(data) ? undefined : verifyChunk(data, part, snapshot)
      if (entries !== undefined) {
        await this.#room()
        await staging.putChunk(part, entries)
        this.#report(snapshot, staging, missing.length)
        continue
      }
      missing.push(part)
      failures++
      if (data !== undefined && !isMissing(data)) this.#lied(peer)
      else await this.#pause()
    }
  }

  async #takeBlocks(snapshot: VerifiedManifest, staging: Staging): Promise<boolean> {
    const { manifest, sealed } = snapshot
    const { signers, chainId } = this.#deps
    const { height } = sealed.header
    for (;;) {
      const next = Math.max(manifest.firstHeight, staging.wholeHeight + 1)
      this.#report(snapshot, staging, 0)
      if (next > height) return true
      const question = encodeAs(blocksQuestion, { from: next })
      const taken = await this.#fromAnyone(next, 'blocks', question, async (data) => {
        const blocks = decodeAs(blocksAnswer, data)
        for (const [i, sent] of blocks.entries()) {
          if (next + i > height) break
          const header = staging.header(next + i) as SealedHeader
          // The certificate of the snapshot's own block stands in the manifest.
          const certificate = next + i === height ? manifest.certificate : sent.certificate
          const memberSet = memberSetIn(snapshot, header)
          const block = await wholeBlock({ ...sent, certificate }, header, { signers, chainId, memberSet })
          if (block === undefined) return undefined
          await this.#room()
          await staging.putBlock(block)
          await this.#deps.pace.breathe()
        }
        return blocks.length > 0
      })
      if (taken !== true) return false
    }
  }

  /**
   * Asks one member after the other until `read` makes something of an answer. Where it throws or makes nothing of it, the member is penalised;
   * false counts as nothing there. undefined when all were asked in vain for a while, or after `stop`.
   */
  async #fromAnyone<T>(
    height: number,
    name: string,
    question: Uint8Array,
    read: (data: Uint8Array) => Answered<T> | Promise<Answered<T>>,
  ): Promise<T | undefined> {
    for (let round = 0; round < LONELY_ROUNDS_MAX && !this.#stopped; round++) {
      for (const [peer, holding] of await this.#holdings()) {
        if (this.#stopped || holding.height < height) continue
        const data = await this.#ask(peer, name, question)
        if (data === undefined) continue
        const found = await attempt(read, data)
        if (found === undefined) this.#lied(peer)
        else if (found !== false) return found
      }
      await this.#pause()
    }
    return undefined
  }

  /** What those who answer say they hold, in an order that changes. */
  async #holdings(): Promise<Map<PublicKeyHex, Holding>> {
    const peers = this.#deps.sources().filter((peer) => !this.#liars.has(peer))
    const answers = await Promise.all(
      peers.map(async (peer) => {
        const data = await this.#ask(peer, 'ledger', encodeAs(ledgerQuestion, {}))
        return [peer, data && decoded(ledgerAnswer, data)] as const
      }),
    )
    const found = answers.filter((answer): answer is [PublicKeyHex, Holding] => answer[1] !== undefined)
    // Each time another one first, so that the load and the trust are spread.
    const turn = found.length === 0 ? 0 : this.#turn++ % found.length
    return new Map([...found.slice(turn), ...found.slice(0, turn)])
  }

  async #ask(peer: PublicKeyHex, name: string, question: Uint8Array): Promise<Uint8Array | undefined> {
    const limits = { timeoutMs: ASK_TIMEOUT_MS, bytesMax: SNAPSHOT_LIMITS.chunkBytesMax }
    return this.#deps.network.request(peer, name, question, limits).catch(() => undefined)
  }

  /** A full disk is waited out. */
  async #room(): Promise<void> {
    while (!this.#stopped && !(await this.#deps.hasRoom())) await this.#pause()
  }

  #lied(peer: PublicKeyHex): void {
    this.#liars.add(peer)
    this.#deps.network.penalize(peer, 'SNAPSHOT_INVALID')
    this.#deps.log.warn({ peer }, 'a member sent what does not lead to the state root: it is asked no more')
  }

  #report({ manifest, sealed, parts }: VerifiedManifest, staging: Staging, chunksMissing: number): void {
    const { height } = sealed.header
    const { wholeHeight } = staging
    const blocks = height - manifest.firstHeight + 1
    const blocksMissing = wholeHeight === 0 ? blocks : height - wholeHeight
    this.#progress = { height, chunks: parts.length, chunksMissing, blocks, blocksMissing }
    const now = this.#deps.clock.monotonic()
    if (now - this.#loggedAt < LOG_EVERY_MS) return
    this.#loggedAt = now
    this.#deps.log.info(this.#progress, 'joining by a snapshot')
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => void this.#deps.clock.after(PAUSE_MS, resolve))
  }
}

/** `headers` as the ancestors of `top`, one below the other; undefined unless each is. */
function linkedBelow(top: SealedHeader, headers: readonly Uint8Array[]): Answered<SealedHeader[]> {
  const chain: SealedHeader[] = []
  let above = top
  for (const data of headers) {
    const sealed = decodeHeader(data)
    if (!equalBytes(sealed.hash, above.header.parent) || sealed.header.height !== above.header.height - 1)
      return undefined
    chain.push(sealed)
    above = sealed
  }
  // Nothing there is no lie: it may have dropped them.
  return chain.length > 0 && chain
}

/** What an answer held: false where there was nothing, undefined where it does not lead to what is trusted. */
type Answered<T> = T | false | undefined

async function attempt<T>(read: (data: Uint8Array) => T | Promise<T>, data: Uint8Array): Promise<T | undefined> {
  try {
    return await read(data)
  } catch (error) {
    // A failure of this machine is not the sender's.
    if (isAlthingError(error)) throw error
    return undefined
  }
}

function decoded<T>(codec: Codec<T>, data: Uint8Array): T | undefined {
  try {
    return decodeAs(codec, data)
  } catch {
    return undefined
  }
}
