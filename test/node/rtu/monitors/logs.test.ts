import { describe, expect, it } from 'vitest'
import type { Observation } from '../../../../node/rtu/monitor.ts'
import { LOGS_DEFAULTS, type LogsBaseline, logsMonitor } from '../../../../node/rtu/monitors/logs.ts'
import { type FakeMachine, ordinaryMachine, turn } from '../fakeMachine.ts'

const LOG = '/var/log/auth.log'
const FAILURE = 'Nov 24 host sshd[9]: Failed password for root from 10.0.0.9 port 5 ssh2\n'

/** A machine with a log, a monitor of it, and cycles over them. */
function following(words: readonly string[] = [], bytesMax = 64 * 1024) {
  const machine = ordinaryMachine()
  machine.put(LOG, { content: 'before\n', inode: 1 })
  const monitor = logsMonitor({ ...LOGS_DEFAULTS, paths: [LOG, '/var/log/none.log'], words, bytesMax })
  let baseline: LogsBaseline = monitor.empty()
  const cycle = async (learning = false): Promise<Observation<LogsBaseline>> => {
    const seen = await monitor.observe(machine, baseline, turn(learning))
    baseline = seen.baseline
    return seen
  }
  return { machine, monitor, cycle }
}
const write = (machine: FakeMachine, text: string): void => {
  const file = machine.files.get(LOG)
  machine.put(LOG, { ...file, content: (file?.content ?? '') + text })
}
const categories = ({ findings }: Observation<LogsBaseline>): string[] => findings.map(({ category }) => category)

describe('failed log-ins', () => {
  it('more than in the baseline → login.failed; what lay there before is not read; a usual number says nothing', async () => {
    const { machine, cycle } = following()
    machine.put(LOG, { content: FAILURE.repeat(100), inode: 1 })
    expect(categories(await cycle(true))).toEqual([])
    write(machine, FAILURE.repeat(3))
    expect(categories(await cycle(true))).toEqual([])
    write(machine, FAILURE.repeat(5))
    expect(categories(await cycle())).toEqual([])
    write(machine, FAILURE.repeat(20))
    const seen = await cycle()
    expect(seen.findings).toMatchObject([{ category: 'login.failed', confidencePpm: 700_000 }])
    // The line itself, with its names and addresses, is nowhere.
    expect(JSON.stringify(seen.findings)).not.toContain('10.0.0.9')
  })

  it('half a line is read once it is whole', async () => {
    const { machine, cycle } = following(['alarm'])
    await cycle()
    write(machine, 'an ala')
    expect(categories(await cycle())).toEqual([])
    write(machine, 'rm rings\n')
    expect(categories(await cycle())).toEqual(['log.match'])
    expect(categories(await cycle())).toEqual([])
  })
})

describe('texts that the operator names', () => {
  it('are looked for as they stand, in any case, and never as patterns', async () => {
    const { machine, cycle } = following(['(a+)+$', 'PLC stop'])
    await cycle()
    write(machine, `${'a'.repeat(50_000)}!\nplc STOP by nobody\n`)
    const started = performance.now()
    expect((await cycle()).findings.map(({ subject }) => subject)).toEqual([`${LOG} plc stop`])
    expect(performance.now() - started).toBeLessThan(500)
  })
})

describe('rotation', () => {
  it('moved away and begun anew → the rest of the old one is read, then the new one, and nothing is missing', async () => {
    const { machine, cycle } = following(['one', 'two'])
    await cycle()
    write(machine, 'one\n')
    machine.put(`${LOG}.1`, { ...machine.files.get(LOG) })
    machine.put(LOG, { content: 'two\n', inode: 2 })
    expect((await cycle()).findings.map(({ subject }) => subject)).toEqual([`${LOG} one`, `${LOG} two`])
  })

  it('copied and cut → no finding; cut with no copy, or gone → log.removed', async () => {
    const { machine, cycle } = following()
    await cycle()
    machine.put(`${LOG}.1`, { content: 'before\n', inode: 5 })
    machine.put(LOG, { content: '', inode: 1 })
    expect(categories(await cycle())).toEqual([])
    write(machine, 'more\n')
    await cycle()
    machine.files.delete(`${LOG}.1`)
    machine.put(LOG, { content: '', inode: 1 })
    expect(categories(await cycle())).toEqual(['log.removed'])
    const other = following()
    await other.cycle()
    other.machine.files.delete(LOG)
    expect(categories(await other.cycle())).toEqual(['log.removed'])
  })
})

describe('huge and odd files', () => {
  it('more in one cycle than is read → the end is read, and it is said', async () => {
    const { machine, cycle } = following(['needle'], 1000)
    await cycle()
    write(machine, `${'x'.repeat(99)}\n`.repeat(10_000))
    write(machine, 'needle\n')
    const seen = await cycle()
    expect(categories(seen)).toEqual(['log.match'])
    expect(seen.blind).toContain('grew by more than is read at once')
  })

  it('a line without an end does not stop the reader', async () => {
    const { machine, cycle } = following(['needle'], 1000)
    await cycle()
    write(machine, 'x'.repeat(5000))
    await cycle()
    write(machine, '\nneedle\n')
    expect(categories(await cycle())).toEqual(['log.match'])
  })

  it('none is there → nothing to judge a peer by; one that may not be read → blind', async () => {
    const { machine, cycle } = following()
    machine.files.delete(LOG)
    expect(await cycle()).toMatchObject({ findings: [], blind: null, counts: {} })
    machine.put(LOG, { refuses: 'EACCES' })
    expect((await cycle()).blind).toContain(`cannot follow ${LOG}`)
  })
})
