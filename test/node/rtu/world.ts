/** Real members and RTUs in one process, over libp2p on loopback: consortia of one or more, devices registered by their first API key. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { createDataDirectory } from '../../../node/dataDirectory.ts'
import { decodeBody } from '../../../node/executor/body.ts'
import { MemberNode } from '../../../node/main.ts'
import { RtuNode } from '../../../node/rtu/main.ts'
import type { RtuOptions } from '../../../node/rtu/options.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { publicKeyOf } from '../../../protocol/crypto.ts'
import { chainIdOf, type Genesis } from '../../../protocol/genesis.ts'
import { deviceReport, type Report } from '../../../protocol/kinds/report/report.ts'
import { KINDS } from '../../../protocol/kinds/table.ts'
import { addressOf } from '../../../protocol/signature.ts'
import { decodeTransaction, signTransaction, type Transaction } from '../../../protocol/transaction.ts'
import { apiSecret, genesisWith, memberSecret } from '../genesis.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {} }
export const deviceSecret = (n: number): Uint8Array => new Uint8Array(32).fill(100 + n)
export const deviceId = (n: number): Uint8Array => addressOf(publicKeyOf(deviceSecret(n)))
export const deviceKey = (n: number): string => toHex(publicKeyOf(deviceSecret(n)))

const cleanUp: (() => unknown)[] = []
/** Stops and removes everything, the last first. For `afterEach`. */
export async function tidyUp(): Promise<void> {
  for (const task of cleanUp.splice(0).reverse()) await task()
}

/** Waits for a state. */
export const until = (state: () => boolean, what: string, timeoutMs = 45_000): Promise<void> =>
  expect.poll(state, { timeout: timeoutMs, interval: 10, message: what }).toBe(true)

/** A consortium of `n`. */
export const genesisOf = (n: number): Genesis =>
  genesisWith(n, { createdAt: Date.now() - 1000, deltaMs: 500, heartbeatMs: 300 })

/** A folder that goes with the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'althing-rtu-'))
  cleanUp.push(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

let nonces = 0
/** A transaction of the first API key, or of another secret. */
export function signed(genesis: Genesis, kind: string, payload: unknown, secret = apiSecret): Transaction {
  const nonce = new Uint8Array(16)
  new DataView(nonce.buffer).setUint32(0, ++nonces)
  const encoded = (KINDS.get(kind) as NonNullable<ReturnType<typeof KINDS.get>>).payload.to(payload)
  return signTransaction(
    { kind, payload: encoded, nonce, validUntil: Date.now() + 600_000 },
    chainIdOf(genesis),
    secret,
  )
}

/** One member, which can be stopped and started again at the same address. */
export class Member {
  readonly genesis: Genesis
  readonly i: number
  readonly folder: string
  node!: MemberNode
  /** Stays what it was while the member is stopped. */
  address = ''
  #port = '0'

  constructor(genesis: Genesis, i: number, folder: string) {
    this.genesis = genesis
    this.i = i
    this.folder = join(folder, `member-${i}`)
  }

  static async start(genesis: Genesis, i = 0, seeds: readonly Member[] = []): Promise<Member> {
    const member = new Member(genesis, i, temporaryFolder())
    await createDataDirectory(member.folder, genesis)
    await member.start(seeds)
    cleanUp.push(() => member.stop())
    return member
  }

  async start(seeds: readonly Member[] = []): Promise<void> {
    this.node = await MemberNode.start({
      genesis: this.genesis,
      dataDirectory: this.folder,
      secretKey: memberSecret(this.i),
      listen: [`/ip4/127.0.0.1/tcp/${this.#port}`],
      announce: [],
      peers: seeds.flatMap(({ node: { network } }) =>
        network.addresses().map((address) => ({ member: network.publicKey, address })),
      ),
      pool: { bytesMax: 16_000_000, countMax: 20_000 },
      diskFreeBytesMin: 0,
      ledger: { keep: { blocks: 0, hours: 0 }, snapshotBlocks: 0, join: 'snapshot' },
      restart() {},
      recover: false,
      log: silent,
      fatal: (error) => {
        throw error
      },
    })
    this.address = this.node.network.addresses()[0] as string
    this.#port = /\/tcp\/(\d+)/.exec(this.address)?.[1] ?? '0'
  }

  stop(): Promise<void> {
    return this.node.stop()
  }

  get key(): string {
    return toHex(publicKeyOf(memberSecret(this.i)))
  }

  /** Submits, and waits until the block is committed here. */
  async commit(transaction: Transaction): Promise<void> {
    expect(await this.node.intake.submit([transaction.bytes])).toEqual(['OK'])
    await until(() => this.node.executor.reads.transaction(transaction.id) !== undefined, 'committed')
  }

  register(n: number, segment = 'plant-1'): Promise<void> {
    const label = { hardwareId: `hw ${n}`, manufacturer: 'Acme', model: 'RTU', firmware: '1' }
    const publicKey = publicKeyOf(deviceSecret(n))
    return this.commit(
      signed(this.genesis, 'device.register', { publicKey, ...label, capabilities: [], segment, mode: 'enforce' }),
    )
  }

  retire(n: number): Promise<void> {
    return this.commit(signed(this.genesis, 'device.retire', { device: deviceId(n), reason: 'test' }))
  }

  /** The reports of device `n` in the chain, in its order. */
  reports(n: number): Promise<Report[]> {
    return this.reportsOf(deviceId(n))
  }

  /** The same of the device with this id. */
  async reportsOf(id: Uint8Array): Promise<Report[]> {
    const reports: Report[] = []
    const { executor } = this.node
    for (let height = 1; height <= executor.head.height; height++) {
      const body = await executor.reads.body(height)
      const transactions = body === undefined ? [] : decodeBody(body)
      if (typeof transactions === 'string') throw new Error(transactions)
      for (const { kind, payload } of transactions.map((bytes) => decodeTransaction(bytes)))
        if (kind === deviceReport.name) reports.push(deviceReport.payload.from(payload, kind))
    }
    return reports.filter(({ device }) => toHex(device) === toHex(id))
  }
}

/** Tells running members where the others are. */
export function introduce(...members: Member[]): void {
  for (const { node } of members)
    node.network.setMembers(
      members
        .filter((other) => other.node !== node)
        .map(({ key, address }) => ({ publicKey: key, addresses: [address] })),
    )
}

/** An RTU under test, with what it logged. */
export type Rtu = RtuNode & { readonly lines: string[] }

/** Starts RTU `n` against `members`; its folder is `dataDirectory`, a new one where it is not given. */
export async function startRtu(n: number, members: readonly Member[], over: Partial<RtuOptions> = {}): Promise<Rtu> {
  const lines: string[] = []
  const log = (fields: object, message: string): void => void lines.push(`${message} ${JSON.stringify(fields)}`)
  const rtu = await RtuNode.start({
    genesis: (members[0] as Member).genesis,
    secretKey: deviceSecret(n),
    dataDirectory: temporaryFolder(),
    segment: 'plant-1',
    members: members.map((member) => ({ name: `Org ${member.i}`, publicKey: member.key, addresses: [member.address] })),
    intervalMs: 250,
    watch: [],
    advice: 'register it',
    times: { retryMs: 100, retryMsMax: 400, receiptMs: 100, resubmitMs: 1000 },
    log: { debug: log, info: log, warn: log, error: log },
    fatal: (error) => {
      throw error
    },
    ...over,
  })
  cleanUp.push(() => rtu.stop())
  return Object.assign(rtu, { lines })
}
