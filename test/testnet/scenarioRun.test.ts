/** Scenarios as people run them: two short ones on real processes, and what is refused before anything runs. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { resultLines, type ScenarioResult } from '../../testnet/scenarioRun.ts'
import { althing } from '../cli/process.ts'
import { RunningTestnet } from './helper.ts'

const scenarioIn = (name: string): string =>
  fileURLToPath(new URL(`../../testnet/scenarios/${name}.scenario`, import.meta.url))

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'althing-scenario-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** Runs a scenario in a TMPDIR of its own and looks at what it left. */
async function run(name: string): Promise<{ code: number | null; result: ScenarioResult; left: number }> {
  const running = await RunningTestnet.start(['--scenario', scenarioIn(name), '--json'])
  try {
    const { code } = await running.ended()
    if (running.stdout === '') throw new Error(running.stderr)
    return { code, result: JSON.parse(running.stdout), left: (await running.survivors()).length }
  } finally {
    await running.destroy()
  }
}

const refused = async (text: string, ...words: string[]): Promise<{ code: number | null; stderr: string }> => {
  const file = join(folder, 'file.scenario')
  await writeFile(file, text)
  return althing(folder, ['testnet', '--scenario', file, ...words], '', { TMPDIR: folder })
}

describe('althing testnet --scenario', () => {
  it('the leader killed: what was acknowledged is everywhere, the chain goes on, nothing is left running', async () => {
    const { code, result, left } = await run('brief')
    expect([code, result.reasons, left]).toEqual([0, [], 0])
    expect(result.done).toEqual({ kill: 1, expect: 1 })
    expect(result.writes.acknowledged).toBeGreaterThan(0)
    expect(result.verified.certificates).toBeGreaterThan(0)
    expect(result.verified.proofs).toBeGreaterThan(0)
    expect(result.recoveredMs).not.toBeNull()
  }, 60_000)

  it('two and two behind relays: nothing is decided twice, and it goes on when the line is back', async () => {
    const { code, result, left } = await run('brief-partition')
    expect([code, result.reasons, left]).toEqual([0, [], 0])
    expect(result.done).toEqual({ links: 1 })
    // No side had a quorum: while it lasted, nothing was acknowledged.
    expect(result.writes.longestGapMs).toBeGreaterThan(3000)
  }, 60_000)

  it('what cannot be read is refused with all lines, exit 64, and nothing is made', async () => {
    const { code, stderr } = await refused('at 5s kil leader\nat 5s pause nort for 2s\n')
    expect(code).toBe(64)
    expect(stderr).toMatch(/line 1: "kil".*Did you mean kill\?[\s\S]*line 2: "nort".*Did you mean north\?/)
    expect((await readdir(folder)).filter((name) => name.startsWith('althing-'))).toEqual([])
  })

  it('what needs more than is given is refused by its line; options that do not go together, too', async () => {
    const upgrade = await refused('at 5s upgrade north\n')
    expect([upgrade.code, upgrade.stderr]).toEqual([64, expect.stringContaining('line 1: upgrade needs --upgrade-to')])
    const members = await refused('at 5s kill north\n', '--members', '4')
    expect([members.code, members.stderr]).toEqual([64, expect.stringContaining('--members')])
  })

  it('RTUs have machines of their own, which relays cannot give: refused before homes are made', async () => {
    const { code, stderr } = await refused('rtus 5\nat 5s compromise rtu-3\n')
    expect([code, stderr]).toEqual([64, expect.stringContaining('--network netns')])
    expect(stderr).not.toContain('making the homes')
  })

  it('the result says what was done, what was acknowledged, and each reason', () => {
    const result: ScenarioResult = {
      ok: false,
      reasons: ['fork: a and b'],
      findings: [],
      network: 'relay',
      durationMs: 61_000,
      done: { kill: 3 },
      deeds: [],
      blocks: 70,
      recoveredMs: null,
      writes: { acknowledged: 9, unanswered: 1, p50Ms: 20, p99Ms: 90, longestGapMs: 2500, gapAtMs: 5000 },
      verified: { certificates: 4, proofs: 5, assurances: 6 },
      devices: [
        {
          rtu: 'rtu-3',
          cyclesFromCompromise: 2.4,
          cyclesFromReport: 1.5,
          reported: ['network.listener', 'process.unknown'],
          cause: 'opinions',
          finalTrustPpm: 70_000,
          raters: 4,
        },
      ],
      endings: ['south: exit code 73'],
    }
    expect(resultLines(result)).toEqual([
      'NOT good: 70 blocks in 1:01, network relay',
      'done: kill 3',
      'writes: 9 acknowledged (median 20 ms, 99 of 100 within 90 ms), 1 without an answer; longest time without any: 2.5 s',
      'after healing: did not go on',
      'verified offline: 4 certificates, 5 proofs; 6 assurances compared',
      'rtu-3 compromised: reported network.listener, process.unknown; cut off by 4 peers 2.4 cycles after it, 1.5 after its report',
      'ended by itself: south: exit code 73',
      'reason: fork: a and b',
    ])
  })
})
