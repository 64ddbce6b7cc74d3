/**
 * What the API asks of ledger and pool, in its own terms. Reads only; every list is bounded by its `limit`.
 */
import { decodeHeader } from '../../protocol/block.ts'
import { fromHex, toHex } from '../../protocol/bytes.ts'
import { certificateCodec, signersOf } from '../../protocol/certificate.ts'
import { decodeAs } from '../../protocol/codec.ts'
import { chainIdOf, type Genesis } from '../../protocol/genesis.ts'
import { readBlacklist, readReinstatement } from '../../protocol/kinds/access/record.ts'
import { decodeDevice, deviceStateKey } from '../../protocol/kinds/device/record.ts'
import { decodeEvidence, EVIDENCE_PREFIX, parseEvidenceKey } from '../../protocol/kinds/evidence/record.ts'
import {
  decodeProposal,
  PROPOSAL_PREFIX,
  proposalStateKey,
  readAddresses,
} from '../../protocol/kinds/governance/record.ts'
import type { StateReader } from '../../protocol/kinds/kind.ts'
import { kvStateKey } from '../../protocol/kinds/kv/kv.ts'
import {
  type Activation,
  activeModule,
  decodeModule,
  MODULE_PREFIX,
  readActive,
  readModuleCode,
  readModuleVote,
} from '../../protocol/kinds/module/record.ts'
import { CATEGORY_NAMES, type CategoryName } from '../../protocol/kinds/report/categories.ts'
import { readAllEvents, readReports } from '../../protocol/kinds/report/record.ts'
import { deviceReport } from '../../protocol/kinds/report/report.ts'
import { decodeClaims, STIX_PREFIX, stixHeightOf, stixStateKey } from '../../protocol/kinds/stix/record.ts'
import { readTrust } from '../../protocol/kinds/trust/record.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { memberIndex, quorumSizes } from '../../protocol/members.ts'
import { renderProof } from '../../protocol/proof.ts'
import { recover } from '../../protocol/signature.ts'
import { decodeTransaction, signerOf } from '../../protocol/transaction.ts'
import type { Code } from '../../protocol/verdict.ts'
import type {
  ApiDependencies,
  CommittedBlock,
  CommittedCertificate,
  DeviceEvent,
  DeviceSnapshot,
  KnownTransaction,
  OpenProposal,
  PrunedTransaction,
  PublishedModule,
} from '../api/dependencies.ts'
import { decodeBody } from '../executor/body.ts'
import type { Executor } from '../executor/executor.ts'
import type { LedgerReads } from '../executor/reads.ts'
import type { Pool } from '../pool/pool.ts'
import { Bundles } from '../stix/bundles.ts'
import { trustQueries } from './trustQueries.ts'

/** The reading half of `ApiDependencies`. */
export type LedgerQueries = Pick<
  ApiDependencies,
  | 'head'
  | 'blocks'
  | 'block'
  | 'certificate'
  | 'transaction'
  | 'held'
  | 'stateEntry'
  | 'namespaceKeys'
  | 'era'
  | 'proposals'
  | 'offences'
  | 'proposal'
  | 'modules'
  | 'module'
  | 'moduleCode'
  | 'device'
  | 'devices'
  | 'deviceEvents'
  | 'deviceTrust'
  | 'trustHistory'
  | 'transactionProof'
  | 'stateProof'
  | 'stixBundle'
  | 'stixBundles'
>

/** Place of an event among all of a device: height, transaction, event, in one safe integer for heights below 2³⁴. */
const EVENTS_PER_TRANSACTION = LIMITS.reportEventsMax
const EVENTS_PER_BLOCK = LIMITS.blockTransactionsMax * EVENTS_PER_TRANSACTION
const sequenceOf = (height: number, index: number, event: number): number =>
  height * EVENTS_PER_BLOCK + index * EVENTS_PER_TRANSACTION + event

/** Queries over one node. `refusedOf`: a transaction that had been accepted and was then refused, as far as it is remembered. */
export function ledgerQueries(
  genesis: Genesis,
  {
    executor,
    pool,
    refusedOf,
  }: {
    executor: Executor
    pool: Pick<Pool, 'get'>
    refusedOf(id: string): { bytes: Uint8Array; signer: string; code: Code } | undefined
  },
): LedgerQueries {
  const { reads } = executor
  const chainId = chainIdOf(genesis)
  const state: StateReader = { get: (key) => reads.state(key)?.value }
  const bundles = new Bundles({ chainId, reads, network: genesis.network, createdAt: genesis.createdAt })
  const devices = { ...deviceQueries(reads, state), ...trustQueries(executor, state) }
  const bodyAt = async (height: number): Promise<readonly Uint8Array[] | undefined> => {
    const body = await reads.body(height)
    const transactions = body === undefined ? undefined : decodeBody(body)
    if (typeof transactions === 'string') throw new Error(`the body of height ${height} is ${transactions}`)
    return transactions
  }
  const sealedOf = (name: number | string) =>
    typeof name === 'number' ? reads.headerAt(name) : reads.headerBy(fromHex(name))

  const openProposal = (id: string, value: Uint8Array): OpenProposal => {
    const proposal = decodeProposal(value)
    return { id, proposal, needed: executor.era.quorum, expired: proposal.expiresAt < executor.head.time }
  }

  return {
    ...devices,
    ...moduleQueries(executor, state),
    async era() {
      const { members, quorum, memberSetHash, ...present } = executor.era
      const keys = [...members.keys()]
      return { ...present, addresses: new Map(keys.map((key) => [key, readAddresses(state, key)])) }
    },
    async proposals({ after, limit }) {
      const page = await reads.states(PROPOSAL_PREFIX, limit, after === undefined ? undefined : proposalStateKey(after))
      return page.items.map(({ key, entry }) => openProposal(key.slice(PROPOSAL_PREFIX.length), entry.value))
    },
    async proposal(id) {
      const value = state.get(proposalStateKey(id))
      return value === undefined ? undefined : openProposal(id, value)
    },
    async offences({ member, after, limit }) {
      const prefix = member === undefined ? EVIDENCE_PREFIX : `${EVIDENCE_PREFIX}${member}/`
      const names = new Map(executor.era.memberSet.members.map(({ name, publicKey }) => [toHex(publicKey), name]))
      const page = await reads.states(prefix, limit, after)
      return page.items.map(({ key, entry }) => {
        const where = parseEvidenceKey(key)
        return { key, ...where, name: names.get(where.member) ?? null, record: decodeEvidence(entry.value) }
      })
    },
    async stixBundles({ after, limit }) {
      const page = await reads.states(STIX_PREFIX, limit, after === undefined ? undefined : stixStateKey(after))
      return page.items.map(({ key, entry }) => ({ height: stixHeightOf(key), claims: decodeClaims(entry.value) }))
    },
    stixBundle: (height) => bundles.of(height),
    async head() {
      const { height } = executor.head
      return height === 0 ? undefined : reads.headerAt(height)
    },
    async blocks({ before, limit }) {
      const found = []
      let height = Math.min(executor.head.height, before === undefined ? Number.MAX_SAFE_INTEGER : before - 1)
      for (; height >= reads.held.firstHeight && found.length < limit; height--) {
        const sealed = reads.headerAt(height)
        if (sealed !== undefined) found.push(sealed)
      }
      return found
    },
    async block(name): Promise<CommittedBlock | undefined> {
      const sealed = sealedOf(name)
      if (sealed === undefined) return undefined
      const ids = await reads.transactionIds(sealed.header.height)
      return { sealed, transactionIds: (ids ?? []).map(toHex) }
    },
    async certificate(height): Promise<CommittedCertificate | undefined> {
      const evidence = reads.proveBlock(height)
      if (evidence === undefined) return undefined
      const certificate = decodeAs(certificateCodec, evidence.certificate)
      // A block stands in one era with the descendant that certifies it.
      const { header } = decodeHeader(evidence.header)
      const memberSet = reads.memberSet(header.memberSetHash)
      if (memberSet === undefined) throw new Error(`the member set of height ${height} is missing`)
      const signers = signersOf(certificate, chainId, memberIndex(memberSet), recover)
      if (!signers.ok) throw new Error(`the certificate of height ${height} is ${signers.code}`)
      const members = memberSet.members.map(({ name, publicKey }, i) => ({
        name,
        publicKey: toHex(publicKey),
        signed: signers.members.includes(i),
      }))
      return { certificate, quorum: quorumSizes(members.length, memberSet.parameters.percent).q, members }
    },
    held: () => reads.held,
    async transaction(id): Promise<KnownTransaction | PrunedTransaction | undefined> {
      const position = reads.transaction(fromHex(id))
      if (position !== undefined) {
        const sealed = reads.headerAt(position.height)
        const bytes = (await bodyAt(position.height))?.[position.index]
        if (sealed === undefined) return undefined
        const place = { ...position, blockHash: toHex(sealed.hash), committedAt: sealed.header.time }
        if (bytes === undefined) return { state: 'pruned', ...place }
        const signer = toHex(signerOf(decodeTransaction(bytes), chainId) as Uint8Array)
        return { state: 'committed', bytes, signer, ...place }
      }
      const waiting = pool.get(id)
      if (waiting !== undefined) return { state: 'pending', bytes: waiting.transaction.bytes, signer: waiting.signer }
      const refused = refusedOf(id)
      return refused === undefined ? undefined : { state: 'refused', ...refused }
    },
    async stateEntry(stateKey) {
      return reads.state(stateKey)
    },
    async namespaceKeys(namespace, { after, limit }) {
      const prefix = kvStateKey(namespace, '')
      const page = await reads.states(prefix, limit, after === undefined ? undefined : prefix + after)
      return page.items.map(({ key, entry }) => ({
        key: key.slice(prefix.length),
        height: entry.height,
        valueBytes: entry.value.length,
      }))
    },
    async transactionProof(id, kept) {
      const proof = await reads.proveTransaction(fromHex(id), kept)
      return proof === undefined ? undefined : renderProof(proof)
    },
    async stateProof(stateKey) {
      const proof = await reads.proveState(stateKey)
      return proof === undefined ? undefined : renderProof(proof)
    },
  }
}

function moduleQueries(
  executor: Executor,
  state: StateReader,
): Pick<LedgerQueries, 'modules' | 'module' | 'moduleCode'> {
  const published = (hash: string, value: Uint8Array): PublishedModule => {
    const module = decodeModule(value)
    const { quorum, members } = executor.era
    const nextHeight = executor.head.height + 1
    const running = activeModule(state, module.kind, nextHeight)
    const { next } = readActive(state, module.kind)
    const isThis = (one: Activation | null): one is Activation => one !== null && toHex(one.hash) === hash
    const votes = [...members.keys()].flatMap((member) => {
      const vote = readModuleVote(state, module.kind, member)
      return vote !== undefined && toHex(vote.hash) === hash ? [{ member, height: vote.height }] : []
    })
    const from = isThis(running) ? running.height : isThis(next) ? next.height : null
    return { hash, module, active: isThis(running), activeFrom: from, votes, needed: quorum }
  }
  return {
    async modules({ after, limit }) {
      const from = after === undefined ? undefined : MODULE_PREFIX + after
      const page = await executor.reads.states(MODULE_PREFIX, limit, from)
      return page.items.map(({ key, entry }) => published(key.slice(MODULE_PREFIX.length), entry.value))
    },
    async module(hash) {
      const value = state.get(MODULE_PREFIX + hash)
      return value === undefined ? undefined : published(hash, value)
    },
    async moduleCode(hash) {
      return readModuleCode(state, hash)
    },
  }
}

function deviceQueries(
  reads: LedgerReads,
  state: StateReader,
): Pick<LedgerQueries, 'device' | 'devices' | 'deviceEvents'> {
  const snapshot = (id: string, value: Uint8Array): DeviceSnapshot => ({
    id,
    device: decodeDevice(value),
    trust: readTrust(state, id),
    blacklist: readBlacklist(state, id),
    reinstatement: readReinstatement(state, id),
    reports: readReports(state, id),
  })
  const prefix = deviceStateKey('')
  return {
    async device(id) {
      const value = state.get(deviceStateKey(id))
      return value === undefined ? undefined : { ...snapshot(id, value), events: readAllEvents(state, id) }
    },
    async devices({ after, limit }) {
      const page = await reads.states(prefix, limit, after === undefined ? undefined : prefix + after)
      return page.items.map(({ key, entry }) => snapshot(key.slice(prefix.length), entry.value))
    },
    async deviceEvents(id, { category, before, limit }) {
      const categories = category === undefined ? CATEGORY_NAMES : [category]
      // The newest of each category are all that can be among the newest of all.
      const cursor = before === undefined ? undefined : cursorBefore(before)
      const reports = new Map<string, { height: number; index: number; transactionId: Uint8Array }>()
      for (const name of categories)
        for (const report of (await reads.deviceEvents(fromHex(id), name, limit, cursor)).items)
          reports.set(`${report.height}.${report.index}`, report)
      const newestFirst = [...reports.values()].sort((a, b) => b.height - a.height || b.index - a.index)
      const found: DeviceEvent[] = []
      for (const report of newestFirst) {
        if (found.length >= limit) break
        found.push(
          ...(await eventsOf(reads, report, category)).filter((e) => before === undefined || e.sequence < before),
        )
      }
      return found.slice(0, limit)
    },
  }
}

/** Cursor of `LedgerReads.deviceEvents` that lets the report of `sequence` in again: some of its events may still be due. */
function cursorBefore(sequence: number): string {
  const height = Math.floor(sequence / EVENTS_PER_BLOCK)
  const index = Math.floor((sequence % EVENTS_PER_BLOCK) / EVENTS_PER_TRANSACTION)
  return `${height}.${index + 1}`
}

/** Events of one committed report, the last first; none where its body was pruned. */
async function eventsOf(
  reads: LedgerReads,
  { height, index, transactionId }: { height: number; index: number; transactionId: Uint8Array },
  category: CategoryName | undefined,
): Promise<DeviceEvent[]> {
  const sealed = reads.headerAt(height)
  const body = await reads.body(height)
  const transactions = body === undefined ? undefined : decodeBody(body)
  if (sealed === undefined || transactions === undefined || typeof transactions === 'string') return []
  const { payload } = decodeTransaction(transactions[index] as Uint8Array)
  const { observedAt, events } = deviceReport.payload.from(payload, deviceReport.name)
  return events
    .map((event, i) => ({
      ...event,
      sequence: sequenceOf(height, index, i),
      transaction: toHex(transactionId),
      height,
      index,
      blockHash: toHex(sealed.hash),
      committedAt: sealed.header.time,
      observedAt,
    }))
    .filter((event) => category === undefined || event.category === category)
    .reverse()
}
