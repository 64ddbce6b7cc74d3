/**
 * The table of kinds: every kind of transaction that this version applies, one row each (ledger.md §2).
 * Invariant: two versions that vote in one era have the same table, since an unknown kind makes a block invalid.
 */
import { accessBlacklist, accessReinstate } from './access/access.ts'
import { deviceRegister, deviceRetire, deviceUpdate } from './device/device.ts'
import { evidence } from './evidence/evidence.ts'
import { governanceApprove, governancePropose, governanceWithdraw } from './governance/governance.ts'
import { keyAuthorize, keyRevoke } from './key/key.ts'
import type { Kind } from './kind.ts'
import { kvDelete, kvPut } from './kv/kv.ts'
import { moduleActivate, modulePublish } from './module/module.ts'
import { readingBatch } from './reading/batch.ts'
import { deviceReport } from './report/report.ts'
import { stixBundleKind } from './stix/bundle.ts'
import { trustOpinion } from './trust/opinion.ts'
import { trustScore } from './trust/score.ts'

// Method parameters are compared both ways, so kinds of different payloads stand in one list; only `apply` after its own `payload` is called.
const ROWS: readonly Kind<unknown>[] = [
  keyAuthorize,
  keyRevoke,
  kvPut,
  kvDelete,
  deviceRegister,
  deviceUpdate,
  deviceRetire,
  deviceReport,
  readingBatch,
  trustScore,
  trustOpinion,
  accessBlacklist,
  accessReinstate,
  evidence,
  governancePropose,
  governanceApprove,
  stixBundleKind,
  governanceWithdraw,
  modulePublish,
  moduleActivate,
] as readonly Kind<unknown>[]

/** Name → kind, in the order of the table. */
export const KINDS: ReadonlyMap<string, Kind<unknown>> = new Map(ROWS.map((kind) => [kind.name, kind]))
