/**
 * Stage: the operator. Scenario files: what is done to a testnet and when, one line each; text in, scenario or all problems out; pure.
 *
 *     members 4                                   also: delta 250ms, heartbeat 500ms, load 20, length 60s; # begins a comment
 *     rtus 5                                      of one segment; cycle 2s between their reports, learning 10 cycles
 *     every 5s for 5m kill leader                 at 5s, 10s, …; a member that is killed comes back after 2 s, or `for 10s`
 *     at 10s partition north,east | south,west for 20s
 *     at 10s cut north -> east for 20s            bytes are held one way; <-> both ways; `reset` ends connections and refuses new ones
 *     at 5s delay 400ms jitter 50ms for 20s       also loss 2%, rate 1mbit; all links, or `on north -> east`
 *     at 20s pause west for 20s                   who: names, leader, all
 *     at 8s fill south for 15s                    its disk; `slow south 20/s` lets it write so often
 *     at 8s clock east +90s                       its wall clock
 *     at 8s recover south                         killed, its data deleted, started with --recover
 *     at 8s upgrade south                         stopped, and started from --upgrade-to
 *     at 9s restart west | heal
 *     at 8s compromise rtu-3                      a program that was never installed runs and listens on its machine
 *     at 9s expect blacklisted rtu-3 within 20s   or trusted; at every member
 *     at 9s expect violated within 20s            also timely, standstill, progress; `by north,south`, or all that run
 *
 * Invariant: a scenario that is given out has no unknown word, no name that is no member, and no moment after its end.
 */
import { didYouMean, type Parsed, type Problem } from '../config/problems.ts'
import { type Effect, type Link, linksAmong, linksBetween } from './links.ts'
import { DEFAULT_PLAN, MOST, memberNames, parseDuration, rtuNames } from './plan.ts'
import { type Target, Unfit, Words } from './words.ts'

/** Most a scenario may have. */
export const SCENARIO_MOST = { characters: 64 * 1024, steps: 500, lengthMs: 3_600_000 } as const

/** What may be expected of members. */
const EXPECTATIONS = ['violated', 'timely', 'standstill', 'progress'] as const
/** What may be expected of devices. */
const STANDINGS = ['trusted', 'blacklisted'] as const

/** What is done. `forMs` null: until it is healed, or the end. */
export type Act =
  | { readonly verb: 'kill' | 'pause'; readonly who: Target; readonly forMs: number }
  | { readonly verb: 'restart' | 'recover' | 'upgrade'; readonly who: Target }
  | { readonly verb: 'links'; readonly links: readonly Link[]; readonly effect: Effect; readonly forMs: number | null }
  | { readonly verb: 'fill'; readonly who: Target; readonly forMs: number | null }
  | { readonly verb: 'slow'; readonly who: Target; readonly perSecond: number; readonly forMs: number | null }
  | { readonly verb: 'clock'; readonly who: Target; readonly offsetMs: number; readonly forMs: number | null }
  | { readonly verb: 'heal' }
  | { readonly verb: 'compromise'; readonly rtus: readonly string[] }
  | {
      readonly verb: 'standing'
      readonly status: (typeof STANDINGS)[number]
      readonly rtus: readonly string[]
      readonly withinMs: number
    }
  | {
      readonly verb: 'expect'
      readonly what: (typeof EXPECTATIONS)[number]
      readonly by: Target
      readonly withinMs: number
    }

/** One act at one moment, ms after all was up. `text`: as it was written. */
export type Step = { readonly line: number; readonly atMs: number; readonly act: Act; readonly text: string }

/** A scenario, its steps in order of time. */
export type Scenario = {
  readonly members: number
  /** Each on a machine of its own. */
  readonly rtus: number
  /** From one report of an RTU to the next, and how many of its first ones become its baseline. */
  readonly cycleMs: number
  readonly learningCycles: number
  readonly deltaMs: number
  readonly heartbeatMs: number
  /** Load beside the writers of the checker, transactions per second. */
  readonly loadPerSecond: number
  readonly lengthMs: number
  readonly steps: readonly Step[]
}

/** After the last moment of a scenario that names no length. */
const REST_MS = 10_000
const KILLED_MS = 2000
const WITHIN_MS = 15_000
const WRITES_PER_SECOND = 20
const LEARNING_CYCLES = 10

const HEADS = ['members', 'rtus', 'cycle', 'learning', 'delta', 'heartbeat', 'load', 'length'] as const
const VERBS = [
  ...['kill', 'pause', 'restart', 'recover', 'upgrade', 'partition', 'cut', 'reset', 'delay', 'jitter', 'loss', 'rate'],
  ...['fill', 'slow', 'clock', 'heal', 'compromise', 'expect'],
]

/** A scenario from the text of its file, or all that is wrong with it. */
export function parseScenario(text: string): Parsed<Scenario> {
  const problems: Problem[] = []
  const lines = text.split('\n').map((line, i) => ({
    line: i + 1,
    text: line.replace(/#.*$/, '').trim(),
    words: line
      .replace(/#.*$/, '')
      .replace(/\s*,\s*/g, ',')
      .replace(/(->|<->|\|)/g, ' $1 ')
      .trim()
      .split(/\s+/),
  }))
  if (text.length > SCENARIO_MOST.characters)
    return {
      ok: false,
      problems: [{ where: 'the file', what: `has more than ${SCENARIO_MOST.characters} characters` }],
    }
  const attempt = (line: number, run: () => void): void => {
    try {
      run()
    } catch (error) {
      if (!(error instanceof Unfit)) throw error
      const { message, hint } = error
      problems.push({ where: `line ${line}`, what: message, ...(hint === undefined ? {} : { hint }) })
    }
  }
  const heads = new Map<string, number>()
  for (const { line, words } of lines)
    if ((HEADS as readonly string[]).includes(words[0] as string)) attempt(line, () => readHead(words, heads))
  const names = memberNames(heads.get('members') ?? DEFAULT_PLAN.members)
  const rtus = rtuNames(heads.get('rtus') ?? 0)
  const steps: Step[] = []
  for (const { line, words, text: written } of lines) {
    if (written === '' || (HEADS as readonly string[]).includes(words[0] as string)) continue
    attempt(line, () => {
      const rest = new Words([...words], names)
      const moments = readMoments(rest)
      const act = readAct(rest, names, rtus)
      rest.end()
      for (const atMs of moments)
        steps.push({ line, atMs, act, text: written.replace(/^(at \S+|every \S+ for \S+)\s+/, '') })
    })
  }
  const sorted = [...steps].sort((a, b) => a.atMs - b.atMs)
  const lastMs = Math.max(0, ...steps.map(endOf))
  const lengthMs = heads.get('length') ?? lastMs + REST_MS
  if (steps.length > SCENARIO_MOST.steps)
    problems.push({ where: 'the file', what: `has ${steps.length} acts, at most are ${SCENARIO_MOST.steps}` })
  if (lengthMs > SCENARIO_MOST.lengthMs) problems.push({ where: 'the file', what: 'is longer than an hour' })
  for (const late of sorted.filter((step) => step.atMs > lengthMs).slice(0, 1))
    problems.push({
      where: `line ${late.line}`,
      what: `is at ${late.atMs / 1000} s, after the end at ${lengthMs / 1000} s`,
    })
  if (steps.length === 0 && problems.length === 0)
    problems.push({ where: 'the file', what: 'does nothing', hint: 'Write for example: at 5s kill leader' })
  if (problems.length > 0) return { ok: false, problems: problems.sort((a, b) => lineOf(a) - lineOf(b)) }
  return {
    ok: true,
    value: {
      members: names.length,
      rtus: rtus.length,
      cycleMs: heads.get('cycle') ?? DEFAULT_PLAN.rtuIntervalMs,
      learningCycles: heads.get('learning') ?? LEARNING_CYCLES,
      deltaMs: heads.get('delta') ?? DEFAULT_PLAN.deltaMs,
      heartbeatMs: heads.get('heartbeat') ?? DEFAULT_PLAN.heartbeatMs,
      loadPerSecond: heads.get('load') ?? WRITES_PER_SECOND,
      lengthMs,
      steps: sorted,
    },
  }
}

const lineOf = ({ where }: Problem): number => Number(/^line ([0-9]+)$/.exec(where)?.[1] ?? 0)

// When a step is over, as far as it says.
function endOf({ atMs, act }: Step): number {
  if ('withinMs' in act) return atMs + act.withinMs
  return atMs + ('forMs' in act ? (act.forMs ?? 0) : 0)
}

function readHead(words: readonly string[], heads: Map<string, number>): void {
  const rest = new Words([...words], [])
  const name = rest.take('a setting')
  if (heads.has(name)) throw new Unfit(`says "${name}" a second time`)
  if (name === 'members') {
    const count = rest.number(/^([0-9]{1,3})$/, MOST.members, '4')
    if (count < 1) throw new Unfit('a testnet has at least 1 member')
    heads.set(name, count)
  } else if (name === 'rtus') heads.set(name, rest.number(/^([0-9]{1,3})$/, MOST.rtus, '5'))
  else if (name === 'learning') {
    const cycles = rest.number(/^([0-9]{1,5})$/, 17_280, '10')
    if (cycles < 3) throw new Unfit('"learning" is at least 3 cycles')
    heads.set(name, cycles)
  } else if (name === 'load') heads.set(name, rest.number(/^([0-9]{1,6})$/, 100_000, '20'))
  else {
    const ms = rest.duration()
    const [min, max] =
      name === 'delta'
        ? [10, 60_000]
        : name === 'cycle'
          ? [100, 600_000]
          : name === 'heartbeat'
            ? [50, 600_000]
            : [1, SCENARIO_MOST.lengthMs]
    if (ms < min || ms > max) throw new Unfit(`"${name}" is from ${min} to ${max} ms`)
    heads.set(name, ms)
  }
  rest.end()
}

function readMoments(words: Words): number[] {
  const when = words.take('"at" or "every"')
  if (when === 'at') return [words.duration()]
  if (when !== 'every')
    throw new Unfit(
      `"${when}" is no beginning of a line`,
      didYouMean(when, ['at', 'every', ...HEADS]) ?? 'A line begins with at, every, or a setting',
    )
  const everyMs = words.duration()
  words.expect('for')
  const forMs = words.duration()
  if (forMs / everyMs > SCENARIO_MOST.steps) throw new Unfit(`is more than ${SCENARIO_MOST.steps} acts`)
  return Array.from({ length: Math.floor(forMs / everyMs) }, (_, i) => (i + 1) * everyMs)
}

function readAct(words: Words, names: readonly string[], rtus: readonly string[]): Act {
  const verb = words.take('what is to be done')
  switch (verb) {
    case 'kill':
      return { verb, who: words.target(), forMs: words.forMs() ?? KILLED_MS }
    case 'pause': {
      const who = words.target()
      words.expect('for')
      return { verb, who, forMs: words.duration() }
    }
    case 'restart':
    case 'recover':
    case 'upgrade':
      return { verb, who: words.target() }
    case 'partition': {
      const sides = [words.names()]
      while (words.takeIf('|')) sides.push(words.names())
      if (sides.length < 2) throw new Unfit('has one side', 'Write for example: partition north,east | south,west')
      const all = sides.flat()
      if (new Set(all).size < all.length) throw new Unfit('has a member on two sides')
      const links = sides.flatMap((side, i) => sides.slice(i + 1).flatMap((other) => linksBetween(side, other, true)))
      return { verb: 'links', links, effect: { passage: 'held' }, forMs: words.forMs() }
    }
    case 'cut':
    case 'reset':
      return {
        verb: 'links',
        links: readLinks(words),
        effect: { passage: verb === 'cut' ? 'held' : 'cut' },
        forMs: words.forMs(),
      }
    case 'delay':
    case 'jitter':
    case 'loss':
    case 'rate': {
      const effect = readEffect(words, verb)
      const links = words.takeIf('on') ? readLinks(words) : linksAmong(names)
      return { verb: 'links', links, effect, forMs: words.forMs() }
    }
    case 'fill':
      return { verb, who: words.target(), forMs: words.forMs() }
    case 'slow': {
      const who = words.target()
      const perSecond = words.number(/^([1-9][0-9]{0,5})\/s$/, 100_000, '20/s')
      return { verb, who, perSecond, forMs: words.forMs() }
    }
    case 'clock': {
      const who = words.target()
      const word = words.take('how far the clock is off')
      const ms = /^[+-]/.test(word) ? parseDuration(word.slice(1)) : undefined
      if (ms === undefined) throw new Unfit(`"${word}" is no shift of a clock`, 'Write for example +90s or -5m')
      return { verb, who, offsetMs: word.startsWith('-') ? -ms : ms, forMs: words.forMs() }
    }
    case 'heal':
      return { verb }
    case 'compromise':
      return { verb, rtus: words.namesOf('RTU', rtus) }
    case 'expect': {
      const status = STANDINGS.find((standing) => words.takeIf(standing))
      if (status !== undefined) {
        const judged = words.namesOf('RTU', rtus)
        const withinMs = words.takeIf('within') ? words.duration() : WITHIN_MS
        return { verb: 'standing', status, rtus: judged, withinMs }
      }
      const what = words.take('what is expected') as (typeof EXPECTATIONS)[number]
      if (!EXPECTATIONS.includes(what))
        throw new Unfit(
          `"${what}" cannot be expected`,
          didYouMean(what, [...EXPECTATIONS, ...STANDINGS]) ??
            `It is one of ${[...EXPECTATIONS, ...STANDINGS].join(', ')}`,
        )
      const by = words.takeIf('by') ? words.target() : 'all'
      return { verb, what, by, withinMs: words.takeIf('within') ? words.duration() : WITHIN_MS }
    }
    default:
      throw new Unfit(
        `"${verb}" is nothing that can be done`,
        didYouMean(verb, VERBS) ?? `It is one of ${VERBS.join(', ')}`,
      )
  }
}

function readLinks(words: Words): Link[] {
  const from = words.names()
  const arrow = words.take('"->" or "<->"')
  if (arrow !== '->' && arrow !== '<->')
    throw new Unfit(`has "${arrow}" between two members`, 'Write north -> east for one way, north <-> east for both')
  const links = linksBetween(from, words.names(), arrow === '<->')
  if (links.length === 0) throw new Unfit('is no link: a member has none to itself')
  return links
}

const RATE_UNITS: Readonly<Record<string, number>> = { kbit: 1000, mbit: 1_000_000 }

// delay, jitter, loss and rate in any order, each once.
function readEffect(words: Words, first: string): Effect {
  const effect: { delayMs?: number; jitterMs?: number; lossPercent?: number; rateBitsPerS?: number } = {}
  let name: string | undefined = first
  while (name !== undefined) {
    if (name === 'delay') effect.delayMs = words.duration()
    else if (name === 'jitter') effect.jitterMs = words.duration()
    else if (name === 'loss') effect.lossPercent = words.number(/^([0-9]{1,3}(?:\.[0-9]{1,3})?)%$/, 100, '2%')
    else {
      const word = words.take('a rate')
      const match = /^([1-9][0-9]{0,6})(kbit|mbit)$/.exec(word)
      if (match === null) throw new Unfit(`"${word}" is no rate`, 'Write for example 500kbit or 1mbit')
      effect.rateBitsPerS = Number(match[1]) * (RATE_UNITS[match[2] as string] as number)
    }
    const { next } = words
    name = ['delay', 'jitter', 'loss', 'rate'].find((one) => one === next)
    if (name !== undefined) words.take(name)
  }
  return effect
}
