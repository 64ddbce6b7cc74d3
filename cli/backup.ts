/**
 * Stage: the operator. `althing backup create | verify | restore`: the whole ledger in one file, of a node that runs or of one that is stopped.
 * Invariants: no key and no signing record is ever in a backup; `restore` makes no signing record either, so that nothing that was restored can
 * sign before it has recovered (agreement.md §6); a file is whole or not there.
 */
import { mkdtemp, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { inHome } from '../config/home.ts'
import { isAlthingError } from '../node/errors.ts'
import { clientOf } from './client.ts'
import { type CommandContext, chainIdText } from './context.ts'
import { EXIT } from './failure.ts'
import { show } from './output.ts'

/** `althing backup`. */
export function registerBackup(program: Command, context: CommandContext): void {
  const backup = program.command('backup').description('back the ledger up, verify a backup, restore from one')
  backup
    .command('create')
    .argument('<file>', 'new file to write')
    .description(
      'back up the ledger as it is at this moment, while the node runs or is stopped; keys and signing record are not in it',
    )
    .action((file: string) => create(context, resolve(file)))
  backup
    .command('verify')
    .argument('<file>', 'backup file')
    .option('--work <folder>', 'folder with room for the unpacked ledger (default: that of temporary files)')
    .description('unpack a backup, derive every root in it anew, and say what is wrong; exit code 2 if anything is')
    .action((file: string, options: { work?: string }) => verify(context, resolve(file), options.work))
  backup
    .command('restore')
    .argument('<file>', 'backup file')
    .description('put the ledger of a backup into a home that has none; the node then has to start with --recover')
    .action((file: string) => restore(context, resolve(file)))
}

async function create(context: CommandContext, file: string): Promise<void> {
  const { config } = await context.config()
  const genesis = await context.genesis()
  const directory = inHome(context.home, config.node.dataDir)
  const { backupOfStopped, writeBackup } = await import('../node/backup/main.ts')
  context.output.remark(`althing: writing ${file}; a large ledger takes minutes`)
  let bytes = 0
  const told = progress(context, 'MiB read')
  async function* counted(pieces: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    for await (const piece of pieces) {
      bytes += piece.length
      told(Math.floor(bytes / 2 ** 20))
      yield piece
    }
  }
  let from = 'the stopped node'
  try {
    await writeBackup(counted(backupOfStopped(directory, genesis)), file)
  } catch (error) {
    if (!isAlthingError(error, 'STORE_LOCKED')) throw error
    from = 'the running node'
    const client = await clientOf(context, {}, 'operate')
    await writeBackup(counted(await client.open({ segments: ['backup'] })), file)
  }
  show(context.output, { file, from, bytes, chainId: chainIdText(genesis) }, () =>
    [
      `wrote ${file}: the ledger of ${from}, ${bytes} bytes before compression`,
      'It holds no key and no signing record: keep a copy of keys/ elsewhere, and none of data/signing, ever.',
      `Check it with: althing backup verify ${file}`,
    ].join('\n'),
  )
}

async function verify(context: CommandContext, file: string, work: string | undefined): Promise<void> {
  const { verifyBackup } = await import('../node/backup/main.ts')
  const folder = await mkdtemp(join(work ?? tmpdir(), 'althing-verify-'))
  try {
    const { bavail, bsize } = await statfs(folder)
    context.output.remark(
      `althing: unpacking into ${folder}, where ${Math.floor((bavail * bsize) / 2 ** 20)} MiB are free`,
    )
    const report = await verifyBackup(file, join(folder, 'ledger'))
    if (report.problems.length > 0) context.exitCode = EXIT.no
    show(context.output, { whole: report.problems.length === 0, ...report }, () => reportText(report))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function restore(context: CommandContext, file: string): Promise<void> {
  const { config } = await context.config()
  const genesis = await context.genesis()
  const directory = inHome(context.home, config.node.dataDir)
  const { restoreBackup } = await import('../node/backup/main.ts')
  context.output.remark(`althing: restoring into ${directory}; all of it is checked first`)
  const report = await restoreBackup(file, directory, genesis)
  const restored = report.problems.length === 0
  if (!restored) context.exitCode = EXIT.no
  show(context.output, { restored, ...report }, () =>
    restored
      ? `restored: one ledger up to height ${report.height}\n` +
        'what to do: althing start --recover. This member has no signing record now; without recovering it could contradict what it signed.'
      : `nothing was restored.\n${reportText(report)}`,
  )
}

type Report = Awaited<ReturnType<typeof import('../node/backup/main.ts')['verifyBackup']>>

const reportText = ({ chainId, height, firstHeight, firstBody, problems }: Report): string =>
  problems.length > 0
    ? `${problems.length} problems up to height ${height}:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`
    : `whole: one ledger of chain ${chainId} up to height ${height}; blocks from ${firstHeight}, their transactions from ${firstBody} on`

/** Says at most once a second how far it is. */
function progress(context: CommandContext, unit: string): (amount: number) => void {
  let toldAt = performance.now()
  return (amount) => {
    if (performance.now() - toldAt < 1000) return
    toldAt = performance.now()
    context.output.remark(`althing: ${amount} ${unit}`)
  }
}
