/** Members that hold snapshots, one that joins, and a network between them that lies, loses and stops where a test says so. */
import type { Network, RequestHandler } from '../../../node/network/network.ts'
import { Joiner } from '../../../node/snapshot/joiner.ts'
import { SnapshotLibrary } from '../../../node/snapshot/library.ts'
import { serveSnapshots } from '../../../node/snapshot/serve.ts'
import type { KeyValueStore } from '../../../node/store/store.ts'
import { serveBlocks } from '../../../node/sync/serve.ts'
import { signerOf } from '../../../protocol/transaction.ts'
import { CHAIN_ID, GENESIS, type Node } from '../executor/world.ts'

export const silent = { info() {}, warn() {}, debug() {} }
/** A clock whose pauses end at once. */
export const hurried = {
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
  readonly asked: { peer: string; name: string }[] = []
  tamper: (peer: string, name: string, answer: Uint8Array) => Uint8Array | undefined = (_peer, _name, answer) => answer

  serving(peer: string): Pick<Network, 'serve'> {
    const handlers = new Map<string, RequestHandler>()
    this.handlers.set(peer, handlers)
    return { serve: (name, handler) => void handlers.set(name, handler) }
  }

  get asking(): Pick<Network, 'request' | 'linkedPeers' | 'penalize'> {
    return {
      linkedPeers: () => [...this.handlers.keys()],
      penalize: (peer, code) => void this.penalties.push({ peer, code }),
      request: async (peer, name, bytes) => {
        this.asked.push({ peer, name })
        await openLater()
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
  openStore: (location: string, mode: 'create' | 'open') => Promise<KeyValueStore>,
): Promise<SnapshotLibrary> {
  const { ledger, executor } = node
  const library = await SnapshotLibrary.open(directory, everyBlocks, {
    ...{ ledger, openStore },
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
      memberSet: GENESIS.memberSet,
      memberSetOf: () => GENESIS.memberSet,
      network: between.asking,
      clock: hurried,
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
