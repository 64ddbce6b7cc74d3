/**
 * RTU, monitor `resources`: processor, load, memory and disks against thresholds.
 * Invariants: a finding begins when a value has been at or over `enterPpm` for `enterCycles` cycles in a row and ends under `leavePpm`,
 * so that a value about the threshold does not flicker; nothing is learnt and nothing kept on disk; a share of processor time needs two
 * readings, so the first cycle has none.
 */
import type { CategoryName } from '../../../protocol/kinds/report/categories.ts'
import { attempt, type Machine, textOf } from '../machine.ts'
import { blindOf, cannotSee, detailOf, type Finding, type Monitor } from '../monitor.ts'

/** When a finding begins and ends, in ppm of the whole; `leavePpm` < `enterPpm`. */
export type Threshold = { readonly enterPpm: number; readonly leavePpm: number; readonly enterCycles: number }
/** `load` is in ppm of one runnable task per processor. `diskPaths`: at most 16; a dead network mount would stop the reader, so local ones. */
export type ResourcesOptions = {
  readonly cpu: Threshold
  readonly load: Threshold
  readonly memory: Threshold
  readonly disk: Threshold
  readonly diskPaths: readonly string[]
}
/** Chosen so that an ordinary busy minute says nothing: full processors for six cycles, memory or disk nearly gone. */
export const RESOURCES_DEFAULTS: ResourcesOptions = {
  cpu: { enterPpm: 950_000, leavePpm: 850_000, enterCycles: 6 },
  load: { enterPpm: 4_000_000, leavePpm: 3_000_000, enterCycles: 6 },
  memory: { enterPpm: 930_000, leavePpm: 880_000, enterCycles: 3 },
  disk: { enterPpm: 950_000, leavePpm: 930_000, enterCycles: 1 },
  diskPaths: ['/'],
}

/** Processor time since start, in the kernel's ticks. */
export type CpuTicks = { readonly busy: number; readonly total: number }
/** How long a value has been high, and whether that is a finding now. */
export type HighWater = { readonly cyclesHigh: number; readonly raised: boolean }
export type ResourcesBaseline = {
  readonly cpu: CpuTicks | null
  readonly water: ReadonlyMap<string, HighWater>
}

const CALM: HighWater = { cyclesHigh: 0, raised: false }
const DISKS_MAX = 16

/** Monitor of resources. */
export const resourcesMonitor = (options: ResourcesOptions = RESOURCES_DEFAULTS): Monitor<ResourcesBaseline> => ({
  name: 'resources',
  categories: ['resource.cpu', 'resource.memory', 'resource.disk'],
  empty: () => ({ cpu: null, water: new Map() }),
  async observe(machine, baseline, turn) {
    const ticks = read(machine, '/proc/stat', 'processor time', parseCpuTicks)
    const memory = read(machine, '/proc/meminfo', 'memory', parseMemoryPpm)
    const load = read(machine, '/proc/loadavg', 'load', (text) => parseLoadMilli(text))
    const disks = options.diskPaths.slice(0, DISKS_MAX).map((path) => ({ path, ...diskPpm(machine, path) }))
    const cpuPpm =
      ticks.value === undefined || baseline.cpu === null ? undefined : cpuPpmBetween(baseline.cpu, ticks.value)
    const loadPpm = load.value === undefined ? undefined : Math.round((load.value * 1000) / machine.cpus())

    const water = new Map<string, HighWater>()
    const findings: Finding[] = []
    const weigh = (
      category: CategoryName,
      subject: string,
      ppm: number | undefined,
      threshold: Threshold,
      words: string,
    ): void => {
      const before = baseline.water.get(subject) ?? CALM
      // Unknown is neither high nor low: the state stays.
      const now = ppm === undefined ? before : nextWater(before, ppm, threshold)
      water.set(subject, now)
      if (now.raised && ppm !== undefined) findings.push(resourceFinding(category, subject, ppm, threshold, words))
    }
    weigh('resource.cpu', 'cpu', cpuPpm, options.cpu, 'processors are busy')
    weigh('resource.cpu', 'load', loadPpm, options.load, 'tasks are runnable per 100 processors')
    weigh('resource.memory', 'memory', memory.value, options.memory, 'of memory is in use')
    for (const { path, value } of disks)
      weigh('resource.disk', `disk ${path}`, value, options.disk, `of the disk at ${path} is in use`)

    const known = disks.map(({ value }) => value).filter((value) => value !== undefined)
    return {
      findings: turn.learning ? [] : findings,
      baseline: { cpu: ticks.value ?? baseline.cpu, water },
      blind: blindOf([ticks.blind, memory.blind, load.blind, ...disks.map(({ blind }) => blind)]),
      counts: {
        ...(cpuPpm === undefined ? {} : { cpuPpm }),
        ...(memory.value === undefined ? {} : { memoryPpm: memory.value }),
        ...(load.value === undefined ? {} : { loadMilli: load.value }),
        ...(known.length === 0 ? {} : { diskPpm: Math.max(...known) }),
      },
    }
  },
  toDisk: () => null,
  fromDisk: () => ({ cpu: null, water: new Map() }),
})

type Reading<T> = { readonly value: T | undefined; readonly blind: string | null }

function read<T>(machine: Machine, path: string, what: string, parse: (text: string) => T | undefined): Reading<T> {
  const content = attempt(() => machine.readFile(path, 16 * 1024))
  if ('refusal' in content) return { value: undefined, blind: cannotSee(what, path, content.refusal) }
  const value = parse(textOf(content.value))
  return { value, blind: value === undefined ? `cannot see ${what}: ${path} is not as expected` : null }
}

function diskPpm(machine: Machine, path: string): Reading<number> {
  const space = attempt(() => machine.statfs(path))
  if ('refusal' in space) return { value: undefined, blind: `cannot see the disk at ${path}: ${space.refusal}` }
  const { bytesTotal, bytesFree } = space.value
  // Pseudo file systems have no size and are never full.
  return { value: bytesTotal <= 0 ? 0 : Math.round((1 - bytesFree / bytesTotal) * 1_000_000), blind: null }
}

/** Ticks of the first line of /proc/stat (proc_stat(5)); guest time is already part of user time. */
export function parseCpuTicks(text: string): CpuTicks | undefined {
  const line = /^cpu +([0-9 ]+)$/m.exec(text)?.[1]
  if (line === undefined) return undefined
  const ticks = line.trim().split(/ +/).map(Number).slice(0, 8)
  if (ticks.length < 4) return undefined
  const total = ticks.reduce((sum, part) => sum + part, 0)
  return { total, busy: total - (ticks[3] ?? 0) - (ticks[4] ?? 0) }
}

/** Busy share between two readings, ppm; undefined where no time has passed or the counters went back (they do across suspend). */
export function cpuPpmBetween(before: CpuTicks, after: CpuTicks): number | undefined {
  const total = after.total - before.total
  const busy = after.busy - before.busy
  return total <= 0 || busy < 0 ? undefined : Math.min(1_000_000, Math.round((busy * 1_000_000) / total))
}

/** Memory that a program could not get without swapping, ppm of all (proc_meminfo(5)); undefined where the kernel does not say. */
export function parseMemoryPpm(text: string): number | undefined {
  const total = Number(/^MemTotal: +(\d+) kB$/m.exec(text)?.[1])
  const available = Number(/^MemAvailable: +(\d+) kB$/m.exec(text)?.[1])
  if (!(total > 0) || !(available >= 0)) return undefined
  return Math.max(0, Math.round((1 - available / total) * 1_000_000))
}

/** Load average of the last minute in thousandths. */
export function parseLoadMilli(text: string): number | undefined {
  const load = /^(\d+\.\d+) /.exec(text)?.[1]
  return load === undefined ? undefined : Math.round(Number(load) * 1000)
}

/** State after one more reading of `ppm`. */
export function nextWater(before: HighWater, ppm: number, { enterPpm, leavePpm, enterCycles }: Threshold): HighWater {
  if (before.raised) return ppm < leavePpm ? CALM : before
  if (ppm < enterPpm) return CALM
  const cyclesHigh = before.cyclesHigh + 1
  return { cyclesHigh, raised: cyclesHigh >= enterCycles }
}

function resourceFinding(
  category: CategoryName,
  subject: string,
  ppm: number,
  { enterPpm }: Threshold,
  words: string,
): Finding {
  // From 300 000 at the threshold to 700 000 at twice it (load) or at the whole.
  const span = enterPpm < 1_000_000 ? 1_000_000 - enterPpm : enterPpm
  const excess = Math.max(0, Math.min(1, (ppm - enterPpm) / Math.max(1, span)))
  const severityPpm = Math.round(300_000 + 400_000 * excess)
  const percent = Math.round(ppm / 10_000)
  const detail = detailOf(subject === 'load' ? `${percent} ${words}` : `${percent} % ${words}`)
  // High use is certain; that it is an attack is not: a device that is busy in every way must not look like one that was taken over.
  return { category, subject, severityPpm, confidencePpm: 300_000, detail }
}
