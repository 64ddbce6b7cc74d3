/**
 * Stage: the operator. `althing replay FILE`: a log of readings as a device, in the time of the log or faster.
 * Invariants: the log is read and checked whole before anything is reported; what is wrong with it is listed, by line, and ends in 65.
 */
import { type Command, InvalidArgumentError } from 'commander'
import type { ParsedLog, ReadingLog } from '../node/rtu/replay/log.ts'
import type { CommandContext } from './context.ts'
import { CommandError, EXIT } from './failure.ts'
import { readText } from './files.ts'
import { show, table } from './output.ts'
import { readRtuHome, registerCommand, registrationOf } from './rtuHome.ts'

type ReplayCommandOptions = { speed: number; learn?: number; check?: boolean; passOver?: boolean }

/** Problems that are listed; of more, only their number is said. */
const PROBLEMS_SHOWN = 20

const numberFrom =
  (least: number) =>
  (text: string): number => {
    const value = text === 'max' ? Number.POSITIVE_INFINITY : Number(text)
    if (!(value >= least) || value === 0) throw new InvalidArgumentError(`It must be a number from ${least} on.`)
    return value
  }

/** `althing replay`. */
export function registerReplay(program: Command, context: CommandContext): void {
  program
    .command('replay')
    .argument('<file>', 'CSV with a column of times, or SenML as JSON; - for standard input')
    .description('play a log of readings as this device: what detectors find is reported to its members')
    .option('--speed <factor>', 'seconds of the log in one second, or max (default: 1)', numberFrom(0.001), 1)
    .option('--learn <rows>', 'rows to learn from before anything is reported (default: 15 %)', numberFrom(10))
    .option('--check', 'only say what would be reported; needs no home and no members')
    .option('--pass-over', 'go on without the rows that are wrong, in the place of refusing the log')
    .action((file: string, options: ReplayCommandOptions) => replay(context, file, options))
}

async function replay(context: CommandContext, file: string, options: ReplayCommandOptions): Promise<void> {
  const { LOG_CHARACTERS_MAX, parseLog } = await import('../node/rtu/replay/log.ts')
  const text = file === '-' ? await context.readStdin(LOG_CHARACTERS_MAX) : await readText(file, LOG_CHARACTERS_MAX)
  const log = soundLog(context, file, parseLog(text), options.passOver === true)
  if (options.check === true) await checkOnly(context, log, options)
  else await play(context, log, options)
}

/** The log, if nothing is wrong with it, or what is wrong may be passed over. */
function soundLog(context: CommandContext, file: string, { log, problems }: ParsedLog, passOver: boolean): ReadingLog {
  const isUsable = log.rows.length > 0 && passOver
  if (problems.length > 0 && !isUsable) {
    const more = problems.length - PROBLEMS_SHOWN
    throw new CommandError('LOG_MALFORMED', EXIT.badData, `${file} cannot be played as it is`, {
      problems: problems.slice(0, PROBLEMS_SHOWN).map(({ line, what }, i) => ({
        where: `line ${line}`,
        what: i === PROBLEMS_SHOWN - 1 && more > 0 ? `${what}; and ${more} more like these` : what,
      })),
    })
  }
  if (problems.length > 0) context.output.remark(`${problems.length} problems of ${file} are passed over`)
  return log
}

async function checkOnly(context: CommandContext, log: ReadingLog, { learn }: ReplayCommandOptions): Promise<void> {
  const { LogJudge } = await import('../node/rtu/replay/judge.ts')
  const { eventOf } = await import('../node/rtu/report.ts')
  const judge = new LogJudge(log, learn)
  const events = log.rows.flatMap((row) => judge.judge(row)).map(eventOf)
  show(context.output, { rows: log.rows.length, channels: log.channels, events }, () =>
    [
      `${log.rows.length} rows, ${log.channels.length} channels, ${events.length} events`,
      ...(events.length === 0
        ? []
        : [
            table(
              ['category', 'score ppm', 'detail'],
              events.map((event) => [event.category, event.scorePpm, event.detail]),
            ),
          ]),
    ].join('\n'),
  )
}

async function play(context: CommandContext, log: ReadingLog, { speed, learn }: ReplayCommandOptions): Promise<void> {
  const home = await readRtuHome(context)
  const { replayMonitor } = await import('../node/rtu/replay/monitor.ts')
  const { runRtu } = await import('../node/rtu/daemon.ts')
  const monitor = replayMonitor(log, speed, learn)
  const advice = `If it is not registered, have a member run: ${registerCommand(await registrationOf(home))}`
  context.exitCode = await runRtu({ ...home, advice, replay: monitor })
  const { rows, findings, isOver } = monitor.progress
  context.output.remark(
    `${isOver ? 'played' : 'stopped after'} ${rows} of ${log.rows.length} rows: ${findings} findings reported`,
  )
}
