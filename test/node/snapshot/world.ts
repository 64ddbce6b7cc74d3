/** Members that hold snapshots, one that joins, and a network between them that lies, loses and stops where a test says so. */
import { join } from 'node:path'
import type { Network, RequestHandler } from '../../../node/network/network.ts'
import { Joiner } from '../../../node/snapshot/joiner.ts'
import { SnapshotLibrary } from '../../../node/snapshot/library.ts'
import { serveSnapshots } from '../../../node/snapshot/serve.ts'
import { systemPace } from '../../../node/steps.ts'
import { systemDisk } from '../../../node/store/disk.ts'
import { openLevel } from '../../../node/store/level.ts'
import type { KeyValueStore } from '../../../node/store/store.ts'
import { serveBlocks } from '../../../node/sync/serve.ts'
import type { SignedTransaction } from '../../../protocol/execution.ts'
import type { Change } from '../../../protocol/kinds/governance/record.ts'
import { signerOf } from '../../../protocol/transaction.ts'
import { MEMBERS } from '../../protocol/kinds/consortium.ts'
import { build, CHAIN_ID, certify, GENESIS, type Node, open, signed, TIME } from '../executor/world.ts'

export const silent = { info() {}, warn() {}, debug() {} }
/** A clock whose pauses end at once. */
export const hurried = {
  monotonic: () => performance.now(),
  after(_delayMs: number, run: () => void) {
    setImmediate(run)
    return { cancel() {} }
  },
}
export const openLater = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Requests of one joiner to several members. `tamper` may change, hold back (undefined) or count what a member answers. */
export class Between {
  readonly handlers = new Map<string, Map<string, RequestHandler>>()
  readonly penalties: { peer: string; code: string }[] = []
  /** What a question takes. */
  delayMs = 0
  readonly asked: { peer: string; name: string }[] = []
  tamper: (peer: string, name: string, answer: Uint8Array) => Uint8Array | undefined = (_peer, _name, answer) => answer

  serving(peer: string): Pick<Network, 'serve'> {
    const handlers = new Map<string, RequestHandler>()
    this.handlers.set(peer, handlers)
    return { serve: (name, handler) => void handlers.set(name, handler) }
  }

  get asking(): Pick<Network, 'request' | 'penalize'> {
    return {
      penalize: (peer, code) => void this.penalties.push({ peer, code }),
      request: async (peer, name, bytes) => {
        this.asked.push({ peer, name })
        await (this.delayMs === 0 ? openLater() : new Promise((resolve) => setTimeout(resolve, this.delayMs)))
        const handler = this.handlers.get(peer)?.get(name)
        if (handler === undefined) throw new Error('not served')
        const answer = this.tamper(peer, name, await handler('joiner', bytes, new AbortController().signal))
        if (answer === undefined) throw new Error('lost')
        return answer
      },
    }
  }
}

/** Lets the member `peer` on `node` make snapshots in `directory` and serve them, and its blocks. */
export async function serveAs(
  peer: string,
  node: Node,
  between: Between,
  directory: string,
  everyBlocks: number,
): Promise<SnapshotLibrary> {
  const { ledger, executor } = node
  const library = await SnapshotLibrary.open(directory, everyBlocks, {
    ledger,
    eraLinks: (era) => executor.reads.eraLinks(0, era),
    disk: systemDisk,
    clock: hurried,
    hasRoom: async () => true,
    log: silent,
  })
  const network = between.serving(peer)
  serveSnapshots(network, library, executor.reads, () => executor.head.height)
  serveBlocks({
    network,
    executor,
    pool: { get: () => undefined } as never,
    proposalFrame: () => undefined,
    proposedHeader: () => undefined,
  })
  return library
}

/** Time of the blocks of the last hour. */
export const LATER = TIME + 3 * 3_600_000
export const openStore = (location: string, mode: 'create' | 'open'): Promise<KeyValueStore> =>
  openLevel(location, { mode })

/** A transaction of the last hour, which must not be taken twice. */
export const recent = (name: string): SignedTransaction =>
  signed('kv.put', 11, { key: name, value: Uint8Array.of(1) }, { validUntil: LATER + 600_000 })
const large = (name: string): SignedTransaction =>
  signed('kv.put', 11, { key: name, value: new Uint8Array(8000).fill(7) })

/** The block at `height` ends its era with `change`, after which `keys` are the members. */
export type EraEnd = { readonly height: number; readonly change: Change; readonly keys: readonly number[] }

/** What carries `change` out in one block: proposed by the first of `keys`, approved by two others. */
function carryingOut(change: Change, era: number, keys: readonly number[], time: number): SignedTransaction[] {
  const validUntil = time + 600_000
  const [first, ...others] = keys.slice(0, 3) as [number, number, number]
  const payload = { era, change, expiresAt: time + 1_000_000, reason: '' }
  const proposal = signed('governance.propose', first, payload, { validUntil })
  const approve = { proposal: proposal.transaction.id }
  return [proposal, ...others.map((by) => signed('governance.approve', by, approve, { validUntil }))]
}

/**
 * Members `peers` with one chain of 30 blocks: 480 kB of state in the first 20, the others of the last hour, a snapshot at 25 while the
 * rest goes on changing the state; eras end where `ends` says.
 */
export async function consortium(
  peers: readonly string[],
  between: Between,
  directory: string,
  libraries: SnapshotLibrary[],
  ends: readonly EraEnd[] = [],
): Promise<{ source: Node; used: SignedTransaction; blocks: ReturnType<typeof build>[] }> {
  const nodes: Node[] = []
  for (const peer of peers) {
    const node = await open()
    nodes.push(node)
    libraries.push(await serveAs(peer, node, between, join(directory, peer), 25))
  }
  const source = nodes[0] as Node
  const used = recent('line/24')
  const blocks: ReturnType<typeof build>[] = []
  let keys: readonly number[] = MEMBERS
  for (let height = 1; height <= 30; height++) {
    const old = [large(`old/${height}/a`), large(`old/${height}/b`), large(`old/${height}/c`)]
    const time = height <= 20 ? TIME : LATER
    const transactions = height <= 20 ? old : [height === 24 ? used : recent(`line/${height}`)]
    const end = ends.find((one) => one.height === height)
    if (end !== undefined) transactions.push(...carryingOut(end.change, source.executor.era.era, keys, time))
    const built = build(source, transactions, { time })
    if (built.refused.length > 0) throw new Error('a transaction of the consortium is not valid')
    blocks.push(built)
    for (const { executor } of nodes.slice(1))
      if (executor.validate(built.sealed, built.transactions, time) !== null)
        throw new Error('a block of the consortium is not valid')
    for (const { executor } of nodes) await executor.commit(built.sealed.hash, certify(built.sealed, undefined, keys))
    keys = end?.keys ?? keys
  }
  for (const library of libraries) await library.settled()
  return { source, used, blocks }
}

/** A joiner whose ledger is built in what `openStaging` gives. */
export const joinerOf = (
  between: Between,
  openStaging: (anew: boolean) => Promise<KeyValueStore>,
  { head = 0, gainMin = 1 }: { head?: number; gainMin?: number } = {},
): { joiner: Joiner; settled: () => number } => {
  let settled = 0
  const joiner = new Joiner(
    {
      chainId: CHAIN_ID,
      genesis: GENESIS,
      sources: () => [...between.handlers.keys()],
      network: between.asking,
      clock: hurried,
      pace: systemPace,
      head: () => head,
      openStaging,
      hasRoom: async () => true,
      settle: async () => void settled++,
      signers: async (transactions) => transactions.map((transaction) => signerOf(transaction, CHAIN_ID)),
      log: silent,
    },
    { gainMin },
  )
  return { joiner, settled: () => settled }
}
