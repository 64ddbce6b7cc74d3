import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { problemLine } from '../../config/problems.ts'
import { type Act, parseScenario, type Scenario } from '../../testnet/scenario.ts'

const read = (text: string): Scenario => {
  const parsed = parseScenario(text)
  if (!parsed.ok) throw new Error(parsed.problems.map(problemLine).join('\n'))
  return parsed.value
}
const act = (line: string): Act | undefined => read(line).steps[0]?.act
const problems = (text: string): string[] => {
  const parsed = parseScenario(text)
  return parsed.ok ? [] : parsed.problems.map(problemLine)
}

const FOLDER = new URL('../../testnet/scenarios/', import.meta.url)

describe('scenario', () => {
  it('scenario: settings and acts in order of time, comments and empty lines left out', () => {
    const scenario = read(
      '# a comment\nmembers 5\ndelta 100ms\nload 7\n\nat 20s heal # late\nat 5s restart member-5\nat 5s kill north',
    )
    expect(scenario).toMatchObject({ members: 5, deltaMs: 100, heartbeatMs: 500, loadPerSecond: 7, lengthMs: 30_000 })
    expect(scenario.steps.map(({ line, atMs, text }) => [line, atMs, text])).toEqual([
      [7, 5000, 'restart member-5'],
      [8, 5000, 'kill north'],
      [6, 20_000, 'heal'],
    ])
  })

  it('scenario: every … for … is one act each time, the first after one interval', () => {
    const { steps, lengthMs } = read('every 5s for 5m kill leader')
    expect([steps.length, steps[0]?.atMs, steps.at(-1)?.atMs]).toEqual([60, 5000, 300_000])
    expect(lengthMs).toBe(300_000 + 2000 + 10_000)
    expect(steps[0]?.act).toEqual({ verb: 'kill', who: 'leader', forMs: 2000 })
  })

  it('scenario: a partition holds all links between sides, both ways, and none within one', () => {
    const found = act('at 1s partition north, east | south,west for 20s')
    expect(found).toMatchObject({ verb: 'links', effect: { passage: 'held' }, forMs: 20_000 })
    expect(found?.verb === 'links' ? found.links : []).toHaveLength(8)
    expect(JSON.stringify(found)).not.toContain('"from":"north","to":"east"')
  })

  it('scenario: cut and reset go one way or both; without `for` they last until all is healed', () => {
    expect(act('at 1s cut north->east')).toEqual({
      verb: 'links',
      links: [{ from: 'north', to: 'east' }],
      effect: { passage: 'held' },
      forMs: null,
    })
    const both = act('at 1s reset north <-> east,south')
    expect(both).toMatchObject({ effect: { passage: 'cut' } })
    expect(both?.verb === 'links' ? both.links : []).toHaveLength(4)
  })

  it('scenario: delay, jitter, loss and rate together, on all links or on some', () => {
    const found = act('at 5s delay 400ms jitter 50ms loss 2.5% rate 1mbit for 3s')
    expect(found).toMatchObject({ effect: { delayMs: 400, jitterMs: 50, lossPercent: 2.5, rateBitsPerS: 1_000_000 } })
    expect(found?.verb === 'links' ? found.links : []).toHaveLength(12)
    expect(act('at 5s rate 500kbit on north -> east')).toMatchObject({
      links: [{ from: 'north', to: 'east' }],
      effect: { rateBitsPerS: 500_000 },
    })
  })

  it('scenario: what is done to members, each with its own words', () => {
    expect(act('at 1s pause west for 20s')).toEqual({ verb: 'pause', who: ['west'], forMs: 20_000 })
    expect(act('at 1s fill south for 15s')).toEqual({ verb: 'fill', who: ['south'], forMs: 15_000 })
    expect(act('at 1s slow leader 20/s')).toEqual({ verb: 'slow', who: 'leader', perSecond: 20, forMs: null })
    expect(act('at 1s clock east +90s')).toEqual({ verb: 'clock', who: ['east'], offsetMs: 90_000, forMs: null })
    expect(act('at 1s clock east -5m for 2s')).toMatchObject({ offsetMs: -300_000, forMs: 2000 })
    expect(act('at 1s recover all')).toEqual({ verb: 'recover', who: 'all' })
    expect(act('at 1s expect violated by north within 3s')).toEqual({
      verb: 'expect',
      what: 'violated',
      by: ['north'],
      withinMs: 3000,
    })
  })

  it('scenario: all that is wrong is listed by line, with what was probably meant', () => {
    const found = problems(
      [
        'members 4',
        'at 5s kil leader',
        'at 5s kill nort',
        'at soon kill north',
        'ta 5s kill north',
        'at 5s partition north,east',
        'at 5s partition north | north',
        'at 5s cut north east',
        'at 5s pause north',
        'at 5s delay fast',
        'at 5s kill north for 2s please',
        'at 5s expect miracle',
        'load many',
        'members 5',
        'at 5s cut north -> north',
      ].join('\n'),
    )
    expect(found).toHaveLength(14)
    expect(found[0]).toBe('line 2: "kil" is nothing that can be done. Did you mean kill?')
    expect(found[1]).toBe('line 3: "nort" is no member. Did you mean north?')
    expect(found[2]).toMatch(/^line 4: "soon" is no time/)
    expect(found[3]).toBe('line 5: "ta" is no beginning of a line. Did you mean at?')
    expect(found.map((line) => Number(/^line ([0-9]+)/.exec(line)?.[1]))).toEqual([...found.keys()].map((i) => i + 2))
  })

  it('scenario: RTUs, their cycle and what they learn; who is compromised, and how devices are expected to stand', () => {
    const scenario = read(
      'rtus 5\ncycle 1s\nlearning 4\nat 9s compromise rtu-3, rtu-4\nat 9s expect blacklisted rtu-3 within 7s',
    )
    expect(scenario).toMatchObject({ rtus: 5, cycleMs: 1000, learningCycles: 4, lengthMs: 26_000 })
    expect(scenario.steps.map((step) => step.act)).toEqual([
      { verb: 'compromise', rtus: ['rtu-3', 'rtu-4'] },
      { verb: 'standing', status: 'blacklisted', rtus: ['rtu-3'], withinMs: 7000 },
    ])
    expect(read('at 1s heal')).toMatchObject({ rtus: 0, cycleMs: 2000, learningCycles: 10 })
  })

  it('scenario: RTUs that are not there, members in their place, too little to learn → problems', () => {
    expect(problems('at 1s compromise rtu-1')).toEqual(['line 1: there is no RTU. Write for example: rtus 5'])
    expect(problems('rtus 2\nat 1s compromise rtu-3')[0]).toMatch(/^line 2: "rtu-3" is no RTU\. Did you mean rtu-/)
    expect(problems('rtus 2\nat 1s expect trusted north')[0]).toMatch(/^line 2: "north" is no RTU/)
    expect(problems('rtus 2\nat 1s kill rtu-1')[0]).toMatch(/^line 2: "rtu-1" is no member/)
    expect(problems('rtus 51\nlearning 2\ncycle 1ms\nat 1s heal')).toHaveLength(3)
    expect(problems('rtus 1\nat 1s expect trustd rtu-1')[0]).toMatch(/Did you mean trusted\?/)
  })

  it('scenario: nothing to do, an act after the end, more acts than are allowed, a name twice → problems', () => {
    expect(problems('members 4')).toEqual(['the file: does nothing. Write for example: at 5s kill leader'])
    expect(problems('length 5s\nat 8s heal')).toEqual(['line 2: is at 8 s, after the end at 5 s'])
    expect(problems('every 1ms for 1h heal')[0]).toMatch(/^line 1: is more than 500 acts/)
    expect(problems('at 2h heal')).toEqual(['the file: is longer than an hour'])
    expect(problems('at 1s kill north,north')).toEqual(['line 1: names a member twice'])
    expect(problems('#'.repeat(70_000))[0]).toMatch(/^the file: has more than/)
  })

  it('scenario: those of the repository can all be read', () => {
    const files = readdirSync(FOLDER).filter((name) => name.endsWith('.scenario'))
    expect(files.length).toBeGreaterThanOrEqual(12)
    for (const file of files) expect([file, problems(readFileSync(new URL(file, FOLDER), 'utf8'))]).toEqual([file, []])
  })
})
