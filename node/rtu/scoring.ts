/**
 * RTU, stage 3½: the scores of its reports, by the security module that is active (ledger.md §3).
 * Invariants: which module is active is believed once its list hashes to what a verified header says, and its binary once it hashes to what the
 * list says, whoever sent them; a report is scored when it is signed, so one that waited is scored by the module of then.
 */
import { equalBytes, toHex } from '../../protocol/bytes.ts'
import { CborError } from '../../protocol/cbor.ts'
import { bytes, decodeAs, encodeAs, record } from '../../protocol/codec.ts'
import { sha3 } from '../../protocol/crypto.ts'
import { type ActiveModule, decodeActiveModules } from '../../protocol/kinds/module/record.ts'
import { deviceReport } from '../../protocol/kinds/report/report.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { TransactionDraft } from '../../protocol/transaction.ts'
import { isAlthingError } from '../errors.ts'
import { ACTIVE_MODULES_BYTES_MAX, QUESTIONS } from '../light/messages.ts'
import { SecurityModule } from '../modules/host.ts'
import type { NetworkLog } from '../network/network.ts'
import { Alarm, withJitter } from './alarm.ts'
import { readOwnFile, replaceFile } from './disk.ts'
import type { Headers } from './headers.ts'
import type { Members } from './members.ts'

/** How often the newest header is looked at, ms: a swap is noticed that much later. */
const LOOK_MS = 2000
const keptCodec = record({
  listed: bytes(1, ACTIVE_MODULES_BYTES_MAX),
  code: bytes(0, LIMITS.moduleBytesMax),
})
/** Bytes of the file with the module. */
const KEPT_BYTES_MAX = LIMITS.moduleBytesMax + ACTIVE_MODULES_BYTES_MAX + 64

/** What scoring uses. `file`: where the module is kept. */
export type ScoringNeeds = {
  readonly file: string
  readonly members: Pick<Members, 'inTurn' | 'askFor' | 'isUp' | 'fault'>
  readonly headers: Pick<Headers, 'newest'>
  readonly log: NetworkLog
}
type Kept = { readonly listed: Uint8Array; readonly code: Uint8Array }
type Current = Kept & { readonly listHash: Uint8Array; readonly active: ActiveModule | undefined }

/** Scores the reports of one device. */
export class Scoring {
  readonly #needs: ScoringNeeds
  #current: Current | undefined
  #module: SecurityModule | undefined

  constructor(needs: ScoringNeeds) {
    this.#needs = needs
  }

  /** Takes up what the last run kept. Throws AlthingError RTU_READ_FAILED. */
  async load(): Promise<void> {
    const { file, log } = this.#needs
    try {
      const data = await readOwnFile(file, KEPT_BYTES_MAX)
      if (data === undefined || this.#use(decodeAs(keptCodec, data, 'module'))) return
    } catch (error) {
      if (!(error instanceof CborError) && !isAlthingError(error, 'RTU_FILE_TOO_LARGE')) throw error
    }
    log.warn({ file }, 'the security module of the last run cannot be read: it is fetched anew')
  }

  /** `draft` with model and scores of now, if it is a report; without a module as it is. */
  scored(draft: TransactionDraft): TransactionDraft {
    if (draft.kind !== deviceReport.name) return draft
    const report = deviceReport.payload.from(draft.payload, deviceReport.name)
    const active = this.#current?.active
    const scores = this.#module?.score(report.features) ?? []
    const payload = deviceReport.payload.to({
      ...report,
      model: active === undefined ? null : { hash: active.hash, version: active.version },
      scores: typeof scores === 'string' ? [] : scores,
    })
    return { ...draft, payload }
  }

  /** Follows what the headers say until `signal` aborts. Rejects with a bug only. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const wanted = this.#needs.headers.newest?.sealed.header.modulesHash
      const isKnown = wanted === undefined || (this.#current && equalBytes(this.#current.listHash, wanted))
      if (!isKnown && this.#needs.members.isUp) await this.#fetch(wanted)
      await new Alarm().wait(withJitter(LOOK_MS), signal)
    }
  }

  /** Asks members in turn for the list with the hash `wanted` and the module that it names. */
  async #fetch(wanted: Uint8Array): Promise<void> {
    const { members, log, file } = this.#needs
    for (const member of members.inTurn()) {
      const listed = await members.askFor(member, QUESTIONS.modules, new Uint8Array(0), (data) => {
        decodeActiveModules(data)
        return data
      })
      // Another list is no lie: a member may be some blocks ahead of the newest header here, or behind.
      if (listed === undefined || !equalBytes(sha3(listed), wanted)) continue
      const active = anomalyOf(listed)
      const code =
        active === undefined
          ? new Uint8Array(0)
          : await members.askFor(member, QUESTIONS.module, active.hash, (data) => data)
      if (code === undefined) continue
      if (!this.#use({ listed, code })) {
        if (code.length > 0) members.fault(member, 'LIGHT_ANSWER', QUESTIONS.module)
        continue
      }
      log.info({ module: active && toHex(active.hash), version: active?.version }, 'reports are scored by this module')
      try {
        await replaceFile(file, encodeAs(keptCodec, { listed, code }))
      } catch (error) {
        if (!isAlthingError(error, 'RTU_WRITE_FAILED')) throw error
        log.warn({ error }, 'the security module is held in memory only')
      }
      return
    }
  }

  /** Puts it to use if the binary is what the list says. */
  #use({ listed, code }: Kept): boolean {
    const active = anomalyOf(listed)
    let module: SecurityModule | undefined
    if (active !== undefined) {
      if (!equalBytes(sha3(code), active.hash)) return false
      const loaded = SecurityModule.load(code)
      // The ledger takes no module that may not run.
      if (typeof loaded === 'string') return false
      module = loaded
    }
    this.#current = { listed, code, listHash: sha3(listed), active }
    this.#module = module
    return true
  }
}

const anomalyOf = (listed: Uint8Array): ActiveModule | undefined =>
  decodeActiveModules(listed).find(({ kind }) => kind === 'anomaly')
