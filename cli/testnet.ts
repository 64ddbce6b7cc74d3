/**
 * Stage: the operator. `althing testnet`: members and RTUs as real processes on this machine, and from a second terminal what is done to
 * them. The code that runs them is loaded when it is needed.
 */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { DEFAULT_PLAN, MOST, parseDuration } from '../testnet/plan.ts'
import type { CommandContext } from './context.ts'
import { CommandError, EXIT } from './failure.ts'

type TestnetOptions = {
  members: number
  rtus: number
  for?: number
  dir?: string
  deltaMs: number
  heartbeatMs: number
  rtuIntervalMs: number
  load: number
  scenario?: string
  network?: 'relay' | 'netns'
  upgradeTo?: string
  kill?: string
  pause?: string
  resume?: string
  restart?: string
  stop?: boolean
  status?: boolean
}

const NAMED = ['kill', 'pause', 'resume', 'restart'] as const
const BARE = ['stop', 'status'] as const

const WITH_SCENARIO = ['network', 'upgradeTo']
/** What a scenario says itself. */
const IN_SCENARIO = ['members', 'rtus', 'for', 'deltaMs', 'heartbeatMs', 'rtuIntervalMs', 'load']
const flagOf = (name: string): string => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`

const wholeNumber =
  (min: number, max: number) =>
  (text: string): number => {
    const value = Number(text)
    if (/^[0-9]{1,9}$/.test(text) && value >= min && value <= max) return value
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`)
  }

const duration = (text: string): number => {
  const ms = parseDuration(text)
  if (ms !== undefined) return ms
  throw new InvalidArgumentError('It must be a number and a unit: 500ms, 30s, 2m or 1h, a day at most.')
}

/** `althing testnet`. */
export function registerTestnet(program: Command, context: CommandContext): void {
  program
    .command('testnet')
    .description('run a consortium of real processes on this machine, or act on one that runs')
    .option('--members <count>', `members, 1 to ${MOST.members}`, wholeNumber(1, MOST.members), DEFAULT_PLAN.members)
    .option('--rtus <count>', `RTUs, 0 to ${MOST.rtus}`, wholeNumber(0, MOST.rtus), DEFAULT_PLAN.rtus)
    .option('--for <time>', 'end by itself this long after all is up, with a summary: 30s, 2m', duration)
    .option('--dir <folder>', 'folder to make or to resume, and to keep (default: a fresh one, removed at the end)')
    .option('--delta-ms <ms>', 'Δ of the genesis', wholeNumber(10, 60_000), DEFAULT_PLAN.deltaMs)
    .option('--heartbeat-ms <ms>', 'pause between blocks when idle', wholeNumber(50, 600_000), DEFAULT_PLAN.heartbeatMs)
    .option(
      '--rtu-interval-ms <ms>',
      'time between two observations of an RTU',
      wholeNumber(100, 86_400_000),
      DEFAULT_PLAN.rtuIntervalMs,
    )
    .option('--load <tps>', 'constant load, transactions of 300 bytes per second', wholeNumber(0, 100_000), 0)
    .option(
      '--scenario <file>',
      'do to it what the file says, and check that nothing is lost, reordered or contradicted',
    )
    .addOption(
      new Option('--network <kind>', 'with --scenario: how members are connected (default: relay)').choices([
        'relay',
        'netns',
      ]),
    )
    .option('--upgrade-to <program>', 'with --scenario: bin/althing.js of the version that `upgrade` starts')
    .option('--kill <name>', 'second terminal: kill -9 a member or RTU')
    .option('--pause <name>', 'second terminal: suspend a member or RTU')
    .option('--resume <name>', 'second terminal: let a paused one go on')
    .option('--restart <name>', 'second terminal: stop a member or RTU, if it runs, and start it again')
    .option('--stop', 'second terminal: end the testnet, with its summary')
    .option('--status', 'second terminal: print the table once')
    .action(async (options: TestnetOptions, command: Command) => {
      const asked = [...NAMED, ...BARE].filter((verb) => options[verb] !== undefined)
      if (asked.length > 1)
        throw new CommandError('TESTNET_OPTIONS', EXIT.usage, 'one act at a time', {
          advice: `Give one of ${asked.map((verb) => `--${verb}`).join(', ')}.`,
        })
      const given = (name: string): boolean => command.getOptionValueSource(name) === 'cli'
      const isAlone = options.scenario === undefined
      const alien = isAlone ? WITH_SCENARIO.filter(given) : [...IN_SCENARIO, ...asked].filter(given)
      const flags = alien.map(flagOf).join(', ')
      if (alien.length > 0)
        throw new CommandError(
          'TESTNET_OPTIONS',
          EXIT.usage,
          isAlone ? `${flags} is for a scenario` : `${flags} does not go with --scenario`,
          { advice: isAlone ? 'Name its file with --scenario.' : 'Leave it out: a scenario says these things itself.' },
        )
      const [verb] = asked
      if (options.scenario !== undefined) await direct(context, options, options.scenario)
      else if (verb === undefined) await start(context, options)
      else await act(context, verb, options)
    })
}

async function direct(context: CommandContext, options: TestnetOptions, file: string): Promise<void> {
  const { runScenario } = await import('../testnet/scenarioRun.ts')
  const { output } = context
  const { network = 'relay', dir: folder, upgradeTo } = options
  context.exitCode = await runScenario({ file, network, folder, upgradeTo, json: output.json }, output)
}

async function start(context: CommandContext, options: TestnetOptions): Promise<void> {
  const { runTestnet } = await import('../testnet/run.ts')
  const { members, rtus, deltaMs, heartbeatMs, rtuIntervalMs } = options
  const { output, surroundings, environment } = context
  const onTerminal = process.stdout.isTTY === true && environment['TERM'] !== 'dumb' && !output.json
  context.exitCode = await runTestnet(
    {
      plan: { members, rtus, deltaMs, heartbeatMs, rtuIntervalMs },
      folder: options.dir,
      forMs: options.for,
      loadPerSecond: options.load,
      json: output.json,
    },
    {
      data: output.data,
      remark: output.remark,
      live: onTerminal
        ? {
            write: surroundings.stdout,
            size: () => ({ columns: process.stdout.columns ?? 80, rows: process.stdout.rows ?? 24 }),
          }
        : undefined,
    },
  )
}

async function act(
  { output }: CommandContext,
  verb: (typeof NAMED)[number] | (typeof BARE)[number],
  options: TestnetOptions,
): Promise<void> {
  const { askTestnet } = await import('../testnet/control.ts')
  const name = verb === 'stop' || verb === 'status' ? undefined : options[verb]
  const answer = await askTestnet(options.dir, name === undefined ? { verb } : { verb, name })
  if (output.json) output.data(JSON.stringify({ folder: answer.folder, text: answer.text, data: answer.data ?? null }))
  else if (verb === 'status' && answer.data !== null && answer.data !== undefined) {
    const { tableLines } = await import('../testnet/table.ts')
    // The testnet's own view, through its socket: this program wrote it.
    const view = answer.data as Parameters<typeof tableLines>[0]
    for (const line of tableLines(view, process.stdout.columns ?? 120, 1000)) output.data(line)
  } else output.data(`${answer.text}\n  in ${answer.folder}`)
}
