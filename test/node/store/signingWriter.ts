/** Writes rising numbers into a signing record until it is killed, and prints each once it is acknowledged. */
import { openSigningRecord } from '../../../node/store/signingRecord.ts'
import { CHAIN_ID } from './fixture.ts'

const record = await openSigningRecord(process.argv[2] as string, CHAIN_ID)
for (let i = 1; i < 65_536; i++) {
  await record.write(Uint8Array.of(i >> 8, i & 255))
  process.stdout.write(`${i}\n`)
}
