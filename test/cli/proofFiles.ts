/** A genesis and proofs under it, as files: a committed transaction, and an entry under a key that is not ASCII. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { renderGenesis } from '../../config/genesisFile.ts'
import { type Proof, renderProof } from '../../protocol/proof.ts'
import { GENESIS, grow, open, put, TIME } from '../node/executor/world.ts'

/** Paths of the files in `folder`. */
export async function writeProofFiles(
  folder: string,
): Promise<{ genesis: string; transaction: string; entry: string }> {
  const node = await open()
  const transaction = put('ä')
  await grow(node, [transaction, put('b')], TIME)
  const { reads } = node.executor
  const key = (await reads.states('kv/', 10)).items.find((item) => item.key.endsWith('ä'))?.key as string
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  return {
    genesis: write('proofs-genesis.json', renderGenesis(GENESIS)),
    transaction: write(
      'transaction.proof.json',
      renderProof((await reads.proveTransaction(transaction.transaction.id)) as Proof),
    ),
    entry: write('entry.proof.json', renderProof((await reads.proveState(key)) as Proof)),
  }
}
