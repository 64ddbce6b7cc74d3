/**
 * RTU: its table of trust between two runs, in a signed file (ownFile.ts).
 * Invariants: written when it has changed, once a minute at most, and at the stop: each write is one of the flash; what was judged since the last
 * one is lost with the power.
 */
import { fromHex, toHex } from '../../protocol/bytes.ts'
import { CborError } from '../../protocol/cbor.ts'
import { decodeAs, encodeAs, integer, list, optional, record } from '../../protocol/codec.ts'
import { deviceId, ppm } from '../../protocol/kinds/fields.ts'
import { AlthingError } from '../errors.ts'
import { TRUST_TABLE_MAX, type TrustRow } from './judge.ts'
import type { OwnFile } from './ownFile.ts'

/** Bytes of the file. */
export const TRUST_FILE_BYTES_MAX: number = TRUST_TABLE_MAX * 160

const tableCodec = list(
  record({ device: deviceId, trustPpm: ppm, memoryPpm: ppm, judgements: integer(), phiPpm: optional(ppm) }),
  TRUST_TABLE_MAX,
)

/** The table in `file`; empty if there is none. Rejects with RTU_FILE_ALTERED and as `OwnFile.read`. */
export async function readTrustTable(file: OwnFile): Promise<TrustRow[]> {
  const content = await file.read()
  if (content === undefined) return []
  try {
    return decodeAs(tableCodec, content, 'trust').map((row) => ({ ...row, device: toHex(row.device) }))
  } catch (cause) {
    if (!(cause instanceof CborError)) throw cause
    throw new AlthingError('RTU_FILE_ALTERED', 'the table of trust cannot be read; delete the file to begin anew', {
      cause,
    })
  }
}

/** Writes `rows` to `file`. Rejects with RTU_WRITE_FAILED. */
export const writeTrustTable = (file: OwnFile, rows: readonly TrustRow[]): Promise<void> =>
  file.write(
    encodeAs(
      tableCodec,
      rows.map((row) => ({ ...row, device: fromHex(row.device) })),
    ),
  )
