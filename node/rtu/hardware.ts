/**
 * RTU: what the machine says of itself, for the registration of the device. Proposals for an operator, read once; nothing rests on them.
 * Invariant: labels as the ledger takes them: 1 to 64 printable characters; what the machine does not say is `unknown`.
 */
import { createHash } from 'node:crypto'
import { hostname, release } from 'node:os'
import { attempt, type Machine, textOf } from './machine.ts'

/** What a registration says of the hardware. */
export type Hardware = {
  readonly hardwareId: string
  readonly manufacturer: string
  readonly model: string
  readonly firmware: string
}

const LABEL_CHARACTERS_MAX = 64
const FILE_BYTES_MAX = 4096

/** Reads what Linux shows to everybody: device tree (boards), DMI (PCs), os-release. Elsewhere only what Node.js knows. */
export function hardwareOf(machine: Machine): Hardware {
  const read = (path: string): string | undefined => {
    const content = attempt(() => machine.readFile(path, FILE_BYTES_MAX))
    return 'value' in content ? label(textOf(content.value)) : undefined
  }
  const machineId = read('/etc/machine-id')
  const system = attempt(() => machine.readFile('/etc/os-release', FILE_BYTES_MAX))
  const name = 'value' in system ? /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(textOf(system.value))?.[1] : undefined
  return {
    // machine-id(5) asks not to show the id itself: a hash tells machines apart as well.
    hardwareId:
      read('/proc/device-tree/serial-number') ??
      (machineId === undefined
        ? undefined
        : createHash('sha256').update(`althing ${machineId}`).digest('hex').slice(0, 32)) ??
      label(hostname()) ??
      'unknown',
    manufacturer: read('/sys/class/dmi/id/sys_vendor') ?? 'unknown',
    model: read('/proc/device-tree/model') ?? read('/sys/class/dmi/id/product_name') ?? 'unknown',
    firmware: label(name ?? '') ?? label(`${process.platform} ${release()}`) ?? 'unknown',
  }
}

/** `text` as a label, undefined if nothing of it can stand in one. */
function label(text: string): string | undefined {
  const clean = text
    .replace(/[\p{C}\p{Zl}\p{Zp}]/gu, ' ')
    .replace(/\s+/g, ' ')
    .trim()
    .slice(0, LABEL_CHARACTERS_MAX)
    .replace(/[\ud800-\udbff]$/, '')
    .trim()
  return clean === '' ? undefined : clean
}
