import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hardwareOf } from '../../../node/rtu/hardware.ts'
import { label } from '../../../protocol/kinds/fields.ts'
import { FakeMachine } from './fakeMachine.ts'

describe('hardware', () => {
  it('a board says who it is in its device tree, a PC in its DMI', () => {
    const board = new FakeMachine()
    board.put('/proc/device-tree/model', { content: 'Raspberry Pi 4 Model B Rev 1.4\0' })
    board.put('/proc/device-tree/serial-number', { content: '10000000abcdef01\0' })
    board.put('/etc/os-release', { content: 'ID=debian\nPRETTY_NAME="Debian 12"\n' })
    expect(hardwareOf(board)).toEqual({
      hardwareId: '10000000abcdef01',
      manufacturer: 'unknown',
      model: 'Raspberry Pi 4 Model B Rev 1.4',
      firmware: 'Debian 12',
    })
    const pc = new FakeMachine()
    pc.put('/sys/class/dmi/id/sys_vendor', { content: 'Siemens AG\n' })
    pc.put('/sys/class/dmi/id/product_name', { content: 'SIMATIC IPC227E\n' })
    expect(hardwareOf(pc)).toMatchObject({ manufacturer: 'Siemens AG', model: 'SIMATIC IPC227E' })
  })

  it('the machine’s id is never shown itself; two machines differ, one stays the same', () => {
    const of = (id: string): string => {
      const machine = new FakeMachine()
      machine.put('/etc/machine-id', { content: `${id}\n` })
      return hardwareOf(machine).hardwareId
    }
    const id = 'b08dfa6083e7567a1921a715000001fb'
    expect(of(id)).toMatch(/^[0-9a-f]{32}$/)
    expect(of(id)).not.toContain(id)
    expect(of(id)).toBe(of(id))
    expect(of(id)).not.toBe(of(id.replace('b', 'c')))
  })

  it('whatever files hold, and without any → labels that the ledger takes', () => {
    const check = (machine: FakeMachine): void => {
      for (const value of Object.values(hardwareOf(machine))) expect(label.from(value, 'label')).toBe(value)
    }
    check(new FakeMachine())
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (content) => {
        const machine = new FakeMachine()
        for (const path of [
          '/proc/device-tree/model',
          '/sys/class/dmi/id/sys_vendor',
          '/proc/device-tree/serial-number',
        ])
          machine.put(path, { content })
        machine.put('/etc/os-release', { content: `PRETTY_NAME="${content}"` })
        check(machine)
      }),
    )
  })
})
