/**
 * Stage: the operator. How a testnet did: the chains of its members compared, and what came to be on them.
 * Invariant: it is good only if every member that should run committed the same chain, grew, and ended at the height of the others.
 */
import { compareChains } from './checker.ts'
import { clockText } from './plan.ts'
import { type HeaderView, readTransaction } from './status.ts'
import { type Testnet, until } from './testnet.ts'

/** A testnet's end, as `--json` prints it. Times in ms. */
export type Summary = {
  readonly ok: boolean
  /** Why it is not, a sentence each; empty if it is. */
  readonly reasons: readonly string[]
  readonly durationMs: number
  readonly blocks: number
  readonly transactions: number
  /** The newest block that all members compared have; undefined if there is none. */
  readonly common: { readonly height: number; readonly hash: string; readonly stateRoot: string } | undefined
  readonly members: readonly {
    readonly name: string
    readonly state: string
    readonly height: number | null
    readonly restarts: number
    readonly compared: boolean
  }[]
  readonly rtus: readonly {
    readonly name: string
    readonly state: string
    readonly reports: number
    readonly restarts: number
  }[]
  readonly load: {
    readonly accepted: number
    readonly refused: number
    /** How many of those accepted last were looked for, and how many of them a running member does not have. */
    readonly searched: number
    readonly missing: number
  } | null
}

/** What one member had to show at the end. `shouldRun`: nobody asked for it to be gone or paused. */
export type MemberEnd = {
  readonly name: string
  readonly state: string
  readonly restarts: number
  readonly shouldRun: boolean
  /** How it ended by itself, if it did. */
  readonly ending: string | undefined
  /** From the first height of this run on, ascending. */
  readonly headers: readonly HeaderView[]
}

/** Judges the ends of the members; pure. `startHeight`: the chain's when the run began. */
export function judge(ends: readonly MemberEnd[], startHeight: number): Pick<Summary, 'reasons' | 'common'> {
  const reasons: string[] = []
  const compared = ends.filter(({ shouldRun }) => shouldRun)
  if (compared.length === 0)
    reasons.push('no member should have been running at the end, so there is nothing to compare')
  for (const { name, ending, headers } of compared) {
    const height = headers.at(-1)?.height
    if (ending !== undefined) reasons.push(`${name} ended by itself (${ending})`)
    else if (height === undefined) reasons.push(`${name} showed no block`)
    else if (height <= startHeight) reasons.push(`${name} did not grow beyond height ${startHeight}`)
  }
  reasons.push(...compareChains(compared).map(({ sentence }) => sentence))
  const heights = compared.map(({ headers }) => headers.at(-1)?.height ?? 0)
  const height = Math.min(...heights)
  const behind = compared.filter(({ headers }) => (headers.at(-1)?.height ?? 0) < Math.max(...heights) - BEHIND_MAX)
  for (const { name, headers } of behind)
    if (headers.length > 0)
      reasons.push(`${name} ended at height ${headers.at(-1)?.height}, others at ${Math.max(...heights)}`)
  const common = compared[0]?.headers.find((header) => header.height === height)
  return {
    reasons,
    common: common === undefined ? undefined : { height, hash: common.hash, stateRoot: common.stateRoot },
  }
}

/** Members are asked one after the other while the chain goes on: this many blocks apart they are still equal. */
const BEHIND_MAX = 5

/** Waits (up to `patienceMs` each) for members and reports that are still under way, compares the members and gathers what is on the chain. */
export async function summarise(testnet: Testnet, patienceMs: number): Promise<Summary> {
  const durationMs = performance.now() - testnet.upAt
  testnet.load.stop()
  const running = testnet.members.filter(({ process }) => process.state === 'running')
  await untilLevel(running, patienceMs)
  const ends = await endsOf(testnet)
  const { reasons, common } = judge(ends, testnet.startHeight)
  const longest = ends.reduce((a, b) => (b.headers.length > a.headers.length ? b : a))
  await untilReported(testnet, running.find(({ process }) => process.name === longest.name)?.client, patienceMs)
  const load = await loadOf(testnet, running, patienceMs)
  const all = [...reasons, ...rtuReasons(testnet), ...loadReasons(testnet, load)]
  return {
    ok: all.length === 0,
    reasons: all,
    durationMs,
    blocks: (longest.headers.at(-1)?.height ?? testnet.startHeight) - testnet.startHeight,
    transactions: longest.headers.reduce((sum, { transactionCount }) => sum + transactionCount, 0),
    common,
    members: ends.map(({ name, state, restarts, shouldRun, headers }) => ({
      name,
      state,
      height: headers.at(-1)?.height ?? null,
      restarts,
      compared: shouldRun,
    })),
    rtus: testnet.rtus.map(({ process }) => ({
      name: process.name,
      state: process.state,
      reports: testnet.reportsOf(process.name).count,
      restarts: Math.max(0, process.restarts),
    })),
    load,
  }
}

// Until all have what the highest of them has now.
async function untilLevel(running: Testnet['members'], patienceMs: number): Promise<void> {
  const heights = (): Promise<number[]> =>
    Promise.all(running.map(async ({ client }) => (await client.header('head'))?.height ?? 0))
  const target = Math.max(0, ...(await heights()))
  await until(async () => (await heights()).every((height) => height >= target), patienceMs)
}

async function endsOf({ members, startHeight }: Testnet): Promise<MemberEnd[]> {
  const ends: MemberEnd[] = []
  for (const { process, client } of members)
    ends.push({
      name: process.name,
      state: process.state,
      restarts: Math.max(0, process.restarts),
      shouldRun: process.state === 'running' || process.state === 'ended',
      ending: process.state === 'ended' ? process.ending : undefined,
      headers: process.state === 'running' ? await client.headers(startHeight + 1) : [],
    })
  return ends
}

const isSilent = (testnet: Testnet, { process }: Testnet['rtus'][number]): boolean =>
  process.state === 'running' && testnet.reportsOf(process.name).count === 0

// On a busy machine the first reports may be under way still.
async function untilReported(
  testnet: Testnet,
  reader: Testnet['members'][number]['client'] | undefined,
  patienceMs: number,
): Promise<void> {
  if (reader === undefined) return
  await until(async () => {
    await testnet.readReports(reader)
    return !testnet.rtus.some((rtu) => isSilent(testnet, rtu))
  }, patienceMs)
}

const rtuReasons = (testnet: Testnet): string[] =>
  testnet.rtus.flatMap((rtu) => {
    const { name, state, ending } = rtu.process
    if (state === 'ended') return [`${name} ended by itself (${ending})`]
    return isSilent(testnet, rtu) ? [`no report of ${name} is on the chain`] : []
  })

// Who was killed may have been the only one that held a transaction it took.
const loadReasons = ({ members }: Testnet, load: Summary['load']): string[] =>
  load !== null && load.missing > 0 && members.every(({ process }) => process.restarts === 0)
    ? [`${load.missing} of the last ${load.searched} transactions of the load are not on every member`]
    : []

// The last transactions of the load, looked for on every running member.
async function loadOf({ load }: Testnet, running: Testnet['members'], patienceMs: number): Promise<Summary['load']> {
  const { accepted, refused } = load.counts
  if (accepted + refused === 0) return null
  const ids = load.latest
  const isMissing = async (id: string): Promise<boolean> => {
    const answers = await Promise.all(running.map(({ client }) => client.get(['transactions', id])))
    return answers.some((answer) => readTransaction(answer).status !== 'committed')
  }
  let missing = [...ids]
  await until(async () => {
    const still: string[] = []
    for (const id of missing) if (await isMissing(id)) still.push(id)
    missing = still
    return missing.length === 0
  }, patienceMs)
  return { accepted, refused, searched: ids.length, missing: missing.length }
}

/** The summary for people. */
export function summaryLines(summary: Summary): string[] {
  const { members, rtus, common, load } = summary
  const compared = members.filter((member) => member.compared)
  const lines = [
    `${summary.ok ? 'good' : 'NOT good'}: ${summary.blocks} blocks and ${summary.transactions} transactions in ${clockText(summary.durationMs)}`,
  ]
  if (common !== undefined)
    lines.push(
      `${compared.length} of ${members.length} members compared, equal up to height ${common.height}: ` +
        `block ${common.hash.slice(0, 16)}, state ${common.stateRoot.slice(0, 16)}`,
    )
  for (const { name, state, height, restarts } of members)
    if (state !== 'running' || restarts > 0)
      lines.push(`${name}: ${state}, height ${height ?? 'unknown'}, restarted ${restarts} times`)
  if (rtus.length > 0)
    lines.push(`reports on the chain: ${rtus.map(({ name, reports }) => `${name} ${reports}`).join(', ')}`)
  if (load !== null)
    lines.push(
      `load: ${load.accepted} accepted, ${load.refused} refused; ` +
        `of the last ${load.searched} accepted, ${load.missing} are not committed everywhere`,
    )
  return [...lines, ...summary.reasons.map((reason) => `reason: ${reason}`)]
}
