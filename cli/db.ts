/**
 * Stage: the operator. `althing db check | repair`: walks the whole database of a stopped node and says what is wrong; mends it.
 * Invariant: the signing record is not touched by either.
 */
import { join } from 'node:path'
import type { Command } from 'commander'
import { inHome } from '../config/home.ts'
import { decodeTransaction } from '../protocol/transaction.ts'
import type { CommandContext } from './context.ts'
import { EXIT } from './failure.ts'
import { show } from './output.ts'

/** `althing db`. */
export function registerDb(program: Command, context: CommandContext): void {
  const db = program.command('db').description('look after the database of a stopped node')
  db.command('check')
    .description('check that the database is one whole ledger: every header, body, index and the state; exit 2 if not')
    .action(() => check(context))
  db.command('repair')
    .description(
      'mend what can be mended, move the rest aside, and say what was done; the signing record is never touched',
    )
    .action(() => repair(context))
}

async function repair(context: CommandContext): Promise<void> {
  const { config } = await context.config()
  const genesis = await context.genesis()
  const directory = inHome(context.home, config.node.dataDir)
  const { repairDataDirectory } = await import('../node/repair/main.ts')
  context.output.remark(`althing: looking at ${directory}; a large ledger takes minutes`)
  const report = await repairDataDirectory(directory, genesis)
  show(context.output, report, ({ height, done, remarks }) =>
    [
      ...(done.length === 0 ? ['nothing had to be done'] : done),
      ...(height === null ? [] : [`whole: one ledger up to height ${height}`]),
      ...remarks,
    ].join('\n'),
  )
}

const AWAITING = (height: number): string =>
  `\nthe node ended between the last block and that of height ${height}, whose certificate commits it: the next start fetches it from the others`

async function check(context: CommandContext): Promise<void> {
  const { config } = await context.config()
  const genesis = await context.genesis()
  const directory = inHome(context.home, config.node.dataDir)
  const { checkDataDirectory } = await import('../node/dataDirectory.ts')
  context.output.remark(`althing: checking ${join(directory, 'ledger')}; a large ledger takes minutes`)
  const { height, awaited, problems } = await checkDataDirectory(
    directory,
    genesis,
    (bytes) => decodeTransaction(bytes).id,
  )
  if (problems.length > 0) context.exitCode = EXIT.no
  show(context.output, { whole: problems.length === 0, height, awaited, problems }, () =>
    problems.length === 0
      ? `whole: one ledger up to height ${height}${awaited === null ? '' : AWAITING(awaited)}`
      : `${problems.length} problems up to height ${height}:\n${problems.map((problem) => `  - ${problem}`).join('\n')}\n` +
        'what to do: althing db repair',
  )
}
