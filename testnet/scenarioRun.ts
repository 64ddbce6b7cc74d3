/**
 * Stage: the operator. `althing testnet --scenario`: a testnet, a scenario, and whether anything was lost, reordered or contradicted.
 * Invariants: what the machine cannot do is said before anything runs; the end is good only if the checker found nothing, every expectation
 * came, nobody ended by itself, and the chain went on at every member after all was healed; whatever was made on this machine is taken away.
 */
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { CommandError, EXIT } from '../cli/failure.ts'
import { readText } from '../cli/files.ts'
import type { Problem } from '../config/problems.ts'
import type { Finding } from './checker.ts'
import { type DeviceStory, judgeDevices } from './devices.ts'
import { type Deed, Director, dataFolderIn, type Props } from './director.ts'
import { refusesSlowDisk, refusesSmallDisk, SMALL_DISK_SETTINGS, SmallDisk } from './disks.ts'
import { RunFolder } from './folder.ts'
import { createHomes, readPlaces, type TestnetPlaces } from './homes.ts'
import { LinkFaults } from './links.ts'
import { Machines } from './machines.ts'
import { Netns } from './netns.ts'
import { clockText, DEFAULT_PLAN, memberNames, rtuNames } from './plan.ts'
import { Relay } from './relay.ts'
import { parseScenario, SCENARIO_MOST, type Scenario } from './scenario.ts'
import { SIGNALS, Signals } from './signals.ts'
import { Testnet, until } from './testnet.ts'
import type { Transport } from './transport.ts'
import { refusesClock, WallClock } from './wallClock.ts'
import { Watcher, type WriteFigures } from './watcher.ts'
import type { Target } from './words.ts'

/** What `althing testnet --scenario` was asked for. */
export type ScenarioOptions = {
  readonly file: string
  readonly network: 'relay' | 'netns'
  /** New folder that is kept; one that is removed at the end, if undefined. */
  readonly folder: string | undefined
  /** Program of the version to upgrade to: `bin/althing.js` of another clone or package. */
  readonly upgradeTo: string | undefined
  readonly json: boolean
}

/** How it ended. Times in ms. */
export type ScenarioResult = {
  readonly ok: boolean
  readonly reasons: readonly string[]
  readonly findings: readonly Finding[]
  readonly network: string
  readonly durationMs: number
  /** Verb → how often it was done. */
  readonly done: Readonly<Record<string, number>>
  readonly deeds: readonly Deed[]
  readonly blocks: number
  /** After healing: until every member was three blocks further and a write was acknowledged; null if that never came. */
  readonly recoveredMs: number | null
  readonly writes: WriteFigures
  readonly verified: { readonly certificates: number; readonly proofs: number; readonly assurances: number }
  /** How it went with each device that was compromised. */
  readonly devices: readonly DeviceStory[]
  /** How members ended that nobody had asked to. */
  readonly endings: readonly string[]
}

const RECOVERY_MS = 60_000
const LEVEL_MS = 30_000
const RECOVERY_BLOCKS = 3
/** A member whose disk is full stops with one of these codes (docs/errors.md). */
const DISK_FULL_ENDINGS = [EXIT.diskFull, EXIT.disk].map((code) => `exit code ${code}`)

type Say = { data(text: string): void; remark(text: string): void }

/** Runs a scenario. The exit code: 0, 2, or 128 + signal. */
export async function runScenario(options: ScenarioOptions, say: Say): Promise<number> {
  const scenario = await readScenario(options.file)
  const runFolder = await RunFolder.open(options.folder, say.remark)
  const { path: folder } = runFolder
  const cleanUp: (() => Promise<void>)[] = []
  // The second signal: at once. The warden ends what runs, and the next run sweeps what is left of the network and the disks.
  const signals = new Signals((exitCode) => process.exit(exitCode))
  let result: ScenarioResult | undefined
  try {
    result = await inFolder(folder, scenario, options, say, signals, cleanUp)
    if (result !== undefined) report(result, options, say)
    if (result?.ok === false) say.remark(`the logs are in ${join(folder, 'logs')}`)
    if (signals.signal !== undefined) return SIGNALS[signals.signal]
    return result?.ok === true ? EXIT.ok : EXIT.no
  } finally {
    for (const task of cleanUp.reverse()) await task()
    await runFolder.close(result?.ok === false && signals.signal === undefined)
    signals.close()
  }
}

async function readScenario(file: string): Promise<Scenario> {
  const parsed = parseScenario(await readText(file, SCENARIO_MOST.characters))
  if (parsed.ok) return parsed.value
  throw new CommandError('TESTNET_SCENARIO', EXIT.usage, `${file} is no scenario that can be run`, {
    problems: parsed.problems,
  })
}

async function inFolder(
  folder: string,
  scenario: Scenario,
  options: ScenarioOptions,
  say: Say,
  signals: Signals,
  cleanUp: (() => Promise<void>)[],
): Promise<ScenarioResult | undefined> {
  const { members, rtus, deltaMs, heartbeatMs, loadPerSecond } = scenario
  if (options.folder !== undefined && (await readPlaces(folder)) !== undefined)
    throw new CommandError('TESTNET_FOLDER', EXIT.usage, `there is a testnet in ${folder} already`, {
      advice: 'A scenario begins with a new one: choose another --dir.',
    })
  // Before the homes are made: refusals cost nothing.
  await refuseWhatCannotBe(scenario, options, folder)
  say.remark(`making the homes of ${members} members${rtus > 0 ? ` and ${rtus} RTUs` : ''} in ${folder}`)
  const rtuIntervalMs = scenario.cycleMs
  const places = await createHomes(folder, { ...DEFAULT_PLAN, members, rtus, deltaMs, heartbeatMs, rtuIntervalMs })
  const netns = options.network === 'netns' ? await Netns.prepare(places.members, rtuNames(rtus)) : undefined
  const transport = netns ?? new Relay(places.members)
  refuseLinks(scenario, transport)
  cleanUp.push(() => transport.close())
  await transport.open()
  const machines = netns !== undefined && rtus > 0 ? new Machines(netns, places, scenario.learningCycles) : undefined
  if (machines !== undefined) {
    cleanUp.push(() => machines.close())
    await machines.open()
  }
  const lost = (): void => {
    say.remark('the warden of this testnet is gone, so it ends')
    signals.endNow()
  }
  const testnet = await Testnet.prepare(places, loadPerSecond, lost, {
    transport,
    mannerOf: machines && ((rtu) => machines.mannerOf(rtu)),
  })
  const props = { ...(await propsOf(scenario, testnet, places, options, cleanUp)), machines }
  let watcher: Watcher | undefined
  cleanUp.push(async () => {
    const stopped = testnet.stop()
    // Its writers hear at once that nobody answers any more.
    await watcher?.end()
    await stopped
  })
  const starting = testnet.start(say.remark)
  starting.catch(() => undefined)
  await Promise.race([starting, signals.ended])
  if (signals.isEnding) return undefined
  watcher = await Watcher.of(testnet)
  watcher.start()
  const director = new Director(testnet, transport, props, (text) => say.remark(text))
  await director.run(scenario, signals.ended)
  if (signals.isEnding) {
    director.abandon()
    return undefined
  }
  say.remark('healing everything')
  await director.heal()
  return judge(testnet, watcher, director, transport, signals, scenario)
}

async function judge(
  testnet: Testnet,
  watcher: Watcher,
  director: Director,
  transport: Transport,
  signals: Signals,
  { cycleMs }: Scenario,
): Promise<ScenarioResult> {
  const healedAt = performance.now()
  const recovered = await hasRecovered(watcher, signals)
  const recoveredMs = recovered ? Math.round(performance.now() - healedAt) : null
  await watcher.end()
  testnet.load.stop()
  const behind = await watcher.level(LEVEL_MS)
  const findings = await watcher.verdict()
  const devices = await judgeDevices(testnet, director.compromised, cycleMs, testnet.load.chainId)
  const endings = [...testnet.members, ...testnet.rtus].flatMap(({ process }) =>
    process.unasked.map((ending) => `${process.name}: ${ending}`),
  )
  const filled = director.deeds.filter(({ verb }) => verb === 'fill').map(({ what }) => what)
  const unexpected = endings.filter(
    (text) => !filled.some((name) => DISK_FULL_ENDINGS.some((ending) => text === `${name}: ${ending}`)),
  )
  const reasons = [
    ...director.failures,
    ...unexpected.map((text) => `${text}, by itself`),
    ...(recovered ? [] : [`the chain did not go on everywhere within ${RECOVERY_MS / 1000} s after all was healed`]),
    ...behind.map((name) => `${name} did not catch up`),
    ...(watcher.checker.acknowledgedCount === 0 ? ['nothing was acknowledged, so nothing was tried'] : []),
    ...devices.reasons,
    ...findings.map(({ code, sentence }) => `${code}: ${sentence}`),
  ]
  const done: Record<string, number> = {}
  for (const { verb, done: isDone } of director.deeds) if (isDone) done[verb] = (done[verb] ?? 0) + 1
  return {
    ok: reasons.length === 0,
    reasons,
    findings,
    network: transport.name,
    durationMs: Math.round(performance.now() - testnet.upAt),
    done,
    deeds: director.deeds,
    blocks: await watcher.top(),
    recoveredMs,
    writes: watcher.figures(),
    verified: watcher.checker.verified,
    devices: devices.stories,
    endings,
  }
}

// Every member some blocks further than anybody was, and a write acknowledged that was sent afterwards or is answered now.
async function hasRecovered(watcher: Watcher, signals: Signals): Promise<boolean> {
  const top = await watcher.top()
  const acknowledged = watcher.checker.acknowledgedCount
  return until(async () => {
    const heights = await Promise.all(watcher.testnet.members.map(({ place }) => watcher.height(place.name)))
    const areFurther = heights.every((height) => (height ?? 0) >= top + RECOVERY_BLOCKS)
    return signals.isEnding || (areFurther && watcher.checker.acknowledgedCount > acknowledged)
  }, RECOVERY_MS)
}

const namesOf = (scenario: Scenario, verb: 'fill' | 'clock'): string[] => {
  const all = memberNames(scenario.members)
  const targets: Target[] = scenario.steps.flatMap(({ act }) => (act.verb === verb ? [act.who] : []))
  // Who will lead is not known yet.
  return all.filter((name) => targets.some((target) => typeof target === 'string' || target.includes(name)))
}

async function refuseWhatCannotBe(scenario: Scenario, options: ScenarioOptions, folder: string): Promise<void> {
  const first = (verb: string): number | undefined => scenario.steps.find(({ act }) => act.verb === verb)?.line
  const problems: Problem[] = []
  const refuse = (verb: string, what: string | null): void => {
    const line = first(verb)
    if (line !== undefined && what !== null) problems.push({ where: `line ${line}`, what })
  }
  if (scenario.rtus > 0 && options.network !== 'netns')
    problems.push({
      where: 'rtus',
      what: 'have a machine of their own each, which takes namespaces: root, and --network netns',
    })
  refuse('fill', await refusesSmallDisk())
  refuse('slow', await refusesSlowDisk(options.folder === undefined ? folder : resolve(folder, '..')))
  refuse('clock', await refusesClock())
  const program = options.upgradeTo
  refuse('upgrade', program === undefined ? 'upgrade needs --upgrade-to <program>' : null)
  if (program !== undefined && (await readFile(program).catch(() => undefined)) === undefined)
    refuse('upgrade', `${program} cannot be read`)
  if (problems.length > 0)
    throw new CommandError('TESTNET_SCENARIO', EXIT.usage, `${options.file} cannot be run here`, { problems })
}

function refuseLinks(scenario: Scenario, transport: Transport): void {
  const problems = scenario.steps.flatMap(({ line, act }) => {
    if (act.verb !== 'links') return []
    const faults = new LinkFaults()
    faults.add(act.links, act.effect)
    const what = transport.refuses(faults.of)
    return what === null ? [] : [{ where: `line ${line}`, what }]
  })
  if (problems.length > 0)
    throw new CommandError('TESTNET_NETWORK', EXIT.unavailable, `the network of this scenario cannot be made here`, {
      problems,
    })
}

async function propsOf(
  scenario: Scenario,
  testnet: Testnet,
  { folder }: TestnetPlaces,
  { upgradeTo }: ScenarioOptions,
  cleanUp: (() => Promise<void>)[],
): Promise<Omit<Props, 'machines'>> {
  const disks = new Map<string, SmallDisk>()
  const clocks = new Map<string, WallClock>()
  for (const { place, manner } of testnet.members) {
    const { name } = place
    if (namesOf(scenario, 'fill').includes(name)) {
      const disk = await SmallDisk.mount(dataFolderIn(folder, name), name)
      cleanUp.push(() => disk.unmount())
      disks.set(name, disk)
      manner.settings = { ...manner.settings, ...SMALL_DISK_SETTINGS }
    }
    if (namesOf(scenario, 'clock').includes(name)) {
      const clock = await WallClock.at(join(folder, `clock-of-${name}`))
      clocks.set(name, clock)
      manner.environment = { ...manner.environment, ...clock.environment }
    }
  }
  return { disks, clocks, upgradeTo: upgradeTo === undefined ? undefined : resolve(upgradeTo) }
}

/** The result for people. Exported for its test. */
export function resultLines(result: ScenarioResult): string[] {
  const { ok, writes, verified, recoveredMs } = result
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`
  return [
    `${ok ? 'good' : 'NOT good'}: ${result.blocks} blocks in ${clockText(result.durationMs)}, network ${result.network}`,
    `done: ${Object.entries(result.done)
      .map(([verb, count]) => `${verb} ${count}`)
      .join(', ')}`,
    `writes: ${writes.acknowledged} acknowledged (median ${writes.p50Ms} ms, 99 of 100 within ${writes.p99Ms} ms), ` +
      `${writes.unanswered} without an answer; longest time without any: ${seconds(writes.longestGapMs)}`,
    `after healing: ${recoveredMs === null ? 'did not go on' : `went on everywhere within ${seconds(recoveredMs)}`}`,
    `verified offline: ${verified.certificates} certificates, ${verified.proofs} proofs; ${verified.assurances} assurances compared`,
    ...result.devices.map(
      ({ rtu, reported, cyclesFromCompromise, cyclesFromReport, raters }) =>
        `${rtu} compromised: reported ${reported.join(', ') || 'nothing'}; cut off by ${raters} peers ` +
        `${cyclesFromCompromise ?? '?'} cycles after it, ${cyclesFromReport ?? '?'} after its report`,
    ),
    ...result.endings.map((ending) => `ended by itself: ${ending}`),
    ...result.reasons.map((reason) => `reason: ${reason}`),
  ]
}

function report(result: ScenarioResult, { json }: ScenarioOptions, say: Say): void {
  if (json) say.data(JSON.stringify(result, null, 2))
  else for (const line of resultLines(result)) say.data(line)
}
