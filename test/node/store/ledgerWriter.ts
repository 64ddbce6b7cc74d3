/** Commits blocks to a new ledger until it is killed, and prints each height once it is durable. */
import { openLevel } from '../../../node/store/level.ts'
import { filledLedger } from './fixture.ts'

const { ledger, maker } = await filledLedger(await openLevel(process.argv[2] as string, { mode: 'create' }), 0)
for (;;) {
  await ledger.commitBlock(maker.next({ transactions: 50 }))
  process.stdout.write(`${ledger.committedHeight}\n`)
}
