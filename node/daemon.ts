/**
 * The process of a member's daemon: logger, member, service, API, signals, in that order, and back again at the end.
 * Invariants: what it returns or throws is the end of the process; a graceful stop takes `STOP_MS_MAX` at most, a second signal ends at once;
 * `run.json` in the home exists only while this process serves.
 */
import { rm } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import type { Logger } from 'pino'
import { runFileIn } from '../config/home.ts'
import type { NodeConfig } from '../config/settings.ts'
import { toHex } from '../protocol/bytes.ts'
import type { Genesis } from '../protocol/genesis.ts'
import { type Api, createApi } from './api/api.ts'
import { systemClock } from './clock.ts'
import type { NodeKey } from './crypto/keys.ts'
import { AlthingError } from './errors.ts'
import { MemberNode } from './main.ts'
import { createLogger, endOnBugs, listenForTheEnd, stopWithin } from './process.ts'
import { type MetricsServer, openMetricsServer } from './service/metricsServer.ts'
import { NodeService, PoolWatch } from './service/service.ts'
import { replaceFile } from './wholeFile.ts'

/** Everything that a daemon is started with. */
export type DaemonOptions = {
  /** Where `run.json` goes. */
  readonly home: string
  readonly dataDirectory: string
  readonly config: NodeConfig
  readonly genesis: Genesis
  readonly key: NodeKey
  readonly apiKeys: ReadonlyMap<string, NodeKey>
  readonly tokenSecret: Uint8Array
  readonly recover: boolean
  /** The daemon stops when this stream ends. */
  readonly aliveWhile?: Readable
}

/** How long a graceful stop may take, ms; afterwards the process ends as it is, and loses nothing that was acknowledged. */
const STOP_MS_MAX = 10_000

/** Runs a daemon until a signal (0), or throws what it could not start or go on with. The caller ends the process. */
export async function runDaemon(options: DaemonOptions): Promise<number> {
  const log = await createLogger(options.config.log, options.config.node.name)
  endOnBugs(log)
  const end = Promise.withResolvers<void>()
  listenForTheEnd(log, end, options.aliveWhile)
  const parts: { node?: MemberNode; service?: NodeService; api?: Api; metrics?: MetricsServer } = {}
  try {
    await startParts(options, log, end, parts)
    await end.promise
  } finally {
    await stopWithin(log, STOP_MS_MAX, () => stopParts(options.home, parts))
  }
  log.info('stopped')
  return 0
}

async function startParts(
  options: DaemonOptions,
  log: Logger,
  end: PromiseWithResolvers<void>,
  parts: { node?: MemberNode; service?: NodeService; api?: Api; metrics?: MetricsServer },
): Promise<void> {
  const { config, genesis, key, dataDirectory } = options
  const { network, api, pool, store } = config
  const watch = new PoolWatch()
  const node = await MemberNode.start({
    genesis,
    dataDirectory,
    secretKey: key.secretKey(),
    listen: network.listen,
    announce: network.announce,
    addresses: addressesOf(network.peers, genesis),
    pool: { bytesMax: pool.bytesMax, countMax: pool.countMax },
    networkLimits: {
      connectionsMax: network.connectionsMax,
      inboundPerSecondMax: network.inboundPerSecondMax,
      dialTimeoutMs: network.dialTimeoutMs,
    },
    diskFreeBytesMin: store.diskFreeBytesMin,
    recover: options.recover,
    poolObserver: watch,
    log,
    fatal: (error) => end.reject(error),
  })
  parts.node = node
  const signingKeys = new Map(
    [...options.apiKeys].map(([name, apiKey]) => [
      name,
      { publicKey: apiKey.publicKey, secretKey: apiKey.secretKey() },
    ]),
  )
  const service = await NodeService.start(node, watch, {
    clock: systemClock,
    signingKeys,
    disk: { directory: dataDirectory, freeBytesMin: store.diskFreeBytesMin },
  })
  parts.service = service
  parts.api = createApi(
    {
      listen: api.listen,
      requestsPerMinuteMax: api.requestsPerMinuteMax,
      bodyBytesMax: api.bodyBytesMax,
      requestTimeoutMs: api.requestTimeoutMs,
      tokenSecret: options.tokenSecret,
      issuer: api.issuer,
      audience: api.audience,
      logger: log,
    },
    service.dependencies,
  )
  await parts.api.listen()
  if (config.metrics.enabled) parts.metrics = await openMetricsServer(config.metrics.listen, service.dependencies)
  const run = {
    pid: process.pid,
    startedAt: node.startedAt,
    api: parts.api.url,
    metrics: parts.metrics?.url ?? null,
    p2p: node.network.addresses(),
  }
  await writeRunFile(options.home, run)
  log.info({ ...run, network: genesis.network, height: node.executor.head.height }, 'serving')
  node.onCommitted((blocks) => {
    for (const { height, sealed, transactions } of blocks)
      log.info({ height, transactions: transactions.length, hash: toHex(sealed.hash).slice(0, 16) }, 'block committed')
  })
}

async function stopParts(
  home: string,
  { node, service, api, metrics }: { node?: MemberNode; service?: NodeService; api?: Api; metrics?: MetricsServer },
): Promise<void> {
  await rm(runFileIn(home), { force: true })
  await api?.close()
  await metrics?.close()
  service?.stop()
  await node?.stop()
}

/** Addresses of each member by its key. */
function addressesOf(
  peers: NodeConfig['network']['peers'],
  genesis: Genesis,
): { publicKey: string; addresses: string[] }[] {
  return genesis.memberSet.members.map(({ name, publicKey }) => ({
    publicKey: toHex(publicKey),
    addresses: peers.filter(({ member }) => member === name).map(({ address }) => address),
  }))
}

/** What runs and where it answers, for programs on this machine (cli/client.ts); whole or not at all. */
async function writeRunFile(home: string, run: object): Promise<void> {
  const file = runFileIn(home)
  try {
    await replaceFile(file, `${JSON.stringify(run, null, 2)}\n`)
  } catch (cause) {
    throw new AlthingError('RUN_FILE', `cannot write ${file}`, { cause, exitCode: 74 })
  }
}
